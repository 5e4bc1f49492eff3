"""Backtests from Python: one call that returns its result as tables, and a bench for many runs on the same data.

`entry` contains the functions that `import botkit` exports. `projects` and `frames` turn the user's strategy (a class,
name, file or dict) and data (a path or DataFrame) into a project and a feed. `bench` runs them, and `result` presents
the result.
"""
