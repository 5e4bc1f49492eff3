"""Walk-forward: searches the parameters on a training window, tests the best parameters on the following days, and
moves on to the next window.

    windows.py    the spans of the windows
    forward.py    the searches, and the tests chained together
    page.py       the report
"""
