"""No unit appears or vanishes for any sequence of orders, fills, releases and external changes, and a restart does not
change any value.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.engine.money.portfolio import CapitalShare, Portfolio, required_units
from botkit.engine.money.positions import Position
from botkit.engine.risk.review import RiskDesk
from botkit.engine.risk.rules import MaxDailyLoss
from botkit.model.clock import NS_PER_DAY
from botkit.model.events import BalanceReport, TradeReport
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair
from tests.portfolio_cases import BITO_TWD, BTC_TWD, BTC_USDT, COIN, PAIRS, USDT_TWD, coins, make_order

SHARES = (
    CapitalShare("fixed", (BTC_TWD, USDT_TWD), coins(twd=300_000, btc=1)),
    CapitalShare("percent", (BTC_USDT, BITO_TWD), 30),
    CapitalShare("pool_one", (BTC_TWD, BTC_USDT)),
    CapitalShare("pool_two", (USDT_TWD, BITO_TWD)),
)
OPENING = coins(twd=1_000_000, btc=5, usdt=20_000, bito=50, doge=7)
OWNED = {"btc": 123_456_789_012, "usdt": 98_765_432_101}
PRICES = {BTC_TWD: 30_000.0, USDT_TWD: 31.205, BTC_USDT: 961.37, BITO_TWD: 5.4321}


class Script:
    """Random actions by four strategies on one account. An independent ledger derives the account balances from the
    reports alone.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.portfolio = Portfolio(pairs=PAIRS, shares=SHARES, reserve=coins(twd=50_000, bito=1), currency="twd")
        for share in SHARES:
            self.portfolio.days.watch(share.strategy, "twd")
        self.portfolio.days.watch(None, "usdt")
        self.portfolio.open(OPENING)
        self.account = Counter(OPENING)
        # the units that each strategy should own, derived only from capital moves, fills and deposits
        self.owned: Counter[str] = Counter(self.portfolio.holdings(None))
        self.unowned = Counter(OPENING)
        self.unowned.subtract(self.owned)
        self.given = {key: position.given_units for key, position in self.all_positions().items()}
        self.live: list[Order] = []
        self.dead: list[Order] = []
        self.happened: Counter[str] = Counter()
        # the expected positions, derived only from the fills: the base and quote units that each position received or
        # paid
        self.flows: dict[tuple[str, str], list[int]] = {}

    def step(self) -> None:
        deed = self.random.choices(
            (
                self.ask,
                self.execute,
                self.end,
                self.execute_late,
                self.revive,
                self.deposit,
                self.mark,
                self.restart,
                self.move,
            ),
            weights=(8, 12, 3, 1, 1, 1, 3, 1, 2),
        )[0]
        deed()
        self.check()

    def ask(self) -> None:
        share = self.random.choice(SHARES)
        pair = self.random.choice(share.pairs)
        side = self.random.choice((Side.BUY, Side.SELL))
        price = PRICES[pair] * self.random.uniform(0.9, 1.1)
        amount = self.random.choice((1e-8, 0.01, 1, 7.3)) * 30_000 / PRICES[pair] * self.random.random()
        kind = self.random.random()
        if kind < 0.2 and side is Side.BUY:
            order = make_order(share.strategy, pair, side, spend=max(1.0, amount * price))
        elif kind < 0.2:
            order = make_order(share.strategy, pair, side, amount=max(1e-4, amount))
        else:
            order = make_order(share.strategy, pair, side, price=price, amount=max(1e-4, amount))
        available = self.portfolio.balance(share.strategy, pair.quote if side is Side.BUY else pair.base)
        refusal = self.portfolio.lock(order)
        assert (refusal is None) == (required_units(order) <= available.available_units)
        if refusal is None:
            self.live.append(order)
        else:
            self.happened["refused"] += 1

    def execute(self) -> None:
        if self.live:
            order = self.random.choice(self.live)
            if self._execute(order) and self._left(order) == 0:
                self.portfolio.release(order)
                self.live.remove(order)

    def execute_late(self) -> None:
        late = [order for order in self.dead if self._left(order)]
        if late and self._execute(self.random.choice(late)):
            self.happened["late"] += 1

    def revive(self) -> None:
        late = [order for order in self.dead if self._left(order)]
        if late:
            order = self.random.choice(late)
            self.portfolio.relock(order)
            self.dead.remove(order)
            self.live.append(order)

    def end(self) -> None:
        if self.live:
            order = self.live.pop(self.random.randrange(len(self.live)))
            self.portfolio.release(order)
            self.portfolio.release(order)
            self.dead.append(order)
            self.happened["cancelled_after_a_fill"] += order.executed_lots > 0

    def deposit(self) -> None:
        currency = self.random.choice(("twd", "btc", "bito"))
        before = self.account[currency]
        self.account[currency] = max(0, before + self.random.randint(-COIN, 3 * COIN))
        self.unowned[currency] += self.account[currency] - before
        report = BalanceReport({c: (units, units) for c, units in self.account.items()}, snapshot=True)
        self.portfolio.balances.compare(report, 0, quiet=True)

    def move(self) -> None:
        portfolio = self.portfolio
        target = self.random.choice(("fixed", "percent", "pool", "pool_one", "pool_two"))
        part = portfolio.ledger.parts["(pool)" if target.startswith("pool") else target]
        units = {}
        for currency in self.random.sample(("twd", "btc", "usdt", "bito"), 2):
            low, high = -part.funds[currency].available, portfolio.unassigned.get(currency, 0)
            high -= portfolio.reserve.get(currency, 0)
            units[currency] = self.random.choice((low, high, self.random.randint(low, max(low, high)), -COIN, COIN))
        units = {currency: change for currency, change in units.items() if change}
        possible = all(
            -part.funds[c].available <= change <= max(0, portfolio.unassigned.get(c, 0) - portfolio.reserve.get(c, 0))
            for c, change in units.items()
        )
        if target in ("pool_one", "pool_two"):  # the pool's coins may be owned by another strategy
            own = {c: [p for p in portfolio.positions(target) if p.pair.base == c] for c in units}
            possible = possible and all(
                change > 0 or not own[c] or -change <= sum(max(0, p.amount_units - p.locked_units) for p in own[c])
                for c, change in units.items()
            )
        cost_e8 = None
        if self.random.random() < 0.3 and portfolio.transfers.wrong_cost(target, units) is None:
            cost_e8 = self.random.randint(1, 40_000 * COIN)
        refusal = portfolio.transfers.refusal(target, units)
        assert (refusal is None) == possible, (refusal, units)
        if refusal is not None:
            return
        profits, positions = self.profits(), self.positions()
        assert None not in profits.values()
        given_before = {key: position.given_units for key, position in self.all_positions().items()}
        portfolio.transfers.move(target, units, cost_e8)
        assert self.profits() == profits, "moving money is neither a profit nor a loss"
        self.owned.update(units)
        self.unowned.subtract(units)
        self.happened["with_a_cost"] += cost_e8 is not None
        self.happened["given"] += any(change > 0 for change in units.values())
        self.happened["taken"] += any(change < 0 for change in units.values())
        for (name, pair), (amount, money) in self.positions().items():
            moved, paid = amount - positions[name, pair][0], money - positions[name, pair][1]
            cell = portfolio.prices[pair]
            assert cell.ticks is not None
            if cost_e8 is not None and moved > 0:
                assert paid == -(moved * cost_e8 // COIN), "coins are added at the given cost"
            else:
                assert paid == -(moved * cell.ticks // cell.scale), "coins are moved at the last price"
            self.given[name, pair] = given_before.get((name, pair), 0) + moved
            assert moved >= 0 or amount >= 0, "taking coins makes nobody short"
            flow = self.flows.setdefault((name, pair), [0, 0])
            flow[0] += moved
            flow[1] += paid

    def profits(self) -> dict[tuple[str | None, str], int | None]:
        """Return the daily profit of every strategy and of the account."""
        keys = [*((share.strategy, "twd") for share in SHARES), (None, "usdt")]
        return {key: self.portfolio.days.pnl_units(*key) for key in keys}

    def all_positions(self) -> dict[tuple[str, str], Position]:
        """Return every position by strategy and pair."""
        names = self.portfolio.strategies
        return {(name, str(p.pair)): p for name in names for p in self.portfolio.positions(name)}

    def positions(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return the amount and the net cash flow (realised profit minus cost) of each position."""
        return {
            (name, str(p.pair)): (p.amount_units, p.realised_units - p.cost_units)
            for name in self.portfolio.strategies
            for p in self.portfolio.positions(name)
        }

    def mark(self) -> None:
        pair = self.random.choice(list(PRICES))
        self.portfolio.mark(
            pair, pair.rules.price(pair.rules.ticks(PRICES[pair] * self.random.uniform(0.9, 1.1), up=False))
        )

    def restart(self) -> None:
        state = json.loads(json.dumps(self.portfolio.state()))
        again = Portfolio(pairs=PAIRS, shares=SHARES, reserve=self.portfolio.reserve, currency="twd")
        again.restore(state)
        assert again.state() == self.portfolio.state()
        for pair, cell in self.portfolio.prices.items():
            again.prices[pair].price = cell.price
        self.portfolio = again

    def _left(self, order: Order) -> int:
        if order.amount_lots:
            return order.amount_lots - order.executed_lots
        ticks = order.pair.rules.ticks(PRICES[order.pair] * 1.2, up=True)
        return order.pair.rules.lots_for_value(ticks, order.spend_units - order.executed_units)

    def _execute(self, order: Order) -> bool:
        pair, rules = order.pair, order.pair.rules
        left = self._left(order)
        lots = left if self.random.random() < 0.5 else self.random.randint(0, left)
        if not lots:
            return False
        better = 1 - 0.05 * self.random.random() * order.side.sign
        ticks = rules.ticks((rules.price(order.price_ticks) or PRICES[pair]) * better, up=order.side is Side.SELL)
        value, base = rules.value_units(ticks, lots), rules.base_units(lots)
        in_bito = self.random.random() < 0.3
        rate = Fraction(self.random.choice((0, 1, 2)), 1000)
        if in_bito:
            fee, currency = min(self.account["bito"], int(COIN * self.random.random() * 3)), "bito"
        elif order.side is Side.BUY:
            fee, currency = int(base * rate), str(pair.base)
        else:
            fee, currency = int(value * rate), str(pair.quote)
        report = TradeReport(
            pair=pair, order_id="1", trade_id="1", side=order.side, price_ticks=ticks, lots=lots,
            fee_units=fee, fee_currency=currency, is_maker=True, time=0,
        )  # fmt: skip
        sign = order.side.sign
        after = Counter(self.account)
        after[pair.base] += sign * base
        after[pair.quote] -= sign * value
        after[currency] -= fee
        if min(after.values()) < 0:
            return False  # the exchange never fills an order that the account cannot pay for, including the fee
        self.portfolio.fill(order, report, 0)
        self.happened["partial"] += lots < left
        self.happened["bito_fee"] += in_bito and fee > 0
        for currency_moved, units in after.items():
            self.owned[currency_moved] += units - self.account[currency_moved]
        self.account = after
        if currency not in (pair.base, pair.quote):
            worth = self.portfolio.valuation.convert(fee, currency, pair.quote) or 0
            value += sign * worth
            base_fee = 0
        else:
            base_fee = fee if currency == pair.base else 0
            value += sign * fee if currency == pair.quote else 0
        flow = self.flows.setdefault((order.strategy, str(pair)), [0, 0])
        flow[0] += sign * base - base_fee
        flow[1] -= sign * value
        return True

    def check(self) -> None:
        portfolio = self.portfolio
        portfolio.check()
        assert min(self.account.values()) >= 0
        # compare the full sums, because +Counter would hide a negative value
        assert {c: u for c, u in self.account.items() if u} == {c: u for c, u in portfolio.account.items() if u}
        self.check_ownership()
        assert sum(portfolio.ledger.locks.get(o.client_id, 0) for o in self.live) == sum(
            portfolio.ledger.locks.values()
        )
        for strategy in portfolio.strategies:
            for position in portfolio.positions(strategy):
                sells = [o for o in self.live if (o.strategy, o.pair, o.side) == (strategy, position.pair, Side.SELL)]
                assert position.locked_units == sum(portfolio.ledger.locks.get(o.client_id, 0) for o in sells)
                assert 0 <= position.sellable <= max(0.0, portfolio.balance(strategy, position.pair.base).available)

    def check_ownership(self) -> None:
        """Check that owned + unassigned + reserve = account, and that no fill changes the unassigned balance."""
        portfolio = self.portfolio
        shown = portfolio.ownership.shown({})
        owned: Counter[str] = Counter()
        for owner in shown.owners:
            owned.update(owner.units)
        lent = Counter(portfolio.unassigned)
        lent.subtract(self.unowned)
        for currency in {*self.account, *owned, *self.unowned}:
            assert owned[currency] == self.owned[currency], currency
            assert owned[currency] + self.unowned[currency] == self.account[currency], currency
            # a late fill, or a fee in the exchange's own coin, may borrow from the unassigned balance
            owes = -sum(part.funds[currency].claims for part in portfolio.ledger.parts.values())
            assert lent[currency] == -owes, currency
            left, reserved = shown.left.get(currency, 0), shown.reserved.get(currency, 0)
            assert left + reserved == max(0, portfolio.unassigned.get(currency, 0)), currency
            assert reserved <= portfolio.reserve.get(currency, 0), currency
            assert left == portfolio.ownership.free_units(currency), currency
        for key, position in self.all_positions().items():
            assert position.given_units == self.given.get(key, 0), key
            assert position.given == max(0, position.given_units) / COIN
            assert float(position.exact.given) == position.given

    def check_positions(self, opening: dict[tuple[str, str], tuple[int, int]]) -> None:
        """Check that each amount is the opening amount plus net receipts, and that realised profit minus cost is the
        net cash flow minus the opening cost.
        """
        for strategy in self.portfolio.strategies:
            for position in self.portfolio.positions(strategy):
                key = (strategy, str(position.pair))
                base, quote = self.flows.get(key, [0, 0])
                amount, cost = opening.get(key, (0, 0))
                assert position.amount_units == amount + base
                assert position.realised_units - position.cost_units == quote - cost


def opened_and_priced(script: Script) -> dict[tuple[str, str], tuple[int, int]]:
    for pair, price in PRICES.items():
        script.portfolio.mark(pair, pair.rules.price(pair.rules.ticks(price, up=False)))
    return {
        (strategy, str(position.pair)): (position.amount_units, position.cost_units)
        for strategy in script.portfolio.strategies
        for position in script.portfolio.positions(strategy)
    }


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_owned_reserved_and_unassigned_balances_always_sum_to_the_account(seed: int) -> None:
    script = Script(seed)
    opening = opened_and_priced(script)
    for _ in range(80):
        script.step()
    script.check_positions(opening)
    for order in script.live:
        script.portfolio.release(order)
    script.portfolio.check()
    assert not script.portfolio.ledger.locks


def test_the_random_scripts_cover_the_intended_cases() -> None:
    reached: Counter[str] = Counter()
    for seed in range(60):
        script = Script(seed)
        opened_and_priced(script)
        for _ in range(80):
            script.step()
        reached.update(key for key, count in script.happened.items() if count)
    for key in ("refused", "partial", "late", "bito_fee", "cancelled_after_a_fill", "given", "taken", "with_a_cost"):
        assert reached[key] >= 12, (key, reached)  # in one script out of five


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_a_limit_is_breached_at_the_same_row_whether_rows_are_processed_in_spans_or_singly(seed: int) -> None:
    chance = random.Random(seed)
    script = Script(seed)
    opened_and_priced(script)
    portfolio = script.portfolio
    currency = chance.choice(("twd", "usdt", "btc", "bito"))
    limit = {currency: round(chance.uniform(0.001, 20_000 / PRICES.get(PAIRS.get(f"{currency}_twd"), 1.0)), 8)}
    own = {"pool_one": [MaxDailyLoss({"twd": chance.randint(1, 5000)})]}
    desk = RiskDesk([MaxDailyLoss(limit)], own, portfolio, lambda now: now - now % NS_PER_DAY)
    desk.start("fixed", 0)
    for _ in range(chance.randint(0, 30)):
        script.ask()
        script.execute()
        if chance.random() < 0.2:
            script.mark()
    pair: Pair = chance.choice(list(PRICES))
    price, prices = portfolio.last_price(pair) or 1.0, []
    for _ in range(200):
        price *= 1 + chance.choice((0, 0, 1e-6, 1e-3, 2e-2)) * chance.uniform(-1, 1)
        # most row prices are aligned to a tick; the exact valuation rounds the others to a tick
        prices.append(price if chance.random() < 0.1 else pair.rules.price(pair.rules.ticks(price, up=False)))
    rows = np.array(prices)
    found = desk.first_breach(pair, rows, 0)
    one_by_one = None
    for index, price in enumerate(prices):
        portfolio.mark(pair, price)
        if desk.breached(0) is not None:
            one_by_one = index
            break
    assert found == one_by_one


def test_a_price_exactly_at_a_limit_is_not_missed() -> None:
    # with these pairs, btc is valued in twd through two conversions, each of which is rounded
    pairs = {str(pair): pair for pair in (BTC_USDT, USDT_TWD)}
    portfolio = Portfolio(
        pairs=pairs, shares=[CapitalShare("a", (BTC_USDT, USDT_TWD), OWNED)], reserve={}, currency="twd"
    )
    portfolio.open(OWNED)
    for pair in pairs.values():
        portfolio.mark(pair, PRICES[pair])
    portfolio.days.watch(None, "twd")
    rows = np.array([PRICES[BTC_USDT] - step / 100 for step in range(2000)]).round(2)
    before = portfolio.equity_units(None, "twd")
    assert before is not None
    for chosen in (3, 500, 1999):
        portfolio.mark(BTC_USDT, float(rows[chosen]))
        after = portfolio.equity_units(None, "twd")
        assert after is not None
        portfolio.mark(BTC_USDT, float(rows[0]))
        for off, expected in ((0, chosen), (1, chosen + 1)):
            rule = MaxDailyLoss({"twd": 1})
            rule.limits["twd"] = before - after + off
            desk = RiskDesk([rule], {}, portfolio, lambda now: 0)
            assert desk.first_breach(BTC_USDT, rows, 0) == (expected if expected < len(rows) else None)
