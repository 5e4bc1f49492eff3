"""Market data without a bot: what ``botkit record`` and ``botkit download`` are made from."""

from __future__ import annotations

from typing import Any

from botkit.assembly import assemble_plugins
from botkit.live.market_access import MarketAccess, RateLimitedReads

__all__ = ["MarketAccess", "RateLimitedReads", "market_access"]


def market_access(exchange: str = "bitopro", **more: Any) -> MarketAccess:
    """The market data of an exchange by its name; ``more`` are the arguments of `MarketAccess`. Raises ConfigError."""
    return MarketAccess(assemble_plugins(installed_only=True).pick("exchanges", exchange, "--exchange").thing, **more)
