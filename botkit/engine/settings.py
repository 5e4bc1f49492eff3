"""The settings of an engine, which are fixed at construction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any

import msgspec

from botkit.engine.strategy.base import Strategy
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import MAX_BOOK_AGE_S


class StrategySpec(msgspec.Struct, frozen=True):
    """A strategy instance to run: its name in the configuration and its validated parameters."""

    name: str
    strategy: Strategy
    parameters: Mapping[str, Any]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings fixed at construction."""

    zone: tzinfo = UTC
    seed: int = 0
    first_client_id: int = 1
    #: how long a bar waits for late trades after its interval has ended
    bar_grace_ns: Nanos = 2_000 * NS_PER_MS
    #: a book older than this is not used for market orders
    max_book_age_ns: Nanos = MAX_BOOK_AGE_S * NS_PER_S
    #: how long the exchange may still act on an order request after the request was aborted
    latest_accept_ns: Nanos = 2_000 * NS_PER_MS
    #: a running bot's clock speed relative to the machine's clock; None turns the checks off, as in a backtest
    watch_speed: float | None = None
    #: a KeyboardInterrupt in a callback is the strategy's own failure. True for a running bot, whose Ctrl-C is a signal
    #: to its event loop; False where Ctrl-C raises it anywhere, as in a backtest and in a replay
    catches_interrupts: bool = False
    #: keep the values of attached indicators for the entire run, for the report's charts
    draws_indicators: bool = False
