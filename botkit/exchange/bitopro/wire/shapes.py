"""Base classes for the wire structs."""

from __future__ import annotations

import msgspec


class WireRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """A flat row. Fields are optional, default to None, and are left out when encoded."""


class WireReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A response, or a row that contains other rows."""
