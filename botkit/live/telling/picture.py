"""How a running bot stands at a moment, gathered once for whoever shows it: the terminal, the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.money import format_units
from botkit.model.orders import OrderState
from botkit.model.requests import Outcome

if TYPE_CHECKING:
    from botkit.live.bot import Bot

_UNIT = 10**8


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pair: last price, best prices, and how old the book is (None without one)."""

    pair: str
    last: float | None
    bid: float | None
    ask: float | None
    spread_bps: float | None
    age_s: float | None


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy holds of a pair; money in the pair's quote currency."""

    strategy: str
    pair: str
    amount: float
    average_entry: float
    unrealised: float
    realised: float
    quote: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is not final."""

    strategy: str
    pair: str
    side: str
    amount: str
    price: str
    executed: str
    state: str
    age_s: float


class StrategyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy: ``why_not`` is what kept it from trading most often."""

    name: str
    state: str
    orders: int
    fills: int
    skips: int
    refusals: int
    why_not: str


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A window of the exchange's rate limits."""

    pool: str
    scope: str
    held: int
    limit: int
    per_s: int
    peak_percent: float
    refused: int


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown. Money is in ``currency``; None where a price is still missing."""

    name: str
    mode: str
    time: Nanos
    uptime_s: float
    halted: str | None
    faults: tuple[str, ...]
    currency: str
    equity: float | None
    profit: float | None
    prices: tuple[PriceRow, ...]
    positions: tuple[PositionRow, ...]
    orders: tuple[OrderRow, ...]
    strategies: tuple[StrategyRow, ...]
    limits: tuple[LimitRow, ...]
    lost_streams: tuple[str, ...]
    connected_streams: int
    unknown_orders: int
    foreign_orders: int
    events: int
    turns: int
    waiting: int
    rate_limited: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One bot of a process: what it does (``running``, ``ended: signal``, ...), and its picture once there is one."""

    name: str
    state: str
    picture: Picture | None


def picture_of(bot: Bot) -> Picture:
    """The bot as it stands now. It reads, and changes nothing."""
    engine, driver = bot.engine, bot.driver
    now = driver.now()
    portfolio = engine.portfolio
    equity = portfolio.equity_units(None, portfolio.currency)
    opening = bot.opening_equity
    lost = sorted(
        f"{stream} {pair}".strip()
        for (stream, pair), state in bot.connections.items()
        if state.value in ("lost", "stale")
    )
    faults = [text for text in (driver.journal_fault, str(driver.fault) if driver.fault else None) if text]
    orders = _orders(bot, now)
    return Picture(
        name=bot.parts.name,
        mode=bot.parts.mode,
        time=now,
        uptime_s=bot.uptime_s,
        halted=engine.halted,
        faults=tuple(faults),
        currency=portfolio.currency,
        equity=None if equity is None else equity / _UNIT,
        profit=None if equity is None or opening is None else (equity - opening) / _UNIT,
        prices=_prices(bot, now),
        positions=_positions(bot),
        orders=orders,
        strategies=_strategies(bot),
        limits=_limits(bot, now),
        lost_streams=tuple(lost),
        connected_streams=len(bot.connections) - len(lost),
        unknown_orders=sum(order.state == OrderState.UNKNOWN.value for order in orders),
        foreign_orders=len(engine.foreign_orders),
        events=engine.events,
        turns=driver.turns,
        waiting=engine.router.waiting,
        rate_limited=bot.outcomes.get(Outcome.RATE_LIMITED, 0),
    )


def _prices(bot: Bot, now: Nanos) -> tuple[PriceRow, ...]:
    rows = []
    for market in bot.engine.markets():
        book = market.book
        rows.append(
            PriceRow(
                pair=str(market.pair),
                last=market.last.price,
                bid=book.best_bid,
                ask=book.best_ask,
                spread_bps=book.spread_bps,
                age_s=(now - market.book_seen) / NS_PER_S if market.book_seen else None,
            )
        )
    return tuple(rows)


def _positions(bot: Bot) -> tuple[PositionRow, ...]:
    portfolio = bot.engine.portfolio
    return tuple(
        PositionRow(
            strategy=name,
            pair=str(position.pair),
            amount=position.amount,
            average_entry=position.average_entry,
            unrealised=position.unrealised,
            realised=position.realised,
            quote=position.pair.quote,
        )
        for name in bot.engine.contexts
        for position in portfolio.positions(name)
    )


def _orders(bot: Bot, now: Nanos) -> tuple[OrderRow, ...]:
    rows = []
    for order in bot.engine.desk.all_open():
        rules = order.pair.rules
        spends = order.spend_units > 0
        rows.append(
            OrderRow(
                strategy=order.strategy,
                pair=str(order.pair),
                side=order.side.value,
                amount=f"{format_units(order.spend_units)} {order.pair.quote}"
                if spends
                else rules.amount_text(order.amount_lots),
                price=rules.price_text(order.price_ticks) if order.price_ticks else "market",
                executed=rules.amount_text(order.executed_lots),
                state=order.state.value,
                age_s=(now - order.created) / NS_PER_S,
            )
        )
    return tuple(rows)


def _strategies(bot: Bot) -> tuple[StrategyRow, ...]:
    rows = []
    for name, context in bot.engine.contexts.items():
        halt = bot.engine.risk.halts.get(name)
        state = "stopped" if not context.active else "halted" if halt else "running"
        reasons = {**context.skips, **context.refusals}
        most = max(reasons.items(), key=lambda item: item[1], default=None)
        rows.append(
            StrategyRow(
                name=name,
                state=state,
                orders=context.orders_count,
                fills=context.fills_count,
                skips=sum(context.skips.values()),
                refusals=sum(context.refusals.values()),
                why_not=context.stopped_because or halt or (f"{most[1]} {most[0]}" if most else ""),
            )
        )
    return tuple(rows)


def _limits(bot: Bot, now: Nanos) -> tuple[LimitRow, ...]:
    """The windows that were ever in use; a table of all forty would hide them."""
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
        for use in bot.engine.router.usage(now)
        if use.held or use.peak_percent or use.refused
    )
