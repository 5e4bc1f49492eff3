"""Counts how often an endpoint was called."""

from __future__ import annotations

import msgspec


class EndpointCount(msgspec.Struct):
    """Arrivals at one endpoint, for all accounts together. ``busiest`` is the fullest window, whether or not it
    exceeded its limit.
    """

    arrivals: int = 0
    refusals: int = 0
    busiest: int = 0
