"""Tells whether a file can be written, without leaving anything behind."""

from __future__ import annotations

import contextlib
from pathlib import Path


def try_to_write(path: Path) -> None:
    """Open a file for appending. Folders and the file are removed again if they did not exist. Raises OSError.

    Only trying is reliable: permission bits say nothing about a read-only disk or a virtual folder.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    is_new = not path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        if is_new:
            path.unlink()
    finally:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
