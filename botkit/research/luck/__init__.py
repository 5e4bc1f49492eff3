"""Measures how far a result can be luck: resampled returns, Sharpe ratios deflated by the number of looks, shifted
positions.

    bootstrap.py       intervals and samples of daily returns that keep their dependence
    sharpe.py          the probabilistic and the deflated Sharpe ratio
    reality_check.py   White's reality check over all that was tried
    shifted.py         the position's path against the market at other times
    holm.py            several tests on the same data

All take daily returns as fractions, in order; all random draws come from a seed.
"""
