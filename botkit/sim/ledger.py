"""Accounts, locks, fills and fees in exact integer units, and a check that no unit appears or vanishes.

A fill moves quote and base between two parties: an account on one side, and another account or the recorded *market* on
the other. Fees are paid to the exchange. ``Ledger.check`` asserts that the sum of accounts, market and fees never
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.events import TradeReport
from botkit.model.money import UNIT, divide_half_up
from botkit.model.orders import OrderState
from botkit.model.pairs import Pair
from botkit.sim.account_setup import AccountSetup
from botkit.sim.order import FILLED, Account, VenueOrder
from botkit.sim.venue_event import AccountChange, VenueEvent


class Ledger:
    """Records the fills and locks of all accounts.

    ``last_price`` takes a pair's name and returns its last price in ticks, for fees paid in the exchange's own coin.
    """

    def __init__(
        self,
        setups: Mapping[str, AccountSetup],
        pairs: Mapping[str, Pair],
        last_price: Callable[[str], int | None],
        *,
        volume_currency: str,
        discount_currency: str,
    ) -> None:
        self.accounts = {name: Account(name, setup) for name, setup in setups.items()}
        # the recorded market's side of every fill; negative for units paid by the market
        self.market: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self._pairs = pairs
        self._last_price = last_price
        self._volume_currency = volume_currency
        self._discount_currency = discount_currency
        self._trade_number = 1_000_000_000
        self._begun: dict[str, int] = {}
        for setup in setups.values():
            for currency, units in setup.balances.items():
                assert units >= 0, (currency, units)
                self._begun[currency] = self._begun.get(currency, 0) + units

    # -- opening and closing orders -------------------------------------------------------------------------------

    def open(self, order: VenueOrder, event: VenueEvent) -> None:
        """Add an order and lock its funds."""
        account = order.account
        account.orders[order.order_id] = order
        account.open[order.order_id] = order
        pair = order.pair
        account.open_count[pair] = account.open_count.get(pair, 0) + 1
        currency = pair.quote if order.is_buy else pair.base
        account.locked[currency] = account.locked.get(currency, 0) + order.lock_units
        assert account.locked[currency] <= account.total.get(currency, 0), order
        news = event.news[account]  # the account news for the order's request
        news.orders[order.order_id] = order
        news.currencies[currency] = None

    def close(self, order: VenueOrder, event: VenueEvent, state: OrderState) -> None:
        """Move an order to a final state and release the rest of its lock."""
        account = order.account
        news = event.news.get(account)
        if news is None:
            news = event.news[account] = AccountChange(order.new.client_id)
        news.orders[order.order_id] = order
        del account.open[order.order_id]
        account.open_count[order.pair] -= 1
        if order.lock_units:
            currency = order.pair.quote if order.is_buy else order.pair.base
            account.locked[currency] -= order.lock_units
            order.lock_units = 0
            news.currencies[currency] = None
        order.state = state
        order.updated = event.time
        if order.is_market_buy:
            # Q12: once final, a market buy shows the bought amount as its original amount
            order.original_lots = order.executed_lots

    def transfer(self, account: Account, currency: str, units: int, event: VenueEvent) -> None:
        """Deposit funds, or withdraw them if ``units`` is negative. Only available funds can be withdrawn."""
        assert account.available(currency) + units >= 0, (account.name, currency, units)
        account.total[currency] = account.total.get(currency, 0) + units
        account.locked.setdefault(currency, 0)
        self._begun[currency] = self._begun.get(currency, 0) + units
        event.news[account].currencies[currency] = None

    # -- fills ----------------------------------------------------------------------------------------------------

    def fill(
        self,
        order: VenueOrder,
        ticks: int,
        lots: int,
        event: VenueEvent,
        *,
        is_maker: bool,
        meets_market: bool = True,
        is_second: bool = False,
    ) -> None:
        """Record one side of an execution. The other side is the market or another account. If the other side is an
        account, a second call with ``is_second`` records that side.
        """
        # few steps are functions of their own, because their calls would cost more than the steps
        assert lots > 0, order
        if not is_second:
            self._trade_number += 1
        pair, account = order.pair, order.account
        value = ticks * lots * pair.value_times // pair.value_over
        base_units = lots * pair.lot_units
        if order.is_buy:
            given, given_units, got, got_units = pair.quote, value, pair.base, base_units
        else:
            given, given_units, got, got_units = pair.base, base_units, pair.quote, value

        # the account gives from what the order has locked, and gets the other currency
        total = account.total
        account.locked[given] -= order.execute(lots, value, base_units, event.time)
        total[given] -= given_units
        total[got] = total.get(got, 0) + got_units

        # the recorded market does the opposite; another account does it in a call of its own
        if meets_market:
            market = self.market
            market[given] = market.get(given, 0) + given_units
            market[got] = market.get(got, 0) - got_units

        fee_currency, fee_units = self._charge(account, pair, got, got_units, value, event.time, is_maker)

        report = TradeReport(
            pair=pair,
            order_id=order.order_id,
            trade_id=str(self._trade_number),
            side=order.new.side,
            price_ticks=ticks,
            lots=lots,
            fee_units=fee_units,
            fee_currency=fee_currency,
            is_maker=is_maker,
            time=event.time - event.time % NS_PER_MS,
        )
        account.trades.append(report)

        # the order, the execution and the changed balances are published to the account
        news = event.news.get(account)  # `VenueEvent.of` without the call
        if news is None:
            news = event.news[account] = AccountChange(order.new.client_id)
        news.orders[order.order_id] = order
        news.trades.append(report)
        news.currencies[pair.base] = news.currencies[pair.quote] = news.currencies[fee_currency] = None

        # a market buy ends when the matcher has no more for it
        if not (order.remaining_lots or order.is_market_buy):
            self.close(order, event, FILLED)

    def _charge(
        self, account: Account, pair: Pair, got: str, got_units: int, value: int, now: Nanos, is_maker: bool
    ) -> tuple[str, int]:
        """Charge the fee and return (currency, units). Volume is counted afterwards, so that a fill never lowers the
        rate at which it is charged.
        """
        model = account.fees
        rates = model.rates(now)
        currency, fee = got, -1
        if model.uses_discount and self._discount_currency:
            rate_e8 = rates.discounted_maker_e8 if is_maker else rates.discounted_taker_e8
            coins = self._in_discount_currency(pair.quote, value * rate_e8)
            if coins is not None and account.available(self._discount_currency) >= coins:
                currency, fee = self._discount_currency, coins
        if fee < 0:
            rate_e8 = rates.maker_e8 if is_maker else rates.taker_e8
            fee = (2 * got_units * rate_e8 + UNIT) // (2 * UNIT) if rate_e8 else 0  # rounded half up
        if fee:
            account.total[currency] -= fee
            self.fees[currency] = self.fees.get(currency, 0) + fee
        if account.counts_volume:
            volume = self._in_volume_currency(pair.quote, value)
            if volume is not None:
                model.record(now, volume[0] // volume[1])
        return currency, fee

    def _in_volume_currency(self, currency: str, units: int) -> tuple[int, int] | None:
        """Convert ``units`` of a currency to the volume currency, as an exact fraction. Return None if there is no
        price.
        """
        target = self._volume_currency
        if currency == target:
            return units, 1
        price = self._price_of(currency, target)
        return None if price is None else (units * price[0], price[1])

    def _in_discount_currency(self, quote: str, units_e8: int) -> int | None:
        """Convert a fee of ``units_e8`` (in 1e-8 of a unit of ``quote``) to units of the discount coin, rounded half
        up.
        """
        worth = self._in_volume_currency(quote, units_e8)
        price = self._price_of(self._discount_currency, self._volume_currency)
        if worth is None or price is None:
            return None
        return divide_half_up(worth[0] * price[1], worth[1] * price[0] * UNIT)

    def _price_of(self, base: str, quote: str) -> tuple[int, int] | None:
        pair = self._pairs.get(f"{base}_{quote}")
        ticks = self._last_price(pair) if pair is not None else None
        return None if pair is None or not ticks else (ticks, 10**pair.rules.price_decimals)

    # -- conservation ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert that money is conserved and that every lock is the sum of its orders' locks."""
        held: dict[str, int] = {}
        for account in self.accounts.values():
            locks: dict[str, int] = {}
            for order in account.open.values():
                currency = order.pair.quote if order.is_buy else order.pair.base
                locks[currency] = locks.get(currency, 0) + order.lock_units
            for currency, units in account.total.items():
                held[currency] = held.get(currency, 0) + units
                locked = account.locked.get(currency, 0)
                assert locked == locks.get(currency, 0), (account.name, currency, locked, locks)
                assert 0 <= locked <= units, (account.name, currency, locked, units)
        for part in (self.market, self.fees):
            for currency, units in part.items():
                held[currency] = held.get(currency, 0) + units
        for currency in held.keys() | self._begun.keys():
            assert held.get(currency, 0) == self._begun.get(currency, 0), (currency, held, self._begun)
