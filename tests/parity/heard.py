"""The number of trades that the strategies of this process have received. Tests reset the number to 0 and read it after
a run.
"""

from __future__ import annotations

count = 0
