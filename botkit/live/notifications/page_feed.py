"""Publishes a bot's data for the live page. The page is a separate process that only reads files.

While the page is being viewed, the bot writes `PageState` once a second. Otherwise it writes only its messages and one
row per minute. All writes are done between turns, after pending orders have been sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from botkit.engine.strategy.parameter import Parameter
from botkit.engine.view import EngineView
from botkit.engine.view_values import StrategyView
from botkit.live.notifications.lines import LATEST, Lines, title_of
from botkit.live.notifications.messages import Messages
from botkit.live.notifications.minutes import Minutes, Row
from botkit.live.notifications.picture import Picture, picture_of
from botkit.live.page_files import PageFiles
from botkit.live.ports import MachineClock
from botkit.live.standing import Standing
from botkit.model.clock import Nanos
from botkit.model.money import format_units
from botkit.model.orders import Order

#: how long to keep publishing after the last sign of a viewer
_VIEWED_S = 15.0
_ORDERS_MAX = 200
_PLOTS_MAX = 50


class PageOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An open order that the page can draw and cancel. ``price`` is None for a market order."""

    id: int
    strategy: str
    pair: str
    side: str
    kind: str
    price: float | None
    stop: float | None
    amount: str
    executed: str
    state: str
    tag: str
    created: Nanos


class PageParameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of a strategy with its current value as text."""

    strategy: str
    name: str
    value: str
    kind: str
    live: bool
    doc: str
    choices: tuple[str, ...]
    bounds: str


class PagePlot(msgspec.Struct, frozen=True, kw_only=True):
    """The latest point of a line that a strategy draws."""

    strategy: str
    pair: str
    name: str
    pane: str
    time: Nanos
    value: float


class PageState(msgspec.Struct, frozen=True, kw_only=True):
    """All data about a running bot that is not in another file of its folder.

    ``status`` is the data that `botkit status` reads. ``minutes`` are the unfinished minutes. ``decimals`` contains the
    number of decimals in each pair's prices and amounts. ``control`` is True if the page may control the bot.
    """

    run: int
    control: bool
    status: dict[str, Any]
    picture: Picture
    orders: tuple[PageOrder, ...]
    parameters: tuple[PageParameter, ...]
    plots: tuple[PagePlot, ...]
    minutes: tuple[Row, ...]
    decimals: dict[str, tuple[int, int]]
    #: the latest facts that a strategy reported with a reason for not trading, by strategy and reason
    facts: dict[str, dict[str, str]]


class PageFeed:
    """Writes one bot's data for the page. ``control`` is True if the configuration allows the page to control the
    bot.
    """

    def __init__(
        self,
        files: PageFiles,
        minutes: Minutes,
        lines: Lines,
        messages: Messages,
        *,
        clock: MachineClock,
        control: bool,
    ) -> None:
        self.minutes = minutes
        self.lines = lines
        self.messages = messages
        self._files = files
        self._now_s = clock.monotonic_s
        self._control = control
        self._viewed = files.viewed()
        self._viewed_s: float | None = None
        self._encode = msgspec.json.Encoder().encode

    def flush(self) -> None:
        """Write the new minutes, lines and messages. Called a few times a second."""
        self.minutes.flush()
        self.lines.flush()
        self.messages.flush()

    def is_viewed(self) -> bool:
        """Return whether the page has been viewed in the last few seconds."""
        found = self._files.viewed()
        if found != self._viewed:
            self._viewed, self._viewed_s = found, self._now_s()
        return self._viewed_s is not None and self._now_s() - self._viewed_s < _VIEWED_S

    def saw(self, view: EngineView, now: Nanos, equity: float | None, profit: float | None) -> None:
        """Record the equity, the run's profit and the points that strategies have drawn. Called about once a second."""
        self.minutes.worth(now, equity, profit)
        self.lines.saw(view.lines(latest=LATEST))

    def publish(self, standing: Standing, run: int, status: dict[str, Any]) -> None:
        """Write the bot's current state for the page."""
        content = self._encode(published(standing, run, status, self.minutes, control=self._control))
        with contextlib.suppress(OSError):  # on a full disk, the bot continues without its page
            self._files.write(content)

    def close(self) -> None:
        """Write the remaining data and close the files."""
        self.minutes.close()
        self.lines.close()
        self.messages.close()


def published(standing: Standing, run: int, status: dict[str, Any], minutes: Minutes, *, control: bool) -> PageState:
    """Collect the bot's state for the page without changing the bot."""
    view = standing.view
    strategies = view.strategies()
    return PageState(
        run=run,
        control=control,
        status=status,
        picture=picture_of(standing),
        orders=tuple(_order(order) for order in view.open_orders()[:_ORDERS_MAX]),
        parameters=tuple(row for strategy in strategies for row in _parameters(strategy)),
        plots=_plots(view),
        minutes=tuple(minutes.running()),
        decimals={
            str(market.pair): (market.pair.rules.price_decimals, market.pair.rules.amount_decimals)
            for market in view.markets()
        },
        facts={strategy.name: _facts(strategy) for strategy in strategies},
    )


def _order(order: Order) -> PageOrder:
    rules = order.pair.rules
    return PageOrder(
        id=order.client_id,
        strategy=order.strategy,
        pair=str(order.pair),
        side=order.side.value,
        kind=order.type.value,
        price=rules.price(order.price_ticks) if order.price_ticks else None,
        stop=rules.price(order.stop_ticks) if order.stop_ticks else None,
        amount=f"{format_units(order.spend_units)} {order.pair.quote}"
        if order.spend_units
        else rules.amount_text(order.amount_lots),
        executed=rules.amount_text(order.executed_lots),
        state=order.state.value,
        tag=order.tag,
        created=order.created,
    )


def _parameters(strategy: StrategyView) -> list[PageParameter]:
    declared = strategy.declared
    return [
        PageParameter(
            strategy=strategy.name,
            name=name,
            value=spelled(value),
            kind=declared[name].kind_text,
            live=declared[name].live,
            doc=declared[name].doc,
            choices=declared[name].choices,
            bounds=_bounds(declared[name]),
        )
        for name, value in strategy.parameters.items()
    ]


def _bounds(parameter: Parameter) -> str:
    signs = (("≥", parameter.minimum), (">", parameter.above), ("≤", parameter.maximum), ("<", parameter.below))
    return ", ".join(f"{sign} {bound}" for sign, bound in signs if bound is not None)


def spelled(value: object) -> str:
    """Return a parameter's value as text."""
    return f"[{', '.join(map(spelled, value))}]" if isinstance(value, (list, tuple)) else str(value)


def _plots(view: EngineView) -> tuple[PagePlot, ...]:
    return tuple(
        PagePlot(
            strategy=point.strategy,
            pair=point.pair,
            name=title_of(point),
            pane=point.pane,
            time=point.times[-1],
            value=point.values[-1],
        )
        for point in view.lines(latest=1)[:_PLOTS_MAX]
    )


def _facts(strategy: StrategyView) -> dict[str, str]:
    return {reason: _fact_text(facts) for reason, facts in strategy.last_skip.items() if facts}


def _fact_text(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())[:300]
