"""How often an endpoint was called."""

from __future__ import annotations

import msgspec


class EndpointCount(msgspec.Struct):
    """Arrivals at one endpoint, over all accounts. ``busiest`` is the fullest window, over its limit or not."""

    arrivals: int = 0
    refusals: int = 0
    busiest: int = 0
