"""The exchange's count of requests by arrival time, which determines which requests receive a 429.

Windows slide: the exchange does not document which kind of window it uses, and sliding windows are stricter. A refused
request also counts in each of its windows, so a client that keeps sending stays locked out.
"""

from __future__ import annotations

from collections import deque

from botkit.model.clock import Nanos
from botkit.model.limits import LimitTable, Scope
from botkit.sim.endpoint_count import EndpointCount


class _Window:
    __slots__ = ("arrivals", "length", "most")

    def __init__(self, most: int, length: Nanos) -> None:
        self.most = most
        self.length = length
        self.arrivals: deque[Nanos] = deque()


class VenueLimits:
    """Counts arrivals against the limit table, per IP address and per account. Without a table, arrivals are counted
    but never refused.
    """

    def __init__(self, table: LimitTable | None) -> None:
        self._table = table
        self._windows: dict[tuple[str, Scope, int, str], _Window] = {}
        self._routes: dict[tuple[str, str, str], tuple[_Window, ...]] = {}
        self.counts: dict[str, EndpointCount] = {}
        self.refused = 0

    def _route(self, endpoint: str, account: str, address: str) -> tuple[_Window, ...]:
        windows = []
        if self._table is not None:
            entry = self._table[endpoint]
            for limit in entry.windows:
                owner = account if limit.scope is Scope.ACCOUNT else address
                key = (entry.pool, limit.scope, limit.length, owner)
                if key not in self._windows:
                    self._windows[key] = _Window(limit.requests, limit.length)
                windows.append(self._windows[key])
        route = tuple(windows)
        self._routes[endpoint, account, address] = route
        return route

    def admit(self, endpoint: str, account: str, address: str, now: Nanos) -> bool:
        """Count one request arriving at ``now``. Return False if a window is over its limit, in which case the response
        is 429.
        """
        count = self.counts.get(endpoint)
        if count is None:
            count = self.counts[endpoint] = EndpointCount()
        count.arrivals += 1
        route = self._routes.get((endpoint, account, address))
        if route is None:
            route = self._route(endpoint, account, address)
        admitted = True
        for window in route:
            arrivals = window.arrivals
            arrivals.append(now)
            within = len(arrivals)
            if within > count.busiest or within > window.most:  # old arrivals may have left the window
                edge = now - window.length
                while arrivals[0] <= edge:
                    arrivals.popleft()
                within = len(arrivals)
                if within > count.busiest:
                    count.busiest = within
                if within > window.most:
                    admitted = False
        if not admitted:
            count.refusals += 1
            self.refused += 1
        return admitted
