"""Walk-forward: search on a window, test the best on the days after it, roll on.

windows.py    the spans of the windows
forward.py    the searches, and the tests chained together
page.py       the report
"""
