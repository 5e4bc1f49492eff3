"""The error raised when a bot cannot start."""

from __future__ import annotations

from botkit.errors import BotkitError


class StartRefused(BotkitError):
    """The bot cannot start. The message states the reason and what to do."""
