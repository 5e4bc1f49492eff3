"""The portfolio: the account divided among the strategies, always exact to the unit.

Every unit of every currency is in one part (a sub-account or the pool, `botkit.engine.money.subaccounts`) or
unassigned, and their sum is the account's balance; `Portfolio.check` asserts this. The money that an order may spend is
locked before the order is sent. A fill exchanges locked money for the proceeds. When the order reaches a final state,
the rest of the lock is released.

The exchange's balances do not change these books but are compared with them. A difference that our orders cannot
explain (a deposit, a manual trade) is booked to ``unassigned``. If ``unassigned`` drops below zero, somebody has taken
money that a strategy owns: a `Shortage`.

No strategy owns the coins in an account until they are handed over. Their ownership is decided only here, for every
mode: `open` divides an account without a journal, and from then on the journaled books determine the ownership.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from botkit.engine.money.balance_check import BalanceCheck
from botkit.engine.money.capital import CapitalRecord
from botkit.engine.money.capital_share import CapitalShare
from botkit.engine.money.day_profit import DayProfit
from botkit.engine.money.discrepancies import Discrepancy, Shortage
from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.money.late_fees import LateFees
from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.ownership import AccountOwnership
from botkit.engine.money.peaks import Peaks
from botkit.engine.money.positions import Position
from botkit.engine.money.stakes import Stakes
from botkit.engine.money.subaccounts import POOL, opening_split, pool_currencies
from botkit.engine.money.transfers import CapitalTransfers
from botkit.engine.money.valuation import LastPrice, Valuation
from botkit.model.clock import Nanos
from botkit.model.events import Balance, Fill, TradeReport
from botkit.model.orders import BUY, SELL, Order
from botkit.model.pairs import Pair

__all__ = ["CapitalShare", "Discrepancy", "Portfolio", "Position", "Shortage", "required_units"]


def required_units(order: Order) -> int:
    """Return the units that the unfilled part of an order must lock: quote currency for a buy, base currency for a
    sell.
    """
    if order.spend_units:
        return order.spend_units - order.executed_units
    left = order.amount_lots - order.executed_lots
    if not left:
        return 0
    rules = order.pair.rules
    return rules.base_units(left) if order.side is SELL else rules.value_units_up(order.price_ticks, left)


class Portfolio:
    """The account as shared by the strategies. There is one portfolio per bot and account, and only the engine writes
    to it.

    ``pairs`` are the pairs that will have prices; ``currency`` is the valuation currency. Raises ValueError if the
    configuration cannot work.
    """

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        shares: Sequence[CapitalShare],
        reserve: Mapping[str, int],
        currency: str,
        fee_coin: FeeCoin | None = None,
    ) -> None:
        self.currency = currency
        self.shares = tuple(shares)
        self.reserve = dict(reserve)
        #: the part of the account that is shared by the strategies without capital
        self.pooled = pool_currencies(self.shares, currency)
        self.valuation = Valuation(pairs)
        #: the last prices by pair; after a pair's first price, a driver that skips rows may set ``prices[pair].price``
        #: itself
        self.prices = self.valuation.prices
        for known in self.valuation.currencies:
            self.valuation.check_path(known, currency)
        self.ledger = AccountLedger()
        #: compares the exchange's balances with our books
        self.balances = BalanceCheck(self.ledger)
        self._stakes = Stakes(self.ledger, self.valuation)
        #: positions that this run has no use for, and strategies that are no longer configured: usually both are empty
        self.left_behind = (self._stakes.positions_aside, self._stakes.departed)
        #: fees that had no price when they were paid
        self.fees = LateFees(fee_coin, self.valuation, self._stakes, currency)
        self.capital = CapitalRecord()
        #: the day's profit as loss limits count it: a resume restarts it
        self.days = DayProfit(self.holdings, self.valuation, self.ledger)
        #: the whole day's profit, as it is shown: a resume must not hide the loss before it
        self.today = DayProfit(self.holdings, self.valuation, self.ledger)
        #: the highest equity so far for each level with a drawdown limit
        self.peaks = Peaks(self.holdings, self.valuation, self.ledger)
        self._measured = (self.days, self.today, self.peaks)
        self.transfers = CapitalTransfers(
            self.ledger,
            self._stakes,
            self.capital,
            self._measured,
            self.valuation,
            currency=currency,
            reserve=self.reserve,
        )
        pooled = [share for share in self.shares if share.capital is None]
        #: the ownership of the account, including unassigned funds
        self.ownership = AccountOwnership(self.ledger, self._stakes, self.reserve)
        for share in self.shares:
            name = POOL if share.capital is None else share.strategy
            stake = self._stakes.add(share.strategy, name, shared=name == POOL and len(pooled) > 1)
            for pair in share.pairs:
                self._stakes.position(stake, pair)

    # -- the first start, and later ones --------------------------------------------------------------------------

    def open(self, balances: Mapping[str, int]) -> None:
        """Divide the account at the first start. Raises ValueError if the shares exceed the account's money."""
        ledger = self.ledger
        assert not ledger.account, "open() is for the first start only; a later start calls restore()"
        split, ledger.unassigned = opening_split(
            balances, self.shares, self.reserve, self.valuation.currencies, self.currency
        )
        ledger.account = dict(balances)
        for name, units_by_currency in split.items():
            for currency, units in units_by_currency.items():
                ledger.part(name).funds[currency].available = units
        for share in self.shares:
            self.capital.open(share, None if share.capital is None else split[share.strategy])
            if not isinstance(share.capital, dict):
                continue  # a percentage applies only to the account's money, never to coins
            stake = self._stakes.present[share.strategy]
            for pair in _first_with_each_base(share.pairs):
                coins = share.capital.get(pair.base, 0)
                if coins:
                    stake.positions[pair].open_with(coins)
        self._begin_measuring()
        self.check()

    def _begin_measuring(self) -> None:
        for baselines in self._measured:
            baselines.opened()

    def state(self) -> dict[str, Any]:
        """Return all state that must survive a restart, as plain data (with text keys, and with integers kept as
        integers). It includes restored positions that this run has no use for.
        """
        stakes, aside = self._stakes.everybody(), self._stakes.positions_aside
        days, today = self.days.state(), self.today.state()
        return {
            **self.capital.state(),
            "ledger": self.ledger.state(),
            "positions": {
                name: aside.get(name, {})
                | (
                    {str(pair): position.state() for pair, position in stakes[name].positions.items()}
                    if name in stakes
                    else {}
                )
                for name in dict.fromkeys((*stakes, *aside))
            },
            "flows": self._stakes.flows_aside
            | {name: dict(stake.flows) for name, stake in stakes.items() if stake.flows is not None},
            **days,
            **({"today": today} if today != days else {}),
            **({"peaks": self.peaks.state()} if not self.peaks.is_empty else {}),
            **self.fees.state(),
            "rounding": self.balances.rounding_units,
        }

    def restore(self, state: Mapping[str, Any], *, starting: bool = True, orders: Iterable[Order] = ()) -> None:
        """Restore the result of `state` from an earlier run. Raises ConfigError if the configured capital changed.

        ``orders`` are the orders of that run that are still followed. Their strategies keep their positions, even those
        that are no longer configured and have no money of their own.

        Use ``starting=False`` to change the books of a stopped bot: the configured capital is then not checked, and new
        strategies wait for the next start.
        """
        assert not self.ledger.account, "restore() must come before any other call"
        self.capital.restore(state)
        for share in self.shares:
            self.capital.check(share, kind_only=not starting)
        self.ledger.restore(state["ledger"])
        for name in self.capital.given:
            if name not in self._stakes.present:
                self._stakes.depart(name, name)
        is_left_out = self.fees.restore(state, has_coins=self.ledger.has(self.fees.coin))
        for order in orders:
            self.valuation.add(order.pair)
            if self._stakes.find(order.strategy) is None:
                self._stakes.depart(order.strategy, POOL, shared=order.strategy in state["flows"])
        for name, positions in state["positions"].items():
            stake = self._stakes.find(name)
            for pair, figures in positions.items():
                cell = self.prices.get(pair)
                if stake is not None and cell is not None:
                    self._stakes.position(stake, cell.pair).restore(
                        list(figures) if len(figures) > 5 else [*figures, self._given_before(name, cell.pair, figures)]
                    )
                elif any(figures):
                    whole = list(figures) if len(figures) > 5 else [*figures, figures[0]]
                    self._stakes.positions_aside.setdefault(name, {})[pair] = whole
        for name, flows in state["flows"].items():
            stake = self._stakes.find(name)
            if stake is None:
                self._stakes.flows_aside[name] = dict(flows)
            elif stake.flows is not None:
                stake.flows.update(flows)
        self.days.restore(state, self._stakes.present)
        self.today.restore(state.get("today", state), self._stakes.present)
        if "peaks" in state:
            self.peaks.restore(state["peaks"], self._stakes.present)
        for baselines in self._measured if is_left_out else ():
            baselines.leave_out(self.fees.coin)
        self.balances.rounding_units = state["rounding"]
        for share in self.shares if starting else ():
            if share.strategy not in self.capital.opened:
                self._open_later(share)
        self._begin_measuring()
        self.check()

    def _given_before(self, strategy: str, pair: Pair, figures: Sequence[int]) -> int:
        """Compute a position's given coins from books written before given coins were recorded.

        In those older books, a pool owned all coins of its pairs, and the number of coins that it started with was not
        recorded. Therefore none of its coins are sold as surplus.
        """
        given = self.capital.given.get(strategy)
        if given is None:
            return figures[0]
        share = next((share for share in self.shares if share.strategy == strategy), None)
        is_first = share is not None and pair in _first_with_each_base(share.pairs)
        return given.get(pair.base, 0) if is_first else 0

    def _open_later(self, share: CapitalShare) -> None:
        # a strategy that joins an existing bot is funded with unassigned money, never with other strategies' money
        if share.capital is None:
            self.capital.open(share, None)
            return
        split, _ = opening_split(
            self.ledger.unassigned, [share], self.reserve, self.valuation.currencies, self.currency
        )
        given = split[share.strategy]
        self.capital.open(share, given)
        self.transfers.give_first(share.strategy, given)

    # -- orders ---------------------------------------------------------------------------------------------------

    def lock(self, order: Order) -> str | None:
        """Lock the money that a new order may spend. If its strategy has too little, return the reason, including the
        amounts.
        """
        assert not order.executed_lots, order
        stake = self._stakes.present[order.strategy]
        pair = order.pair
        if order.side is BUY:
            # the order's maximum cost, rounded up
            need = order.spend_units or -(-order.price_ticks * order.amount_lots * pair.value_times // pair.value_over)
            return self.ledger.lock(stake.part, order.client_id, pair.quote, need)
        need = order.amount_lots * pair.lot_units
        refusal = self.ledger.lock(stake.part, order.client_id, pair.base, need)
        if refusal is None:
            (stake.positions.get(pair) or self._stakes.position(stake, pair)).locked_units += need
        return refusal

    def relock(self, order: Order) -> str | None:
        """Lock money again for an order that was presumed dead but is live. Locks as much as is available.

        Returns the missing amount, if any; the order's fills are booked in any case.
        """
        stake = self._stakes.known[order.strategy]
        is_sell = order.side is SELL
        currency = order.pair.base if is_sell else order.pair.quote
        need = required_units(order) - self.ledger.locks.get(order.client_id, 0)
        locked = self.ledger.lock_more(stake.part, order.client_id, currency, need)
        if is_sell:
            self._stakes.position(stake, order.pair).locked_units += locked
        return None if locked >= need else self.ledger.shortfall(stake.part, currency, need - locked)

    def release(self, order: Order) -> None:
        """Release the rest of a final order's lock. A second call does nothing."""
        if order.client_id not in self.ledger.locks:
            return
        stake = self._stakes.known[order.strategy]
        pair = order.pair
        if order.side is BUY:
            self.ledger.unlock(stake.part, order.client_id, pair.quote)
        else:
            units = self.ledger.unlock(stake.part, order.client_id, pair.base)
            if units:
                stake.positions[pair].locked_units -= units

    def fill(self, order: Order, report: TradeReport, now: Nanos) -> Fill:
        """Book one execution of an order: money, coins, fee, position, and the order's own executed figures.

        The caller must ensure that the report was not booked before. If the order's lock and its strategy's funds do
        not cover the fill (a late fill of an abandoned order), the fill is still booked, and the other parts gain a
        claim on the strategy.
        """
        stake = self._stakes.known[order.strategy]
        pair = order.pair
        lots, ticks, fee, fee_currency = report.lots, report.price_ticks, report.fee_units, report.fee_currency
        assert lots > 0, report
        assert ticks > 0, report
        assert fee >= 0, report
        value = ticks * lots * pair.value_times // pair.value_over
        coins = lots * pair.lot_units
        order.executed_lots += lots
        order.executed_units += value
        order.fee_units += fee
        order.updated = now
        # I4: executed + remaining = original, measured in quote currency for a market buy
        assert order.executed_lots <= order.amount_lots or order.spend_units, (order, report)
        assert order.executed_units <= order.spend_units or order.amount_lots, (order, report)

        base, quote, part, ledger = pair.base, pair.quote, stake.part, self.ledger
        position = stake.positions.get(pair) or self._stakes.position(stake, pair)
        if order.spend_units:
            needed = order.spend_units - order.executed_units
        else:
            needed = required_units(order) if order.executed_lots < order.amount_lots else 0
        if order.side is BUY:
            ledger.swap(part, order.client_id, quote, value, needed, base, coins)
            base_units, quote_units = coins, -value
        else:
            position.locked_units -= ledger.swap(part, order.client_id, base, coins, needed, quote, value)
            base_units, quote_units = -coins, value
        if stake.flows is not None:
            stake.record(base, base_units, quote, quote_units, fee_currency, fee)
        if fee:
            ledger.charge(part, fee_currency, fee)
            if fee_currency == base:
                base_units -= fee
            elif fee_currency == quote:
                quote_units -= fee
            else:
                worth = self.valuation.convert(fee, fee_currency, quote)
                if worth is None:  # the fee is in the strategy's balance, and its first price adds it to the position
                    self.fees.paid(stake.name, pair, fee_currency, fee)
                else:
                    quote_units -= worth
        if position.unpriced:
            position.price_opening(ticks)
        position.apply(base_units, quote_units)
        self.balances.rounding_units += 1
        return Fill(
            order=order,
            pair=pair,
            side=order.side,
            time=report.time,
            price_ticks=ticks,
            lots=lots,
            value_units=value,
            fee_units=fee,
            fee_currency=fee_currency,
            is_maker=report.is_maker,
            executed_lots=order.executed_lots,
        )

    # -- reads by strategies and rules ----------------------------------------------------------------------------

    @property
    def account(self) -> Mapping[str, int]:
        """The balance that the exchange should report for each currency, in units."""
        return self.ledger.account

    @property
    def unassigned(self) -> Mapping[str, int]:
        """The funds that no strategy owns, in units per currency; negative means a shortage."""
        return self.ledger.unassigned

    @property
    def strategies(self) -> list[str]:
        """The strategies' names, in the order of the configuration."""
        return list(self._stakes.present)

    def balance(self, strategy: str, currency: str) -> Balance:
        """Return the amount of a currency that a strategy can spend now, and the amount locked by its orders (in the
        pool, by all orders of the pool).
        """
        fund = self._stakes.present[strategy].part.funds.get(currency)
        return Balance(currency, 0, 0) if fund is None else Balance(currency, fund.available, fund.locked)

    def position(self, strategy: str, pair: Pair) -> Position:
        """Return a strategy's position in a pair. Every call returns the same object, which is always current."""
        stake = self._stakes.present[strategy]
        return stake.positions.get(pair) or self._stakes.position(stake, pair)

    def position_lots(self, strategy: str | None, pair: Pair) -> int:
        """Return the number of full lots that a strategy (None: all strategies, including those that are no longer
        configured) holds in a pair.
        """
        if strategy is None:
            lots = sum(self.position_lots(name, pair) for name in self._stakes.present)
            left = self._stakes.left_units(pair)
            return lots + (pair.rules.lots_of_units(left) if left >= 0 else -pair.rules.lots_of_units(-left))
        position = self._stakes.present[strategy].positions.get(pair)
        return 0 if position is None else position.lots

    def left_coins(self, beside: Collection[str]) -> dict[str, int]:
        """Return the coins, in units per currency, of strategies that are no longer configured, in other pairs than
        ``beside``.
        """
        return self._stakes.left_coins(beside)

    def positions(self, strategy: str) -> list[Position]:
        """Return all positions of a strategy, starting with its listed pairs."""
        return list(self._stakes.present[strategy].positions.values())

    # -- prices and values -----------------------------------------------------------------------------------------

    def mark(self, pair: Pair, price: float) -> None:
        """Record that the pair traded at ``price``. The pair's first price determines the cost of the opening coins."""
        cell = self.prices[pair]
        if cell.price is None:
            self._first_price(cell, price)
        else:
            cell.price = price

    def _first_price(self, cell: LastPrice, price: float) -> None:
        cell.price = price
        ticks = cell.ticks
        if ticks is None:  # below one tick, so the price cannot be used for valuation
            cell.price = None
            return
        for stake in self._stakes.present.values():
            position = stake.positions.get(cell.pair)
            if position is not None:
                position.price_opening(ticks)
        for baselines in self._measured:
            baselines.first_price()
        self.fees.first_price()

    def last_price(self, pair: Pair) -> float | None:
        """Return the last marked price, or None before the first one."""
        cell = self.prices.get(pair)
        return None if cell is None else cell.price

    def holdings(self, strategy: str | None) -> dict[str, int]:
        """Return the holdings of a strategy (None: of all strategies combined), in units per currency."""
        return self.ledger.holdings() if strategy is None else self._stakes.present[strategy].holdings()

    def equity_units(self, strategy: str | None, into: str) -> int | None:
        """Return the equity of a strategy (None: of all strategies, without unassigned funds) at last prices; None
        while a price is missing.

        For a strategy that shares the pool, the equity is its opening coins plus the proceeds of its fills minus their
        cost. It may therefore be negative, and a change in it is the strategy's profit. Coins that no pair can value
        are not included.
        """
        return self.valuation.worth(self.holdings(strategy), into)

    def check(self) -> None:
        """Assert that the parts and unassigned add up to the account, no amount is negative, and the locks add up."""
        self.ledger.check()


def _first_with_each_base(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the first pair with each base currency. Coins that are handed over are assigned to this pair."""
    found: dict[str, Pair] = {}
    for pair in pairs:
        found.setdefault(pair.base, pair)
    return list(found.values())
