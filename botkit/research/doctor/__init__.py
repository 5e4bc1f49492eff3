"""The doctor: tests whether a backtest's result can be trusted.

ladder.py    the rungs (tests) in order, and the verdict
findings.py  the finding of a rung
future.py    a tape with a changed future, and the files that a strategy opens
costs.py     the same run with doubled costs and other queue assumptions
path.py      a run's positions over time, and the price moves after its fills
"""
