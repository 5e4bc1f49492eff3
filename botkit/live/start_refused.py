"""The error of a start that cannot continue."""

from __future__ import annotations

from botkit.errors import BotkitError


class StartRefused(BotkitError):
    """The bot cannot start. The message says why and what to do."""
