"""Connects to market data without a bot, for ``botkit record`` and ``botkit download``."""

from __future__ import annotations

from typing import Any

from botkit.live.market_access import MarketAccess, RateLimitedReads
from botkit.project.plugins import assemble_plugins

__all__ = ["MarketAccess", "RateLimitedReads", "market_access"]


def market_access(exchange: str = "bitopro", **more: Any) -> MarketAccess:
    """Return access to the market data of the exchange with this name. ``more`` are additional arguments for
    `MarketAccess`.
    """
    return MarketAccess(assemble_plugins(installed_only=True).pick("exchanges", exchange, "--exchange").thing, **more)
