"""No body, method, fault or command causes the emulator to respond with status 500, print a traceback or stop."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
from collections.abc import AsyncIterator

import pytest

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator.faults import KINDS
from botkit.emulator.server import Emulator
from tests.emulator.fuzz_wire import Mutator
from tests.emulator.raw import headers

PATHS = (
    *("/", "/v3", "/v3/", "/v3/tickers", "/v3/accounts/balance", "/v3/orders/btc_twd", "/v3/orders/all/btc_twd"),
    *("/ws/v1/pub/trades/BTC_TWD", "/ws/v1/pub/auth/orders", "/_emulator", "/_emulator/state", "/_emulator/faults"),
    *("/_emulator/counters", "/_emulator/time", "/_emulator/switches"),
)
pytestmark = pytest.mark.virtual_time

FIGURES = (0, 1, -1, 7, 0.5, 200.5, 404, 1e3, 1e9, -1e9, 1e14, 1e20, -1e20, 1e40, 1e300, 10**30, "1", None, True)
TEXTS = ("", "x", "a\r\nX: y", "\\0", "(", "http://[::1", "x" * 5000, "\u0000", "é", None, 5)


@pytest.fixture
async def emulator(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Emulator]:
    caplog.set_level(logging.WARNING)
    options = emulator_options(history_days=0.02, switches=["rate_limits=off"])
    async with make_emulator(options) as running:
        yield running
        assert await status(running, request("GET", "/v3/tickers")) == 200, "it goes on"
        running.venue.kernel.check()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def request(method: str, path: str, body: bytes = b"", **more: str) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def status(emulator: Emulator, sent: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            return int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1])
    finally:
        writer.close()


async def test_any_method_on_any_path_receives_a_response(emulator: Emulator) -> None:
    nonce = headers(json.dumps({"identity": "", "nonce": emulator.clock.now() // 10**6}).encode())
    for method in ("HEAD", "OPTIONS", "PATCH", "TRACE", "GET", "PUT", "POST", "DELETE"):
        for path in PATHS:
            for more in ({}, nonce):
                assert await status(emulator, request(method, path, **more)) < 500, (method, path)


async def test_a_badly_compressed_or_oversized_body_is_refused(emulator: Emulator) -> None:
    bodies = (b"not compressed", gzip.compress(b"{}"), gzip.compress(b"{}")[:10], b"")
    for encoding in ("gzip", "deflate", "br", "zstd", "unknown", "gzip, gzip"):
        for path in ("/v3/orders/btc_twd", "/_emulator/deposit"):
            for body in bodies:
                sent = request("POST", path, body, Content_Encoding=encoding, **headers(body))
                assert 400 <= await status(emulator, sent) < 500, (encoding, path, body)
    for path in ("/v3/orders/btc_twd", "/_emulator/faults"):
        assert await status(emulator, request("POST", path, b"[" * 3_000_000)) == 413
        assert await status(emulator, request("POST", path, b"[" * 100_000)) in (400, 401)
        chunked = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"
        assert await status(emulator, chunked.encode()) == 400


async def test_a_client_that_disconnects_while_sending_its_body_causes_no_error(emulator: Emulator) -> None:
    for path in ("/v3/orders/btc_twd", "/_emulator/faults"):
        for ending in ("Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"):
            _, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
            writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{ending}".encode())
            await writer.drain()
            for _ in range(5):
                await asyncio.sleep(0)
            writer.transport.abort()
    assert await status(emulator, request("GET", "/_emulator/state")) == 200


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_fault_is_either_refused_or_takes_effect(seed: int, emulator: Emulator) -> None:
    dice = random.Random(seed)
    taken = 0
    for _ in range(150):
        spec: dict[str, object] = {"kind": dice.choice(list(KINDS)), "count": dice.choice((1, 2, None, -1, 10**12))}
        spec |= {name: dice.choice(FIGURES) for name in ("value", "jitter", "for_s", "skip") if dice.random() < 0.4}
        spec |= {name: dice.choice(TEXTS) for name in ("find", "put") if dice.random() < 0.4}
        spec |= {"where": dice.choice(("*", "tickers", *TEXTS))} if dice.random() < 0.2 else {}
        code = await status(emulator, request("POST", "/_emulator/faults", json.dumps(spec).encode()))
        assert code in (200, 400), (spec, code)
        # these faults cause such statuses intentionally
        if code == 200 and spec["kind"] not in ("error_before", "error_after", "huge"):
            taken += 1
            for asked in (request("GET", "/v3/tickers"), request("GET", "/_emulator/state")):
                answer = asyncio.ensure_future(status(emulator, asked))
                done, _ = await asyncio.wait([answer], timeout=0.05)  # some faults delay a request indefinitely
                if done and answer.exception() is None:
                    assert answer.result() < 500 or spec["kind"] in ("storm_429",), (spec, answer.result())
                answer.cancel()
        assert await status(emulator, request("DELETE", "/_emulator/faults")) == 200
    assert taken > 10


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_command_is_either_refused_or_executed(seed: int, emulator: Emulator) -> None:
    mutator = Mutator(seed)
    dice = mutator.dice
    for _ in range(200):
        verb = dice.choice(("step", "hold", "resume", "cut", "deposit", "faults", "switches", "state", "unknown"))
        whole: dict[str, object] = {
            "step": {"until": dice.choice((0, 1, -1, 2**70, 10**18))},
            "resume": {"speed": dice.choice((1, 0, -1, 1e300, 1e-300, 60, None))},
            "deposit": {
                "account": "emulator@botkit.local",
                "currency": dice.choice(("twd", "xx", "TWD")),
                "amount": dice.choice(("1", "1e99", "-1", "9" * 40, "0.000000001", "nan", "\u0661")),
            },
        }.get(verb, {})
        body = mutator.bytes_of(mutator.mutate(whole) if dice.random() < 0.5 else whole)
        code = await status(emulator, request("POST", f"/_emulator/{verb}", body))
        assert code in (200, 400, 404), (verb, body[:200], code)
    assert await status(emulator, request("POST", "/_emulator/resume", b'{"speed": 1}')) == 200
