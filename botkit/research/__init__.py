"""Backtests from Python: one call and its result as tables, and a bench for many runs over one tape.

`entry` holds the functions that `import botkit` exports, `projects` and `frames` turn what a user has (a class, a name,
a file, a dict; a path, a DataFrame) into a project and a feed, `bench` runs it, and `result` presents what came of it.
"""
