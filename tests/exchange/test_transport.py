"""A call is sent only once and is limited in time and size. The type of its error determines how the caller must
react.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from botkit.errors import OutcomeUnknown, RateLimited, Refused, RequestError, TryAgain
from botkit.exchange.bitopro import BitoProClient
from botkit.exchange.bitopro import transport as transport_module
from botkit.exchange.bitopro.transport import NothingSent, check_url
from botkit.exchange.bitopro.wire.bodies import CreateBody
from tests.exchange.venue import HandClock, RawScript, RawServer, http, raw_server, venue

pytestmark = pytest.mark.virtual_time

BODY = CreateBody(action="BUY", type="LIMIT", price="1", amount="1", timestamp=1, client_id=5)
CREATED = b'{"orderId":1,"timestamp":1,"action":"BUY","amount":"1","price":"1","timeInForce":"GTC","clientId":5}'


@asynccontextmanager
async def client(rest: str, **options: Any) -> AsyncIterator[BitoProClient]:
    async with BitoProClient("me@example.com", "key-canary", "secret-canary", rest_url=rest, **options) as made:
        yield made


CALLS: dict[str, Callable[[BitoProClient], Any]] = {
    "GET": lambda c: c.trading_pairs(),
    "signed GET": lambda c: c.balances(),
    "DELETE": lambda c: c.cancel_order("btc_twd", "1"),
    "PUT": lambda c: c.cancel_orders([("btc_twd", "1")]),
    "POST": lambda c: c.post_order("btc_twd", BODY),
}
WRITES = ("DELETE", "PUT", "POST")


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_request_is_not_resent_after_a_dropped_keep_alive_connection(name: str) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int
    ) -> bool:
        if n == 1:
            writer.write(http(b'{"data":[]}'))
            await writer.drain()
            return True
        return False  # read the second request on the kept-alive connection, then drop the connection

    async with raw_server(script) as server, client(server.rest) as c:
        lane = {"urgent": True} if name in ("DELETE", "PUT") else {}
        if lane:  # open the connection that the call will reuse
            await c._transport.call(
                transport_module.Endpoint("tickers", "GET", "/tickers"), "/tickers", timeout_s=5, urgent=True
            )
        else:
            await c.tickers()
        with pytest.raises(OutcomeUnknown if name in WRITES else TryAgain):
            await CALLS[name](c)
    assert len(server.arrivals) == 2, server.arrivals


async def _numbered(
    _state: RawServer, line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> bool:
    """Respond to an order after one second, using the request's number on this connection as the order ID. Respond to
    all other requests immediately.
    """
    if line.startswith("POST"):
        await asyncio.sleep(1)
    writer.write(http(CREATED.replace(b'"orderId":1', b'"orderId":%d' % number) if line.startswith("POST") else b"{}"))
    await writer.drain()
    return True


async def test_a_request_is_written_before_its_response_is_awaited_if_a_connection_is_open() -> None:
    async with raw_server(_numbered) as server, client(server.rest) as c:
        begun = c.begin_order("btc_twd", BODY)
        await asyncio.sleep(0.5)
        assert server.arrivals == []  # there is no connection yet
        assert (await begun.reply()).order_id == 1
        begun = c.begin_order("btc_twd", BODY)
        await asyncio.sleep(0.5)
        assert len(server.arrivals) == 2
        assert (await begun.reply()).order_id == 2


async def test_the_response_to_an_abandoned_request_is_not_mistaken_for_the_response_to_a_later_request() -> None:
    async with raw_server(_numbered) as server, client(server.rest) as c:
        assert (await c.post_order("btc_twd", BODY)).order_id == 1
        given_up = asyncio.create_task(c.post_order("btc_twd", BODY))
        await asyncio.sleep(0.5)
        assert len(server.arrivals) == 2
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert (await c.post_order("btc_twd", BODY)).order_id == 1  # the first request on a new connection
        assert (await c.post_order("btc_twd", BODY)).order_id == 2


async def test_an_idle_connection_is_reused_only_for_a_limited_time() -> None:
    async with raw_server(_numbered) as server, client(server.rest) as c:
        assert (await c.post_order("btc_twd", BODY)).order_id == 1
        await asyncio.sleep(10)
        assert (await c.post_order("btc_twd", BODY)).order_id == 2
        await asyncio.sleep(20)
        assert (await c.post_order("btc_twd", BODY)).order_id == 1


async def test_a_connection_closed_by_the_exchange_is_not_reused() -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        writer.write(http(CREATED))
        await writer.drain()
        await asyncio.sleep(1)
        return False

    async with raw_server(script) as server, client(server.rest) as c:
        for _ in range(3):
            await c.post_order("btc_twd", BODY)
            await asyncio.sleep(2)
    assert len(server.arrivals) == 3


async def test_a_started_request_that_is_never_awaited_is_closed_when_its_client_closes(
    recwarn: pytest.WarningsRecorder,
) -> None:
    async with raw_server(_numbered) as server, client(server.rest) as c:
        await c.post_order("btc_twd", BODY)
        c.begin_order("btc_twd", BODY)
        await asyncio.sleep(0.5)
    gc.collect()
    assert len(server.arrivals) == 2
    assert not recwarn.list


@pytest.mark.parametrize("name", sorted(CALLS))
async def test_without_a_connection_the_error_states_that_the_call_was_not_sent(name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with client(f"http://127.0.0.1:{port}/v3") as c:
        with pytest.raises(NothingSent, match="nothing was sent") as caught:
            await CALLS[name](c)
    assert "ssl" not in str(caught.value), "the address is plain http"


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize(
    ("status", "of_read", "of_write"),
    [
        ("400 Bad Request", Refused, Refused),
        ("401 Unauthorized", Refused, Refused),
        ("404 Not Found", Refused, Refused),
        ("408 Request Timeout", TryAgain, OutcomeUnknown),
        ("409 Conflict", Refused, Refused),
        ("422 Unprocessable Entity", Refused, Refused),
        ("429 Too Many Requests", RateLimited, RateLimited),
        ("302 Found", Refused, OutcomeUnknown),
        ("500 Internal Server Error", TryAgain, OutcomeUnknown),
        ("502 Bad Gateway", TryAgain, OutcomeUnknown),
    ],
)
async def test_each_status_raises_the_error_type_that_determines_how_the_caller_must_react(
    name: str, status: str, of_read: type[RequestError], of_write: type[RequestError]
) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        writer.write(http(b'{"error":"Invalid Signature"}', status, "Location: http://127.0.0.1:9/\r\n"))
        await writer.drain()
        return True

    async with raw_server(script) as server, client(server.rest) as c:
        with pytest.raises(RequestError) as caught:
            await CALLS[name](c)
    assert type(caught.value) is (of_write if name in WRITES else of_read)
    assert caught.value.status == int(status[:3])
    assert caught.value.text == "Invalid Signature"
    assert len(server.arrivals) == 1


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b'{"orderId": ', b"", b"[]", b'"ok"'])
async def test_an_undecodable_response_with_status_200_raises_a_typed_error(name: str, body: bytes) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        writer.write(http(body))
        await writer.drain()
        return True

    async with raw_server(script) as server, client(server.rest) as c:
        with pytest.raises(OutcomeUnknown if name in WRITES else TryAgain):
            await CALLS[name](c)


@pytest.mark.parametrize("name", ["GET", "POST"])
@pytest.mark.parametrize("fault", ["silence", "drip", "half", "reset", "no http"])
async def test_a_call_that_receives_a_broken_response_fails_within_the_timeout(name: str, fault: str) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        if fault == "silence":
            await asyncio.sleep(5)
        elif fault == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif fault == "half":
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":')
            await writer.drain()
        elif fault == "no http":
            writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            await writer.drain()
        return False

    async with raw_server(script) as server, client(server.rest, read_timeout_s=0.3, write_timeout_s=0.3) as c:
        async with asyncio.timeout(3):
            with pytest.raises(OutcomeUnknown if name == "POST" else TryAgain):
                await CALLS[name](c)
    assert len(server.arrivals) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("name", ["GET", "POST"])
async def test_an_oversized_body_is_cut_off(name: str, framing: str) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        if framing == "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            piece = b" " * 65536
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        while sent < 100_000_000:
            writer.write(piece)
            await writer.drain()
            sent += 65536
        return False

    async with raw_server(script) as server, client(server.rest) as c:
        with pytest.raises(OutcomeUnknown if name == "POST" else TryAgain, match="more than 2097152 bytes"):
            await CALLS[name](c)


async def test_a_redirect_is_not_followed() -> None:
    async with venue() as other, venue() as here:

        async def away(_request: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": other.rest + "/accounts/balance"})

        here.replies["GET /v3/accounts/balance"] = away
        async with client(here.rest) as c:
            with pytest.raises(Refused, match="redirect"):
                await c.balances()
        assert other.requests == []


async def test_clock_skew_is_measured_and_reported_on_a_409_response() -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        writer.write(
            http(b'{"error":"Conflict"}', "409 Conflict", "Date: Fri, 25 Sep 2026 01:33:20 GMT\r\n")
        )  # 1790300000
        await writer.drain()
        return True

    clock = HandClock(1_790_300_090_000_000_000)
    async with raw_server(script) as server, client(server.rest, clock=clock) as c:
        assert c.clock_skew_ms is None
        with pytest.raises(Refused, match="about 89500 ms ahead of the exchange's"):
            await c.balances()
        assert c.clock_skew_ms == 89_500


_RIGHT, _WRONG = "Fri, 25 Sep 2026 01:33:20 GMT", "Fri, 25 Sep 2026 00:33:20 GMT"


def _dated(*answers: str) -> RawScript:
    """Send responses with each of these Date headers in turn, and then repeat the last header."""

    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        writer.write(http(b'{"data":null}', headers=answers[min(number, len(answers)) - 1]))
        await writer.drain()
        return True

    return script


async def test_the_clock_skew_changes_only_after_three_consistent_responses() -> None:
    right, wrong = f"Date: {_RIGHT}\r\n", f"Date: {_WRONG}\r\n"
    clock = HandClock(1_790_300_000_500_000_000)
    async with (
        raw_server(_dated(right, wrong, wrong, right, wrong)) as server,
        client(server.rest, clock=clock) as c,
    ):
        skews = []
        for _ in range(7):
            await c.balances()
            skews.append(c.clock_skew_ms)
    assert skews == [0, 0, 0, 0, 0, 0, 3_600_000]


@pytest.mark.parametrize("date", ["Fri, 25 Sep 2026 01:33:20 GMT", "Fri, 25 Sep 2026 01:34:00 GMT"])
async def test_a_response_that_was_under_way_while_the_machine_slept_shows_no_clock_skew(date: str) -> None:
    clock = HandClock(1_790_300_000_500_000_000)

    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        clock.time += 40 * 10**9  # answered before the sleep, or after it
        writer.write(http(b'{"data":null}', headers=f"Date: {date}\r\n"))
        await writer.drain()
        return True

    async with raw_server(script) as server, client(server.rest, clock=clock) as c:
        await c.balances()
        assert c.clock_skew_ms == 0


async def test_the_date_header_of_a_proxys_error_page_is_not_used_for_the_clock_skew() -> None:
    page = f"Date: {_WRONG}\r\nContent-Type: text/html\r\n"
    async with raw_server(_dated(page)) as server, client(server.rest, clock=HandClock()) as c:
        for _ in range(4):
            await c.balances()
        assert c.clock_skew_ms is None


@pytest.mark.parametrize("date", ["nonsense", "Fri, 99 Sep 2026 99:33:20 GMT", "Fri, 25 Sep 2026 01:33:20"])
async def test_a_malformed_date_header_is_ignored(date: str) -> None:
    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int
    ) -> bool:
        writer.write(http(b'{"data":null}', headers=f"Date: {date}\r\n"))
        await writer.drain()
        return True

    async with raw_server(script) as server, client(server.rest) as c:
        assert await c.balances() == ()


async def test_secrets_appear_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    import traceback

    caplog.set_level(logging.DEBUG)
    texts = []

    async def script(
        _state: RawServer, _line: str, _r: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int
    ) -> bool:
        writer.write(http(b"<html>", "502 Bad Gateway"))
        await writer.drain()
        return n < 3

    async with raw_server(script) as server, client(server.rest) as c:
        texts.append(repr(c))
        for call in CALLS.values():
            with pytest.raises(RequestError) as caught:
                await call(c)
            error: BaseException | None = caught.value
            texts.append("".join(traceback.format_exception(caught.value)))
            # chained exceptions that a printed traceback hides must not reveal the secret either
            while error is not None:
                texts.append(repr(error) + repr(error.args))
                error = error.__cause__ or error.__context__
    for text in [*texts, caplog.text]:
        assert "canary" not in text


async def test_a_proxy_from_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with venue({"GET /v3/accounts/balance": '{"data":[]}'}) as v, client(v.rest) as c:
        assert await c.balances() == ()


async def test_urgent_calls_are_sent_concurrently() -> None:
    """Require all calls to reach the exchange before any of them receives a response."""
    arrived, everybody = 0, asyncio.Event()

    async def together(_request: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived == 150:
            everybody.set()
        await everybody.wait()
        return web.Response(text='{"orderId":"1"}', content_type="application/json")

    async with venue({"DELETE /v3/orders/btc_usdt/1": together}) as v, client(v.rest) as c, asyncio.timeout(10):
        await asyncio.gather(*(c.cancel_order("btc_usdt", "1") for _ in range(150)))
    assert arrived == 150


async def test_urgent_calls_do_not_queue_behind_other_calls() -> None:
    release = asyncio.Event()

    async def stuck(_request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.json_response({"data": []})

    replies = {"GET /v3/accounts/balance": stuck, "DELETE /v3/orders/btc_twd/1": '{"orderId":"1"}'}
    async with venue(replies) as v, client(v.rest) as c:
        waiting = [asyncio.create_task(c.balances()) for _ in range(120)]  # more calls than connections in the pool
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            assert (await c.cancel_order("btc_twd", "1")).order_id == "1"
        release.set()
        await asyncio.gather(*waiting)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://api.bitopro.com/v3", "not encrypted"),
        ("ftp://127.0.0.1", "start with https"),
        ("api.bitopro.com", "start with https"),
        ("https://u:p-canary@api.bitopro.com/v3", "must not contain a user"),
    ],
)
def test_an_address_that_would_expose_secrets_is_refused(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        check_url(url, ("https", "http"))
    assert "canary" not in str(caught.value)


async def test_a_call_on_an_unopened_client_raises_a_clear_error() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await BitoProClient().trading_pairs()
