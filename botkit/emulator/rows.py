"""Converts the simulated exchange's reports to wire rows."""

from __future__ import annotations

from typing import Final

from botkit.emulator.past import AccountPast
from botkit.exchange.bitopro.wire.account import BalanceRow, OwnOrderRow, OwnTradeRow
from botkit.exchange.bitopro.wire.frames import UserTradeRow
from botkit.exchange.bitopro.wire.market import LevelRow
from botkit.exchange.bitopro.wire.statuses import status_of
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos
from botkit.model.events import OrderReport, TradeReport
from botkit.model.money import divide_half_up, format_scaled, format_units
from botkit.model.orders import OrderType, Side
from botkit.model.pairs import Pair
from botkit.sim.draws import keyed
from botkit.sim.order import Account

_SEQ, _MATCH = 11, 12  # keep these kinds of random draws independent
_TYPES: Final = {OrderType.LIMIT: "LIMIT", OrderType.MARKET: "MARKET", OrderType.STOP_LIMIT: "STOP_LIMIT"}


def fixed(value: int, decimals: int) -> str:
    """Format ``value`` x 10^-decimals with all its decimals: (4250, 4) is ``0.4250``."""
    if not decimals:
        return str(value)
    digits = str(value).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def at_least(value: int, decimals: int, shown: int) -> str:
    """Format ``value`` x 10^-decimals without trailing zeros after the first ``shown`` decimals."""
    text = fixed(value, decimals)
    return (
        text[: len(text) - decimals + shown] + text[len(text) - decimals + shown :].rstrip("0")
        if shown
        else (text.rstrip("0").rstrip(".") if decimals else text)
    )


class Executed:
    """The totals of one order's executions: fee in the received currency, fee in BITO, ticks x lots, and lots."""

    __slots__ = ("bito_units", "fee_units", "lots", "ticks_lots")

    def __init__(self) -> None:
        self.fee_units = self.bito_units = self.ticks_lots = self.lots = 0

    @staticmethod
    def figures(sums: Executed | None) -> list[int] | None:
        """Return the totals as a list."""
        return None if sums is None else [sums.fee_units, sums.bito_units, sums.ticks_lots, sums.lots]

    @classmethod
    def of(cls, figures: list[int] | None) -> Executed | None:
        """Return the totals from a list created by `figures`."""
        if figures is None:
            return None
        sums = cls()
        sums.fee_units, sums.bito_units, sums.ticks_lots, sums.lots = figures
        return sums


class AccountRows:
    """One account's rows. Fees are summed from executions, because an order's report does not contain fees."""

    def __init__(self, account: Account, *, whole_seconds: bool, fee_scaled: bool) -> None:
        self.account = account
        self.past = AccountPast(account)
        self._unit_ms = 1000 if whole_seconds else 1
        self._fee_scaled = fee_scaled
        self._executed: dict[str, Executed] = {}
        self._seen = 0

    def _catch_up(self) -> None:
        trades = self.account.trades
        if self._seen == trades.total:
            return
        fresh, self._seen = trades.since(self._seen), trades.total
        for trade in fresh:
            sums = self._executed.get(trade.order_id)
            if sums is None:
                sums = self._executed[trade.order_id] = Executed()
            received = trade.pair.base if trade.side is Side.BUY else trade.pair.quote
            if trade.fee_currency == received:
                sums.fee_units += trade.fee_units
            else:
                sums.bito_units += trade.fee_units
            sums.ticks_lots += trade.price_ticks * trade.lots
            sums.lots += trade.lots

    def _summed(self, order_id: str) -> Executed | None:
        """Return the totals for an order that has left memory."""
        return Executed.of(self.past.sums(order_id))

    def spill(self, now: Nanos) -> None:
        """If there are too many orders in memory, move out those that have long been final."""
        if self.past.is_due():
            self._catch_up()
            for order_id in self.past.spill(now, lambda order_id: Executed.figures(self._executed.get(order_id))):
                self._executed.pop(order_id, None)

    def stamp_ms(self, time: Nanos) -> int:
        """Return an order's timestamp, in milliseconds."""
        unit = self._unit_ms
        return time // NS_PER_MS // unit * unit

    def order(
        self, report: OrderReport, *, stream: bool = False, stamp: bool = True, seconds: bool = False
    ) -> OwnOrderRow:
        """Return an order's row. ``stream`` formats the client id as in streams, and ``seconds`` formats timestamps in
        seconds (Q9).
        """
        self._catch_up()
        pair, rules = report.pair, report.pair.rules
        sums = self._executed.get(report.order_id)
        if sums is None and report.executed_lots:
            sums = self._summed(report.order_id)
        average = "0"
        if sums is not None and sums.lots:
            # two digits finer than a tick; the documentation does not state how the exchange rounds
            average = format_scaled(divide_half_up(sums.ticks_lots * 100, sums.lots), rules.price_decimals + 2)
        is_buy = report.side is Side.BUY
        created, updated = self.stamp_ms(report.created), self.stamp_ms(report.updated)
        if seconds:
            created, updated = created // 1000, updated // 1000
        is_stop = report.type is OrderType.STOP_LIMIT
        return OwnOrderRow(
            id=report.order_id,
            pair=str(pair),
            price="0" if report.type is OrderType.MARKET else rules.price_text(report.price_ticks),
            avg_execution_price=average,
            action="BUY" if is_buy else "SELL",
            type=_TYPES[report.type],
            status=status_of(report.state, report.executed_lots),
            original_amount=rules.amount_text(report.original_lots),
            remaining_amount=rules.amount_text(max(report.original_lots - report.executed_lots, 0)),
            executed_amount=rules.amount_text(report.executed_lots),
            fee=format_units(sums.fee_units) if sums else "0",
            fee_symbol=pair.base if is_buy else pair.quote,
            bito_fee=format_units(sums.bito_units) if sums else "0",
            total=format_units(report.executed_units),
            seq=seq_of(pair, report.order_id),
            time_in_force="POST_ONLY" if report.post_only else "GTC",
            created_timestamp=created,
            updated_timestamp=updated,
            stop_price=rules.price_text(report.stop_ticks) if is_stop else None,
            condition=report.condition.value if is_stop and report.condition is not None else None,
            client_id=None if stream else report.client_id or None,  # 0 means none
            client_id_stream=(report.client_id or None) if stream else None,
            timestamp=updated if stamp else None,
        )

    def own_trade(self, trade: TradeReport) -> OwnTradeRow:
        """Return an execution's row in the listing. Its ``feeSymbol`` is the base currency even for sells (API
        6.10).
        """
        rules = trade.pair.rules
        stamp = trade.time // NS_PER_MS
        named = trade.fee_currency if trade.fee_currency == "bito" else trade.pair.base
        return OwnTradeRow(
            trade_id=trade.trade_id,
            order_id=trade.order_id,
            price=rules.price_text(trade.price_ticks),
            action="BUY" if trade.side is Side.BUY else "SELL",
            base_amount=rules.amount_text(trade.lots),
            quote_amount=format_units(rules.value_units(trade.price_ticks, trade.lots)),
            fee=format_units(trade.fee_units),
            fee_symbol=named.upper(),
            is_taker=not trade.is_maker,
            timestamp=stamp,
            created_timestamp=stamp,
        )

    def user_trade(self, trade: TradeReport) -> UserTradeRow:
        """Return an execution's row in the stream."""
        rules = trade.pair.rules
        order = self.account.orders[trade.order_id]
        second = trade.time // NS_PER_S
        order_id = int(trade.order_id) if trade.order_id.isdigit() else trade.order_id
        return UserTradeRow(
            base=trade.pair.base,
            quote=trade.pair.quote,
            side="bid" if trade.side is Side.BUY else "ask",
            price=rules.price_text(trade.price_ticks),
            volume=rules.amount_text(trade.lots),
            fee=str(trade.fee_units) if self._fee_scaled else format_units(trade.fee_units),
            fee_currency=trade.fee_currency,
            transaction_timestamp=second,
            event_timestamp=second,
            order_id=order_id,
            order_type=_TYPES[order.type],
            match_id=uuid_of(_MATCH, int(trade.trade_id)),
            is_market=order.type is OrderType.MARKET,
            is_maker=trade.is_maker,
        )


def seq_of(pair: Pair, order_id: str) -> str:
    """Return an order's ``seq``: its pair without the underscore, followed by ten digits."""
    digits = int(order_id.removeprefix("SL-"))
    return f"{pair.base.upper()}{pair.quote.upper()}{1_000_000_000 + keyed(0, _SEQ, digits) % 9_000_000_000}"


def uuid_of(kind: int, key: int, seed: int = 0) -> str:
    """Return a UUID (formatted as version 4) that depends only on the arguments."""
    high, low = keyed(seed, kind, key), keyed(seed, kind + 100, key)
    variant = 0x8000 | low >> 50
    variant = 0x8000 | low >> 50
    return f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-4{high & 0xFFF:03x}-{variant:04x}-{low & (1 << 48) - 1:012x}"


def balance_row(currency: str, total: int, available: int) -> BalanceRow:
    """Return a currency's row. ``stake`` is part of a holding program and is always 0 here (Q20)."""
    return BalanceRow(
        currency=currency, amount=format_units(total), available=format_units(available), stake="0", tradable=True
    )


def level_rows(
    levels: tuple[tuple[int, int], ...], pair: Pair, *, shown: int | None = None, price_decimals: int | None = None
) -> tuple[LevelRow, ...]:
    """Return levels as rows with running totals. Amounts are rounded to ``shown`` decimals, or are exact if ``shown``
    is None.

    ``count`` is always 1, because a recorded book does not contain the number of orders per level.
    """
    rules = pair.rules
    decimals, amount_decimals = (
        rules.price_decimals if price_decimals is None else price_decimals,
        rules.amount_decimals,
    )
    unit = 1 if shown is None else 10 ** (amount_decimals - shown)
    rows, total = [], 0
    for ticks, lots in levels:
        total += lots
        if shown is None:
            amount, running = format_scaled(lots, amount_decimals), format_scaled(total, amount_decimals)
        else:
            amount, running = fixed((lots + unit // 2) // unit, shown), fixed((total + unit // 2) // unit, shown)
        rows.append(LevelRow(price=fixed(ticks, decimals), amount=amount, count=1, total=running))
    return tuple(rows)


def merged(levels: tuple[tuple[int, int], ...], by: int, *, up: bool) -> tuple[tuple[int, int], ...]:
    """Merge levels at prices that are multiples of ``by`` ticks, rounding bids down and asks up (assumed). The
    resulting prices are in units of ``by`` ticks.
    """
    amounts: dict[int, int] = {}
    for ticks, lots in levels:
        price = -(-ticks // by) if up else ticks // by
        amounts[price] = amounts.get(price, 0) + lots
    return tuple(amounts.items())
