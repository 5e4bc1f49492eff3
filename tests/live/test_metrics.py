"""Prometheus metrics are served only to this machine, are complete, and use the format that Prometheus expects."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest

from botkit.errors import ConfigError
from botkit.live.notifications.metrics_server import MetricsServer, MetricsSource, samples_of
from tests.live.pictures import PICTURE, picture

parser = pytest.importorskip("prometheus_client.parser")


async def fetched(server: MetricsServer, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}{path}"
        async with session.get(url, headers=headers) as response:
            return response.status, await response.text()


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_every_metric_is_served_with_its_labels() -> None:
    async with MetricsServer([MetricsSource(look=lambda: PICTURE)], port=0) as server:
        status, text = await fetched(server)
    assert status == 200
    found = read(text)
    assert found["botkit_up", frozenset()] == 1
    assert found["botkit_profit", frozenset({("currency", "twd")})] == -432.1
    assert found["botkit_fills_total", frozenset({("strategy", "mm")})] == 3
    assert found["botkit_position", frozenset({("pair", "btc_twd"), ("strategy", "mm")})] == 0.5
    limit = frozenset({("pool", "create_order"), ("scope", "ip"), ("window_seconds", "60")})
    assert found["botkit_limit_held", limit] == 30
    assert found["botkit_limit", limit] == 1_200
    assert len(found) == len(samples_of(PICTURE))
    assert "# TYPE botkit_orders_total counter" in text
    assert "# TYPE botkit_open_orders gauge" in text


async def test_plugins_add_metrics_and_a_broken_plugin_does_not_remove_other_metrics() -> None:
    def added(figures: dict[str, float]) -> dict[str, float]:
        return {"mine_double": 2 * figures['botkit_fills_total{strategy="mm"}'], "no name": 1, "9": 1}

    async with MetricsServer([MetricsSource(look=lambda: PICTURE, added=added)], port=0) as server:
        text = (await fetched(server))[1]
        assert read(text)["mine_double", frozenset()] == 6
        assert "no name" not in text

    def broken(figures: dict[str, float]) -> dict[str, float]:
        raise RuntimeError("a bug")

    async with MetricsServer([MetricsSource(look=lambda: PICTURE, added=broken)], port=0) as server:
        for _ in range(2):
            assert read((await fetched(server))[1])["botkit_up", frozenset()] == 1


async def test_a_label_distinguishes_the_metrics_of_multiple_bots() -> None:
    def added(figures: dict[str, float]) -> dict[str, float]:
        return {"mine_fills": figures['botkit_fills_total{strategy="mm"}']}  # written as if for a single bot

    sources = [
        MetricsSource(look=lambda: PICTURE, added=added, bot="demo"),
        MetricsSource(look=lambda: picture(profit=5.0), added=added, bot="other"),
        MetricsSource(look=lambda: None, bot="ended"),
    ]
    async with MetricsServer(sources, port=0) as server:
        found = read((await fetched(server))[1])
    assert found["botkit_profit", frozenset({("bot", "demo"), ("currency", "twd")})] == -432.1
    assert found["botkit_profit", frozenset({("bot", "other"), ("currency", "twd")})] == 5.0
    assert found["botkit_up", frozenset({("bot", "ended")})] == 0
    assert found["mine_fills", frozenset({("bot", "other")})] == 3
    assert len(found) == 2 * len(samples_of(PICTURE)) + 3


async def test_a_bot_is_reported_as_down_before_it_starts_running() -> None:
    async with MetricsServer([MetricsSource(look=lambda: None)], port=0) as server:
        assert read((await fetched(server))[1]) == {("botkit_up", frozenset()): 0}


async def test_only_local_requests_are_served() -> None:
    async with MetricsServer([MetricsSource(look=lambda: PICTURE)], port=0) as server:
        assert (await fetched(server, Host="localhost:1"))[0] == 200
        for headers in (
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example"},
            {"Origin": "http://evil.example"},
        ):
            status, text = await fetched(server, **headers)
            assert status == 403, headers
            assert "botkit_" not in text
        assert (await fetched(server, "/"))[0] == 404
        own: Any = server._runner
        assert [address[0] for address in own.addresses] == ["127.0.0.1"]


async def test_a_port_already_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = MetricsServer([MetricsSource(look=lambda: PICTURE)], port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="choose another port, or 0 for any free port"):
            await server.__aenter__()


async def test_quotes_and_newlines_in_names_are_escaped() -> None:
    odd = 'mm "two"\n\\'
    rows = tuple(
        type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "name": odd}) for row in PICTURE.strategies
    )
    async with MetricsServer([MetricsSource(look=lambda: picture(strategies=rows))], port=0) as server:
        found = read((await fetched(server))[1])
    assert found["botkit_orders_total", frozenset({("strategy", odd)})] == 12
