"""Who owns what: the account divided among the strategies, exact to the unit, whatever happens.

Every unit of every currency is in one part (a sub-account or the pool, `botkit.engine.subaccounts`) or unassigned, and
their sum is what the account has; `Portfolio.check` asserts it. An order locks what it may spend before it is sent;
a fill moves locked money to what it bought; the final state gives the rest back.

The exchange's own balances do not drive any of this. They are compared with it: what our orders cannot explain is not
the strategies' doing (a deposit, a manual trade) and goes to ``unassigned``. Below zero there means that somebody took
what belongs to a strategy: a `Shortage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from botkit.engine.positions import Position
from botkit.engine.subaccounts import POOL, CapitalShare, Fund, SubAccount, opening_split
from botkit.engine.valuation import LastPrice, Valuation
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.events import Balance, BalanceReport, Fill, TradeReport
from botkit.model.money import format_units
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair

__all__ = ["CapitalShare", "Discrepancy", "Portfolio", "Position", "Shortage", "required_units"]

#: how long a difference that live orders cannot explain must stand still before it counts as somebody else's doing:
#: balances and fills come by different streams, and either may be ahead of the other
SETTLE_NS = 2 * NS_PER_S


class Shortage(msgspec.Struct, frozen=True):
    """The account has less of a currency than the strategies own together. Creates halt until it is back."""

    currency: str
    missing_units: int

    def __str__(self) -> str:
        return (
            f"the account has {format_units(self.missing_units)} {self.currency} less than its strategies own: it was "
            f"withdrawn or traded away by hand. Put it back, or take capital from a strategy."
        )


class Discrepancy(msgspec.Struct, frozen=True):
    """The exchange reports another balance than our books. ``adopted_units`` of the difference went to unassigned."""

    currency: str
    expected_units: int
    actual_units: int
    adopted_units: int
    shortage: Shortage | None = None

    @property
    def difference_units(self) -> int:
        """What the exchange has more (or, below zero, less) than expected."""
        return self.actual_units - self.expected_units


def required_units(order: Order) -> int:
    """What the rest of an order must have locked: quote for a buy, base for a sell."""
    rules = order.pair.rules
    if order.side is Side.SELL:
        return rules.base_units(order.amount_lots - order.executed_lots)
    if order.spend_units:
        return order.spend_units - order.executed_units
    return rules.value_units_up(order.price_ticks, order.amount_lots - order.executed_lots)


class _Stake:
    """What belongs to one strategy: its part of the account, its positions, and its day's beginnings.

    ``flows`` are the coins that its opening and its fills brought it, kept only where it shares the pool with others:
    there the part does not tell what the strategy itself has won or lost.
    """

    __slots__ = ("flows", "name", "part", "positions")

    def __init__(self, name: str, part: SubAccount, shared: bool) -> None:
        self.name = name
        self.part = part
        self.positions: dict[str, Position] = {}
        self.flows: dict[str, int] | None = {} if shared else None

    def holdings(self) -> dict[str, int]:
        return self.part.holdings() if self.flows is None else self.flows


class Portfolio:
    """The account as the strategies share it. One a bot and account; the engine alone writes it.

    ``pairs`` are those that will have prices; ``currency`` values everything; ``fee_currency`` is the exchange's own
    coin, which may pay fees. Raises ValueError where the configuration cannot work.
    """

    def __init__(
        self,
        *,
        pairs: Mapping[str, Pair],
        shares: Sequence[CapitalShare],
        reserve: Mapping[str, int],
        currency: str,
        fee_currency: str = "bito",
    ) -> None:
        self.currency = currency
        self.fee_currency = fee_currency
        self.shares = tuple(shares)
        self.reserve = dict(reserve)
        self.valuation = Valuation(pairs)
        #: the last prices by pair; a driver that skips rows may set ``prices[pair].price`` itself after the first
        self.prices = self.valuation.prices
        for known in self.valuation.currencies:
            self.valuation.check_path(known, currency)
        self.parts: dict[str, SubAccount] = {}
        self.unassigned: dict[str, int] = {}
        self.account: dict[str, int] = {}
        self._stakes: dict[str, _Stake] = {}
        self._locks: dict[int, int] = {}  # client id -> units still locked
        #: when the trading day began that the day's profits count from, None before the first
        self.day: Nanos | None = None
        self._baselines: dict[tuple[str | None, str], int | None] = {}
        self._suspects: dict[str, tuple[int, Nanos]] = {}  # currency -> (unexplained difference, first seen)
        self._fills = 0
        pooled = [share for share in self.shares if share.capital is None]
        for share in self.shares:
            name = POOL if share.capital is None else share.strategy
            assert share.strategy not in self._stakes, share.strategy
            part = self.parts.setdefault(name, SubAccount(name))
            self._stakes[share.strategy] = _Stake(share.strategy, part, shared=name == POOL and len(pooled) > 1)
            for pair in share.pairs:
                self._position(self._stakes[share.strategy], pair)

    # -- the first start, and later ones --------------------------------------------------------------------------

    def open(self, balances: Mapping[str, int]) -> None:
        """Divide the account at the first start. Raises ValueError when the shares ask for more than there is."""
        assert not self.account, "open() is for the first start; restore() takes over what there was"
        split, self.unassigned = opening_split(balances, self.shares, self.reserve, self.valuation.currencies)
        self.account = dict(balances)
        for name, units_by_currency in split.items():
            for currency, units in units_by_currency.items():
                self.parts[name].fund(currency).available = units
        assigned: set[tuple[str, str]] = set()
        for share in self.shares:
            stake = self._stakes[share.strategy]
            for pair in share.pairs:
                coins = stake.part.fund(pair.base).available
                if not coins or (stake.part.name, pair.base) in assigned:
                    continue
                assigned.add((stake.part.name, pair.base))
                stake.positions[pair].open_with(coins)
                if stake.flows is not None:
                    stake.flows[pair.base] = coins
        self.check()

    def state(self) -> dict[str, Any]:
        """Everything that must survive a restart, as plain data (text keys, integers as integers)."""
        return {
            "capital": {share.strategy: share.spec() for share in self.shares},
            "parts": {
                name: {c: [f.available, f.locked, f.orders, f.claims] for c, f in part.funds.items()}
                for name, part in self.parts.items()
            },
            "unassigned": dict(self.unassigned),
            "locks": {str(client_id): units for client_id, units in self._locks.items()},
            "positions": {
                name: {str(pair): position.state() for pair, position in stake.positions.items()}
                for name, stake in self._stakes.items()
            },
            "flows": {name: dict(stake.flows) for name, stake in self._stakes.items() if stake.flows is not None},
            "day": self.day,
            "baselines": [[level, currency, units] for (level, currency), units in self._baselines.items()],
            "fills": self._fills,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave at an earlier run. Raises ConfigError when the configured capital changed."""
        assert not self.account, "restore() comes before anything else"
        for share in self.shares:
            before = state["capital"].get(share.strategy, _NOT_THERE)
            if before is not _NOT_THERE and before != share.spec():
                raise ConfigError(
                    f"capital of {share.strategy!r} was {_spec_text(before)} when it first started and is now "
                    f"{_spec_text(share.spec())}. Capital opens a sub-account once: put the old figure back and use "
                    f"`botkit capital add` or `botkit capital take`."
                )
        for name, funds in state["parts"].items():
            part = self.parts.setdefault(name, SubAccount(name))  # a strategy that left the file keeps its money
            for currency, (available, locked, orders, claims) in funds.items():
                fund = part.fund(currency)
                fund.available, fund.locked, fund.orders, fund.claims = available, locked, orders, claims
        self.unassigned = dict(state["unassigned"])
        self._locks = {int(client_id): units for client_id, units in state["locks"].items()}
        for name, positions in state["positions"].items():
            stake = self._stakes.get(name)
            for pair, figures in positions.items() if stake is not None else ():
                cell = self.prices.get(pair)
                if stake is not None and cell is not None:
                    self._position(stake, cell.pair).restore(list(figures))
        for name, flows in state["flows"].items():
            stake = self._stakes.get(name)
            if stake is not None and stake.flows is not None:
                stake.flows.update(flows)
        self.day = state["day"]
        self._baselines = {(level, currency): units for level, currency, units in state["baselines"]}
        self._fills = state["fills"]
        self.account = self._sums()
        for share in self.shares:
            if share.strategy not in state["capital"]:
                self._open_later(share)
        self.check()

    def _open_later(self, share: CapitalShare) -> None:
        # a strategy that joins a running bot is paid from what belongs to nobody, never from another strategy
        if share.capital is None:
            return
        split, _ = opening_split(self.unassigned, [share], self.reserve, self.valuation.currencies)
        part = self._stakes[share.strategy].part
        for currency, units in split[share.strategy].items():
            self.unassigned[currency] = self.unassigned.get(currency, 0) - units
            part.fund(currency).available += units
        for pair in share.pairs:
            coins = split[share.strategy].pop(pair.base, 0)
            if coins:
                self._position(self._stakes[share.strategy], pair).open_with(coins)

    # -- orders ---------------------------------------------------------------------------------------------------

    def lock(self, order: Order) -> str | None:
        """Reserve what a new order may spend. Returns the reason, with figures, when its strategy has too little."""
        stake = self._stakes[order.strategy]
        pair = order.pair
        is_sell = order.side is Side.SELL
        currency = pair.base if is_sell else pair.quote
        fund = stake.part.fund(currency)
        need = required_units(order)
        assert need > 0, order
        assert order.client_id not in self._locks, order
        if need > fund.available:
            return _shortfall(need, currency, fund)
        fund.available -= need
        fund.locked += need
        fund.orders += 1
        self._locks[order.client_id] = need
        if is_sell:
            (stake.positions.get(pair) or self._position(stake, pair)).locked_units += need
        return None

    def relock(self, order: Order) -> str | None:
        """Lock again for an order thought dead that turned out to live. Locks what there is.

        Returns what is lacking, if anything; its fills are booked all the same.
        """
        stake = self._stakes[order.strategy]
        is_sell = order.side is Side.SELL
        currency = order.pair.base if is_sell else order.pair.quote
        fund = stake.part.fund(currency)
        held = self._locks.get(order.client_id, 0)
        need = required_units(order) - held
        units = min(need, fund.available)
        if units > 0:
            fund.available -= units
            fund.locked += units
            fund.orders += not held
            self._locks[order.client_id] = held + units
            if is_sell:
                self._position(stake, order.pair).locked_units += units
        return _shortfall(need, currency, fund) if units < need else None

    def release(self, order: Order) -> None:
        """An order is final: what it still locks is available again. Releasing twice does nothing."""
        units = self._locks.pop(order.client_id, 0)
        if not units:
            return
        stake = self._stakes[order.strategy]
        pair = order.pair
        is_sell = order.side is Side.SELL
        fund = stake.part.fund(pair.base if is_sell else pair.quote)
        fund.available += units
        fund.locked -= units
        fund.orders -= 1
        assert fund.locked >= 0, (order, fund.locked)
        assert fund.orders >= 0, (order, fund.orders)
        if is_sell:
            stake.positions[pair].locked_units -= units

    def locked_units(self, order: Order) -> int:
        """What an order still locks."""
        return self._locks.get(order.client_id, 0)

    def fill(self, order: Order, report: TradeReport, now: Nanos) -> Fill:
        """Book one execution of an order: money, coins, fee, position, and the order's own executed figures.

        The caller has made sure that the report was not booked before. Money that is not there in the order's lock or
        its strategy's funds (a late fill of an order given up) is still booked, as the other parts' claim on it.
        """
        stake = self._stakes[order.strategy]
        pair = order.pair
        rules = pair.rules
        lots, ticks, fee, fee_currency = report.lots, report.price_ticks, report.fee_units, report.fee_currency
        assert lots > 0, report
        assert ticks > 0, report
        assert fee >= 0, report
        value = rules.value_units(ticks, lots)
        coins = rules.base_units(lots)
        order.executed_lots += lots
        order.executed_units += value
        order.fee_units += fee
        order.updated = now
        # I4: executed + remaining = original, counted in quote for a market buy
        assert order.executed_lots <= order.amount_lots or order.spend_units, (order, report)
        assert order.executed_units <= order.spend_units or order.amount_lots, (order, report)

        base, quote = pair.base, pair.quote
        position = stake.positions.get(pair) or self._position(stake, pair)
        if order.side is Side.BUY:
            paid, got, base_units, quote_units = quote, base, coins, -value
            self._spend(stake.part, order, quote, value)
        else:
            paid, got, base_units, quote_units = base, quote, -coins, value
            position.locked_units -= self._spend(stake.part, order, base, coins)
        income = coins if got is base else value
        account = self.account
        account[paid] = account.get(paid, 0) - (value if paid is quote else coins)
        account[got] = account.get(got, 0) + income
        stake.part.fund(got).available += income
        if stake.flows is not None:
            flows = stake.flows
            flows[base] = flows.get(base, 0) + base_units
            flows[quote] = flows.get(quote, 0) + quote_units
            flows[fee_currency] = flows.get(fee_currency, 0) - fee
        if fee:
            account[fee_currency] = account.get(fee_currency, 0) - fee
            self._debit(stake.part, fee_currency, fee)
            if fee_currency == base:
                base_units -= fee
            elif fee_currency == quote:
                quote_units -= fee
            else:
                quote_units -= self.valuation.convert(fee, fee_currency, quote) or 0
        if position.unpriced:
            position.price_opening(ticks)
        position.apply(base_units, quote_units)
        self._fills += 1
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

    def _spend(self, part: SubAccount, order: Order, currency: str, units: int) -> int:
        """Take what a fill cost out of the order's lock. What the rest of the order does not need becomes available.

        ``order`` already counts the fill as executed. Returns by how much the lock shrank.
        """
        fund = part.fund(currency)
        held = self._locks.get(order.client_id, 0)
        # An exact lock always covers the fill: ceil(P(r + l)) - ceil(P r) >= floor(p l) for p <= P. One that is short
        # (see relock) pays first and keeps what is left.
        keep = min(required_units(order), max(0, held - units))
        freed = held - keep
        fund.locked -= freed
        assert fund.locked >= 0, (order, fund.locked)
        if keep:
            self._locks[order.client_id] = keep
        elif held:
            del self._locks[order.client_id]
            fund.orders -= 1
        if freed >= units:
            fund.available += freed - units
        else:
            fund.available += freed
            self._debit(part, currency, units)
        return freed

    def _debit(self, part: SubAccount, currency: str, units: int) -> None:
        """Take units out of the account on behalf of ``part``: from its own first, else from whoever has them."""
        fund = part.fund(currency)
        if fund.available >= units:
            fund.available -= units
            return
        units -= fund.available
        fund.available = 0
        for other in (None, *self.parts.values()):  # the rest, which belongs to no strategy, comes first
            if other is part:
                continue
            has = max(0, self.unassigned.get(currency, 0)) if other is None else other.fund(currency).available
            taken = min(has, units)
            if not taken:
                continue
            if other is None:
                self.unassigned[currency] -= taken
            else:
                other.fund(currency).available -= taken
                other.fund(currency).claims += taken
            fund.claims -= taken
            units -= taken
        if units:  # nobody has it by our books, yet the exchange took it: a shortage, seen at the next balances
            self.unassigned[currency] = self.unassigned.get(currency, 0) - units
            fund.claims -= units

    # -- what the exchange says -----------------------------------------------------------------------------------

    def on_balances(self, report: BalanceReport, now: Nanos, *, quiet: bool) -> list[Discrepancy]:
        """Compare the exchange's own figures with ours.

        ``quiet``: no fill can be on its way (nothing resting, sent or unknown), so that every difference is somebody
        else's doing and goes to unassigned at once. Otherwise a difference that the live orders' locks can explain is
        left to them, and the rest is adopted when it has stood unchanged for SETTLE_NS.
        """
        found = []
        names = list(report.balances)
        if report.snapshot:
            names += [currency for currency in self.account if currency not in report.balances]
        for currency in names:
            actual = report.balances.get(currency, (0, 0))[0]
            expected = self.account.get(currency, 0)
            if actual == expected:
                self._suspects.pop(currency, None)
                continue
            adopted = self._adoptable(currency, actual - expected, now, quiet)
            if adopted:
                self.account[currency] = expected + adopted
                self.unassigned[currency] = self.unassigned.get(currency, 0) + adopted
            found.append(Discrepancy(currency, expected, actual, adopted, self.shortage(currency)))
        return found

    def _adoptable(self, currency: str, difference: int, now: Nanos, quiet: bool) -> int:
        if quiet:
            self._suspects.pop(currency, None)
            return difference
        if difference < 0:
            locked = sum(part.funds[currency].locked for part in self.parts.values() if currency in part.funds)
            unexplained = min(0, difference + locked)
        else:
            # what an order brings in has no upper bound that our books know: any live order may explain more coins
            unexplained = 0 if self._locks else difference
        if not unexplained:
            self._suspects.pop(currency, None)
            return 0
        seen, since = self._suspects.get(currency, (0, now))
        if seen != unexplained:
            self._suspects[currency] = (unexplained, now)
            return 0
        if now - since < SETTLE_NS:
            return 0
        del self._suspects[currency]
        return unexplained

    def shortage(self, currency: str) -> Shortage | None:
        """What is missing of a currency for the parts to be covered, if anything.

        One unit of 1e-8 a fill is forgiven: how the exchange rounds a fee or a value is not documented.
        """
        missing = -self.unassigned.get(currency, 0)
        return Shortage(currency, missing) if missing > self._fills else None

    def shortages(self) -> list[Shortage]:
        """Every currency of which the account has less than its parts own together."""
        return [found for currency in self.unassigned if (found := self.shortage(currency)) is not None]

    # -- what strategies and rules read ---------------------------------------------------------------------------

    @property
    def strategies(self) -> list[str]:
        """The strategies' names, in the order of the configuration."""
        return list(self._stakes)

    def balance(self, strategy: str, currency: str) -> Balance:
        """What a strategy can spend of a currency now, and what its orders lock (in the pool: everybody's)."""
        fund = self._stakes[strategy].part.funds.get(currency)
        return Balance(currency, 0, 0) if fund is None else Balance(currency, fund.available, fund.locked)

    def position(self, strategy: str, pair: Pair) -> Position:
        """A strategy's position in a pair; the same object every time, and always of the present."""
        stake = self._stakes[strategy]
        return stake.positions.get(pair) or self._position(stake, pair)

    def positions(self, strategy: str) -> list[Position]:
        """All positions of a strategy, its listed pairs first."""
        return list(self._stakes[strategy].positions.values())

    def _position(self, stake: _Stake, pair: Pair) -> Position:
        found = stake.positions.get(pair)
        if found is None:
            found = stake.positions[pair] = Position(pair, stake.part.fund(pair.base), self.valuation.add(pair))
        return found

    # -- prices and worth -----------------------------------------------------------------------------------------

    def mark(self, pair: Pair, price: float) -> None:
        """The pair traded at ``price``. The first price ever is what opening coins of the pair cost."""
        cell = self.prices[pair]
        if cell.price is None:
            self._first_price(cell, price)
        else:
            cell.price = price

    def _first_price(self, cell: LastPrice, price: float) -> None:
        cell.price = price
        ticks = cell.ticks
        if ticks is None:  # below one tick: no price to value anything with
            cell.price = None
            return
        for stake in self._stakes.values():
            position = stake.positions.get(cell.pair)
            if position is not None:
                position.price_opening(ticks)
        for (level, currency), units in self._baselines.items():
            if units is None:  # the day began before there was a price; it begins with the first
                self._baselines[level, currency] = self.equity_units(level, currency)

    def last_price(self, pair: Pair) -> float | None:
        """The last price marked, or None before the first."""
        cell = self.prices.get(pair)
        return None if cell is None else cell.price

    def holdings(self, strategy: str | None) -> dict[str, int]:
        """What counts as a strategy's own, or (None) as all strategies' together, in units per currency."""
        if strategy is not None:
            return self._stakes[strategy].holdings()
        total: dict[str, int] = {}
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                total[currency] = total.get(currency, 0) + fund.available + fund.locked + fund.claims
        return total

    def equity_units(self, strategy: str | None, into: str) -> int | None:
        """What a strategy owns (None: all of them, without unassigned), at last prices; None while one is missing.

        A strategy that shares the pool with others owns its opening coins and what its fills brought in less what they
        cost, so the figure may be negative; its changes are its profit. Coins that no pair values count as nothing.
        """
        total = 0
        valuation = self.valuation
        for currency, units in self.holdings(strategy).items():
            if not units:
                continue
            if currency == into:
                total += units
                continue
            path = valuation.find_path(currency, into)
            if path is None:
                continue
            worth = path.convert(units)
            if worth is None:
                return None
            total += worth
        return total

    def watch_day(self, level: str | None, currency: str) -> None:
        """Keep the day's profit of a strategy (None: of all) in ``currency``, from now on and from each `start_day`."""
        if (level, currency) not in self._baselines:
            self._baselines[level, currency] = self.equity_units(level, currency)

    def start_day(self, now: Nanos) -> None:
        """The trading day that begins at ``now`` has begun: every profit of the day counts from here."""
        self.day = now
        for key in self._baselines:
            self._baselines[key] = self.equity_units(*key)

    def restart_day(self, level: str | None) -> None:
        """The day's profit of one strategy (None: of all together) counts from here: it was resumed after a loss."""
        for key in self._baselines:
            if key[0] == level:
                self._baselines[key] = self.equity_units(*key)

    def day_baseline_units(self, level: str | None, currency: str) -> int | None:
        """Equity at the beginning of the trading day, of a level that is watched; None while a price is missing."""
        return self._baselines.get((level, currency))

    def day_pnl_units(self, level: str | None, currency: str) -> int | None:
        """Change of equity since the trading day began, unrealised included; None while a price is missing."""
        before = self._baselines.get((level, currency))
        after = None if before is None else self.equity_units(level, currency)
        return None if before is None or after is None else after - before

    # -- what must hold -------------------------------------------------------------------------------------------

    def _sums(self) -> dict[str, int]:
        sums = dict(self.unassigned)
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                sums[currency] = sums.get(currency, 0) + fund.available + fund.locked
        return sums

    def check(self) -> None:
        """Assert I5 over the whole: parts + unassigned = account, nothing below zero, locks and claims add up."""
        sums = self._sums()
        for currency in {**self.account, **sums}:
            assert sums.get(currency, 0) == self.account.get(currency, 0), (currency, sums, self.account)
        locked = orders = 0
        for part in self.parts.values():
            for currency, fund in part.funds.items():
                assert fund.available >= 0, (part, currency, fund.available)
                assert fund.locked >= 0, (part, currency, fund.locked)
                locked, orders = locked + fund.locked, orders + fund.orders
        assert locked == sum(self._locks.values()), (locked, self._locks)
        assert orders == len(self._locks), (orders, self._locks)


_NOT_THERE = object()


def _spec_text(spec: Any) -> str:
    if spec is None:
        return "not given"
    return spec if isinstance(spec, str) else ", ".join(f"{format_units(int(u))} {c}" for c, u in spec.items())


def _shortfall(need: int, currency: str, fund: Fund) -> str:
    held = ""
    if fund.locked:
        held = f" ({format_units(fund.locked)} locked in {fund.orders} order{'s' if fund.orders != 1 else ''})"
    return f"needs {format_units(need)} {currency}, {format_units(fund.available)} available{held}"
