"""The emulated exchange without I/O: the simulated exchange, its market, and its deliveries to accounts over time.

Time is passed in as an argument. `submit` accepts a private request; `advance` moves the clock forward and returns
`Delivery` objects in the documented total order: by time, then answers and account events, books, trades; then by pair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from botkit.emulator.options import EmulatorOptions
from botkit.emulator.past import TakenIds
from botkit.emulator.rows import AccountRows, at_least, fixed
from botkit.emulator.sources import MarketSource
from botkit.errors import ConfigError
from botkit.exchange.bitopro.wire.market import TickerRow, TradeRow
from botkit.model.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S, Nanos
from botkit.model.columns import CandleColumns, MarketColumns, TradeColumns
from botkit.model.events import BalanceReport, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.extension import ExchangeFacts
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, Request
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import RankFees
from botkit.sim.fills import Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant
from botkit.sim.publish import ACCOUNT_EVENTS, BOOKS, TRADES
from botkit.sim.venue_limits import VenueLimits

#: the address of every request, because the emulator binds to loopback only
ADDRESS = "127.0.0.1"
#: how far ahead of the clock the market is generated
_AHEAD: Nanos = 4 * NS_PER_S
_NEVER: Nanos = 1 << 62

OnAnswer: TypeAlias = Callable[[Answer, Nanos], None]


class Delivery(msgspec.Struct, frozen=True):
    """An item that becomes known at ``at`` to one account, or to everyone if ``account`` is None.

    For public trades, ``item`` is just the pair. If a frame is sent for this delivery, ``trades`` is the list of recent
    trades, newest first. Every frame repeats that list, so not every trade in a burst needs a frame. For an answer,
    ``item`` is the answer. Deliveries with equal ``group`` numbers (other than 0) are part of one match, although each
    has its own frame. ``acted`` is the time at which the exchange acted; it becomes the frame's timestamp.
    """

    at: Nanos
    kind: int
    pair: str
    account: str | None
    item: Answer | OrderReport | TradeReport | BalanceReport | OrderBook | Pair
    trades: tuple[TradeRow, ...] | None = None
    group: int = 0
    acted: Nanos = 0


#: a delivery, preceded by its sort key in the total order and followed by its trade, if there is one
_Found: TypeAlias = tuple[Nanos, int, str, int, Delivery, TradeRow | None]


class _Tape:
    """One pair's recorded trades before they reach the public list."""

    __slots__ = ("_rows", "next_at", "pair")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._rows: deque[tuple[Nanos, int, int, int, int]] = deque()
        self.next_at: Nanos | None = None

    def add(self, columns: TradeColumns) -> None:
        self._rows.extend(
            zip(
                columns.received.tolist(),
                columns.time.tolist(),
                columns.ticks.tolist(),
                columns.lots.tolist(),
                columns.side.tolist(),
                strict=True,
            )
        )
        self.next_at = self._rows[0][0] if self._rows else None

    def take(self, to: Nanos) -> list[tuple[Nanos, int, int, int, int]]:
        rows, taken = self._rows, []
        while rows and rows[0][0] <= to:
            taken.append(rows.popleft())
        self.next_at = rows[0][0] if rows else None
        return taken


class EmulatedVenue:
    """The emulated exchange. ``facts`` are the exchange's pairs, limits and fees."""

    def __init__(self, facts: ExchangeFacts, options: EmulatorOptions, source: MarketSource, start: Nanos) -> None:
        self.facts = facts
        self.options = options
        self.switches = switches = options.switches
        coarse = switches["amount_step"] == "amount"
        self.pairs: dict[str, Pair] = {
            name: pair.with_rules(pair.rules.in_display_steps()) if coarse else pair
            for name, pair in facts.pairs.items()
        }
        self.currencies = sorted({c for pair in self.pairs.values() for c in (pair.base, pair.quote)})
        for account in options.all_accounts():
            unknown = sorted(set(account.balances) - set(self.currencies))
            if unknown:
                raise ConfigError(f"--balance {unknown[0]}: the exchange does not list this currency")
        self.accounts = {account.email: account for account in options.all_accounts()}
        assert len(self.accounts) == len(options.all_accounts()), "two accounts share an email"
        self.kernel = Kernel(
            pairs=self.pairs,
            accounts={
                email: AccountSetup(
                    balances=dict.fromkeys(self.currencies, 0) | dict(account.balances),
                    fees=account.fees or options.fees or RankFees({"rank": 0}, facts),
                    address=ADDRESS,
                )
                for email, account in self.accounts.items()
            },
            queue=options.queue or Queue(),
            latency=options.latency or Constant({}),
            limits=None,  # counted below, because requests that never reach the kernel count as well
            book_cadence_ms=switches.number("book_cadence_ms"),
            max_book_age_s=options.max_book_age_s,
            seed=options.seed,
            batch_all_or_nothing=switches["batch"] == "all_or_nothing",
            keep_candles=True,
            volume_currency=facts.volume_currency,
            discount_currency=facts.discount_currency,
            ids=(ids := TakenIds()),
        )
        self.limits = VenueLimits(facts.limits if switches.on("rate_limits") else None)
        self.rows = {
            email: AccountRows(
                self.kernel.account(email),
                whole_seconds=switches.on("whole_seconds"),
                fee_scaled=switches.on("user_trade_fee_scaled"),
            )
            for email in self.accounts
        }
        for rows in self.rows.values():
            ids.follow(rows.past)
        self._trades_max = switches.number("trades_rows")
        self._lists: dict[str, deque[TradeRow]] = {name: deque(maxlen=self._trades_max) for name in self.pairs}
        self._tapes: dict[str, _Tape] = {name: _Tape(pair) for name, pair in self.pairs.items()}
        self._tape_next: Nanos = _NEVER  # the earliest time on any of the tapes
        # readers align each list of trades with the previous list, so at least half of the trades must be in both lists
        self._trades_a_frame = max(1, self._trades_max // 2)
        self._answers: dict[int, OnAnswer] = {}
        self._groups = 0
        self._request_id = 0
        self._tickers: dict[str, tuple[Nanos, TickerRow]] = {}
        self.started = start
        self.kernel.advance(start)
        self._source = source
        for candles in source.history():
            self.kernel.candle_history(self.pairs[candles.pair]).preload(candles)
            self._note_last(candles)
        self._load(start)

    @property
    def now(self) -> Nanos:
        """The current time."""
        return self.kernel.now

    @property
    def market_name(self) -> str:
        """A description of the market, shown in the state."""
        return self._source.name

    @property
    def is_synthetic(self) -> bool:
        """True if the market is synthetic."""
        return self._source.synthetic

    @property
    def market_ended(self) -> bool:
        """True if the tape has no more rows, so that books no longer change."""
        return self._source.ended

    # -- the market -----------------------------------------------------------------------------------------------

    def _note_last(self, candles: CandleColumns) -> None:
        """Initialize the public list of trades with the last prices in the history, so that it is not empty at
        first.
        """
        pair = self.pairs[candles.pair]
        for minute, close, lots in list(
            zip(candles.time.tolist(), candles.close.tolist(), candles.lots.tolist(), strict=True)
        )[-5:]:
            if lots and minute + NS_PER_MINUTE <= self.started:
                self._lists[pair].appendleft(_trade_row(pair, minute + NS_PER_MINUTE - NS_PER_S, close, lots, 1))

    def _load(self, now: Nanos) -> None:
        while self._source.known_until < now + _AHEAD and not self._source.ended:
            before = self._source.known_until
            for columns in self._source.chunk(now + 2 * _AHEAD):
                self._take(columns)
            assert self._source.ended or self._source.known_until > before

    def _take(self, columns: MarketColumns) -> None:
        if columns.pair not in self.pairs or not len(columns):
            return
        self.kernel.load(columns)
        if isinstance(columns, TradeColumns):
            tape = self._tapes[columns.pair]
            tape.add(columns)
            assert tape.next_at is not None
            self._tape_next = min(self._tape_next, tape.next_at)

    # -- for the shell --------------------------------------------------------------------------------------

    def submit(self, account: str, make: Callable[[int], Request], now: Nanos, on_answer: OnAnswer) -> None:
        """Submit a request for an account. ``make`` creates the request from its number. `advance` returns the
        answer.
        """
        self._request_id += 1
        self._answers[self._request_id] = on_answer
        self.kernel.submit(account, make(self._request_id), now)

    def answer(self, delivery: Delivery) -> None:
        """Pass an answer to the request that is waiting for it."""
        assert isinstance(delivery.item, Answer)
        on_answer = self._answers.pop(delivery.item.request_id, None)
        if on_answer is not None:
            on_answer(delivery.item, delivery.at)

    def next_at(self) -> Nanos | None:
        """Return the earliest time at which a delivery may occur. It may turn out that no delivery occurs at that
        time.
        """
        known = self.kernel.next_at()
        at = self._tape_next if known is None else min(known, self._tape_next)
        return None if at == _NEVER else at

    @property
    def is_paused(self) -> bool:
        """True between simultaneous books and trades."""
        return self.kernel.is_paused

    def advance(self, to: Nanos, *, pause: bool = False) -> list[Delivery]:
        """Advance time to ``to`` and return the deliveries up to then, in order. With ``pause``, this may stop after
        the books of one timestamp if orders arrive instantly; `next_at` then still returns that timestamp.
        """
        if self._source.known_until < to + _AHEAD:
            self._load(to)
        for rows in self.rows.values():
            rows.spill(self.now)
        found: list[_Found] = []
        count = 0
        for publication in self.kernel.advance(to, pause=pause):
            at = publication.at
            group = 0
            if isinstance(publication.event, tuple):
                group = self._groups = self._groups + 1
            for event in publication.events:
                count += 1
                if isinstance(event, Trade):
                    row = _print_row(event, at)
                    told = Delivery(at, TRADES, event.pair, None, event.pair)
                    found.append((at, TRADES, event.pair, count, told, row))
                elif isinstance(event, OrderBook):
                    found.append((at, BOOKS, event.pair, count, Delivery(at, BOOKS, event.pair, None, event), None))
                else:
                    told = Delivery(
                        at, ACCOUNT_EVENTS, "", publication.account, event, group=group, acted=publication.acted
                    )
                    found.append((at, ACCOUNT_EVENTS, "", count, told, None))
        if self.kernel.is_paused:
            to = self.kernel.now - 1  # the trades with this timestamp come after requests that the bot sends now
        due = list(self._tapes.items()) if self._tape_next <= to else []
        for name, tape in due:
            if tape.next_at is not None and tape.next_at <= to:
                for received, time, ticks, lots, side in tape.take(to):
                    count += 1
                    row = _trade_row(tape.pair, time, ticks, lots, side)
                    told = Delivery(received, TRADES, name, None, tape.pair)
                    found.append((received, TRADES, name, count, told, row))
        if due:
            self._tape_next = min((tape.next_at for _, tape in due if tape.next_at is not None), default=_NEVER)
        if len(found) > 1:
            found.sort(key=_order)
        return self._listed(found)

    def _listed(self, found: list[_Found]) -> list[Delivery]:
        """Add trades to the lists of recent trades. If a burst does not fit in one list, send several lists."""
        last = {row[2]: index for index, row in enumerate(found) if row[5] is not None}
        untold = dict.fromkeys(last, 0)
        deliveries = []
        for index, (_, _, name, _, delivery, trade) in enumerate(found):
            if trade is not None:
                self._lists[name].appendleft(trade)
                untold[name] += 1
                if index == last[name] or untold[name] == self._trades_a_frame:
                    untold[name] = 0
                    delivery = msgspec.structs.replace(delivery, trades=tuple(self._lists[name]))
            deliveries.append(delivery)
        return deliveries

    # -- reads ----------------------------------------------------------------------------------------------------

    def recent_trades(self, pair: Pair) -> tuple[TradeRow, ...]:
        """Return the public list of recent trades, newest first, in the streams' format."""
        return tuple(self._lists[pair])

    def publish_books(self, pair: Pair, depth: int) -> None:
        """From now on, push the pair's books, with the best ``depth`` levels per side."""
        self.kernel.publish_books(pair, depth, is_wire=self._source.is_wire(pair))

    def book(self, pair: Pair, depth: int) -> OrderBook:
        """Return the exact book."""
        return self.kernel.book(pair, depth)

    def candles(self, pair: Pair, resolution: str, start: Nanos, end: Nanos) -> list[tuple[Nanos, list[int]]]:
        """Return [open, high, low, close, lots] for each bucket, including the unfinished candle."""
        return self.kernel.candle_history(pair).rows(resolution, start, end)

    def ticker(self, pair: Pair, *, fresh: bool = False) -> TickerRow:
        """Return 24-hour statistics, which are at most a second old, or current with ``fresh``."""
        kept = self._tickers.get(pair)
        if not fresh and kept is not None and self.now - kept[0] < NS_PER_S:
            return kept[1]
        rows = self.candles(pair, "1m", self.now - NS_PER_DAY, self.now + NS_PER_MINUTE)
        last = self.kernel.last_price(pair) or (rows[-1][1][3] if rows else 0)
        first = rows[0][1][0] if rows else last
        high = max([last, *(row[1] for _, row in rows)])
        low = min([last, *(row[2] for _, row in rows)])
        change = (last - first) * 10_000 // first if first else 0
        price_decimals = pair.rules.price_decimals
        trades = self._lists[pair]
        row = TickerRow(
            pair=str(pair),
            last_price=_eight(last, price_decimals),
            is_buyer=trades[0].is_buyer if trades else False,
            price_change_24hr=f"{'-' if change < 0 else ''}{fixed(abs(change), 2)}" if change else "0",
            volume_24hr=_eight(sum(row[4] for _, row in rows), pair.rules.amount_decimals),
            high_24hr=_eight(high, price_decimals),
            low_24hr=_eight(low, price_decimals),
        )
        self._tickers[pair] = (self.now, row)
        return row

    def last_price(self, name: str) -> float | None:
        """Return a pair's last price in its quote currency, or None."""
        pair = self.pairs.get(name)
        if pair is None:
            return None
        ticks = self.kernel.last_price(pair)
        if ticks is None:
            rows = self.candles(pair, "1d", self.now - 2 * NS_PER_DAY, self.now + NS_PER_DAY)
            ticks = rows[-1][1][3] if rows else None
        return None if ticks is None else pair.rules.price(ticks)

    def set_maintenance(self, pair: Pair, *, on: bool) -> None:
        """Suspend or resume trading in a pair."""
        changed = pair.with_rules(msgspec.structs.replace(pair.rules, maintenance=on))
        self.pairs[pair] = changed
        self.kernel.pairs[pair] = changed

    def figures(self) -> Mapping[str, object]:
        """Return totals for the state: the numbers of orders and executions per account."""
        return {
            email: {
                "orders": len(rows.account.orders),
                "open": len(rows.account.open),
                "trades": rows.account.trades.total,
            }
            for email, rows in self.rows.items()
        }


def _order(row: _Found) -> tuple[Nanos, int, str, int]:
    return row[:4]


def _print_row(trade: Trade, at: Nanos) -> TradeRow:
    rules = trade.pair.rules
    ticks, lots = rules.ticks(trade.price, up=False), round(trade.amount * 10**rules.amount_decimals)
    return _trade_row(trade.pair, at, ticks, lots, 1 if trade.side is Side.BUY else -1)


def _trade_row(pair: Pair, time: Nanos, ticks: int, lots: int, side: int) -> TradeRow:
    rules = pair.rules
    return TradeRow(
        timestamp=time // NS_PER_S,
        price=rules.price_text(ticks),
        amount=at_least(lots, rules.amount_decimals, rules.display_decimals),
        is_buyer=side >= 0,
    )


def _eight(value: int, decimals: int) -> str:
    """Format with eight fixed decimals, as in REST tickers and trades."""
    return fixed(value * int(10 ** (8 - decimals)), 8)
