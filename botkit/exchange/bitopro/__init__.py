"""BitoPro: its wire format, a complete asyncio client, the adapter through which bots trade, and recorded frames.

The client can be used by itself: ``from botkit.exchange.bitopro import BitoProClient``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botkit.exchange.bitopro.rest import BitoProClient
    from botkit.exchange.bitopro.sign import Credentials

__all__ = ["BitoProClient", "Credentials"]


def __getattr__(name: str) -> Any:
    # imported on first use, so that reading recorded frames or the facts does not load aiohttp
    if name == "BitoProClient":
        from botkit.exchange.bitopro.rest import BitoProClient

        return BitoProClient
    if name == "Credentials":
        from botkit.exchange.bitopro.sign import Credentials

        return Credentials
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
