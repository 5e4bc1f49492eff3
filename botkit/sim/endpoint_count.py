"""Counts the requests to an endpoint."""

from __future__ import annotations

import msgspec


class EndpointCount(msgspec.Struct):
    """Arrivals at one endpoint, for all accounts combined. ``busiest`` is the fullest window, regardless of whether it
    exceeded its limit.
    """

    arrivals: int = 0
    refusals: int = 0
    busiest: int = 0
