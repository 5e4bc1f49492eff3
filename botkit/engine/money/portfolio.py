"""Who owns what: the account divided among the strategies, exact to the unit, whatever happens.

Every unit of every currency is in one part (a sub-account or the pool, `botkit.engine.money.subaccounts`) or
unassigned, and their sum is what the account has; `Portfolio.check` asserts it. An order locks what it may spend
before it is sent; a fill moves locked money to what it bought; the final state gives the rest back.

The exchange's own balances do not drive any of this. They are compared with it: what our orders cannot explain is not
the strategies' doing (a deposit, a manual trade) and goes to ``unassigned``. Below zero there means that somebody took
what belongs to a strategy: a `Shortage`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botkit.engine.money.balance_check import BalanceCheck, Discrepancy, Shortage
from botkit.engine.money.capital import CapitalRecord, not_available, not_unassigned
from botkit.engine.money.day_profit import DayProfit
from botkit.engine.money.ledger import AccountLedger
from botkit.engine.money.positions import Position
from botkit.engine.money.subaccounts import POOL, CapitalShare, Fund, SubAccount, opening_split
from botkit.engine.money.valuation import LastPrice, Valuation
from botkit.model.clock import Nanos
from botkit.model.events import Balance, BalanceReport, Fill, TradeReport
from botkit.model.money import UNIT
from botkit.model.orders import BUY, SELL, Order
from botkit.model.pairs import Pair

__all__ = ["CapitalShare", "Discrepancy", "Portfolio", "Position", "Shortage", "required_units"]


def required_units(order: Order) -> int:
    """What the rest of an order must have locked: quote for a buy, base for a sell."""
    rules = order.pair.rules
    if order.side is SELL:
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

    def record(self, base: str, base_units: int, quote: str, quote_units: int, fee_currency: str, fee: int) -> None:
        flows = self.flows
        assert flows is not None
        flows[base] = flows.get(base, 0) + base_units
        flows[quote] = flows.get(quote, 0) + quote_units
        flows[fee_currency] = flows.get(fee_currency, 0) - fee


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
        self.ledger = AccountLedger()
        self._balances = BalanceCheck(self.ledger)
        self._stakes: dict[str, _Stake] = {}
        #: strategies with a sub-account that the configuration has no more; they keep their money until it is taken
        self._departed: dict[str, _Stake] = {}
        self.capital = CapitalRecord()
        self._days = DayProfit(self.equity_units, self.holdings, self.valuation)
        #: the highest equity so far of levels that are watched for a fall; capital that comes and goes moves it along
        self._peaks = DayProfit(self.equity_units, self.holdings, self.valuation)
        pooled = [share for share in self.shares if share.capital is None]
        for share in self.shares:
            name = POOL if share.capital is None else share.strategy
            assert share.strategy not in self._stakes, share.strategy
            stake = _Stake(share.strategy, self.ledger.part(name), shared=name == POOL and len(pooled) > 1)
            self._stakes[share.strategy] = stake
            for pair in share.pairs:
                self._position(stake, pair)

    # -- the first start, and later ones --------------------------------------------------------------------------

    def open(self, balances: Mapping[str, int]) -> None:
        """Divide the account at the first start. Raises ValueError when the shares ask for more than there is."""
        ledger = self.ledger
        assert not ledger.account, "open() is for the first start; restore() takes over what there was"
        split, ledger.unassigned = opening_split(balances, self.shares, self.reserve, self.valuation.currencies)
        ledger.account = dict(balances)
        for name, units_by_currency in split.items():
            for currency, units in units_by_currency.items():
                ledger.part(name).fund(currency).available = units
        assigned: set[tuple[str, str]] = set()
        for share in self.shares:
            self.capital.open(share, None if share.capital is None else split[share.strategy])
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
        stakes = {**self._departed, **self._stakes}
        return {
            **self.capital.state(),
            "ledger": self.ledger.state(),
            "positions": {
                name: {str(pair): position.state() for pair, position in stake.positions.items()}
                for name, stake in stakes.items()
            },
            "flows": {name: dict(stake.flows) for name, stake in self._stakes.items() if stake.flows is not None},
            **self._days.state(),
            **({"peaks": self._peaks.state()} if self._peaks.baselines else {}),
            "rounding": self._balances.rounding_units,
        }

    def restore(self, state: Mapping[str, Any], *, starting: bool = True) -> None:
        """Take over what `state` gave at an earlier run. Raises ConfigError when the configured capital changed.

        ``starting`` False is for who changes the books of a stopped bot: the configuration's capital is not looked at,
        and strategies that are new in it wait for the next start.
        """
        assert not self.ledger.account, "restore() comes before anything else"
        self.capital.restore(state)
        for share in self.shares:
            self.capital.check(share, kind_only=not starting)
        self.ledger.restore(state["ledger"])
        for name in self.capital.given:
            if name not in self._stakes:
                self._departed[name] = _Stake(name, self.ledger.part(name), shared=False)
        for name, positions in state["positions"].items():
            stake = self._stakes.get(name) or self._departed.get(name)
            for pair, figures in positions.items() if stake is not None else ():
                cell = self.prices.get(pair)
                if stake is not None and cell is not None:
                    self._position(stake, cell.pair).restore(list(figures))
        for name, flows in state["flows"].items():
            stake = self._stakes.get(name)
            if stake is not None and stake.flows is not None:
                stake.flows.update(flows)
        self._days.restore(state, self._stakes)
        if "peaks" in state:
            self._peaks.restore(state["peaks"], self._stakes)
        self._balances.rounding_units = state["rounding"]
        for share in self.shares if starting else ():
            if share.strategy not in self.capital.opened:
                self._open_later(share)
        self.check()

    def _open_later(self, share: CapitalShare) -> None:
        # a strategy that joins a running bot is paid from what belongs to nobody, never from another strategy
        if share.capital is None:
            self.capital.open(share, None)
            return
        split, _ = opening_split(self.ledger.unassigned, [share], self.reserve, self.valuation.currencies)
        given = split[share.strategy]
        self.capital.open(share, given)
        self._moving([None, share.strategy], lambda: self._give(share.strategy, [share.strategy], given))

    # -- capital that comes and goes ------------------------------------------------------------------------------

    def capital_refusal(self, target: str, units_by_currency: Mapping[str, int]) -> str | None:
        """Why `move_capital` cannot be, if so: a sentence with figures that says what to do about it."""
        part = self._part_of(target)
        if part is None:
            return self._no_part(target)
        for currency, units in units_by_currency.items():
            fund = part.funds.get(currency)
            known = self.valuation.currencies
            if currency not in known and (units > 0 or fund is None):
                near = difflib.get_close_matches(currency, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f" ({', '.join(known)})"
                return f"{currency} is neither base nor quote of a pair of this bot{hint}"
            if units > 0:
                has, kept = self.ledger.unassigned.get(currency, 0), self.reserve.get(currency, 0)
                refusal = not_unassigned(currency, units, has, kept)
            else:
                refusal = not_available(target, currency, -units, fund or Fund())
            if refusal is not None:
                return refusal
        return None

    def unpriced(self, units_by_currency: Mapping[str, int]) -> str | None:
        """Why the worth of money that comes or goes is not known, if so."""
        for currency in units_by_currency:
            known = currency == self.currency or self.valuation.find_path(currency, self.currency) is None
            if not known and self.valuation.convert(UNIT, currency, self.currency) is None:
                return f"{currency} has no price yet, so what it is worth is not known; try again once it has traded"
        return None

    def move_capital(self, target: str, units_by_currency: Mapping[str, int]) -> None:
        """Give a strategy with a sub-account money from unassigned, or where below zero take it back there.

        ``pool`` is what the strategies without capital share. Neither is a profit or a loss: the day's profit stays as
        it is, and coins come and go at the last price. `capital_refusal` must have been asked.
        """
        assert self.capital_refusal(target, units_by_currency) is None, (target, units_by_currency)
        part = self._part_of(target)
        assert part is not None
        owners = [name for name, stake in {**self._departed, **self._stakes}.items() if stake.part is part]
        if part.name != POOL:
            for currency, units in units_by_currency.items():
                self.capital.moved(target, currency, units)
        self._moving([None, *owners], lambda: self._give(part.name, owners, units_by_currency))
        self.check()

    def _moving(self, levels: Sequence[str | None], move: Callable[[], None]) -> None:
        """Call ``move``, which changes what ``levels`` hold though nothing was won or lost."""
        self._days.moving(levels, lambda: self._peaks.moving(levels, move))

    def _give(self, part: str, owners: Sequence[str], units_by_currency: Mapping[str, int]) -> None:
        for currency, units in units_by_currency.items():
            self.ledger.assign(self.ledger.part(part), currency, units)
            left = units
            for name in owners:
                stake = self._departed.get(name) or self._stakes[name]
                for position in stake.positions.values():
                    moved = position.room_for(left) if position.pair.base == currency else 0
                    if moved:
                        position.move_coins(moved)
                        if stake.flows is not None:
                            stake.flows[currency] = stake.flows.get(currency, 0) + moved
                        left -= moved

    def _part_of(self, target: str) -> SubAccount | None:
        stake = self._stakes.get(target) or self._departed.get(target)
        if stake is not None:
            return stake.part if target in self.capital.given else None
        return self.ledger.parts.get(POOL) if target in (POOL, "pool") else None

    def _no_part(self, target: str) -> str:
        stake = self._stakes.get(target)
        if stake is None:
            names = [*self._stakes, *self._departed]
            near = difflib.get_close_matches(target, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"this bot has {', '.join(names)}"
            return f"there is no strategy {target!r}; {hint}"
        if stake.part.name == POOL:
            return (
                f"{target} has no sub-account: it spends from the pool of the strategies without `capital:`. "
                f"Name pool instead of {target} to change what they have together"
            )
        return f"{target} has not started yet; its capital is set aside when it first does"

    # -- orders ---------------------------------------------------------------------------------------------------

    def lock(self, order: Order) -> str | None:
        """Reserve what a new order may spend. Returns the reason, with figures, when its strategy has too little."""
        stake = self._stakes[order.strategy]
        pair = order.pair
        need = required_units(order)
        if order.side is BUY:
            return self.ledger.lock(stake.part, order.client_id, pair.quote, need)
        refusal = self.ledger.lock(stake.part, order.client_id, pair.base, need)
        if refusal is None:
            (stake.positions.get(pair) or self._position(stake, pair)).locked_units += need
        return refusal

    def relock(self, order: Order) -> str | None:
        """Lock again for an order thought dead that turned out to live. Locks what there is.

        Returns what is lacking, if anything; its fills are booked all the same.
        """
        stake = self._stakes[order.strategy]
        is_sell = order.side is SELL
        currency = order.pair.base if is_sell else order.pair.quote
        need = required_units(order) - self.ledger.locks.get(order.client_id, 0)
        locked = self.ledger.lock_more(stake.part, order.client_id, currency, need)
        if is_sell:
            self._position(stake, order.pair).locked_units += locked
        return None if locked >= need else self.ledger.shortfall(stake.part, currency, need - locked)

    def release(self, order: Order) -> None:
        """An order is final: what it still locks is available again. Releasing twice does nothing."""
        stake = self._stakes[order.strategy]
        pair = order.pair
        if order.side is BUY:
            self.ledger.unlock(stake.part, order.client_id, pair.quote)
        else:
            units = self.ledger.unlock(stake.part, order.client_id, pair.base)
            if units:
                stake.positions[pair].locked_units -= units

    def locked_units(self, order: Order) -> int:
        """What an order still locks."""
        return self.ledger.locks.get(order.client_id, 0)

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

        base, quote, part, ledger = pair.base, pair.quote, stake.part, self.ledger
        position = stake.positions.get(pair) or self._position(stake, pair)
        needed = required_units(order)
        if order.side is BUY:
            ledger.spend(part, order.client_id, quote, value, needed)
            ledger.earn(part, base, coins)
            base_units, quote_units = coins, -value
        else:
            position.locked_units -= ledger.spend(part, order.client_id, base, coins, needed)
            ledger.earn(part, quote, value)
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
                quote_units -= self.valuation.convert(fee, fee_currency, quote) or 0
        if position.unpriced:
            position.price_opening(ticks)
        position.apply(base_units, quote_units)
        self._balances.rounding_units += 1
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

    # -- what the exchange says -----------------------------------------------------------------------------------

    def on_balances(self, report: BalanceReport, now: Nanos, *, quiet: bool) -> list[Discrepancy]:
        """Compare the exchange's own figures with ours.

        ``quiet``: no fill can be on its way (nothing resting, sent or unknown), so that every difference is somebody
        else's doing and goes to unassigned at once. Otherwise a difference that the live orders' locks can explain is
        left to them, and the rest is adopted when it has stood unchanged for SETTLE_NS.
        """
        return self._balances.compare(report, now, quiet=quiet)

    @property
    def may_be_short(self) -> bool:
        """False when `shortages` would surely be empty; asked at every report of balances."""
        return min(self.ledger.unassigned.values(), default=0) < 0

    def shortages(self) -> list[Shortage]:
        """Every currency of which the account has less than its parts own together."""
        found = (self._balances.shortage(currency) for currency in self.ledger.unassigned)
        return [shortage for shortage in found if shortage is not None]

    # -- what strategies and rules read ---------------------------------------------------------------------------

    @property
    def account(self) -> Mapping[str, int]:
        """What the exchange should report of each currency, in units."""
        return self.ledger.account

    @property
    def unassigned(self) -> Mapping[str, int]:
        """What belongs to no strategy, in units per currency; below zero there is a shortage."""
        return self.ledger.unassigned

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

    def position_lots(self, strategy: str | None, pair: Pair) -> int:
        """Whole lots that a strategy (None: all of them) holds in a pair."""
        if strategy is None:
            return sum(self.position_lots(name, pair) for name in self._stakes)
        position = self._stakes[strategy].positions.get(pair)
        return 0 if position is None else position.lots

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
        self._days.first_price()
        self._peaks.first_price()

    def last_price(self, pair: Pair) -> float | None:
        """The last price marked, or None before the first."""
        cell = self.prices.get(pair)
        return None if cell is None else cell.price

    def holdings(self, strategy: str | None) -> dict[str, int]:
        """What counts as a strategy's own, or (None) as all strategies' together, in units per currency."""
        return self.ledger.holdings() if strategy is None else self._stakes[strategy].holdings()

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

    @property
    def day(self) -> Nanos | None:
        """When the trading day began that the day's profits count from, None before the first."""
        return self._days.day

    def watch_day(self, level: str | None, currency: str) -> None:
        """Keep the day's profit of a strategy (None: of all) in ``currency``, from now on and from each `start_day`."""
        # before open() or restore() there is no equity to begin with
        self._days.watch((level, currency), self.equity_units(level, currency) if self.ledger.account else None)

    def start_day(self, now: Nanos) -> None:
        """The trading day that begins at ``now`` has begun: every profit of the day counts from here."""
        self._days.day = now
        self._days.begin(self._days.baselines)

    def restart_day(self, level: str | None) -> None:
        """The day's profit of one strategy (None: of all together) counts from here: it was resumed after a loss."""
        self._days.begin([key for key in self._days.baselines if key[0] == level])
        self._peaks.begin([key for key in self._peaks.baselines if key[0] == level])

    def watch_peak(self, level: str | None, currency: str) -> None:
        """Keep the highest equity of a strategy (None: of all), from now on and from each `restart_day`."""
        self._peaks.watch((level, currency), self.equity_units(level, currency) if self.ledger.account else None)

    def peak_units(self, level: str | None, currency: str) -> int | None:
        """The highest equity so far of a level that is watched; None while a price is missing."""
        return self._peaks.baselines.get((level, currency))

    def raise_peak(self, level: str | None, currency: str, equity: int) -> None:
        """A level that is watched is, or was, worth so much."""
        peak = self._peaks.baselines.get((level, currency))
        if peak is None or equity > peak:
            self._peaks.baselines[level, currency] = equity

    @property
    def has_peaks(self) -> bool:
        """True while the highest equity is kept, which prices alone move."""
        return bool(self._peaks.baselines)

    def day_baseline_units(self, level: str | None, currency: str) -> int | None:
        """Equity at the beginning of the trading day, of a level that is watched; None while a price is missing."""
        return self._days.baselines.get((level, currency))

    def day_pnl_units(self, level: str | None, currency: str) -> int | None:
        """Change of equity since the trading day began, unrealised included; None while a price is missing."""
        before = self._days.baselines.get((level, currency))
        after = None if before is None else self.equity_units(level, currency)
        return None if before is None or after is None else after - before

    def check(self) -> None:
        """Assert that the parts and unassigned are the account, nothing is below zero, and locks add up."""
        self.ledger.check()
