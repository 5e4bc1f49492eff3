"""``python -m botkit``: the command line."""

from __future__ import annotations

import sys


def _run() -> int:
    try:
        from botkit.cli.main import main  # imported here, because Ctrl-C may be pressed during the import

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(_run())
