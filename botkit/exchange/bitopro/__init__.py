"""BitoPro support: the wire format, a complete asyncio client, the adapter that bots trade through, and a reader for
recorded frames.

The client also works without the rest of botkit: ``from botkit.exchange.bitopro import BitoProClient``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botkit.exchange.bitopro.rest import BitoProClient
    from botkit.exchange.bitopro.sign import Credentials

__all__ = ["BitoProClient", "Credentials"]


def __getattr__(name: str) -> Any:
    # imported on first use, so reading recorded frames or exchange facts does not load aiohttp
    if name == "BitoProClient":
        from botkit.exchange.bitopro.rest import BitoProClient

        return BitoProClient
    if name == "Credentials":
        from botkit.exchange.bitopro.sign import Credentials

        return Credentials
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
