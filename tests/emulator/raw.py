"""A client that uses only json, hmac and aiohttp. The client shares no code with the emulator, so it provides an
independent check. Only the clock comes from botkit, because tests may run in virtual time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import aiohttp

from botkit.live.clock import REAL_CLOCK
from tests.exchange.recorded import EXAMPLES

EMAIL, KEY, SECRET = "emulator@botkit.local", "emulator-key", "emulator-secret"


def sign(payload: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha384).hexdigest()


def headers(text: bytes, *, key: str = KEY, secret: str = SECRET, urlsafe: bool = False) -> dict[str, str]:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    payload = encode(text).decode()
    return {
        "X-BITOPRO-APIKEY": key,
        "X-BITOPRO-PAYLOAD": payload,
        "X-BITOPRO-SIGNATURE": sign(payload, secret),
    }


class Raw:
    """A client for single requests: ``await raw.get("/tickers")`` returns (status, parsed JSON). If ``private`` is set,
    requests are signed. Nonces are taken from ``now_ms``.
    """

    def __init__(self, rest: str, session: aiohttp.ClientSession, *, key: str = KEY, secret: str = SECRET) -> None:
        self.rest, self.session, self.key, self.secret = rest, session, key, secret
        self.ws = rest.replace("http://", "ws://").removesuffix("/v3") + "/ws"
        self.control = rest.removesuffix("/v3") + "/_emulator"

    @staticmethod
    def now_ms() -> int:
        return REAL_CLOCK.wall_ns() // 1_000_000

    def nonce(self) -> dict[str, str]:
        text = json.dumps({"identity": EMAIL, "nonce": self.now_ms()}).encode()
        return headers(text, key=self.key, secret=self.secret)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.rest + path, **more) as answer:
            return answer.status, json.loads(await answer.read())

    async def get(self, path: str, *, private: bool = False, **query: Any) -> tuple[int, Any]:
        return await self.call("GET", path, params=query, headers=self.nonce() if private else None)

    async def delete(self, path: str) -> tuple[int, Any]:
        return await self.call("DELETE", path, headers=self.nonce())

    async def send(self, method: str, path: str, value: Any) -> tuple[int, Any]:
        body = json.dumps(value).encode()
        return await self.call(method, path, data=body, headers=headers(body, key=self.key, secret=self.secret))

    async def create(self, pair: str = "btc_twd", **order: Any) -> tuple[int, Any]:
        return await self.send("POST", f"/orders/{pair}", {"timestamp": self.now_ms(), **order})

    async def books(self) -> Any:
        """Return the emulator's own balances, read from its control interface."""
        async with self.session.get(self.control + "/state") as answer:
            return json.loads(await answer.read())

    async def fault(self, **spec: Any) -> None:
        async with self.session.post(self.control + "/faults", json=spec) as answer:
            assert answer.status == 200, await answer.text()


def example(name: str) -> Any:
    """Return the parsed content of one of the exchange's example files."""
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Return the shape of a JSON value: names, types, and the format of numbers in text. A list has the shape of its
    first row.
    """
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "seconds" if 10**9 <= value < 10**10 else "ms" if 10**12 <= value < 10**13 else "int"
    if value is None:
        return "null"
    return "number in text" if value.replace(".", "", 1).lstrip("-").isdigit() else "text"
