"""A read-only view of the engine: it provides values for pages, status, summaries and the journal, but no access to the
engine's parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.money.ownership_report import Ownership
from botkit.engine.money.positions import Position
from botkit.engine.outcome_parts import StreamWanted
from botkit.engine.rooms import BotRooms
from botkit.engine.router.reports import Usage
from botkit.engine.strategy.parameter_classes import parameters_of
from botkit.engine.strategy.parameters import current_parameters
from botkit.engine.view_values import MarketView, PositionView, StrategyView
from botkit.model.clock import Nanos
from botkit.model.events import OrderReport
from botkit.model.orders import Order
from botkit.model.pairs import Pair
from botkit.model.results import IndicatorLine, RouterUse


class FeesView:
    """Fees that were paid in a coin without a price, in units of 1e-8 per currency. Usually there are none."""

    def __init__(self, rooms: BotRooms) -> None:
        self._portfolio = rooms.portfolio

    def unvalued(self) -> dict[str, int]:
        """Return the fees that are in no equity, profit or loss limit, because their currency has no price yet."""
        return self._portfolio.fees.unvalued(self._portfolio.holdings(None))

    @property
    def awaits_price(self) -> bool:
        """True while a price is to come that makes such fees a loss."""
        return any(self._portfolio.fees.may_be_valued(currency) for currency in self.unvalued())

    def price(self, pair: Pair) -> float | None:
        """Return the last price of a pair, or None before the first one."""
        return self._portfolio.last_price(pair)


class MoneyView:
    """The current books. Money is in units of 1e-8."""

    def __init__(self, rooms: BotRooms) -> None:
        self.fees = FeesView(rooms)
        self._portfolio = rooms.portfolio
        self._rooms = rooms

    @property
    def currency(self) -> str:
        """The valuation currency."""
        return self._portfolio.currency

    @property
    def account(self) -> Mapping[str, int]:
        """The balance that the exchange should report for each currency."""
        return dict(self._portfolio.account)

    @property
    def reported(self) -> Mapping[str, int]:
        """The balances that the exchange reported at the latest comparison, in units. The books are adjusted once none
        of our orders can explain a difference.
        """
        return {**self._portfolio.account, **self._portfolio.balances.reported}

    @property
    def unassigned(self) -> Mapping[str, int]:
        """The unassigned funds, in units per currency."""
        return dict(self._portfolio.unassigned)

    @property
    def pooled(self) -> tuple[str, ...]:
        """The currencies shared by the strategies without capital."""
        return self._portfolio.pooled

    @property
    def rounding_units(self) -> int:
        """The maximum difference between the books and the account, in units, that the exchange's undocumented rounding
        can cause.
        """
        return self._portfolio.balances.rounding_units

    def free_units(self, currency: str) -> int:
        """Return the units that can be handed over to a strategy, because they are neither owned by a strategy nor part
        of the reserve.
        """
        return self._portfolio.ownership.free_units(currency)

    def ownership(self, elsewhere: Mapping[str, int] | None = None) -> Ownership:
        """Return the ownership of the account's money. ``elsewhere`` lists the funds of other bots."""
        return self._portfolio.ownership.shown(elsewhere or {})

    def surplus(self, strategy: str) -> list[tuple[PositionView, int]]:
        """Compute how many units each position has in excess of the given holdings; negative if coins are missing."""
        return [(_position(position), units) for position, units in self._portfolio.ownership.surplus(strategy)]

    def equity(self, strategy: str | None = None) -> int | None:
        """Return the equity of a strategy (None: of all strategies) at last prices; None while a price is missing."""
        return self._portfolio.equity_units(strategy, self._portfolio.currency)

    @property
    def day(self) -> Nanos | None:
        """The start of the trading day from which profits are measured, or None before the first trading day."""
        return self._portfolio.days.day

    def day_pnl(self, strategy: str | None = None) -> int | None:
        """Return a strategy's profit (None: of all strategies) since the start of the trading day, resumed or not; None
        without a loss limit, or while a price is missing.
        """
        return self._portfolio.today.pnl_units(strategy, self._portfolio.currency)

    def holdings(self, strategy: str | None) -> dict[str, int]:
        """Return a strategy's holdings by currency."""
        return dict(self._portfolio.holdings(strategy))

    def positions(self, strategy: str) -> list[PositionView]:
        """Return a strategy's positions, starting with its listed pairs."""
        return [_position(position) for position in self._portfolio.positions(strategy)]

    def priced_pairs(self) -> list[Pair]:
        """Return every pair that has, or will have, a price in this run."""
        return [cell.pair for cell in self._portfolio.prices.values()]

    def capital_given(self, target: str) -> dict[str, int]:
        """Return the total capital given to a strategy's sub-account, by currency."""
        return dict(self._portfolio.capital.given.get(target, {}))

    def document(self) -> dict[str, Any]:
        """Return the state that must survive a restart, as plain data."""
        return self._portfolio.state()

    @property
    def has_peaks(self) -> bool:
        """True while peak equity is tracked. Price moves alone can change the peaks."""
        return bool(self._portfolio.peaks.baselines)

    def check(self) -> None:
        """Assert that the parts and unassigned add up to the account, no amount is negative, and the locks add up."""
        self._portfolio.check()


class RouterView:
    """The waiting requests, the held pairs, and the usage of the exchange's limits."""

    def __init__(self, rooms: BotRooms) -> None:
        self._router = rooms.router
        self._rejections = rooms.rejections
        self._closed = rooms.closed
        self._used = rooms.used_pairs

    @property
    def waiting(self) -> int:
        """The number of requests waiting for a slot."""
        return self._router.waiting

    def held(self) -> list[str]:
        """Return a sentence for each pair in use whose new orders are not sent: because the exchange rejected all of
        them, or because it has closed the pair.
        """
        held = [self._rejections.sentence(pair) for pair in self._rejections.held]
        return held + [self._closed.reasons[pair] for pair in sorted(self._used() & self._closed.reasons.keys())]

    def usage(self, now: Nanos) -> list[Usage]:
        """Return every window in the limits table, with the slots held."""
        return self._router.usage(now)

    def statistics(self) -> RouterUse:
        """Return statistics of the run so far."""
        return self._router.statistics()


class ChecksView:
    """The results of the checks that the bot runs on its data and books."""

    def __init__(self, rooms: BotRooms) -> None:
        self._rooms = rooms

    def withheld(self) -> dict[Pair, int]:
        """Return the number of market events that were withheld as implausible, by pair."""
        return dict(self._rooms.quarantine.counts)

    def bars(self) -> dict[str, dict[str, int]]:
        """Return the number of bars checked against the exchange's candles and the number that differed, by keys such
        as ``btc_twd 1m``.
        """
        return {} if self._rooms.watch is None else self._rooms.watch.bars.figures

    @property
    def is_comparing(self) -> bool:
        """True while the bot is being reconciled with the exchange."""
        comparison = self._rooms.comparison
        return comparison is not None and not comparison.is_done


class EngineView:
    """Values that can be read between turns."""

    def __init__(self, rooms: BotRooms) -> None:
        self._rooms = rooms
        self.money = MoneyView(rooms)
        self.router = RouterView(rooms)
        self.checks = ChecksView(rooms)

    @property
    def now(self) -> Nanos:
        """The time of the last turn."""
        return self._rooms.clock.now

    @property
    def events(self) -> int:
        """The number of inputs processed, including rows of spans."""
        return self._rooms.clock.events

    @property
    def halted(self) -> str | None:
        """The reason why the bot accepts no new orders, or None."""
        return self._rooms.risk.halted(None)

    @property
    def halts(self) -> dict[str, str]:
        """The halted strategies, and the reason for each halt."""
        return {level: reason for level, reason in self._rooms.risk.halts.items() if level is not None}

    @property
    def next_client_id(self) -> int:
        """The client id of the next order."""
        return self._rooms.client_ids.next

    def strategies(self) -> list[StrategyView]:
        """Return every strategy, in configuration order."""
        halts = self._rooms.risk.halts
        return [
            StrategyView(
                name=record.name,
                active=record.active,
                stopped_because=record.stopped_because,
                halted=halts.get(record.name),
                orders=record.orders_count,
                sent=record.orders_count - record.refused_count - record.unsent_count,
                fills=record.fills_count,
                skips=dict(record.skips),
                refusals=dict(record.refusals),
                last_skip=dict(record.last_skip),
                parameters=current_parameters(self._rooms.strategies[record.name]),
                declared=parameters_of(type(self._rooms.strategies[record.name])),
            )
            for record in self._rooms.records.values()
        ]

    def names(self) -> list[str]:
        """Return the strategies' names."""
        return list(self._rooms.records)

    def kept(self, strategy: str) -> dict[str, Any]:
        """Return the strategy state that a restart must restore."""
        return self.all_kept()[strategy]

    def all_kept(self) -> dict[str, dict[str, Any]]:
        """Return the state that a restart must restore, for each strategy."""
        rooms = self._rooms
        untold = rooms.untold
        found = {}
        for name, record in rooms.records.items():
            kept = found[name] = record.kept()
            if untold.held or untold.mailed:
                kept["untold"] = untold.kept(name)
        return found

    def lines(self, *, latest: int | None = None) -> list[IndicatorLine]:
        """Return the strategies' plots, and the values of attached indicators if they are kept. With ``latest``, return
        only that many of each line's latest points.
        """
        for market in self._rooms.markets.all():
            market.feed_indicators()
        return [
            line
            for context in self._rooms.contexts.values()
            for line in context.plots.lines(context.subscriptions.first_pair, latest=latest)
        ]

    def orders(self) -> list[Order]:
        """Return every order not yet forgotten, oldest first."""
        return list(self._rooms.table)

    def open_orders(self) -> list[Order]:
        """Return every order that is not final, strategy by strategy."""
        return self._rooms.table.all_open()

    def order(self, client_id: int) -> Order | None:
        """Return the order with this client id, or None."""
        return self._rooms.table.by_client_id.get(client_id)

    def foreign_orders(self) -> list[OrderReport]:
        """The account's open orders that this bot did not place."""
        return list(self._rooms.foreign_orders.values())

    def markets(self) -> list[MarketView]:
        """Return the markets of all pairs in use, by name."""
        return [
            MarketView(
                pair=market.pair,
                last=market.last.price,
                book=market.book,
                book_seen=market.book_seen,
                book_depth=market.book_depth,
                resolutions=tuple(market.bar_feeds),
                is_listened_to=bool(
                    market.trade_listeners or market.book_listeners or market.ticker_listeners or market.book_depth
                ),
                late_trades=max((feed.builder.late for feed in market.bar_feeds.values()), default=0),
            )
            for market in self._rooms.markets.all()
        ]

    def streams(self) -> list[StreamWanted]:
        """Return the streams that a running bot follows: tickers, the books and trades of its traded or watched pairs,
        and the trades that value its fees, or what it holds in pairs that it has left.
        """
        rooms = self._rooms
        books = {} if rooms.watch is None else rooms.watch.followed()
        wanted = [StreamWanted(pair, "books", depth) for pair, depth in books.items()]
        fees = rooms.portfolio.fees
        held = [p.pair for name in rooms.records for p in rooms.portfolio.positions(name) if not p.is_flat]
        left = [
            pair
            for pair in (*held, *(order.pair for order in rooms.table.all_open()))
            if pair in rooms.portfolio.prices
        ]
        followed = dict.fromkeys((*books, *(fees.pairs if fees.is_followed else ()), *left))
        wanted += [StreamWanted(pair, "trades") for pair in followed]
        return wanted + [StreamWanted(m.pair, "tickers") for m in rooms.markets.all() if m.ticker_listeners]

    @property
    def is_trading(self) -> bool:
        """True once the history has arrived and `on_ready` has run."""
        return not self._rooms.gate.is_starting

    def unprotected(self) -> list[tuple[str, Pair]]:
        """Return the positions, as (strategy, pair), that the last run protected but this run does not."""
        protector = self._rooms.protector
        return [
            (record.name, pair) for record in self._rooms.records.values() for pair in protector.unprotected(record)
        ]

    @property
    def has_live_orders(self) -> bool:
        """True while an order is, or may be, at the exchange."""
        return self._rooms.table.has_live

    def has_timers(self) -> bool:
        """Return True while a timer is set."""
        return not self._rooms.timers.is_empty


def _position(position: Position) -> PositionView:
    return PositionView(
        pair=position.pair,
        amount_units=position.amount_units,
        given_units=max(0, position.given_units),
        amount=position.amount,
        average_entry=position.average_entry,
        realised=position.realised,
        unrealised=position.unrealised,
        is_flat=position.is_flat,
    )
