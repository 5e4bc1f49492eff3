"""A snapshot of a bot's state, from which summaries, pictures and the status are built."""

from __future__ import annotations

import msgspec

from botkit.engine.view import EngineView
from botkit.model.clock import Nanos


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a bot, read between turns, from which a summary or a picture is built."""

    name: str
    mode: str
    view: EngineView
    now: Nanos
    uptime_s: float
    opening_equity: int | None
    lost_streams: tuple[str, ...]
    connected_streams: int
    rate_limited: int
    faults: tuple[str, ...]
    turns: int
    journal_sha256: str
