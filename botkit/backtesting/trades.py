"""Finds the trades in a run's fills by matching each closing order with the fills that opened the position.

A trade is the part of a position closed by a single reducing order. The order closes the lots that its strategy bought
(or, for a buy, sold short) in the same pair, first in, first out. Coins that were handed over were never bought. They
are sold only after all coins that the strategy bought; a trade in handed-over coins is marked and excluded from win
rates. Three or more orders that convert a currency through others and back form a loop: a single trade, measured in the
starting currency.

All amounts are exact integers in units of 1e-8. When a lot is split, the rounding remainder stays in the lot.
Therefore, in each pair's quote currency, the profits of the trades and the unrealized profits of the open lots add up
to the exact change in equity. (Only a fee paid in a third currency must be converted, and is rounded once.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from botkit.backtesting.loops import Leg, Loop, find_loops, leg_of
from botkit.backtesting.packed_rows import TRADES, PackedRows
from botkit.backtesting.spilled_columns import BLOCK_ROWS, SpilledColumns
from botkit.model.clock import Nanos
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import ClosedTrade, FillRow, OpenLot, TradeKind
from botkit.model.row_columns import column_blocks, row_values

#: the tags of the engine's own exit orders; a trade closed by such an order uses the tag as its exit reason
EXITS = ("stop_loss", "take_profit", "trailing_stop")


class Matched(msgspec.Struct):
    """A run's trades, ordered by exit, and the lots still open at the end of the run."""

    trades: PackedRows[ClosedTrade]
    open: list[OpenLot]


class _Stake:
    """A number of base units and the corresponding quote units, with fees (``net``) and without (``gross``)."""

    __slots__ = ("gross", "net", "sign", "tag", "time", "units")

    def __init__(self, sign: int, units: int, net: int, gross: int, time: Nanos, tag: str) -> None:
        self.sign, self.units, self.net, self.gross = sign, units, net, gross
        self.time, self.tag = time, tag

    def take(self, units: int) -> tuple[int, int]:
        """Remove base units. Returns the corresponding share of the quote units as (net, gross). The rounding remainder
        stays in the stake.
        """
        net, gross = self.net * units // self.units, self.gross * units // self.units
        self.units -= units
        self.net -= net
        self.gross -= gross
        return net, gross


class _Part(_Stake):
    """The units moved by a fill, or by part of an order."""

    __slots__ = ("client_id", "pair", "rate", "strategy")

    def __init__(self, leg: Leg, units: int, net: int, gross: int) -> None:
        super().__init__(leg.sign, units, net, gross, leg.end, leg.tag)
        self.strategy, self.pair, self.client_id = leg.strategy, leg.pair, leg.client_id
        #: the value of one quote coin in the valuation currency
        self.rate = leg.quote_rate


class _OpenStake(_Stake):
    """A stake opened by an earlier fill, or coins that were handed over."""

    __slots__ = ("client_id", "is_given")

    def __init__(self, stake: _Stake, client_id: int = 0, *, is_given: bool = False) -> None:
        super().__init__(stake.sign, stake.units, stake.net, stake.gross, stake.time, stake.tag)
        #: the client id of the order that opened the stake; 0 for coins that were handed over
        self.client_id = client_id
        self.is_given = is_given


class _Trade:
    """A trade under construction, built from the fills of the closing order."""

    __slots__ = (
        "client_id",
        "closed",
        "entry_gross",
        "entry_net",
        "entry_tag",
        "exit_gross",
        "exit_net",
        "exit_tag",
        "is_given",
        "number",
        "opened",
        "pair",
        "pnl",
        "sign",
        "steps",
        "strategy",
        "units",
    )

    def __init__(self, part: _Part, lot: _OpenStake, number: int) -> None:
        #: trades closed at the same time are ordered by their first fills
        self.number = number
        self.strategy, self.pair, self.client_id, self.exit_tag = part.strategy, part.pair, part.client_id, part.tag
        self.sign, self.is_given, self.entry_tag, self.opened = lot.sign, lot.is_given, lot.tag, lot.time
        self.closed = part.time
        self.units = self.entry_net = self.entry_gross = self.exit_net = self.exit_gross = 0
        self.pnl = 0.0
        self.steps: list[tuple[Nanos, int, int]] = []

    def add(self, part: _Part, lot: _OpenStake) -> None:
        """Close as much of the lot as the part covers."""
        units = min(part.units, lot.units)
        entry_net, entry_gross = lot.take(units)
        exit_net, exit_gross = part.take(units)
        self.units += units
        self.entry_net += entry_net
        self.entry_gross += entry_gross
        self.exit_net += exit_net
        self.exit_gross += exit_gross
        self.closed = part.time
        self.opened = min(self.opened, lot.time)
        self.pnl += self.sign * (exit_net - entry_net) / UNIT * part.rate
        self.steps.append((lot.time, self.sign * units, -self.sign * entry_gross))
        self.steps.append((part.time, -self.sign * units, self.sign * exit_gross))

    def row(self, at_stop: Collection[int]) -> ClosedTrade:
        pnl = self.sign * (self.exit_net - self.entry_net)
        kind: TradeKind = "long" if self.sign > 0 else "short"
        return ClosedTrade(
            strategy=self.strategy,
            pairs=(self.pair,),
            kind=kind,
            currency=self.pair.quote,
            opened=self.opened,
            closed=self.closed,
            units=self.units,
            entry_units=self.entry_gross,
            exit_units=self.exit_gross,
            fee_units=self.sign * (self.exit_gross - self.entry_gross) - pnl,
            pnl_units=pnl,
            pnl=self.pnl,
            is_given=self.is_given,
            entry_tag=self.entry_tag,
            exit_tag=self.exit_tag,
            exit_reason=exit_reason(self.exit_tag, self.client_id, at_stop),
            client_id=self.client_id,
            steps=tuple(sorted(self.steps, key=lambda step: step[0])),
        )


class _Closed:
    """The trades that are complete, in a file if there are many."""

    def __init__(self) -> None:
        self.trades = PackedRows(TRADES)
        self._last = (0, 0)
        self._is_ordered = True
        self._numbers = SpilledColumns("q")
        self._new: list[int] = []

    def add(self, trade: ClosedTrade, number: int) -> None:
        """Add a trade, whose place among those with the same exit is given by ``number``."""
        key = (trade.closed, number)
        self._is_ordered = self._is_ordered and key >= self._last
        self._last = key
        self.trades.append(trade)
        self._new.append(number)
        if len(self._new) == BLOCK_ROWS:
            self._write()

    def ordered(self) -> PackedRows[ClosedTrade]:
        """Return all trades, ordered by exit. A few may have been completed after later ones, by an order whose last
        fills closed nothing.
        """
        if not self._is_ordered:
            self._write()
            closed = np.fromiter(row_values(self.trades, "closed"), np.int64, len(self.trades))
            self.trades.reorder(np.lexsort((self._numbers.rows(0, 0, len(self.trades)), closed)))
        return self.trades

    def _write(self) -> None:
        self._numbers.extend(np.array(self._new, np.int64))
        self._new.clear()


class _Book:
    """One strategy's lots in one pair: the lots that it opened, all with the same sign and oldest first, and coins that
    were handed over.
    """

    __slots__ = ("given", "own")

    def __init__(self) -> None:
        self.own: deque[_OpenStake] = deque()
        self.given: deque[_OpenStake] = deque()

    def closable(self, sign: int) -> deque[_OpenStake] | None:
        """Return the lots that a part with this sign would close next, or None if there are none."""
        if self.own and self.own[0].sign != sign:
            return self.own
        return self.given if self.given and sign < 0 else None


def match_trades(
    fills: Sequence[FillRow],
    opening: Mapping[tuple[str, str], tuple[int, float]] | None = None,
    *,
    start: Nanos = 0,
    at_stop: Collection[int] = (),
    links: Mapping[int, int] | None = None,
) -> Matched:
    """Match a run's fills into trades. The fills must be in chronological order.

    ``opening`` maps (strategy, pair) to the base units that were handed over and their first price in quote currency.
    These units are treated as held since ``start``. ``at_stop`` contains the client ids of the orders that the bot
    placed while stopping. ``links`` maps the client id of an order to the client id of the order that it closes, as
    specified by the strategy (``closes=``). The lots of the linked order are closed first.
    """
    books: dict[tuple[str, str], _Book] = {}
    pairs: dict[tuple[str, str], Pair] = {}
    for strategies, traded in column_blocks(fills, "strategy", "pair"):
        pairs.update(((strategy, str(pair)), pair) for strategy, pair in set(zip(strategies, traded, strict=True)))
    for key, (units, price) in (opening or {}).items():
        if units > 0:
            cost = round(units * price)
            books.setdefault(key, _Book()).given.append(
                _OpenStake(_Stake(1, units, cost, cost, start, ""), is_given=True)
            )
    building: dict[tuple[str, int, bool], _Trade] = {}
    count, closed = 0, _Closed()
    loops: list[ClosedTrade] = []
    for (strategy, client_id), part, is_last in _parts(fills, loops, at_stop):
        if part is not None:
            book = books.setdefault((strategy, str(part.pair)), _Book())
            while part.units and (lots := book.closable(part.sign)) is not None:
                lot = _next_lot(lots, (links or {}).get(client_id))
                trade = building.get((strategy, client_id, lot.is_given))
                if trade is None:
                    trade = building[strategy, client_id, lot.is_given] = _Trade(part, lot, count)
                    count += 1
                trade.add(part, lot)
                if not lot.units:
                    lots.remove(lot)
            if part.units:
                book.own.append(_OpenStake(part, part.client_id))
        if is_last:
            for is_given in (False, True):
                trade = building.pop((strategy, client_id, is_given), None)
                if trade is not None:
                    closed.add(trade.row(at_stop), trade.number)
    for loop in loops:
        closed.add(loop, count)
        count += 1
    left = [
        OpenLot(
            strategy=key[0],
            pair=pairs[key],
            opened=lot.time,
            units=lot.sign * lot.units,
            cost_units=lot.sign * lot.net,
            is_given=lot.is_given,
        )
        for key, book in books.items()
        if key in pairs
        for lot in (*book.given, *book.own)
    ]
    return Matched(closed.ordered(), left)


def _next_lot(lots: deque[_OpenStake], opened_by: int | None) -> _OpenStake:
    """Return the lot to close next: the oldest lot opened by the order ``opened_by``, or otherwise the oldest lot
    overall.
    """
    if opened_by is not None:
        for lot in lots:
            if lot.client_id == opened_by:
                return lot
    return lots[0]


def exit_reason(tag: str, client_id: int, at_stop: Collection[int]) -> str:
    """Return the reason for a closing order: ``stop_loss``, ``take_profit``, ``trailing_stop``, ``bot_stop`` or
    ``signal``.
    """
    if tag in EXITS:
        return tag
    return "bot_stop" if client_id in at_stop or tag == "flatten" else "signal"


def _parts(
    fills: Sequence[FillRow], found: list[ClosedTrade], at_stop: Collection[int]
) -> Iterator[tuple[tuple[str, int], _Part | None, bool]]:
    """Yield for each fill, in chronological order, its order as (strategy, client id), the units that it moved, and
    whether it is the order's last fill. Loops are added to ``found`` as trades. For an order in a loop, only the part
    outside the loop is moved, at the time of the order's last fill.
    """
    loops = find_loops(fills)
    found += [_loop_row(loop, at_stop) for loop in loops]
    rest: dict[tuple[str, int], _Part | None] = {}
    for loop in loops:
        for leg, (spent, got) in zip(loop.legs, loop.passed, strict=True):
            base, quote = (got, spent) if leg.sign > 0 else (spent, got)
            units = leg.base_units - base
            gross = leg.gross_units * units // leg.base_units
            rest[leg.strategy, leg.client_id] = _Part(leg, units, leg.quote_units - quote, gross) if units else None
    for fill, is_last in zip(fills, _last_fills(fills), strict=True):
        key = (fill.strategy, fill.client_id)
        part = None
        if key not in rest:
            leg = leg_of(fill)
            if leg.base_units > 0:
                part = _Part(leg, leg.base_units, leg.net_units, leg.gross_units)
        elif is_last:
            part = rest[key]
        yield key, part, is_last


def _last_fills(fills: Sequence[FillRow]) -> Iterator[bool]:
    """Yield for each fill whether it is its order's last one.

    The fills are read from the last to the first. Client ids increase over time, so only the orders that may have
    earlier fills are remembered, and they are few.
    """
    highest: list[int] = []
    for (ids,) in column_blocks(fills, "client_id"):
        highest.append(max(ids[0] if not highest else highest[-1], *ids))
    flags: list[bytearray] = []
    seen: set[tuple[str, int]] = set()
    for number, (strategies, ids) in enumerate(column_blocks(fills, "strategy", "client_id", backwards=True), 1):
        block = bytearray(len(ids))
        for row in range(len(ids) - 1, -1, -1):
            key = (strategies[row], ids[row])
            if key not in seen:
                seen.add(key)
                block[row] = True
        flags.append(block)
        if number < len(highest):
            seen = {key for key in seen if key[1] <= highest[-number - 1]}
    return (bool(flag) for block in reversed(flags) for flag in block)


def _loop_row(loop: Loop, at_stop: Collection[int]) -> ClosedTrade:
    first, last, rate = loop.legs[0], loop.legs[-1], loop.home_rate
    spent, got = loop.passed[0][0], loop.passed[-1][1]
    fee = round(loop.other_fee / rate * UNIT) if loop.other_fee and rate else 0
    pnl = got - spent - fee
    return ClosedTrade(
        strategy=first.strategy,
        pairs=tuple(leg.pair for leg in loop.legs),
        kind="loop",
        currency=loop.home,
        opened=first.start,
        closed=last.end,
        units=spent,
        entry_units=spent,
        exit_units=got,
        # fees in the loop's intermediate currencies have already been deducted from the units that each leg passed on
        fee_units=fee,
        pnl_units=pnl,
        pnl=pnl / UNIT * rate,
        entry_tag=first.tag,
        exit_tag=last.tag,
        exit_reason=exit_reason(last.tag, last.client_id, at_stop),
        client_id=last.client_id,
    )
