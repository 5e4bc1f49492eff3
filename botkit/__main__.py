"""``python -m botkit``: the command line."""

from __future__ import annotations

import sys


def _run() -> int:
    try:
        from botkit.cli.main import main  # imported here, so that Ctrl-C during the import is handled as well

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(_run())
