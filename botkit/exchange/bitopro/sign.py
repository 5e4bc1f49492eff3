"""Signs private calls with three headers and a nonce.

The signature is the lowercase hex HMAC-SHA384 of the base64 *text* of the payload, keyed with the API secret. For a
POST or PUT, the payload is the exact bytes of the body. For a GET, a DELETE or a WebSocket upgrade, it consists of
identity and nonce. Source: the exchange's authentication documentation and its test vectors.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from botkit.exchange.bitopro.wire.bodies import NoncePayload
from botkit.exchange.bitopro.wire.codec import WireError, encode
from botkit.exchange.machine import thread_lock

HEADER_KEY = "X-BITOPRO-APIKEY"
HEADER_PAYLOAD = "X-BITOPRO-PAYLOAD"
HEADER_SIGNATURE = "X-BITOPRO-SIGNATURE"


class Credentials:
    """An account's email, API key and secret. The key and the secret never appear in repr, str, pickle or
    tracebacks.
    """

    __slots__ = ("_head", "_hmac", "_key", "identity")

    def __init__(self, identity: str, key: str, secret: str) -> None:
        for name, value in (("email", identity), ("key", key), ("secret", secret)):
            if not value.isprintable() or value != value.strip():
                # never show the value, because this text ends up in terminals and logs
                raise ValueError(f"the account's {name} contains white space or control characters")
        if not key or not secret:
            raise ValueError("an account needs both an API key and a secret")
        self.identity = identity
        self._key = key
        self._head = f"{HEADER_KEY}: {key}\r\n{HEADER_PAYLOAD}: "
        # the HMAC is set up with the secret only once: copying it takes a third as long as a new setup, and the secret
        # need not be stored
        made = hmac.new(secret.encode(), digestmod=hashlib.sha384)
        # OpenSSL's own object, if Python uses OpenSSL: the standard library's class only adds a call to each step
        self._hmac: hmac.HMAC = getattr(made, "_hmac", None) or made

    @property
    def key(self) -> str:
        """The public API key. It is sent in a header. Nonces are tracked per key."""
        return self._key

    def sign(self, payload: str) -> str:
        """Sign a payload header and return the signature as 96 hex digits."""
        keyed = self._hmac.copy()
        keyed.update(payload.encode())
        return keyed.hexdigest()

    def signed_head(self, body: bytes) -> str:
        """Return the same headers as `signed_headers`, formatted as lines of a request's head. This must be fast,
        because an order is waiting for the result.
        """
        payload = binascii.b2a_base64(body, newline=False)
        keyed = self._hmac.copy()
        keyed.update(payload)
        return f"{self._head}{payload.decode()}\r\n{HEADER_SIGNATURE}: {keyed.hexdigest()}\r\n"

    def verify(self, payload: str, signature: str) -> bool:
        """Return True if the signature matches, using a constant-time comparison."""
        return hmac.compare_digest(self.sign(payload).encode(), signature.lower().encode())

    def __repr__(self) -> str:
        return "Credentials(...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("credentials cannot be pickled or copied")


class _LastNonces:
    """The last nonce for each key, shared by all clients with that key, in all threads of the process."""

    def __init__(self) -> None:
        self._lock = thread_lock()
        self._last: dict[str, int] = {}

    def next(self, key: str, now_ms: int) -> int:
        with self._lock:
            nonce = max(now_ms, self._last.get(key, 0) + 1)
            self._last[key] = nonce
            return nonce


_nonces = _LastNonces()


def next_nonce(key: str, now_ms: int) -> int:
    """Return a nonce for ``key``: the time in ms, or the last nonce plus one if the clock has not advanced past the
    last nonce.

    Nonces strictly increase for each key within the process, even if the clock is set back (Q3).
    """
    return _nonces.next(key, now_ms)


def encode_payload(body: bytes) -> str:
    """Encode a body as the payload header, in standard base64 with padding."""
    return base64.b64encode(body).decode("ascii")


def decode_payload(payload: str) -> bytes:
    """Decode the JSON text in a payload header, which may use either base64 alphabet. Raises WireError."""
    try:
        return base64.b64decode(payload.translate(_TO_STANDARD), validate=True)
    except (binascii.Error, ValueError):
        raise WireError("payload is not base64") from None


_TO_STANDARD = str.maketrans("-_", "+/")


def signed_headers(credentials: Credentials, body: bytes) -> dict[str, str]:
    """Return the headers for a POST or PUT. ``body`` is signed byte for byte and must be sent unchanged."""
    payload = encode_payload(body)
    return {
        HEADER_KEY: credentials.key,
        HEADER_PAYLOAD: payload,
        HEADER_SIGNATURE: credentials.sign(payload),
    }


def nonce_headers(credentials: Credentials, now_ms: int) -> dict[str, str]:
    """Return the headers for a GET, a DELETE or a WebSocket upgrade, with a new nonce."""
    return signed_headers(credentials, nonce_payload(credentials, now_ms))


def nonce_payload(credentials: Credentials, now_ms: int) -> bytes:
    """Return the payload to sign for a request without a body. It contains a new nonce."""
    return encode(NoncePayload(identity=credentials.identity, nonce=next_nonce(credentials.key, now_ms)))
