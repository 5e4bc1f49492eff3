"""Instructions to mypyc, which compiles some modules (botkit/compiled.py). They do nothing in plain Python.

mypyc recognizes them by their origin, so mypy sees mypy_extensions here, which running botkit does not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(*names, **values):
        """Return a decorator that leaves a class as it is."""
        return lambda cls: cls
