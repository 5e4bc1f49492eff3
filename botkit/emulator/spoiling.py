"""Applies faults to a correct response or frame: changed fields, missing rows, excessive length."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from botkit.emulator.faults import Fault, Faults
from botkit.exchange.bitopro.wire.codec import to_ns
from botkit.model.clock import NS_PER_MS, Nanos

_MB: Final = 2**20


def spoil_answer(body: bytes, struck: Mapping[str, Fault], faults: Faults, now: Nanos) -> bytes:
    """Return a response body after the faults have been applied."""
    if "lagging" in struck:
        newest = now - int((struck["lagging"].value or 0) * NS_PER_MS)
        body = _with_rows(body, lambda rows: [row for row in rows if _made(row) <= newest])
    if "shuffled" in struck:
        fault = struck["shuffled"]
        body = _with_rows(body, lambda rows: [rows[i] for i in sorted(range(len(rows)), key=_draws(faults, fault))])
    if "altered" in struck:
        body = alter(body, struck["altered"])
    if "huge" in struck:
        body = lengthen(body, struck["huge"])
    return body


def alter(text: bytes, fault: Fault) -> bytes:
    """Return the text with every match of `find` replaced."""
    return re.sub(fault.find or "", fault.put or "", text.decode()).encode()


def lengthen(text: bytes, fault: Fault) -> bytes:
    """Return the text padded with white space, which does not change the JSON."""
    return text.ljust(int((fault.value or 10) * _MB))


def _draws(faults: Faults, fault: Fault) -> Any:
    return lambda number: faults.draw(fault, number)


def _with_rows(body: bytes, change: Any) -> bytes:
    reply = msgspec.json.decode(body)
    if isinstance(reply, dict) and isinstance(reply.get("data"), list):
        reply["data"] = change(reply["data"])
    return msgspec.json.encode(reply)


def _made(row: Mapping[str, Any]) -> Nanos:
    stamp = row.get("createdTimestamp", row.get("timestamp", 0))
    return to_ns(stamp)
