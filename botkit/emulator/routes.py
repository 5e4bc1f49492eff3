"""Maps wire paths to endpoints in the table, with the leniency that real clients need (API 2.2)."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, Endpoint

_SLASHES = re.compile("/{2,}")
#: words that never name a pair, regardless of the method
RESERVED: Final = frozenset({"all", "open", "batch", "trades", "history"})

Route: TypeAlias = tuple[Endpoint, dict[str, str]]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + r"\Z")


#: fixed paths come before paths with names, so that a reserved word is never mistaken for a pair
_TABLE: Final[dict[str, list[tuple[re.Pattern[str], Endpoint]]]] = {}
for _endpoint in sorted(ENDPOINTS.values(), key=lambda e: e.path.count("{")):
    _TABLE.setdefault(_endpoint.method, []).append((_pattern(_endpoint.path), _endpoint))

_CREATE: Final = ENDPOINTS["create_order"]


def find_route(method: str, path: str) -> Route | None:
    """Return the endpoint for a path below ``/v3``, and the names in the path, or None for 404. Repeated and trailing
    slashes are accepted.
    """
    if "//" in path:
        path = _SLASHES.sub("/", path)
    if path.endswith("/") and len(path) > 1:
        path = path[:-1]
    if method == "POST" and path.startswith("/orders/"):  # a fast path for the most frequent request
        name = path[8:]
        if name not in RESERVED and "/" not in name:
            return _CREATE, {"pair": name}
    for pattern, endpoint in _TABLE.get(method, ()):
        match = pattern.match(path)
        if match is not None:
            names = match.groupdict()
            if names.get("pair", "").lower() in RESERVED:
                return None
            return endpoint, names
    return None
