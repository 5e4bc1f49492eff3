"""The bot: strategies, portfolio, risk and router, all driven by a single `turn` method. It does no I/O and reads no
clock.

A turn takes an event and the time, and returns the requests that may be sent now. The same objects run in a backtest,
against the emulator, in paper trading and live, and nothing in them depends on the environment.
"""
