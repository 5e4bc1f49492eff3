"""Sends random and mutated requests to the emulator, and random and mutated responses and frames to the client.

    python tests/emulator/fuzz_wire.py [--cases 100000] [--seed 1]

Half of the requests have a valid signature, so they reach the handlers. The emulator must neither crash nor respond
with status 500, and its balances must add up afterwards. The client may raise only its own typed errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import string
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import Emulator
from botkit.errors import RequestError
from botkit.exchange.bitopro import BitoProClient
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.exchange.bitopro.stream import Received
from botkit.exchange.bitopro.wire.codec import WireError
from botkit.exchange.bitopro.wire.endpoints import ENDPOINTS, STREAMS, Endpoint
from botkit.exchange.bitopro.wire.frames import UnknownFrame, decode_frame
from tests.emulator.raw import EMAIL, KEY, SECRET, headers

CONNECTIONS = 8
#: statuses that the exchange uses; 400 and 413 come from the HTTP layer
EXPECTED = {200, 400, 401, 404, 409, 413, 422, 429}

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**30, 0.1, 1e308, -0.0,
    "", " ", "0", "-0", "1", "0.0", "-1", "1e9", "1e999999999", "NaN", "Infinity", "1_000", "٣", "²", "0x10", "1.",
    ".5", "9" * 400, "0." + "0" * 400 + "1", "\x00", "\ud800", "é" * 50, "<script>", "../..", "%00", "btc_twd",
    "BTC_TWD", "all", "open", "SL-1", [], {}, [[]], {"": {}}, [None] * 11, "a" * 5000,
]  # fmt: skip
ORDER: dict[str, Any] = {"action": "BUY", "type": "LIMIT", "price": "1000000", "amount": "0.001", "timestamp": 0}


class Mutator:
    """Draws all random values from a single seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def text(self) -> str:
        dice = self.dice
        alphabet = string.printable if dice.random() < 0.7 else "\x00\x7f\u00e9\u4e2d\u202e\U0001f600"
        return "".join(dice.choice(alphabet) for _ in range(dice.randrange(12)))

    def value(self, depth: int = 0) -> Any:
        dice = self.dice
        roll = dice.random()
        if roll < 0.6:
            return dice.choice(NASTY)
        if roll < 0.8 or depth > 3:
            return self.text()
        if roll < 0.9:
            return [self.value(depth + 1) for _ in range(dice.randrange(4))]
        return {self.text(): self.value(depth + 1) for _ in range(dice.randrange(4))}

    def mutate(self, value: Any, chance: float = 0.15) -> Any:
        """Return the value with parts replaced, dropped or added."""
        dice = self.dice
        if dice.random() < chance * 0.5:
            return self.value()
        if isinstance(value, dict):
            made = {name: self.mutate(part, chance) for name, part in value.items() if dice.random() > chance * 0.3}
            if dice.random() < chance:
                made[self.text()] = self.value()
            return made
        if isinstance(value, list):
            made_list = [self.mutate(part, chance) for part in value]
            return made_list * 2 if dice.random() < chance * 0.2 else made_list
        return self.value() if dice.random() < chance else value

    def bytes_of(self, value: Any) -> bytes:
        """Return JSON bytes, some of which are corrupted."""
        dice = self.dice
        try:
            body = json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
        except RecursionError:
            body = b"[" * 2000
        roll = dice.random()
        if roll < 0.05:
            body = body[: dice.randrange(len(body) + 1)]
        elif roll < 0.1 and body:
            at = dice.randrange(len(body))
            body = body[:at] + bytes([dice.randrange(256)]) + body[at + 1 :]
        elif roll < 0.11:
            body = b"[" * 5000 + b"]" * 5000
        elif roll < 0.12:
            body = dice.randbytes(dice.randrange(60))
        return body

    def path(self, endpoint: Endpoint) -> str:
        dice = self.dice
        names = {
            "pair": dice.choice(("btc_twd", "BTC_USDT", "eth_twd", self.text())),
            "orderId": dice.choice(("1", "SL-1", self.text(), "9" * 30)),
            "currency": dice.choice(("btc", "USDT", "twd", self.text())),
            "serial": self.text(),
            "id": self.text(),
        }
        path = endpoint.path
        for name, value in names.items():
            path = path.replace("{" + name + "}", quote(value, safe="" if dice.random() < 0.9 else "/"))
        if dice.random() < 0.05:
            path = path.replace("/", "//") + "/"
        if dice.random() < 0.4:
            parameters = (
                "limit",
                "scale",
                "resolution",
                "from",
                "to",
                "pair",
                "statusKind",
                "status",
                "clientId",
                "orderId",
                "tradeId",
                "startTimestamp",
                "endTimestamp",
                "ignoreTimeLimitEnable",
                "statuses",
            )
            values = [*NASTY, "1m", "5", "OPEN", str(10**12)]
            chosen = [
                f"{dice.choice(parameters)}={quote(str(dice.choice(values)), errors='replace')}"
                for _ in range(dice.randrange(1, 4))
            ]
            path += "?" + "&".join(chosen)
        return path[:6000]

    def body(self, endpoint: Endpoint, now_ms: int) -> bytes:
        order = ORDER | {"timestamp": now_ms, "amount": self.dice.choice(("0.001", "0.01", "5000"))}
        order |= {"type": self.dice.choice(("LIMIT", "MARKET", "STOP_LIMIT")), "clientId": self.dice.randrange(2**31)}
        order |= {"action": self.dice.choice(("BUY", "SELL")), "stopPrice": "1000000", "condition": ">="}
        whole: Any = {
            "create_order": order,
            "create_batch": [order | {"pair": "BTC_TWD"}] * self.dice.randrange(12),
            "cancel_batch": {"BTC_TWD": ["1", "2"], "eth_twd": [3]},
            "create_withdraw": {"amount": "1", "address": "x", "bankAccountSerial": "1", "protocol": "MAIN"},
        }.get(endpoint.id, {})
        return self.bytes_of(self.mutate(whole) if self.dice.random() < 0.8 else whole)


def request_bytes(mutator: Mutator, now_ms: int) -> bytes:
    """Return a complete HTTP request."""
    dice = mutator.dice
    endpoint = dice.choice(list(ENDPOINTS.values()))
    path = "/v3" + mutator.path(endpoint)
    method = endpoint.method if dice.random() < 0.95 else dice.choice(("GET", "POST", "PUT", "DELETE", "PATCH"))
    body = mutator.body(endpoint, now_ms) if method in ("POST", "PUT") else b""
    sent = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    roll = dice.random()
    if roll < 0.5:
        signed = body if method in ("POST", "PUT") else json.dumps({"identity": EMAIL, "nonce": now_ms}).encode()
        sent |= headers(signed, key=KEY, secret=SECRET, urlsafe=dice.random() < 0.5)
    elif roll < 0.6:
        sent |= headers(mutator.bytes_of(mutator.value()))  # correctly signed, but the payload contains no nonce
    elif roll < 0.8:
        sent |= headers(body)
        name = dice.choice(("X-BITOPRO-APIKEY", "X-BITOPRO-PAYLOAD", "X-BITOPRO-SIGNATURE"))
        sent[name] = "".join(c for c in mutator.text() if c.isprintable())
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    # a client would never send characters that are forbidden in a path; the HTTP parser responds to them with 400
    line = f"{method} {path} HTTP/1.1\r\n".encode("utf-8", "replace")
    return line + head.encode("utf-8", "replace") + b"\r\n" + body


async def fire(port: int, requests: list[bytes], statuses: Counter[int], failures: list[str]) -> None:
    """Send the requests sequentially over one connection, and reconnect whenever the server closes the connection."""
    reader = writer = None
    while requests:
        request = requests.pop()
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert reader is not None
        writer.write(request)
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            failures.append(f"{error!r} for {request[:300]!r}")
            writer.close()
            writer = None
            continue
        status = int(head.split(b" ")[1])
        statuses[status] += 1
        if status not in EXPECTED:
            failures.append(f"{status} {body[:200]!r} for {request[:300]!r}")
        # after a 400, the HTTP parser closes the connection without announcing it
        if b"connection: close" in head or status == 400:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def fuzz_sockets(emulator: Emulator, mutator: Mutator, cases: int) -> None:
    """Send upgrade requests to random paths, and send random messages of the kind that a client might send on a
    socket.
    """
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for _ in range(cases):
            dice = mutator.dice
            stream = dice.choice(list(STREAMS.values()))
            path = stream.path + ("" if stream.private else "/" + quote(dice.choice(("BTC_TWD", mutator.text()))))
            if dice.random() < 0.3:
                path += "?pairs=" + quote(mutator.text())
            nonce = json.dumps({"identity": EMAIL, "nonce": time.time_ns() // 10**6}).encode()
            sent = headers(nonce if dice.random() < 0.7 else mutator.bytes_of(mutator.value()))
            try:
                async with session.ws_connect(emulator.ws + path, headers=sent) as socket:
                    for _ in range(3):
                        await socket.send_bytes(dice.randbytes(dice.randrange(200)))
                        await socket.send_str(json.dumps(mutator.value()))
            except aiohttp.WSServerHandshakeError as error:
                if error.status not in (200, 401, 409, 422):
                    raise


async def fuzz_emulator(cases: int, seed: int) -> Counter[int]:
    """Send this many requests and return the response statuses. Raises AssertionError for any response other than a
    proper refusal.
    """
    options = emulator_options(history_days=0.02, switches=["rate_limits=off"], seed=seed)
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    async with make_emulator(options) as emulator:
        mutator = Mutator(seed)
        left = cases
        while left:
            some = min(left, 2_000)
            left -= some
            requests = [request_bytes(mutator, time.time_ns() // 10**6) for _ in range(some)]
            await asyncio.gather(*(fire(emulator.port, requests, statuses, failures) for _ in range(CONNECTIONS)))
            assert not failures, failures[0]
        await fuzz_sockets(emulator, mutator, max(5, cases // 500))
        emulator.venue.kernel.check()
        assert not emulator._tasks or all(not task.done() for task in emulator._tasks)
    return statuses


# -- the other direction ----------------------------------------------------------------------------------------------


async def samples() -> tuple[dict[str, Any], list[Any]]:
    """Return a response from every endpoint and frames from every stream of an emulator with some activity."""
    import aiohttp

    from tests.emulator.raw import Raw

    replies: dict[str, Any] = {}
    frames: list[Any] = []
    async with make_emulator(emulator_options(history_days=0.1)) as emulator, aiohttp.ClientSession() as session:
        raw = Raw(emulator.rest, session)
        _, made = await raw.create(action="BUY", type="LIMIT", price="1000000", amount="0.001", clientId=1)
        await raw.create(action="BUY", type="MARKET", amount="1000", clientId=2)
        now_s = raw.now_ms() // 1000
        names = {"pair": "btc_twd", "currency": "btc", "orderId": str(made["orderId"]), "serial": "x", "id": "x"}
        for endpoint in ENDPOINTS.values():
            path, query = endpoint.fill(**{n: v for n, v in names.items() if "{" + n + "}" in endpoint.path}), {}
            if endpoint.id == "trading_history":
                query = {"resolution": "5m", "from": str(now_s - 7200), "to": str(now_s)}
            if endpoint.method == "GET":
                _, replies[endpoint.id] = await raw.get(path, private=endpoint.private, **query)
        replies["create_order"] = made
        replies["cancel_order"] = {"orderId": "1", "action": "BUY", "timestamp": 1, "price": "1", "amount": "1"}
        for stream in STREAMS.values():
            url = raw.ws + stream.path + ("" if stream.private else "/BTC_TWD")
            async with session.ws_connect(url, headers=raw.nonce()) as socket:
                if stream.id == "user_trades":
                    while not emulator.hub._private:
                        await asyncio.sleep(0.01)
                    await raw.create(action="BUY", type="MARKET", amount="1000", clientId=3)
                frames.append(json.loads((await asyncio.wait_for(socket.receive(), 10)).data))
    return replies, frames


def fuzz_frames(cases: int, seed: int, frames: list[Any]) -> Counter[str]:
    """Decode and translate mutated frames; only WireError may be raised."""
    mutator = Mutator(seed)
    found: Counter[str] = Counter()
    adapter = BitoProAdapter(BitoProClient(), packaged_pairs())
    streams = {stream.event: stream.id for stream in STREAMS.values()}
    for _ in range(cases):
        original = mutator.dice.choice(frames)
        data = mutator.bytes_of(mutator.mutate(original, 0.01))
        try:
            frame = decode_frame(data)
            if isinstance(frame, UnknownFrame):
                found["unknown event"] += 1
                continue
            for _event in adapter.events(streams[original["event"]], Received(0, frame), [None]):
                found["event"] += 1
            found["understood"] += 1
        except WireError:
            found["WireError"] += 1
    return found


async def fuzz_replies(cases: int, seed: int, replies: dict[str, Any]) -> Counter[str]:
    """Send mutated responses to a client over a real socket; only RequestError may be raised."""
    mutator = Mutator(seed)
    found: Counter[str] = Counter()
    answer = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"content-length:" in head:
                    await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                status = mutator.dice.choice((200, 200, 200, 200, 422, 500))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # if the loop stops first, it cancels this task, and asyncio's server would report an error
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    now = time.time_ns()
    async with BitoProClient("e", "k", "s", rest_url=f"http://127.0.0.1:{port}/v3") as client:
        calls: dict[str, Any] = {
            "trading_pairs": client.pairs, "currencies": client.currencies, "tickers": client.tickers,
            "limitations_and_fees": client.limitations_and_fees, "ticker": lambda: client.ticker("btc_twd"),
            "order_book": lambda: client.order_book("btc_twd"), "trades": lambda: client.trades("btc_twd"),
            "trading_history": lambda: client.candles("btc_twd", "5m", now - 7200 * 10**9, now, fill_gaps=True),
            "otc_price": lambda: client.otc_price("btc"), "balance": client.balances,
            "create_order": lambda: client.create_order("btc_twd", "BUY", "MARKET", amount="1"),
            "cancel_order": lambda: client.cancel_order("btc_twd", "1"),
            "get_order": lambda: client.order("btc_twd", "1"), "open_orders": client.open_orders,
            "all_orders": lambda: client.orders("btc_twd"), "my_trades": lambda: client.own_trades("btc_twd"),
            "deposit_history": lambda: client.deposits("btc"), "withdraw_history": lambda: client.withdrawals("btc"),
        }  # fmt: skip
        for _ in range(cases):
            name = mutator.dice.choice(list(calls))
            answer = mutator.bytes_of(mutator.mutate(replies[name], 0.02))
            try:
                await calls[name]()
                found["understood"] += 1
            except RequestError as error:
                found[type(error).__name__] += 1
    server.close()
    return found


async def both_ways(cases: int, seed: int) -> dict[str, Counter[Any]]:
    """Run all fuzzers with this many cases in each direction."""
    found: dict[str, Counter[Any]] = {"requests to the emulator": await fuzz_emulator(cases, seed)}
    replies, frames = await samples()
    found["frames to the client"] = fuzz_frames(cases // 2, seed, frames)
    found["replies to the client"] = await fuzz_replies(cases - cases // 2, seed, replies)
    return found


def main() -> None:
    """Run the fuzzer and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # suppresses thousands of lines about unknown pairs
    began = time.monotonic()
    for name, counts in asyncio.run(both_ways(arguments.cases, arguments.seed)).items():
        print(f"{name}: {sum(counts.values()):,}  {dict(counts.most_common())}")
    print(f"{time.monotonic() - began:.0f} s, nothing broke")


if __name__ == "__main__":
    main()
