"""Authenticates requests using three headers, checked exactly as received.

The signature covers the text of the payload header, in either base64 alphabet; the header is decoded only after the
signature is verified. Keys in any order, white space, and an empty or missing identity are accepted, because real
clients send all of these (API 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from botkit.emulator.options import EmulatorAccount
from botkit.emulator.replies import BAD_BODY, BAD_PAYLOAD, CONFLICT, UNAUTHORIZED, RefusedError
from botkit.emulator.switches import Switches
from botkit.exchange.bitopro.sign import (
    HEADER_KEY,
    HEADER_PAYLOAD,
    HEADER_SIGNATURE,
    Credentials,
    decode_payload,
    encode_payload,
)
from botkit.exchange.bitopro.wire.bodies import decode_nonce_payload
from botkit.exchange.bitopro.wire.codec import WireError
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos

#: how many POST signatures to remember, so that repeats can be refused if the switch is strict
_REMEMBERED = 10_000
#: how long a signed request may take to arrive, in machine time, when the exchange's clock runs faster
_TRANSIT: Nanos = 5 * NS_PER_S


class Authenticator:
    """Checks requests against the accounts' keys, as configured by the switches."""

    def __init__(self, accounts: Mapping[str, EmulatorAccount], switches: Switches) -> None:
        self._keys = {
            account.key: (email, Credentials(email, account.key, account.secret)) for email, account in accounts.items()
        }
        self._skew_ms = switches.number("skew_window_s") * 1000
        self._must_match = switches.on("payload_must_match_body")
        self._increasing = switches["nonce"] == "increasing"
        self._registered = switches["identity"] == "registered"
        self._last: dict[str, int] = {}
        self._seen: dict[str, None] = {}

    def admit(
        self,
        headers: Mapping[str, str],
        body: bytes | None,
        now: Nanos,
        machine_now: Nanos | None = None,
        speed: float = 1.0,
    ) -> str:
        """Return the account's email. ``body`` is None for GET, DELETE and WebSocket upgrades. Raises RefusedError.

        ``machine_now`` is set if the exchange's clock does not run at the machine's speed, because a client that has
        not obtained the exchange's time uses the machine's clock. ``speed`` is the speed of the exchange's clock
        relative to the machine's clock.
        """
        email, payload, signature = self._verified(headers)
        if body is None:
            self._check_nonce(email, headers[HEADER_KEY], _decoded(payload), now, machine_now, speed)
        elif self._must_match and payload != encode_payload(body) and not _equal_json(_decoded(payload), body):
            raise RefusedError(BAD_PAYLOAD)
        elif self._increasing:
            if signature in self._seen:
                raise RefusedError(CONFLICT, 409)
            self._seen[signature] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return email

    def _verified(self, headers: Mapping[str, str]) -> tuple[str, str, str]:
        key, payload, signature = headers.get(HEADER_KEY), headers.get(HEADER_PAYLOAD), headers.get(HEADER_SIGNATURE)
        known = self._keys.get(key) if key else None
        if known is None or not payload or not signature:
            raise RefusedError(UNAUTHORIZED, 401)
        email, credentials = known
        try:
            if not credentials.verify(payload, signature):
                raise RefusedError(UNAUTHORIZED, 401)
            return email, payload, signature
        except UnicodeError:
            # a header may contain bytes that are not text
            raise RefusedError(UNAUTHORIZED, 401) from None

    def _check_nonce(
        self, email: str, key: str, text: bytes, now: Nanos, machine_now: Nanos | None, speed: float
    ) -> None:
        try:
            payload = decode_nonce_payload(text)
        except WireError:
            raise RefusedError(BAD_BODY) from None
        if self._registered and payload.identity != email:
            raise RefusedError(UNAUTHORIZED, 401)
        self.check_time(payload.nonce, now, machine_now, speed)
        if self._increasing:
            if payload.nonce <= self._last.get(key, 0):
                raise RefusedError(CONFLICT, 409)
            self._last[key] = payload.nonce

    def check_time(self, stamp_ms: int, now: Nanos, machine_now: Nanos | None = None, speed: float = 1.0) -> None:
        """Refuse a nonce or body timestamp that is too far from the exchange's current time (Q4). Raises RefusedError.

        While a request is in flight, a fast exchange's clock keeps running: at 600 times the machine's speed, a tenth
        of a second of machine time is a minute of exchange time. A timestamp may therefore be older by the
        corresponding amount.
        """
        late_ms = int(max(0.0, speed - 1.0) * _TRANSIT) // NS_PER_MS
        behind_ms = now // NS_PER_MS - stamp_ms
        on_time = -self._skew_ms <= behind_ms <= self._skew_ms + late_ms
        if not on_time and (machine_now is None or abs(machine_now // NS_PER_MS - stamp_ms) > self._skew_ms):
            raise RefusedError(CONFLICT, 409)


def _decoded(payload: str) -> bytes:
    try:
        return decode_payload(payload)
    except WireError:
        raise RefusedError(BAD_BODY) from None


def _equal_json(one: bytes, other: bytes) -> bool:
    try:
        first: Any = msgspec.json.decode(one)
        return bool(first == msgspec.json.decode(other))
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return False
