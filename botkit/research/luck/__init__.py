"""Measures the extent to which luck can explain a result: resampled returns, Sharpe ratios deflated by the number of
looks, shifted positions.

    bootstrap.py       intervals and samples of daily returns that preserve their dependence
    sharpe.py          the probabilistic and the deflated Sharpe ratio
    reality_check.py   White's reality check over all looks
    shifted.py         the position path applied to the market at other times
    holm.py            adjustment for several tests on the same data

All functions take daily returns as fractions, in order. All random draws are seeded.
"""
