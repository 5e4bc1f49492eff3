"""The other libraries, each in a separate virtual environment, because their dependencies conflict."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

#: library name used here: pip packages
PACKAGES = {
    "backtesting.py": ("backtesting",),
    "basana": ("basana", "numpy"),
    "vectorbt": ("vectorbt",),
    "hftbacktest": ("hftbacktest",),
    "nautilus_trader": ("nautilus_trader",),
}
_DONE = "installed"


class NotInstalled(Exception):
    """Error raised if a library cannot be installed here. The message states the reason."""


def python_of(name: str, cache: Path) -> Path:
    """Return the Python interpreter of a library's environment. Create the environment below ``cache`` if it does not
    exist.

    Raises NotInstalled.
    """
    folder = (cache / name).absolute()
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / _DONE).exists():
        print(f"  installing {name} into {folder} ...", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES[name]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise NotInstalled(lines[-1] if lines else f"pip ended with {done.returncode}")
        (folder / _DONE).touch()
    return python
