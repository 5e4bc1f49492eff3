"""Walk-forward: search on a window, test the best on the days after it, roll on.

windows.py    where the windows lie
forward.py    the searches and the tests, chained
page.py       the report
"""
