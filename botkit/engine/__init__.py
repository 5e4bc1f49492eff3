"""The bot: strategies, portfolio, risk and router around one turn. It does no I/O and reads no clock.

`turn` is the way in: an event and the time go in, the requests that may be sent now come out. The same objects run in a
backtest, against the emulator, on paper and live, and cannot tell which.
"""
