"""Turns a strategy's calls into orders: rounds amounts and prices to the pair's steps and passes the intents to the
order desk.
"""

from __future__ import annotations

from typing import Literal

from botkit.engine.agenda import BotClock
from botkit.engine.market.markets import Markets
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.checks import is_met, limit_refusal, spend_for
from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.table import OrderTable
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.money import Number, steps_of
from botkit.model.orders import BUY, LIMIT, MARKET, SELL, STOP_LIMIT, Condition, Order, OrderSpec, OrderState, Side
from botkit.model.pairs import Pair

#: a market order that has waited longer than this is not worth sending
MARKET_DEADLINE_S = 5
_EXPIRE_MAX_S = 10**9  # about thirty years: times must stay below 2^63 ns
#: the maximum number of orders that a strategy may place before the time or the event count advances (up to 200 may
#: rest in each pair)
ORDERS_A_MOMENT_MAX = 5_000
#: after a strategy was stopped, its callback is aborted after this many further orders
ORDERS_WHEN_STOPPED_MAX = 1_000
_REFUSED = OrderState.REFUSED

#: the id after this one is never used, because the exchange's own tools assign it to every order
LAST_CLIENT_ID = 2_147_483_646


class Runaway(BaseException):
    """Aborts a callback that keeps placing orders. Not a subclass of Exception, because strategies catch exceptions."""


class ClientIds:
    """Ascending client ids."""

    __slots__ = ("next",)

    def __init__(self, first: int) -> None:
        #: the id of the next order
        self.next = first

    def take(self) -> int:
        """Return the next id."""
        found = self.next
        self.next = found + 1 if found < LAST_CLIENT_ID else 1
        return found


class OrderEntry:
    """The order methods of one strategy."""

    def __init__(
        self,
        record: StrategyRecord,
        *,
        clock: BotClock,
        client_ids: ClientIds,
        markets: Markets,
        portfolio: Portfolio,
        table: OrderTable,
        desk: OrderDesk,
    ) -> None:
        self._record = record
        self._clock = clock
        self._client_ids = client_ids
        self._markets = markets
        self._portfolio = portfolio
        self._prices = portfolio.prices
        self._table = table
        self._desk = desk
        #: number of orders placed since the time or the event count last changed
        self._asked = 0
        self._asked_at: Nanos = 0
        self._asked_after = 0

    # -- limit orders ---------------------------------------------------------------------------------------------

    def limit(
        self,
        side_text: Literal["buy", "sell"],
        pair: Pair,
        amount: Number,
        price: Number,
        post_only: bool,
        stop_price: Number | None,
        condition: Literal[">=", "<="] | None,
        on_met: Literal["refuse", "market"],
        expire_s: float | None,
        tag: str,
    ) -> Order:
        """Place a limit or stop-limit order."""
        if type(tag) is not str:
            tag = tag_text(tag)
        now, up = self._clock.now, side_text == "sell"
        side, rules = SELL if up else BUY, pair.rules
        if pair not in self._prices:
            self._markets.check_priced(pair)
        refusal: str | None = None
        ticks = lots = stop_ticks = 0
        try:
            ticks = steps_of(price, rules.price_decimals, up=up, what="price")
            lots = steps_of(amount, rules.amount_decimals, up=False, what="amount")
            lots -= lots % rules.amount_step
            if stop_price is not None:
                stop_ticks = rules.ticks(stop_price, up=up)
            if ticks < 0 or lots < 0 or stop_ticks < 0:
                refusal = _below_zero(amount=(amount, lots), price=(price, ticks), stop_price=(stop_price, stop_ticks))
            if expire_s is not None and not 0 < expire_s <= _EXPIRE_MAX_S:
                raise ValueError(f"expire_s is {expire_s:g}; it must be a number of seconds above 0, or None")
        except (ValueError, TypeError) as error:
            refusal = str(error)
        when = Condition(condition) if condition else None
        if when is None and stop_price is not None:
            when = Condition.AT_MOST if up else Condition.AT_LEAST
        order = Order(
            OrderSpec(
                client_id=self._count(),
                strategy=self._record.name,
                pair=pair,
                side=side,
                type=LIMIT if stop_price is None else STOP_LIMIT,
                created=now,
                price_ticks=max(ticks, 0),
                amount_lots=max(lots, 0),
                stop_ticks=max(stop_ticks, 0),
                condition=None if stop_price is None else when,
                post_only=bool(post_only),
                expires=now + int(expire_s * NS_PER_S) if expire_s and not refusal else None,
                tag=tag,
            )
        )
        if refusal is None and stop_price is not None and on_met == "market" and self._is_met(order):
            self._record.orders_count -= 1  # the market order is counted instead
            if side is SELL:
                return self.market_sell(pair, amount, 1, tag)
            return self.market_buy(pair, None, amount, 1, tag)
        self._desk.place(order, refusal, now)
        if order.state is _REFUSED:
            self._record.refused_count += 1
        return order

    def _is_met(self, order: Order) -> bool:
        """Return True if the only problem with a stop order is that its trigger condition is already met."""
        last_ticks = self._markets.of(order.pair).last.ticks
        if order.post_only or order.stop_ticks <= 0 or last_ticks is None or limit_refusal(order) is not None:
            return False
        return is_met(order, last_ticks)

    # -- market orders --------------------------------------------------------------------------------------------

    def market_buy(
        self, pair: Pair, spend: Number | None, amount: Number | None, max_slippage_pct: float, tag: str
    ) -> Order:
        """Place a market buy, by spend or by amount."""
        refusal: str | None = None
        units = 0
        try:
            if (spend is None) == (amount is None):
                refusal = "pass either spend (quote currency) or amount (base currency)"
            elif spend is not None:
                units = pair.rules.spend_units(spend)
                if units < 0:
                    refusal = _below_zero(spend=(spend, units))
            elif amount is not None:
                lots = pair.rules.lots(amount)
                cost = _below_zero(amount=(amount, lots)) or spend_for(pair, lots, self._markets.of(pair))
                if isinstance(cost, str):
                    refusal = cost
                else:
                    units = cost
        except (ValueError, TypeError) as error:
            refusal = str(error)
        return self._place_market(pair, BUY, max_slippage_pct, tag, refusal, spend_units=max(units, 0))

    def market_sell(
        self, pair: Pair, amount: Number, max_slippage_pct: float, tag: str, *, reduces: bool = False
    ) -> Order:
        """Place a market sell of an amount."""
        refusal: str | None = None
        lots = 0
        try:
            lots = pair.rules.lots(amount)
            if lots < 0:
                refusal = _below_zero(amount=(amount, lots))
        except (ValueError, TypeError) as error:
            refusal = str(error)
        return self._place_market(pair, SELL, max_slippage_pct, tag, refusal, amount_lots=max(lots, 0), reduces=reduces)

    def close(self, pair: Pair, max_slippage_pct: float, tag: str) -> Order:
        """Sell the sellable amount with a market order."""
        position = self._portfolio.position(self._record.name, pair)
        lots = position.sellable_lots
        refusal = None if lots else f"there is nothing to sell in {pair} now (position {position.amount:g} {pair.base})"
        return self._place_market(pair, SELL, max_slippage_pct, tag, refusal, amount_lots=lots, reduces=True)

    def _place_market(
        self,
        pair: Pair,
        side: Side,
        max_slippage_pct: float,
        tag: str,
        refusal: str | None,
        *,
        spend_units: int = 0,
        amount_lots: int = 0,
        reduces: bool = False,
    ) -> Order:
        if type(tag) is not str:
            tag = tag_text(tag)
        if type(max_slippage_pct) is not float and max_slippage_pct is not None:
            max_slippage_pct = float(max_slippage_pct)
        now = self._clock.now
        order = Order(
            OrderSpec(
                client_id=self._count(),
                strategy=self._record.name,
                pair=pair,
                side=side,
                type=MARKET,
                created=now,
                spend_units=spend_units,
                amount_lots=amount_lots,
                expires=now + MARKET_DEADLINE_S * NS_PER_S,
                max_slippage_pct=max_slippage_pct,
                tag=tag,
                reduces=reduces,
            )
        )
        self._desk.place(order, refusal, now)
        if order.state is _REFUSED:
            self._record.refused_count += 1
        return order

    # -- the engine's own orders --------------------------------------------------------------------------------------

    def own_limit(
        self,
        pair: Pair,
        side: Side,
        lots: int,
        ticks: int,
        tag: str,
        *,
        lasts: Nanos | None = None,
        post_only: bool = False,
        reduces: bool = False,
        is_quote: bool = False,
    ) -> Order:
        """Place a limit order for a quote or for a protective exit. An exit order reduces the position and expires
        automatically.
        """
        now = self._clock.now
        order = Order(
            OrderSpec(
                client_id=self._client_ids.take(),
                strategy=self._record.name,
                pair=pair,
                side=side,
                type=LIMIT,
                created=now,
                price_ticks=ticks,
                amount_lots=lots,
                post_only=post_only,
                expires=None if lasts is None else now + lasts,
                tag=tag,
                reduces=reduces,
                is_quote=is_quote,
            )
        )
        self._desk.place(order, None, now)
        # a bot that is halted refuses the same quotes a hundred times a second
        if not order.is_refused:
            self._record.orders_count += 1
        return order

    # -- existing orders ----------------------------------------------------------------------------------------------

    def cancel(self, order: Order) -> None:
        """Cancel one of this strategy's orders."""
        self._own(order)
        self._desk.cancel(order, self._clock.now)

    def cancel_all(self, pair: Pair | None) -> None:
        """Cancel this strategy's orders."""
        for order in self._table.open_of(self._record.name, pair):
            self._desk.cancel(order, self._clock.now)

    def replace(self, old: Order, price: Number | None, amount: Number | None) -> Order:
        """Replace an order with another."""
        self._own(old)
        rules, now = old.pair.rules, self._clock.now
        refusal: str | None = None
        ticks, lots = old.price_ticks, self._desk.replacements.remaining_lots(old)
        try:
            if price is not None:
                ticks = rules.ticks(price, up=old.side is SELL)
            if amount is not None:
                lots = rules.lots(amount)
            refusal = _below_zero(amount=(amount, lots), price=(price, ticks))
        except (ValueError, TypeError) as error:
            refusal = str(error)
        # once triggered, a stop order is a limit order
        triggered = old.type is STOP_LIMIT and old.state in (OrderState.OPEN, OrderState.PARTLY_FILLED)
        new = Order(
            OrderSpec(
                client_id=self._count(),
                strategy=self._record.name,
                pair=old.pair,
                side=old.side,
                type=LIMIT if triggered else old.type,
                created=now,
                price_ticks=max(ticks, 0),
                amount_lots=max(lots, 0),
                stop_ticks=0 if triggered else old.stop_ticks,
                condition=None if triggered else old.condition,
                post_only=old.post_only,
                expires=old.expires,
                tag=old.tag,
            )
        )
        new.closes = old.closes
        if old.type is MARKET:
            refusal = "a market order cannot be replaced"
        self._desk.replace(old, new, refusal, now)
        if new.state is _REFUSED:
            self._record.refused_count += 1
        return new

    def check_closes(self, closes: Order, side: Side, pair: Pair) -> None:
        """Check that an order with this side and pair can close the position that another order opened. Raises
        ValueError if it cannot.
        """
        self._own(closes)
        if closes.pair != pair or closes.side is side:
            raise ValueError(
                f"a {side.value} of {pair} cannot close order {closes.client_id}, a {closes.side.value} of "
                f"{closes.pair}; specify an order on the other side of the same pair"
            )

    # -- within ---------------------------------------------------------------------------------------------------

    def _own(self, order: Order) -> None:
        if order.strategy != self._record.name:
            raise ValueError(
                f"order {order.client_id} belongs to strategy {order.strategy!r}, not to {self._record.name!r}"
            )

    def _count(self) -> int:
        """Count an order and return its client id. Aborts a callback that places too many orders before the time or the
        event count advances.
        """
        record, clock, ids = self._record, self._clock, self._client_ids
        client_id = ids.next
        ids.next = client_id + 1 if client_id < LAST_CLIENT_ID else 1
        record.orders_count += 1
        if clock.now != self._asked_at or clock.events != self._asked_after:
            self._asked_at, self._asked_after, self._asked = clock.now, clock.events, 1
            return client_id
        self._asked += 1
        if self._asked > (ORDERS_A_MOMENT_MAX if record.active else ORDERS_WHEN_STOPPED_MAX):
            # a loop that ignores refusals and the stop would never end, and each of its orders uses memory
            why = f" after it was stopped ({record.stopped_because})" if not record.active else ""
            raise Runaway(f"it placed {self._asked:,} orders at the same timestamp{why}")
        return client_id


def _below_zero(**figures: tuple[Number | None, int]) -> str | None:
    """Refuse negative numbers. Each keyword argument is a pair: (value as given, value in steps)."""
    for name, (given, steps) in figures.items():
        if steps < 0:
            return f"{name} is {given}; it must be above 0"
    return None


def tag_text(tag: object) -> str:
    """Return a tag as plain text. Raises TypeError for a tag that is not text: it would come back as text from the
    journal and no longer be equal to the strategy's.
    """
    if isinstance(tag, str):
        return str.__str__(tag)
    raise TypeError(f"tag is {tag!r}; it must be text, such as tag={str(tag)!r}")
