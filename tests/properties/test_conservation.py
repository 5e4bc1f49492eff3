"""Coins and cash, including fees, are conserved exactly over a thousand random order scripts.

A script is a random market (books and trades, only trades, or candles) with two accounts, one of which pays its fees in
BITO. The script contains several dozen orders, batches, stops and cancels at random times. After each step,
`Kernel.check` asserts that the sum of accounts, recorded market and fees has not changed, and that the locked balances
equal the sum of the open orders' locks. At the end, balances computed independently, using only the published
executions, must match.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np

from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.events import TradeReport
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import RESTING_STATES, Condition, OrderState, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import Answer, CancelAll, CancelBatch, CancelOrder, CreateBatch, CreateOrder, Ending
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Optimistic, Pessimistic, Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Lognormal

SCRIPTS = 1_000
SHARE = 0.05
S = 10**9
T0 = 1_700_000_000 * S
SPAN_S = 60
STEPS = 24


def rules(price_decimals: int, amount_decimals: int = 8) -> PairRules:
    return PairRules(
        price_decimals=price_decimals,
        amount_decimals=amount_decimals,
        display_decimals=4,
        least_lots=1,
        most_lots=10**14,
        least_spend_units=1,
        open_orders_max=20,
    )


# one pair with an unusual price scale, and one whose products must be rounded down at 1e-8
PAIRS = {
    name: Pair(name, rules(decimals))
    for name, decimals in (("btc_usdt", 2), ("eth_twd", 3), ("usdt_twd", 3), ("bito_twd", 4))
}
TRADED = [PAIRS["btc_usdt"], PAIRS["eth_twd"], PAIRS["bito_twd"]]
MIDDLE = {"btc_usdt": 10_003, "eth_twd": 70_001, "bito_twd": 25_013, "usdt_twd": 31_977}


def book_rows(pair: Pair, rng: Random, rows: int = 12) -> BookColumns:
    middle, depth = MIDDLE[pair], 3
    received = np.array(sorted(T0 + rng.randrange(SPAN_S * S) for _ in range(rows)), dtype=np.int64)
    sides = []
    for sign in (-1, 1):
        ticks, lots = [], []
        for _ in range(rows):
            price = middle + sign * rng.randint(-8, 20)
            ticks.append([price + sign * step for step in sorted(rng.sample(range(40), depth))])
            lots.append([rng.randint(1, 10**8) for _ in range(depth)])
        sides += [np.array(ticks, dtype=np.int64), np.array(lots, dtype=np.int64)]
    return BookColumns(pair, received, received, *sides)


def trade_rows(pair: Pair, rng: Random, rows: int = 40) -> TradeColumns:
    middle = MIDDLE[pair]
    received = np.array([T0, *sorted(T0 + rng.randrange(SPAN_S * S) for _ in range(rows - 1))], dtype=np.int64)
    ticks = np.array([middle + rng.randint(-60, 60) for _ in range(rows)], dtype=np.int64)
    lots = np.array([rng.randint(1, 10**8) for _ in range(rows)], dtype=np.int64)
    side = np.array([rng.choice((-1, 0, 1)) for _ in range(rows)], dtype=np.int8)
    return TradeColumns(pair, received, received, ticks, lots, side)


def candle_rows(pair: Pair, rng: Random) -> CandleColumns:
    start = T0 - T0 % (60 * S) - 60 * S
    time = start + 60 * S * np.arange(4, dtype=np.int64)
    prices = np.array([[MIDDLE[pair] + rng.randint(-60, 60) for _ in range(4)] for _ in range(4)], dtype=np.int64)
    lots = np.array([rng.choice((0, rng.randint(1, 10**8), 10**9)) for _ in range(4)], dtype=np.int64)
    return CandleColumns(
        pair, "1m", time + 60 * S, time, prices[:, 0], prices.max(axis=1), prices.min(axis=1), prices[:, 3], lots
    )


def market(rng: Random) -> list[MarketColumns]:
    columns: list[MarketColumns] = [trade_rows(PAIRS["usdt_twd"], rng, 3)]
    for pair in TRADED:
        kind = rng.choice(("books", "books", "trades", "candles"))
        if kind == "candles":
            columns.append(candle_rows(pair, rng))
            continue
        columns.append(trade_rows(pair, rng))
        if kind == "books":
            columns.append(book_rows(pair, rng))
    return columns


class Script:
    """One random session at the exchange."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.seed = seed
        self.begun = {
            "plain": {"usdt": 10**11, "btc": 10**9, "twd": 10**13, "eth": 10**10, "bito": 10**11},
            "bito": {"usdt": 10**11, "btc": 10**9, "twd": 10**13, "eth": 10**10, "bito": rng.choice((10**6, 10**11))},
        }
        fees = {name: FixedFees({"maker": "0.001", "taker": "0.00217", "bito": name == "bito"}) for name in self.begun}
        self.kernel = Kernel(
            pairs=PAIRS,
            accounts={name: AccountSetup(dict(balances), fees[name]) for name, balances in self.begun.items()},
            queue=rng.choice((Queue, Optimistic, Pessimistic))(),
            latency=Lognormal({"order_ms": 200, "answer_ms": 200}, seed),
            limits=None,
            volume_currency="twd",
            discount_currency="bito",
            slippage_e8=rng.choice((0, 12_345)),
            seed=seed,
            batch_all_or_nothing=rng.random() < 0.5,
        )
        for columns in market(rng):
            self.kernel.load(columns)
        self.number = 0
        self.seen: Counter[str] = Counter()

    def new(self, *, in_batch: bool = False) -> OrderSpec:
        rng = self.rng
        self.number += 1
        pair = rng.choice(TRADED)
        side = rng.choice((Side.BUY, Side.SELL))
        kind = rng.choice((OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LIMIT))
        if in_batch and kind is OrderType.STOP_LIMIT:
            kind = OrderType.LIMIT
        fields: dict[str, object] = {}
        if kind is OrderType.MARKET and side is Side.BUY:
            fields["spend_units"] = rng.randint(1, 10**5) * 10**6
        else:
            fields["amount_lots"] = rng.randint(1, 3 * 10**8)
        if kind is not OrderType.MARKET:
            fields["price_ticks"] = MIDDLE[pair] + rng.randint(-60, 60)
            fields["post_only"] = rng.random() < 0.15
        if kind is OrderType.STOP_LIMIT:
            fields["stop_ticks"] = MIDDLE[pair] + rng.randint(-40, 40)
            fields["condition"] = rng.choice(tuple(Condition))
        return OrderSpec(client_id=self.number, pair=pair, side=side, type=kind, **fields)  # type: ignore[arg-type]

    def step(self, now: int) -> None:
        rng, kernel = self.rng, self.kernel
        account = rng.choice(("plain", "bito"))
        self.number += 1
        request_id = 10_000 + self.number
        what = rng.random()
        rows = [row for row in kernel.orders(account) if row.state in RESTING_STATES]
        if what < 0.65:
            kernel.submit(account, CreateOrder(id=request_id, order=self.new(), timestamp=now), now)
        elif what < 0.72:
            orders = tuple(self.new(in_batch=True) for _ in range(rng.randint(1, 4)))
            kernel.submit(account, CreateBatch(id=request_id, orders=orders, timestamp=now), now)
        elif what < 0.97 and rows:
            partly = [row for row in rows if row.state is OrderState.PARTLY_FILLED] or rows
            row = rng.choice(partly)
            if rng.random() < 0.2:
                pairs = tuple((row.pair, row.order_id) for row in rows[:3])
                kernel.submit(account, CancelBatch(id=request_id, orders=pairs), now)
            else:
                kernel.submit(account, CancelOrder(id=request_id, pair=row.pair, order_id=row.order_id), now)
        elif what >= 0.97:
            kernel.submit(account, CancelAll(id=request_id), now)

    def run(self) -> Counter[str]:
        kernel = self.kernel
        executions: dict[str, list[TradeReport]] = {name: [] for name in self.begun}
        moments = sorted(T0 + self.rng.randrange(SPAN_S * S) for _ in range(STEPS))
        for moment in [*moments, T0 + 10 * SPAN_S * S, None]:
            until = T0 + 100 * SPAN_S * S if moment is None else moment
            for publication in kernel.advance(until):
                for event in publication.events:
                    if isinstance(event, TradeReport) and publication.account is not None:
                        executions[publication.account].append(event)
                    if isinstance(event, Answer) and isinstance(event.body, tuple) and event.outcome is Ending.OK:
                        self.seen["batch"] += len(event.body) > 1
            kernel.check()
            if moment is not None:
                self.step(moment)
        for name, rows in executions.items():
            self.compare(name, rows)
        return self.tally(executions)

    def compare(self, account: str, rows: list[TradeReport]) -> None:
        """Compare the balances with those derived only from published events. Values are rounded down once per
        execution; fees are taken as reported.
        """
        balances = dict(self.begun[account])
        for row in rows:
            pair, sign = row.pair, row.side.sign
            balances[pair.base] += sign * pair.rules.base_units(row.lots)
            balances[pair.quote] -= sign * pair.rules.value_units(row.price_ticks, row.lots)
            balances[row.fee_currency] -= row.fee_units
        told = {currency: total for currency, (total, _) in self.kernel.account(account).balances().balances.items()}
        assert told == balances, self.seed
        for order in self.kernel.orders(account):
            mine = [row for row in rows if row.order_id == order.order_id]
            assert sum(row.lots for row in mine) == order.executed_lots
            value = sum(order.pair.rules.value_units(row.price_ticks, row.lots) for row in mine)
            assert value == order.executed_units
            limit = order.price_ticks
            for row in mine if limit else []:
                assert row.price_ticks <= limit if order.side is Side.BUY else row.price_ticks >= limit

    def tally(self, executions: dict[str, list[TradeReport]]) -> Counter[str]:
        seen = self.seen
        for account in self.begun:
            for order in self.kernel.orders(account):
                fills = sum(row.order_id == order.order_id for row in executions[account])
                seen["partial fill"] += order.state is OrderState.PARTLY_FILLED or fills > 1
                cancelled, executed = order.state is OrderState.CANCELLED, order.executed_lots > 0
                seen["cancel after a partial fill"] += cancelled and executed and order.type is not OrderType.MARKET
                untouched = order.state is OrderState.UNTRIGGERED or (cancelled and not executed)
                seen["stop trigger"] += order.type is OrderType.STOP_LIMIT and not untouched
            for row in executions[account]:
                got = row.pair.base if row.side is Side.BUY else row.pair.quote
                seen["BITO fee"] += row.fee_currency == "bito" != got
                seen["full fee"] += row.fee_currency != "bito"
                seen["maker"] += row.is_maker
        both = {row.trade_id for row in executions["plain"]} & {row.trade_id for row in executions["bito"]}
        seen["accounts met"] += bool(both)
        return seen


def test_a_thousand_random_scripts_conserve_every_unit() -> None:
    scripts: Counter[str] = Counter()
    for seed in range(SCRIPTS):
        scripts.update(kind for kind, count in Script(seed).run().items() if count)
    wanted = ("partial fill", "cancel after a partial fill", "batch", "stop trigger", "BITO fee", "accounts met")
    rare = {kind: scripts[kind] for kind in wanted if scripts[kind] < SHARE * SCRIPTS}
    assert not rare, f"too rare to prove anything: {rare} of {SCRIPTS}; all: {dict(scripts)}"


def test_the_conservation_check_detects_a_discrepancy_of_one_unit() -> None:
    script = Script(1)
    script.run()
    script.kernel._ledger.accounts["plain"].total["btc"] += 1
    try:
        script.kernel.check()
    except AssertionError:
        return
    raise RuntimeError("one unit appeared and nobody noticed")
