"""Target positions: a strategy states positions instead of orders, and the engine trades the difference at the market.

The proceeds of a sale are available only once its fill is known. Sales are therefore sent first. A purchase that needs
their proceeds waits until the sales are final, and then spends the available money. A target is dropped when its order
is final, so the strategy must handle any amount that could not be traded (because of a thin book or a refusal).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from botkit.engine.agenda import Changes
from botkit.engine.market.markets import Markets
from botkit.engine.money.portfolio import Portfolio
from botkit.engine.orders.checks import spend_for
from botkit.engine.orders.entry import OrderEntry, tag_text
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.money import Number, from_units, to_decimal
from botkit.model.orders import SELL, Order
from botkit.model.pairs import Pair


class _Target:
    """One target position."""

    __slots__ = ("entry", "lots", "max_slippage_pct", "pair", "record", "tag")

    def __init__(
        self, record: StrategyRecord, entry: OrderEntry, pair: Pair, lots: int, max_slippage_pct: float, tag: str
    ) -> None:
        self.record = record
        self.entry = entry
        self.pair = pair
        self.lots = lots
        self.max_slippage_pct = max_slippage_pct
        self.tag = tag


class Targets:
    """All target positions not reached yet."""

    def __init__(self, *, changes: Changes, markets: Markets, portfolio: Portfolio) -> None:
        self._changes = changes
        self._markets = markets
        self._portfolio = portfolio
        #: targets waiting for proceeds, or for an earlier target's order
        self._waiting: dict[tuple[str, str], _Target] = {}
        #: non-final orders of targets, by client id
        self.orders: dict[int, Order] = {}
        #: strategies with an order that has become final
        self.dirty: dict[str, None] = {}

    def want(
        self,
        record: StrategyRecord,
        entry: OrderEntry,
        pair: Pair,
        amount: Number,
        max_slippage_pct: float,
        tag: str,
    ) -> Order | None:
        """Set a target. Returns the order if it is sent immediately, or None if there is nothing to trade or the order
        must wait.
        """
        self._markets.check_priced(pair)
        lots = pair.rules.lots(amount)
        if lots < 0:
            raise ValueError(f"amount is {amount}; a target must be at least 0, because spot positions cannot be short")
        target = _Target(record, entry, pair, lots, max_slippage_pct, tag if type(tag) is str else tag_text(tag))
        self._waiting[record.name, str(pair)] = target
        return self._pursue(target)

    def rebalance(
        self,
        record: StrategyRecord,
        entry: OrderEntry,
        weights: Mapping[Pair, Number],
        tolerance: float,
        max_slippage_pct: float,
        tag: str,
    ) -> None:
        """Set targets as shares of the total value of the positions and the free quote currency. Sales are sent
        first.
        """
        shares = _checked(weights, tolerance)
        if not shares:
            return
        quote = next(iter(shares)).quote
        held: dict[Pair, Decimal] = {}
        prices: dict[Pair, Decimal] = {}
        for pair in shares:
            ticks = self._markets.of(pair).last.ticks
            if ticks is None:
                record.skip(f"rebalance: {pair} has no price yet", {})
                return
            prices[pair] = Decimal(ticks).scaleb(-pair.rules.price_decimals)
            held[pair] = from_units(self._portfolio.position(record.name, pair).amount_units) * prices[pair]
        total = sum(held.values(), self._portfolio.balance(record.name, quote).exact.total)
        wanted = {pair: total * share for pair, share in shares.items()}
        flying = {order.pair for order in self._flying(record.name)}
        band = total * to_decimal(tolerance)
        # what a pair with an order on its way will hold is not known yet: its target waits for that order
        moved = [pair for pair in shares if pair in flying or abs(wanted[pair] - held[pair]) > band]
        for pair in shares:
            self.forget(record, pair)  # also those that are left alone now, but were to be bought with proceeds
        for pair in sorted(moved, key=lambda pair: wanted[pair] > held[pair]):
            lots = pair.rules.lots(wanted[pair] / prices[pair])
            self.want(record, entry, pair, pair.rules.exact_amount(lots), max_slippage_pct, tag)

    def order_changed(self, order: Order) -> None:
        """Let waiting targets continue, because a target's order is now final."""
        if order.is_final and self.orders.pop(order.client_id, None) is not None:
            self.dirty[order.spec.strategy] = None
            self._changes.count += 1

    def settle(self) -> None:
        """Continue processing waiting targets."""
        while self.dirty:
            name = next(iter(self.dirty))
            del self.dirty[name]
            for target in [target for (owner, _), target in self._waiting.items() if owner == name]:
                self._pursue(target)

    def forget(self, record: StrategyRecord, pair: Pair | None = None) -> None:
        """Forget a strategy's waiting targets, in one pair or in all pairs. Orders that are already sent go on."""
        if pair is not None:
            self._waiting.pop((record.name, str(pair)), None)
            return
        for key in [key for key in self._waiting if key[0] == record.name]:
            del self._waiting[key]

    # -- within ---------------------------------------------------------------------------------------------------

    def _flying(self, strategy: str) -> list[Order]:
        return [order for order in self.orders.values() if order.spec.strategy == strategy]

    def _pursue(self, target: _Target) -> Order | None:
        name, pair = target.record.name, target.pair
        flying = self._flying(name)
        if any(order.pair == pair for order in flying):
            return None  # the amount left to trade is known only once that order is final
        position = self._portfolio.position(name, pair)
        missing = target.lots - position.lots
        order: Order | None = None
        if missing < 0 and -missing >= pair.rules.least_lots:
            # coins locked in other orders cannot be sold; if no coins are sellable, the refusal mentions these locks
            lots = min(-missing, position.sellable_lots) or -missing
            amount = pair.rules.exact_amount(lots)
            order = target.entry.market_sell(
                pair, amount, target.max_slippage_pct, target.tag, reduces=target.lots == 0
            )
        elif missing >= pair.rules.least_lots:
            cost = spend_for(pair, missing, self._markets.of(pair))
            available = self._portfolio.balance(name, pair.quote).available_units
            if isinstance(cost, str):
                amount = pair.rules.exact_amount(missing)
                order = target.entry.market_buy(pair, None, amount, target.max_slippage_pct, target.tag)
            elif cost > available and any(o.side is SELL and o.pair.quote == pair.quote for o in flying):
                return None  # the proceeds of a sale have not arrived yet
            else:
                spend = from_units(min(cost, available))
                order = target.entry.market_buy(pair, spend, None, target.max_slippage_pct, target.tag)
        self._waiting.pop((name, str(pair)), None)
        if order is not None and not order.is_final:
            self.orders[order.client_id] = order
        return order


def _checked(weights: Mapping[Pair, Number], tolerance: float) -> dict[Pair, Decimal]:
    """Convert weights to exact shares. Raises ValueError with a message for the user."""
    shares = {pair: to_decimal(weight, f"the weight of {pair}") for pair, weight in weights.items()}
    for pair, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"the weight of {pair} is {share}; weights are fractions: 0.25 is 25 %")
    if sum(shares.values()) > Decimal("1.000001"):
        raise ValueError(f"the weights add up to {sum(shares.values())}; lower them to 1 or less in total")
    quotes = {pair.quote for pair in shares}
    if len(quotes) > 1:
        raise ValueError(f"rebalance works within one quote currency, but these pairs have {', '.join(sorted(quotes))}")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}; it is a fraction of the total: 0.01 is 1 %")
    return shares
