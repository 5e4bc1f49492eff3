"""Backtests from Python: a single call that returns the result as tables, and a bench for many runs on the same data.

`entry` contains the functions exported by `import botkit`. `projects` and `frames` turn the user's strategy (a class,
name, file or dict) and data (a path or DataFrame) into a project and a feed. `bench` runs them, and `result` presents
the result.
"""
