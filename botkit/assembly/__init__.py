"""The only place that picks concrete classes and wires them together.

    engine.py         the bot, the same for every driver
    kernel.py         the simulated exchange for backtests and paper trading
    backtest.py       engine and kernel over recorded data; `botkit backtest`
    lockstep.py       the same bot over the wire, against an emulator that replays the backtest's tape
    live_parts.py     the parts of a running bot
    live.py           a running bot in each mode: on an emulator, on paper, with real money
    embedded.py       the emulator inside a bot's own process
    runs.py           a bot's run, with its guard (guard.py) and its outputs (outputs.py)
    replay.py         the engine of a recorded run
    account.py        a bot's account, for commands in another process
    emulator.py       the standalone emulator
    market_access.py  market data without a bot
    operations.py     the parts of `botkit.live` that commands use

`botkit.config` and `botkit.project` interpret the configuration; the parts are defined in the other rooms.
"""
