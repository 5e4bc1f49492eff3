"""The error of a start that cannot go on."""

from __future__ import annotations

from botkit.errors import BotkitError


class StartRefused(BotkitError):
    """The bot cannot start. The message says why and what to do."""
