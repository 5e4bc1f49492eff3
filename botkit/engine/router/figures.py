"""The router's statistics: window usage, waits, and alarms."""

from __future__ import annotations

from collections.abc import Iterable

from botkit.engine.router.reports import LimitAlarm, Usage
from botkit.engine.router.routes import Route
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.limits import LimitTable, Scope
from botkit.model.results import EndpointUse, RouterUse

#: waits are binned by their seven leading bits, so a quantile is at most 1.6 % too high
_DIGITS = 7
_CREATES = ("create_order", "create_batch")


class WaitClasses:
    """A histogram of waits. It uses no more memory in a bot that runs for months than in one that runs for an hour."""

    __slots__ = ("_classes", "count", "longest_ns")

    def __init__(self) -> None:
        self._classes: dict[int, int] = {}
        self.count = 0
        self.longest_ns: Nanos = 0

    def add(self, wait_ns: Nanos) -> None:
        """Count one wait, which must be above zero."""
        shift = max(0, wait_ns.bit_length() - _DIGITS)
        upper = (((wait_ns >> shift) + 1) << shift) - 1
        self._classes[upper] = self._classes.get(upper, 0) + 1
        self.count += 1
        if wait_ns > self.longest_ns:
            self.longest_ns = wait_ns

    def quantile_ms(self, share: float) -> float | None:
        """Return the wait in milliseconds that a fraction ``share`` of all waits did not exceed, or None if there were
        no waits.
        """
        rank = share * self.count
        seen = 0
        for upper in sorted(self._classes):
            seen += self._classes[upper]
            if seen >= rank:
                return min(upper, self.longest_ns) / NS_PER_MS
        return None


class EndpointFigures:
    """Statistics of one endpoint. Waits and ``batched`` count orders, not requests."""

    __slots__ = ("batched", "dropped", "requests", "waits")

    def __init__(self) -> None:
        self.requests = 0
        self.batched = 0
        self.dropped = 0
        self.waits = WaitClasses()


def usage_of(routes: Iterable[Route], now: Nanos) -> list[Usage]:
    """Return one row for each window and scope, in table order."""
    return [
        Usage(
            pool=route.name,
            scope=scope,
            limit=window.window.requests,
            in_force=window.limit,
            per_s=window.window.per_s,
            held=window.held(now),
            peak_percent=100 * window.peak / window.window.requests,
            refused=route.refused,
        )
        for route in routes
        for window in route.windows
        for scope in window.scopes
    ]


def alarm_of(route: Route, now: Nanos) -> LimitAlarm:
    """Return the alarm for the 429 that has just paused ``route``."""
    limits = tuple(window.limit for window in route.windows)
    until = route.pause.until
    return LimitAlarm(
        pool=route.name,
        at=now,
        until=until,
        limits=limits,
        text=(
            f"429 at {route.name}: another program is using this account or IP address, or the limits table "
            f"is wrong; closed for {(until - now) / NS_PER_S:.1f} s except to urgent requests, then at most"
            f" {', '.join(str(n) for n in limits)} per window until it has recovered"
        ),
    )


def router_use(table: LimitTable, routes: dict[str, Route], figures: dict[str, EndpointFigures]) -> RouterUse:
    """Return the router's part of a run's result: endpoints with requests or drops, in table order."""
    endpoints = []
    for endpoint in table.endpoints:
        seen = figures.get(endpoint)
        if seen is None or not (seen.requests or seen.dropped):
            continue
        route = routes[endpoint]
        waits = seen.waits
        endpoints.append(
            EndpointUse(
                endpoint=endpoint,
                requests=seen.requests,
                limit="; ".join(_window_text(w.window.requests, w.window.per_s, w.scopes) for w in route.windows),
                peak_use=max(w.peak / w.window.requests for w in route.windows),
                delayed=waits.count,
                wait_p50_ms=waits.quantile_ms(0.5),
                wait_p99_ms=waits.quantile_ms(0.99),
                wait_max_ms=waits.longest_ns / NS_PER_MS if waits.count else None,
                batched=seen.batched,
                dropped=seen.dropped,
            )
        )
    creates = [figures[e].waits for e in _CREATES if e in figures]
    pools = {route.name: route.refused for route in routes.values()}
    return RouterUse(
        endpoints=endpoints,
        orders_delayed=sum(waits.count for waits in creates),
        max_queue_ms=max((waits.longest_ns for waits in creates), default=0) / NS_PER_MS,
        batched=sum(seen.batched for seen in figures.values()),
        dropped=sum(seen.dropped for seen in figures.values()),
        refused_by_exchange=sum(pools.values()),
    )


def _window_text(requests: int, per_s: int, scopes: tuple[Scope, ...]) -> str:
    whose = " and per ".join("IP address" if s is Scope.IP else "account" for s in scopes)
    return f"{requests:,} in {per_s} s per {whose}"
