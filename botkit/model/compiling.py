"""Markers for mypyc, which compiles some modules (botkit/compiled.py). They have no effect in plain Python.

mypyc recognizes the markers by the module that defines them. Therefore mypy imports them from mypy_extensions, which is
not needed to run botkit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(*names, **values):
        """Return a decorator that leaves a class unchanged."""
        return lambda cls: cls
