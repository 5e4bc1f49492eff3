"""A snapshot of a running bot, built once for all displays: the terminal and the metrics."""

from __future__ import annotations

import msgspec

from botkit.engine.risk.review import PAUSED
from botkit.engine.view import EngineView
from botkit.engine.view_values import StrategyView
from botkit.live.notifications.unvalued_fees import unvalued_fees_sentence
from botkit.live.standing import Standing
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.figures import amount_figure, price_figure, separated
from botkit.model.money import format_units
from botkit.model.orders import OrderState
from botkit.model.reasons import grouped

_UNIT = 10**8


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pair's last price, best prices, and the time since its last book (None if there was no book)."""

    pair: str
    last: float | None
    bid: float | None
    ask: float | None
    spread_bps: float | None
    age_s: float | None
    #: the number of decimals in the pair's prices
    decimals: int = 0


class PicturePosition(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's position in a pair. Money is in the pair's quote currency."""

    strategy: str
    pair: str
    amount: float
    average_entry: float
    unrealised: float
    realised: float
    quote: str
    #: the number of decimals in the pair's prices
    decimals: int = 0


class PictureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is not final."""

    strategy: str
    pair: str
    side: str
    amount: str
    price: str
    executed: str
    state: str
    age_s: float


class PictureStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a strategy. ``why_not`` is its most frequent reason for not trading."""

    name: str
    #: running, paused, halted (individually or with the bot) or stopped
    state: str
    orders: int
    fills: int
    skips: int
    refusals: int
    why_not: str
    #: the reason why the strategy was stopped early; "" while it runs
    stopped: str = ""


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the exchange's rate-limit windows."""

    pool: str
    scope: str
    held: int
    limit: int
    per_s: int
    peak_percent: float
    refused: int


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All figures that are shown. Money is in ``currency``. A value is None if a price needed for it is missing."""

    name: str
    mode: str
    time: Nanos
    uptime_s: float
    halted: str | None
    faults: tuple[str, ...]
    currency: str
    equity: float | None
    profit: float | None
    #: fees that are in no figure, in units by currency
    unvalued_fees: dict[str, int] = {}
    prices: tuple[PriceRow, ...]
    positions: tuple[PicturePosition, ...]
    orders: tuple[PictureOrder, ...]
    strategies: tuple[PictureStrategy, ...]
    limits: tuple[LimitRow, ...]
    lost_streams: tuple[str, ...]
    connected_streams: int
    unknown_orders: int
    foreign_orders: int
    events: int
    turns: int
    waiting: int
    rate_limited: int

    @property
    def fees_sentence(self) -> str:
        """A sentence about the fees that are in no figure; "" without such fees."""
        return unvalued_fees_sentence({c: format_units(units) for c, units in self.unvalued_fees.items()})


class BotState(msgspec.Struct, frozen=True, kw_only=True):
    """One bot of a process with its state (``running``, ``ended: signal``, ...), and with its picture if available."""

    name: str
    state: str
    picture: Picture | None


def picture_of(standing: Standing) -> Picture:
    """Build a picture of the bot without changing the bot."""
    view, now = standing.view, standing.now
    money = view.money
    equity, opening = money.equity(), standing.opening_equity
    orders = _orders(view, now)
    return Picture(
        name=standing.name,
        mode=standing.mode,
        time=now,
        uptime_s=standing.uptime_s,
        halted=view.halted,
        faults=standing.faults,
        currency=money.currency,
        equity=None if equity is None else equity / _UNIT,
        profit=None if equity is None or opening is None else (equity - opening) / _UNIT,
        unvalued_fees=money.fees.unvalued(),
        prices=_prices(view, now),
        positions=_positions(view),
        orders=orders,
        strategies=_strategies(view),
        limits=_limits(view, now),
        lost_streams=standing.lost_streams,
        connected_streams=standing.connected_streams,
        unknown_orders=sum(order.state == OrderState.UNKNOWN.value for order in orders),
        foreign_orders=len(view.foreign_orders()),
        events=view.events,
        turns=standing.turns,
        waiting=view.router.waiting,
        rate_limited=standing.rate_limited,
    )


def _prices(view: EngineView, now: Nanos) -> tuple[PriceRow, ...]:
    return tuple(
        PriceRow(
            pair=str(market.pair),
            last=market.last,
            bid=market.book.best_bid,
            ask=market.book.best_ask,
            spread_bps=market.book.spread_bps,
            age_s=(now - market.book_seen) / NS_PER_S if market.book_seen else None,
            decimals=market.pair.rules.price_decimals,
        )
        for market in view.markets()
    )


def _positions(view: EngineView) -> tuple[PicturePosition, ...]:
    return tuple(
        PicturePosition(
            strategy=name,
            pair=str(position.pair),
            amount=position.amount,
            average_entry=position.average_entry,
            unrealised=position.unrealised,
            realised=position.realised,
            quote=position.pair.quote,
            decimals=position.pair.rules.price_decimals,
        )
        for name in view.names()
        for position in view.money.positions(name)
    )


def _orders(view: EngineView, now: Nanos) -> tuple[PictureOrder, ...]:
    rows = []
    for order in view.open_orders():
        rules = order.pair.rules
        spends = order.spend_units > 0
        rows.append(
            PictureOrder(
                strategy=order.strategy,
                pair=str(order.pair),
                side=order.side.value,
                amount=f"{separated(format_units(order.spend_units))} {order.pair.quote}"
                if spends
                else amount_figure(rules, order.amount_lots),
                price=price_figure(rules, order.price_ticks) if order.price_ticks else "market",
                executed=amount_figure(rules, order.executed_lots),
                state=order.state.value,
                age_s=(now - order.created) / NS_PER_S,
            )
        )
    return tuple(rows)


def _strategies(view: EngineView) -> tuple[PictureStrategy, ...]:
    rows = []
    for strategy in view.strategies():
        state = _state(strategy, is_bot_halted=view.halted is not None)
        reasons = {**grouped(strategy.skips), **grouped(strategy.refusals)}
        most = max(reasons.items(), key=lambda item: item[1], default=None)
        why_not = strategy.stopped_because or strategy.halted or (f"{most[1]} {most[0]}" if most else "")
        rows.append(
            PictureStrategy(
                name=strategy.name,
                state=state,
                orders=strategy.sent,
                fills=strategy.fills,
                skips=sum(strategy.skips.values()),
                refusals=sum(strategy.refusals.values()),
                why_not=why_not,
                stopped=strategy.stopped_because if not strategy.active else "",
            )
        )
    return tuple(rows)


def _state(strategy: StrategyView, *, is_bot_halted: bool) -> str:
    if not strategy.active:
        return "stopped"
    if strategy.halted == PAUSED:
        return "paused"
    return "halted" if strategy.halted or is_bot_halted else "running"


def _limits(view: EngineView, now: Nanos) -> tuple[LimitRow, ...]:
    """Return only the windows that have been used, because they would be hard to find in a table of all forty
    windows.
    """
    return tuple(
        LimitRow(
            pool=use.pool,
            scope=use.scope.value,
            held=use.held,
            limit=use.in_force,
            per_s=use.per_s,
            peak_percent=use.peak_percent,
            refused=use.refused,
        )
        for use in view.router.usage(now)
        if use.held or use.peak_percent or use.refused
    )
