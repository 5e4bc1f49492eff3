"""How many trades the strategies of this process have heard: tests set it to 0 and read it after a run."""

from __future__ import annotations

count = 0
