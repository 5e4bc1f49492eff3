"""The number of trades received by the strategies in this process. Tests reset the number to 0 before a run and read it
afterwards.
"""

from __future__ import annotations

count = 0
