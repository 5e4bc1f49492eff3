"""Tests the order protocol with an exchange that loses, delays, duplicates and reorders messages.

At no time is an order final in the bot while it is live at the exchange, and the exchange never has two orders with the
same client ID. After the network has recovered, the bot has a record of every order, and its books match those of the
exchange to the unit. Mutants of the protocol are caught.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from botkit.engine.orders.desk import OrderDesk
from botkit.engine.orders.executions import Executions
from botkit.engine.orders.resolution import Case, Resolution
from botkit.model.events import TradeReport
from botkit.model.orders import FINAL_STATES, OrderState, Side
from botkit.model.requests import Answer, Ending
from tests.engine_world import BTC, RICH, T0, Bot, Listener, S
from tests.model_exchange import ModelExchange
from tests.plain_form import replaces_code

ACCEPT_S = 6
RUN_S = 40
SEEDS = 60


class Gambler(Listener):
    """Makes random requests every half second."""

    def on_start(self) -> None:
        self.set_timer(every_s=0.5)
        self.calm = False

    def on_timer(self, timer: Any) -> None:
        if self.calm:
            self.cancel_all()
            return
        dice = self.random
        mine = self.open_orders(BTC)
        price = dice.randint(900, 1_100)
        amount = dice.randint(10, 30_000) / 10_000
        choice = dice.random()
        if choice < 0.4:
            dice.choice([self.buy, self.sell])(BTC, amount=amount, price=price, post_only=dice.random() < 0.3)
        elif choice < 0.5:
            self.market_buy(BTC, spend=dice.randint(200, 2_000))
        elif choice < 0.6:
            self.market_sell(BTC, amount=amount)
        elif choice < 0.75 and mine:
            self.cancel(dice.choice(mine))
        elif choice < 0.85 and mine:
            self.replace(dice.choice(mine), price=price)
        elif choice < 0.95:
            self.quote(BTC, bids=[(price - 60, amount)], asks=[(price + 60, amount)])
        else:
            self.buy(BTC, amount=amount, price=price, expire_s=3)


class Violation(AssertionError):
    """Error raised if an invariant of the protocol is violated."""


def play(seed: int, faults: float = 0.15, resends: bool = False) -> ModelExchange:
    """Simulate one run. Raises Violation if an invariant is violated."""
    exchange = ModelExchange(seed, RICH, ACCEPT_S * S, faults)
    exchange.resends = resends
    b = Bot(Gambler(), seed=seed, latest_accept_s=ACCEPT_S)
    b.trade(1_000)
    run(b, exchange, T0 + RUN_S * S)
    exchange.faults = 0.0
    b.s.calm = True
    run(b, exchange, T0 + (RUN_S + 90) * S)
    b.s.cancel_timer()
    run(b, exchange, T0 + (RUN_S + 120) * S)
    settled(b, exchange)
    return exchange


def run(b: Bot, exchange: ModelExchange, until: int) -> None:
    while True:
        times = [at for at in (exchange.next_at(), b.engine.wake_at()) if at is not None]
        if not times or min(times) > until:
            return
        b.now = max(b.now, min(times))
        events = exchange.pop(b.now)
        for event in events:
            exchange.send(b.tell(event), b.now)
        if not events:
            exchange.send(b.tell(None), b.now)
        watch(b, exchange)


def watch(b: Bot, exchange: ModelExchange) -> None:
    for client_id, rows in exchange.by_client.items():
        if len(rows) > 1:
            raise Violation(f"{len(rows)} orders of client id {client_id}")  # I1
        row, order = rows[0], b.engine.view.order(client_id)
        if order is None:
            raise Violation(f"no record of {row.report()}")  # I2
        if row.is_open and order.is_final:
            raise Violation(f"{order} is final while its order is live")  # I3
        if order.executed_lots > row.executed_lots:
            raise Violation(f"{order} has executed more than its row at the exchange")


class Protected(Gambler):
    """Buys and sells small amounts, and leaves the exits to `protect`."""

    def on_start(self) -> None:
        super().on_start()
        self.protect(BTC, stop_loss_pct=3, trail_pct=4)

    def on_timer(self, timer: Any) -> None:
        if self.calm:
            self.cancel_all()
            return
        dice = self.random
        mine = self.open_orders(BTC)
        choice = dice.random()
        if choice < 0.45:
            self.buy(BTC, amount=dice.randint(1, 50) / 10, price=dice.randint(980, 1_050))
        elif choice < 0.75 and self.position(BTC).sellable:
            self.sell(BTC, amount=self.position(BTC).sellable * dice.choice([0.01, 0.3, 1]), price=1_150)
        elif choice < 0.85 and mine:
            self.cancel(dice.choice(mine))


def play_protected(seed: int, faults: float = 0.15) -> tuple[int, int]:
    """Simulate one run with prices that trigger exits. Return how many exits were sent, and how many of them while the
    outcome of another sell was unknown. Raises Violation if an exit could sell coins twice, or does not sell coins that
    nothing locks.
    """
    balances = {"twd": RICH["twd"], "btc": 0}
    exchange = ModelExchange(seed, balances, ACCEPT_S * S, faults)
    b = Bot(Protected(), balances=balances, seed=seed, latest_accept_s=ACCEPT_S)
    dice = Random(seed)
    known: set[int] = set()
    beside_unknown = 0
    for second in range(2 * RUN_S):
        run(b, exchange, T0 + second * S)
        b.now = max(b.now, T0 + second * S)
        price = dice.randint(930, 1_080)
        exchange.send(b.trade(price), b.now)
        watch(b, exchange)
        position = b.s.position(BTC)
        sells = [order for order in b.engine.view.open_orders() if order.side is Side.SELL]
        if sum(order.remaining_lots for order in sells) > position.exact.amount * 10_000:
            raise Violation(f"{sells} could sell more than {position}")
        new = [o for o in sells if o.tag in ("stop_loss", "trailing_stop") and o.client_id not in known]
        known.update(order.client_id for order in new)
        is_unanswered = [o.state is OrderState.UNKNOWN for o in sells]
        beside_unknown += bool(new) and any(o.state is OrderState.UNKNOWN for o in sells if o not in new)
        is_due = position.average_entry and price <= position.average_entry * 0.97
        if is_due and position.sellable and all(is_unanswered) and not any(o.reduces for o in sells):
            raise Violation(f"nothing sells the free coins of {position} at {price}: {sells}")
    exchange.faults = 0.0
    b.s.calm = True
    run(b, exchange, T0 + (2 * RUN_S + 90) * S)
    b.s.cancel_timer()
    run(b, exchange, T0 + (2 * RUN_S + 120) * S)
    settled(b, exchange)
    return len(known), beside_unknown


def settled(b: Bot, exchange: ModelExchange) -> None:
    if b.failures:
        raise AssertionError(b.failures[0].text)
    b.check()
    if b.engine.view.open_orders():
        raise Violation(f"still open: {b.engine.view.open_orders()}")
    for client_id, (row,) in exchange.by_client.items():
        order = b.engine.view.order(client_id)
        assert order is not None
        if row.is_open or order.executed_lots != row.executed_lots or order.executed_units != row.executed_units:
            raise Violation(f"{order} does not know of {row.report()}")
    if dict(b.portfolio.account) != exchange.totals:
        raise Violation(f"books {b.portfolio.account} differ from the exchange's {exchange.totals}")
    if any(part.funds[c].locked for part in b.portfolio.ledger.parts.values() for c in part.funds):
        raise Violation("money is locked for no order")


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_no_order_is_lost_or_duplicated_or_marked_final_while_live_at_the_exchange(first: int) -> None:
    injected: dict[str, int] = {}
    executed = {Side.BUY: 0, Side.SELL: 0}
    for seed in range(first, first + 20):
        exchange = play(seed)
        for name, count in exchange.injected.items():
            injected[name] = injected.get(name, 0) + count
        for row in exchange.rows.values():
            executed[row.new.side] += row.executed_lots
    # runs with only a few faults would prove nothing
    assert len(injected) == 9, injected
    assert min(injected.values()) >= 10, injected
    assert all(executed.values())


def test_exits_sell_free_coins_at_once_and_never_sell_coins_twice_whatever_the_network_does() -> None:
    found = [play_protected(seed) for seed in range(20)]
    assert sum(sent for sent, _ in found) >= 20, found
    assert sum(beside for _, beside in found) >= 3, found


def test_without_faults_every_order_is_sent_without_recovery() -> None:
    exchange = play(1, faults=0.0)
    assert not exchange.injected
    assert len(exchange.rows) > 20


# -- mutants ----------------------------------------------------------------------------------------------------------


def caught(seeds: int = 20, **options: Any) -> bool:
    """Return True if a mutant's run violates an invariant or fails one of the code's own assertions."""
    for seed in range(seeds):
        try:
            play(seed, **options)
        except AssertionError:
            return True
    return False


def test_a_mutant_that_resends_unanswered_orders_is_caught() -> None:
    assert caught(resends=True)


@replaces_code
def test_a_mutant_that_declares_orders_absent_after_three_not_found_answers_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def impatient(self: Resolution, case: Case, now: int) -> None:
        case.busy = False
        case.poll += 1
        case.due = now + S
        if case.poll >= 3:
            self._close(case, OrderState.ABSENT, now, "not found three times")

    monkeypatch.setattr(Resolution, "_later", impatient)
    assert caught()


@replaces_code
def test_a_mutant_that_declares_orders_absent_before_the_deadline_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resolution, "_bound", lambda self, case: case.abort)
    assert caught()


@replaces_code
def test_a_mutant_that_trusts_the_answer_to_a_cancel_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = OrderDesk.on_answer

    def credulous(self: OrderDesk, answer: Answer, now: int) -> None:
        orders = self._cancels.get(answer.request_id, ())
        plain(self, answer, now)
        for order in orders:
            if order.state not in FINAL_STATES and answer.outcome in (Ending.OK, Ending.REFUSED):
                self.finish(order, OrderState.CANCELLED, now)

    monkeypatch.setattr(OrderDesk, "on_answer", credulous)
    assert caught()


@replaces_code
def test_a_mutant_that_identifies_executions_only_by_id_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def naive(self: Executions, report: TradeReport, *, listed: bool) -> TradeReport | None:
        is_new = (listed, report.trade_id) not in self.known
        self.known[listed, report.trade_id] = ()
        return report if is_new else None

    monkeypatch.setattr(Executions, "take", naive)
    assert caught()
