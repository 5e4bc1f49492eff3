"""Reports how botkit's hot modules run: as plain Python, or compiled from the same files by mypyc.

`BOTKIT_COMPILE=1 pip install .` compiles them (.compile/hook.py). The compiled modules contain the hash of each source
file. Importing botkit fails if a source file has changed since then, because the change would have no effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def _sources() -> Mapping[str, str]:
    try:
        from botkit._compiled_sources import SOURCES  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        return {}
    found: Mapping[str, str] = SOURCES
    return found


#: the SHA-256 of each compiled module's source, by path; empty in plain Python
SOURCES = _sources()
#: True if the hot modules are compiled
IS_COMPILED = bool(SOURCES)


def form() -> str:
    """Describe how the hot modules run, as shown by `botkit --version`."""
    return f"{len(SOURCES)} modules compiled" if IS_COMPILED else "plain Python"


def check(sources: Mapping[str, str], folder: Path) -> None:
    """Raise ImportError if the SHA-256 of a file under ``folder`` differs from the hash in ``sources`` for its path."""
    for name, built_from in sources.items():
        path = folder / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != built_from:
            raise ImportError(
                f"{path} has changed since it was compiled, so the change would have no effect: reinstall botkit, "
                f"with BOTKIT_COMPILE=1 to compile it again or without it to run the source"
            )


check(SOURCES, Path(__file__).parent.parent)
