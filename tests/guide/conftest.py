"""Emulators of several tests read the same market."""

from __future__ import annotations

from tests.shared_market import _emulators_share_their_markets

__all__ = ["_emulators_share_their_markets"]
