"""The doctor: is a backtest's result worth anything?

ladder.py    the rungs in their order, and the verdict
findings.py  what a rung says
future.py    a tape whose future is another, and files that a strategy reads by itself
costs.py     the same run with doubled costs and other fill readings
path.py      a run's positions over time, and what prices did after its fills
"""
