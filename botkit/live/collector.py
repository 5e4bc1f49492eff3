"""When Python looks for cyclic garbage: seldom, and not through everything that was there at the start.

With the defaults a collection of the youngest objects falls into every third book or so, and one of all objects into
an order now and then. On an order's way that was an eighth of the bot's own work.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

#: a collection after so many more objects made than dropped, and how many of one generation bring one of the next
_THRESHOLDS = (50_000, 10, 10)


@contextlib.contextmanager
def quiet_collector() -> Iterator[None]:
    """What exists now is left out of every collection until the end; new garbage is collected, but seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.unfreeze()
