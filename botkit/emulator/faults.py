"""Injects faults into requests, sockets or the entire exchange, on command or at random.

A fault has a kind and a target. ``count`` limits how often it occurs, ``share`` is its probability, and ``for_s`` is
how long it stays active, in seconds of exchange time. Random draws are keyed by seed, fault and request number, so a
run can be repeated.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from botkit.emulator.find_pattern import endless
from botkit.errors import ConfigError
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, STREAMS
from botkit.model.clock import NS_PER_S, Nanos
from botkit.sim.draws import keyed

#: each kind's effect, including the meaning of ``value`` if it has one
REQUEST_KINDS: Final[dict[str, str]] = {
    "delay_request": "arrives `value` ms late, plus up to `jitter` ms",
    "delay_answer": "is answered `value` ms late, plus up to `jitter` ms",
    "lost_request": "never arrives; the connection stays open without an answer",
    "lost_answer": "is carried out, but never answered",
    "late_arrival": "the connection is reset at once, and the request is carried out `value` ms later",
    "error_before": "is answered with the status `value` (default 503) and not carried out",
    "error_after": "is carried out, but answered with the status `value` (default 502)",
    "forbidden": "is answered 403, as for a key without permission, and not carried out",
    "storm_429": "gets a 429 response and is not executed",
    "garbage": "is carried out, and answered 200 with an HTML page",
    "truncated": "is carried out, and only half of the answer's JSON is sent",
    "slow_body": "is carried out, and the answer arrives slowly over `value` ms (default 5000)",
    "reset": "the connection is reset before the request is carried out",
    "reset_after": "is carried out, and the connection is reset instead of an answer",
    "redirect": "is answered with a 307 to the address `put` and not carried out",
    "unfiltered": "is carried out as if it had no client id",
    "lagging": "is carried out, but the listing lacks rows created in the last `value` ms",
    "shuffled": "is carried out, and the listing's rows come in random order",
    "altered": "is carried out, and every match of `find` (a regular expression) in the answer becomes `put`",
    "huge": "is carried out, and the answer is padded to `value` MB (default 10)",
}
STREAM_KINDS: Final[dict[str, str]] = {
    "ws_silence": "nothing more is sent on affected sockets, not even pings",
    "ws_close": "the socket is closed with the code `value` (default 1001)",
    "ws_abort": "the connection is cut without a close frame",
    "ws_drop": "the frame is not sent",
    "ws_duplicate": "the frame is sent twice",
    "ws_reorder": "the frame is sent after the next one",
    "ws_garbage": "the frame is cut in half",
    "ws_altered": "every match of `find` (a regular expression) in the frame becomes `put`",
    "ws_huge": "the frame is padded to `value` MB (default 10)",
}
PING_KINDS: Final[dict[str, str]] = {
    "ws_deaf": "a ping's pong counts as missing, and the socket is cut",
}
HANDSHAKE_KINDS: Final[dict[str, str]] = {
    "ws_refuse": "the upgrade is answered with the status `value` (default 503)",
    "ws_redirect": "the upgrade is answered with a 307 to the address `put`",
}
GLOBAL_KINDS: Final[dict[str, str]] = {
    "clock_skew": "the exchange's Date header and nonce check are `value` ms ahead",
    "maintenance": "the pair `where` is suspended",
    "key_expired": "every signed request is answered 401; the switch key_expiry_streams decides what happens to open "
    "streams",
}
_SOCKET_KINDS: Final = STREAM_KINDS | PING_KINDS | HANDSHAKE_KINDS
KINDS: Final = REQUEST_KINDS | _SOCKET_KINDS | GLOBAL_KINDS
_STATUS: Final = (200, 599, "an HTTP status from 200 to 599")
_WAIT_MS: Final = (0, 86_400_000, "from 0 to 86400000 ms, a day")
_SIZE_MB: Final = (0, 100, "from 0 to 100 MB")
#: the bounds of `value`, and the wording for error messages
_VALUES: Final[dict[str, tuple[float, float, str]]] = {
    **dict.fromkeys(("delay_request", "delay_answer", "late_arrival", "slow_body"), _WAIT_MS),
    **dict.fromkeys(("error_before", "error_after", "ws_refuse"), _STATUS),
    **dict.fromkeys(("huge", "ws_huge"), _SIZE_MB),
    "lagging": (0, 10**12, "from 0 to 10^12 ms"),
    "ws_close": (1000, 4999, "a code from 1000 to 4999"),
    "clock_skew": (-31_536_000_000, 31_536_000_000, "at most a year (31536000000 ms) in either direction"),
}
#: the maximum length of an address or a replacement, and the maximum number of active faults
_PUT_MAX, _FAULTS_MAX = 1_000, 1_000
#: for each target, the kinds of faults with their effects
FAULT_KINDS: Final[dict[str, dict[str, str]]] = {
    "requests": REQUEST_KINDS,
    "sockets": _SOCKET_KINDS,
    "the whole exchange": GLOBAL_KINDS,
}
#: the fields that some kinds require
_NEEDS: Final = {
    "redirect": ("put",),
    "ws_redirect": ("put",),
    "altered": ("find", "put"),
    "ws_altered": ("find", "put"),
    "lagging": ("value",),
}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A fault. ``where`` is the id of an endpoint or stream (``*`` for all), or the pair under maintenance.

    ``put`` can refer to groups in ``find``, as in `re.sub`.
    """

    kind: str
    where: str = "*"
    count: int | None = None
    share: float = 1.0
    for_s: float | None = None
    skip: int = 0
    value: float | None = None
    jitter: float = 0.0
    find: str | None = None
    put: str | None = None
    id: int = 0
    until: Nanos | None = None
    seen: int = 0
    fired: int = 0

    def is_over(self, now: Nanos) -> bool:
        """Return True once ``for_s`` has passed."""
        return self.until is not None and now >= self.until


class Faults:
    """The active faults."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self.rules: list[Fault] = []
        self.fired: dict[str, int] = {}

    def add(self, spec: Mapping[str, Any], now: Nanos) -> Fault:
        """Activate a fault. Raises ConfigError."""
        try:
            fault = msgspec.convert(dict(spec), Fault)
        except (msgspec.ValidationError, OverflowError) as error:
            raise ConfigError(f"fault: {error}") from None
        if fault.kind not in KINDS:
            near = difflib.get_close_matches(fault.kind, KINDS, n=1)
            raise ConfigError(
                f"fault: there is no kind {fault.kind!r}; "
                + (f"did you mean {near[0]}?" if near else f"use one of {', '.join(KINDS)}")
            )
        places = STREAMS if fault.kind in _SOCKET_KINDS else ENDPOINTS
        if fault.kind not in GLOBAL_KINDS and fault.where != "*" and fault.where not in places:
            raise ConfigError(f"fault: {fault.kind} cannot affect {fault.where!r}; use one of {', '.join(places)}")
        if not 0 <= fault.share <= 1:
            raise ConfigError(f"fault: share is {fault.share}; it must be a probability from 0 to 1")
        _check_figures(fault)
        if len(self.rules) >= _FAULTS_MAX:
            raise ConfigError(f"fault: {_FAULTS_MAX} faults are active; lift some first")
        for name in _NEEDS.get(fault.kind, ()):
            if getattr(fault, name) is None:
                raise ConfigError(f"fault: {fault.kind} needs {name} ({KINDS[fault.kind]})")
        try:
            re.sub(fault.find or "", fault.put or "", "")
        except (re.error, IndexError, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"fault: find {fault.find!r} and put {fault.put!r} do not work together: {error}"
            ) from None
        why = endless(fault.find or "")
        if why is not None:
            raise ConfigError(f"fault: find {fault.find!r} {why}")
        self._count += 1
        fault.id, fault.seen, fault.fired = self._count, 0, 0
        fault.until = None if fault.for_s is None else now + int(fault.for_s * NS_PER_S)
        self.rules.append(fault)
        return fault

    def remove(self, fault_id: int | None = None) -> list[Fault]:
        """Remove one fault, or all faults, and return the removed faults."""
        gone = [fault for fault in self.rules if fault_id is None or fault.id == fault_id]
        self.rules = [fault for fault in self.rules if fault not in gone]
        return gone

    def ended(self, kind: str, now: Nanos) -> list[Fault]:
        """Return the faults of a kind whose time is over."""
        return [fault for fault in self.rules if fault.kind == kind and fault.is_over(now)]

    def strike(self, place: str, kinds: Mapping[str, str], now: Nanos) -> list[Fault]:
        """Return the faults that affect this request or frame."""
        struck = []
        for fault in self.rules:
            if fault.kind not in kinds or fault.where not in ("*", place):
                continue
            if fault.is_over(now):
                continue
            fault.seen += 1
            if fault.seen <= fault.skip or (fault.count is not None and fault.fired >= fault.count):
                continue
            if fault.share < 1 and self._draw(fault, fault.seen) >= fault.share:
                continue
            fault.fired += 1
            self.fired[fault.kind] = self.fired.get(fault.kind, 0) + 1
            struck.append(fault)
        return struck

    def _draw(self, fault: Fault, number: int) -> float:
        return keyed(self._seed, 1000 + fault.id, number) / 2**64

    def draw(self, fault: Fault, number: int) -> float:
        """Return a number from 0 to 1 that depends only on the fault, ``number``, and how many times the fault has
        occurred.
        """
        return self._draw(fault, -fault.seen * 100_003 - number)

    def wait_ms(self, fault: Fault) -> float:
        """Return the duration of a delay: its value plus part of its jitter."""
        return (fault.value or 0.0) + fault.jitter * self._draw(fault, -fault.seen)

    def has_expired(self, now: Nanos) -> bool:
        """Return True if a fault makes the exchange refuse the accounts' API keys."""
        return any(fault.kind == "key_expired" and not fault.is_over(now) for fault in self.rules)

    def skew_ms(self, now: Nanos) -> int:
        """Return how far faults move the exchange's clock ahead, in ms."""
        return sum(
            int(fault.value or 0) for fault in self.rules if fault.kind == "clock_skew" and not fault.is_over(now)
        )


def _check_figures(fault: Fault) -> None:
    """Check that a response can contain these values and texts. Raises ConfigError if not."""
    value, (least, most, said) = fault.value, _VALUES.get(fault.kind, (-math.inf, math.inf, ""))
    if value is not None and not (math.isfinite(value) and least <= value <= most):
        raise ConfigError(f"fault: value of {fault.kind} is {value:g}; it must be {said or 'a number'}")
    for name in ("jitter", "for_s", "count", "skip"):
        number = getattr(fault, name)
        if number is not None and not 0 <= number <= 10**9:
            raise ConfigError(f"fault: {name} is {number:g}; it must be from 0 to 10^9")
    for name in ("find", "put"):
        text = getattr(fault, name) or ""
        if len(text) > _PUT_MAX:
            raise ConfigError(f"fault: {name} has {len(text):,} characters; the maximum is {_PUT_MAX:,}")
    if "redirect" in fault.kind and not (fault.put or "").isprintable():
        raise ConfigError("fault: put must be an address without line breaks or control characters")
