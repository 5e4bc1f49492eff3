"""How many trades the strategies of this process have received: tests reset it to 0 and read it after a run."""

from __future__ import annotations

count = 0
