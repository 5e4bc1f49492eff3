"""The only place that picks concrete classes and wires them.

    engine.py         the bot, the same for every driver
    kernel.py         the simulated exchange, of backtests and of paper trading
    backtest.py       engine and kernel over recorded data; `botkit backtest`
    lockstep.py       the same bot over the wire, against an emulator of its tape
    live_parts.py     the parts of a running bot
    live.py           ... in each mode: at an emulator, on paper, with real money
    embedded.py       the emulator that a bot brings along
    runs.py           ... kept running, with its guard (guard.py) and its outputs (outputs.py)
    replay.py         the engine of a recorded run
    account.py        a bot's account, for commands in another process
    emulator.py       the emulator on its own
    market_access.py  market data without a bot
    operations.py     what commands take from `botkit.live`

`botkit.config` and `botkit.project` interpret the configuration; the parts come from the other rooms.
"""
