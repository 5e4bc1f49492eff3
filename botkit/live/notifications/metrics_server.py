"""Serves a running bot's metrics to Prometheus, on this machine only. Needs ``--metrics-port`` and the extra
``metrics``.

The server listens on 127.0.0.1 and answers only requests with a matching Host header. A web page that points its own
domain name at this address (DNS rebinding) therefore receives no data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from botkit.errors import ConfigError
from botkit.live.notifications.picture import Picture
from botkit.model.money import UNIT

log = logging.getLogger("botkit.metrics")

HOST = "127.0.0.1"
_HOSTS = frozenset(("127.0.0.1", "localhost"))


class Sample(msgspec.Struct, frozen=True):
    """A metric with its name (without the ``botkit_`` prefix), description, labels and value."""

    name: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The key of the metric in plugins, such as ``botkit_fills_total{strategy="sma"}``."""
        inside = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"botkit_{self.name}" + (f"{{{inside}}}" if inside else "")


def samples_of(picture: Picture) -> list[Sample]:
    """Return the metrics of a picture. Metrics whose names end in ``_total`` never decrease."""
    currency = (("currency", picture.currency),)
    found = [
        Sample("up", "1 while the bot runs", 1),
        Sample("uptime_seconds", "seconds since the bot started", picture.uptime_s),
        Sample("halted", "1 while no new orders are sent", float(picture.halted is not None)),
        Sample(
            "faulty", "1 while the journal cannot be written, or after an internal error", float(bool(picture.faults))
        ),
        Sample("events_total", "events received", picture.events),
        Sample("turns_total", "engine turns", picture.turns),
        Sample("open_orders", "orders that are not final", len(picture.orders)),
        Sample("unknown_orders", "orders with an unknown outcome", picture.unknown_orders),
        Sample("foreign_orders", "open orders that do not belong to this bot", picture.foreign_orders),
        Sample("waiting_requests", "requests waiting for the rate limits", picture.waiting),
        Sample("rate_limited_total", "requests answered with 429", picture.rate_limited),
        Sample("streams_connected", "streams that are connected", picture.connected_streams),
        Sample("streams_lost", "streams without connection", len(picture.lost_streams)),
    ]
    if picture.equity is not None:
        found.append(Sample("equity", "value of everything the strategies own", picture.equity, currency))
    if picture.profit is not None:
        found.append(Sample("profit", "change of equity since the start", picture.profit, currency))
    for coin, units in picture.unvalued_fees.items():
        about = "fees that are in neither equity nor profit, because their currency has no price"
        found.append(Sample("unvalued_fees", about, units / UNIT, (("currency", coin),)))
    found += _rows(picture)
    return found


def _rows(picture: Picture) -> Iterator[Sample]:
    label: tuple[tuple[str, str], ...]
    for strategy in picture.strategies:
        label = (("strategy", strategy.name),)
        yield Sample("strategy_running", "1 while the strategy trades", float(strategy.state == "running"), label)
        yield Sample("orders_total", "orders of a strategy that were sent or queued", strategy.orders, label)
        yield Sample("fills_total", "fills of a strategy", strategy.fills, label)
        yield Sample("skips_total", "times a strategy recorded a reason for not trading", strategy.skips, label)
        yield Sample(
            "refusals_total", "orders refused by the exchange's rules or by risk rules", strategy.refusals, label
        )
    for position in picture.positions:
        label = (("pair", position.pair), ("strategy", position.strategy))
        yield Sample("position", "a strategy's position, in base currency", position.amount, label)
    for price in picture.prices:
        label = (("pair", price.pair),)
        if price.last is not None:
            yield Sample("price", "last price", price.last, label)
        if price.spread_bps is not None:
            yield Sample("spread_bps", "spread of the book in basis points", price.spread_bps, label)
        if price.age_s is not None:
            yield Sample("book_age_seconds", "seconds since the last book", price.age_s, label)
    for limit in picture.limits:
        label = (("pool", limit.pool), ("scope", limit.scope), ("window_seconds", str(limit.per_s)))
        yield Sample("limit_held", "slots of a rate limit in use", limit.held, label)
        yield Sample("limit", "slots of a rate limit", limit.limit, label)


class MetricsSource(msgspec.Struct, frozen=True, kw_only=True):
    """A bot whose metrics are served: its picture (None while it is not running), and its plugins' metrics. ``bot`` is
    the bot's name if a process has several bots. The name then becomes a label on every metric.
    """

    look: Callable[[], Picture | None]
    added: Callable[[dict[str, float]], Mapping[str, float]] = lambda figures: {}
    bot: str | None = None

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """The labels of every metric of this bot."""
        return () if self.bot is None else (("bot", self.bot),)


class _Collector:
    """Passes samples to prometheus_client, which formats them."""

    def __init__(self, collect: Callable[[], tuple[list[Sample], list[Sample]]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        samples, added = self._collect()
        families: dict[str, Any] = {}
        for sample in samples:
            family = families.get(sample.name)
            if family is None:
                kind = CounterMetricFamily if sample.name.endswith("_total") else GaugeMetricFamily
                names = [name for name, _ in sample.labels]
                family = families[sample.name] = kind(f"botkit_{sample.name}", sample.about, labels=names)
            family.add_metric([value for _, value in sample.labels], sample.value)
        for sample in added:
            family = families.get(sample.name)
            if family is None:
                names = [name for name, _ in sample.labels]
                family = families[sample.name] = GaugeMetricFamily(sample.name, sample.about, labels=names)
            family.add_metric([value for _, value in sample.labels], sample.value)
        return families.values()


class MetricsServer:
    """Serves ``/metrics`` on loopback until the block ends. With port 0, a free port is chosen, which `port` then
    returns. If a plugin fails, the error is logged and the plugin's metrics are left out.
    """

    def __init__(self, sources: Sequence[MetricsSource], *, port: int) -> None:
        try:
            from prometheus_client import CollectorRegistry
        except ImportError:
            raise ConfigError(
                "--metrics-port needs prometheus_client; install it with: pip install 'botkit[metrics]'"
            ) from None
        self.port = port
        self._sources = sources
        # a separate registry, because the default one adds process metrics that are not needed
        self._registry = CollectorRegistry(auto_describe=False)
        collector: Any = _Collector(self._figures)
        self._registry.register(collector)
        self._runner: Any = None
        self._plugin_failed = False

    def _figures(self) -> tuple[list[Sample], list[Sample]]:
        """Return the metrics of botkit and of plugins, for all bots."""
        samples: list[Sample] = []
        added: list[Sample] = []
        for source in self._sources:
            picture = source.look()
            own = [Sample("up", "1 while the bot runs", 0)] if picture is None else samples_of(picture)
            samples += [msgspec.structs.replace(sample, labels=source.labels + sample.labels) for sample in own]
            if picture is not None:
                added += self._added(source, own)
        return samples, added

    def _added(self, source: MetricsSource, own: list[Sample]) -> list[Sample]:
        try:
            figures = source.added({sample.key: sample.value for sample in own})
            return [
                Sample(name, "added by a plugin", float(value), source.labels)
                for name, value in figures.items()
                if _is_name(name)
            ]
        except Exception:
            if not self._plugin_failed:
                log.exception("a plugin's botkit_metrics failed; its metrics are left out")
            self._plugin_failed = True
            return []

    async def __aenter__(self) -> MetricsServer:
        from aiohttp import web

        app = web.Application(middlewares=[_for_this_machine])
        app.router.add_get("/metrics", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"--metrics-port {self.port}: {error.strerror or error}; choose another port, or 0 for any free port"
            ) from None
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: Any) -> Any:
        from aiohttp import web
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        await asyncio.sleep(0)  # scheduled after the loop's pending work, because a scrape is never urgent
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _is_name(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").replace(":", "a").isalnum() and not name[0].isdigit()


async def _for_this_machine(request: Any, handler: Callable[[Any], Any]) -> Any:
    from aiohttp import web

    host = request.headers.get("Host", "").rsplit(":", 1)[0]
    if host not in _HOSTS or "Origin" in request.headers:
        raise web.HTTPForbidden(text="these metrics are only available on this machine\n")
    return await handler(request)


_for_this_machine.__middleware_version__ = 1  # type: ignore[attr-defined]  # what aiohttp's decorator sets
