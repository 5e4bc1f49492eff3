"""Orders that the exchange rejects in a row: one pair alone is held, several pairs halt the bot."""

from __future__ import annotations

import pytest

from botkit.engine.orders.rejections import HOLD_NS, REJECTIONS_MAX
from botkit.model.clock import NS_PER_S
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair
from botkit.model.requests import CreateOrder, Ending, ListOrders
from tests.engine_world import BTC, ETH, PAIRS, RULES, T0, Bot, Listener

HOLD_S = HOLD_NS // NS_PER_S
XRP = Pair("xrp_twd", RULES)
WHY = "Trading pair is under maintenance"


def bot(*pairs: Pair, watch_speed: float | None = 1) -> Bot:
    """Return a bot that trades these pairs, with prices."""
    made = Bot(
        Listener(start=lambda s: [s.subscribe_trades(pair) for pair in pairs]),
        pairs={**PAIRS, "xrp_twd": XRP},
        traded={str(pair): pair for pair in pairs},
        watch_speed=watch_speed,
        batching=False,
    )
    for pair in pairs:
        made.trade(1_000, pair=pair)
    return made


def later(b: Bot, seconds: float) -> None:
    b.to((b.now - T0) / NS_PER_S + seconds)


def buy(b: Bot, pair: Pair = BTC, **more: object) -> Order:
    """Place a buy, a second after the last, so that no limit of the exchange delays it."""
    later(b, 1)
    order: Order = b.s.buy(pair, amount=1, price=900, **more)
    b.end_turn()
    return order


def reject(b: Bot, order: Order, why: str = WHY) -> None:
    """Let the exchange reject an order, and confirm that it does not have the order."""
    b.answer(b.create_of(order), Ending.REFUSED, status=422, text=why)
    b.answer(b.last(ListOrders), body=())
    assert order.state is OrderState.REJECTED
    b.list_pairs()


def rejected(b: Bot, count: int, pair: Pair = BTC) -> None:
    for _ in range(count):
        reject(b, buy(b, pair))


def accepted(b: Bot, pair: Pair = ETH) -> Order:
    order = buy(b, pair)
    b.accept(order)
    assert order.state is OrderState.OPEN
    b.s.cancel(order)
    b.push(order, 4)
    assert order.state is OrderState.CANCELLED, order
    return order


def holds(b: Bot) -> list[str]:
    return [text for _, text in b.messages if "held" in text]


def test_a_pair_that_rejects_all_orders_is_held_and_other_pairs_go_on() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    assert b.engine.view.halted is None
    refused = buy(b)
    assert refused.state is OrderState.REFUSED
    since, until = refused.reason.split("held since ")[1].split(",")[0], refused.reason.split("tried from ")[1]
    assert refused.reason == (
        f"btc_twd is held since {since}, because the exchange rejected 10 orders in a row, most recently: {WHY}; one "
        f"order is tried from {until}"
    )
    assert until.endswith(" on")
    accepted(b, ETH)
    assert len(holds(b)) == 1, "the user is told once"
    assert holds(b)[0].startswith(f"btc_twd is held: the exchange rejected 10 orders in a row, most recently: {WHY}. ")
    assert list(b.engine.view.router.held()) == [refused.reason]


def test_a_held_pair_tries_one_order_a_minute_and_ends_its_hold_with_the_first_accepted() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    for _ in range(2):
        later(b, HOLD_S - 5)
        assert buy(b).is_refused
        later(b, 5)
        trial = buy(b)
        assert trial.state is OrderState.SENDING
        second = buy(b)
        assert second.is_refused
        assert second.reason.endswith("one order is being tried")
        reject(b, trial)
        assert buy(b).is_refused
    later(b, HOLD_S)
    trial = buy(b)
    b.accept(trial)
    assert [buy(b).state for _ in range(2)] == [OrderState.SENDING] * 2
    assert holds(b)[1:] == ["btc_twd is no longer held: the exchange accepted an order again"]
    assert not b.engine.view.router.held()


def test_a_trial_that_is_never_sent_leaves_its_turn_to_the_next_order() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    later(b, HOLD_S)
    too_much: Order = b.s.buy(BTC, amount=10_000, price=900)
    assert too_much.is_refused
    assert buy(b).state is OrderState.SENDING


def test_orders_that_wait_in_the_queue_when_the_hold_begins_are_not_sent() -> None:
    b = bot(BTC, ETH)
    on_their_way = [buy(b) for _ in range(2)]
    rejected(b, REJECTIONS_MAX - 1)
    reject(b, on_their_way[0])
    count = len(b.all(CreateOrder))
    reject(b, on_their_way[1])  # was on its way when the hold began, so it is no trial
    assert b.engine.view.halted is None
    assert buy(b).is_refused
    assert len(b.all(CreateOrder)) == count
    later(b, HOLD_S)
    assert buy(b).state is OrderState.SENDING


def test_an_acceptance_in_another_pair_does_not_reset_the_count_of_a_pair() -> None:
    b = bot(BTC, ETH)
    for _ in range(REJECTIONS_MAX):
        assert not b.engine.view.router.held()
        rejected(b, 1)
        accepted(b, ETH)
    assert len(b.engine.view.router.held()) == 1


def test_an_acceptance_in_a_pair_resets_its_count() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX - 1)
    accepted(b, BTC)
    rejected(b, REJECTIONS_MAX - 1)
    assert not b.engine.view.router.held()
    assert b.engine.view.halted is None


def test_a_bot_with_a_single_pair_halts() -> None:
    b = bot(BTC)
    rejected(b, REJECTIONS_MAX)
    assert b.engine.view.halted == f"the exchange rejected 10 orders in a row, most recently: {WHY}"
    assert not b.engine.view.router.held()


def test_rejections_in_two_pairs_without_an_acceptance_halt() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX - 1)
    assert b.engine.view.halted is None
    rejected(b, 1, ETH)
    assert b.engine.view.halted == f"the exchange rejected 10 orders in a row, most recently: {WHY}"
    assert not b.engine.view.router.held()


def test_a_second_pair_that_rejects_all_orders_halts_if_none_was_accepted_since_the_first_was_held() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    rejected(b, REJECTIONS_MAX - 1, ETH)
    assert b.engine.view.halted is None
    rejected(b, 1, ETH)
    assert b.engine.view.halted is not None


@pytest.mark.parametrize("is_taking", [True, False])
def test_a_second_pair_is_held_too_only_if_an_order_was_accepted_since_the_first_was(is_taking: bool) -> None:
    b = bot(BTC, ETH, XRP)
    rejected(b, REJECTIONS_MAX)
    if is_taking:
        accepted(b, XRP)
    rejected(b, REJECTIONS_MAX, ETH)
    assert (b.engine.view.halted is None) == is_taking
    assert len(b.engine.view.router.held()) == 1 + is_taking


def test_a_bot_whose_last_pair_rejects_all_orders_halts() -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    accepted(b, ETH)
    rejected(b, REJECTIONS_MAX, ETH)
    assert b.engine.view.halted is not None


def test_a_backtest_neither_holds_nor_halts() -> None:
    b = bot(*PAIRS.values(), watch_speed=None)
    rejected(b, 2 * REJECTIONS_MAX)
    assert b.engine.view.halted is None
    assert not b.engine.view.router.held()


@pytest.mark.parametrize("stop", [None, 1_100])
def test_a_stop_order_is_a_trial_like_any_other(stop: int | None) -> None:
    b = bot(BTC, ETH)
    rejected(b, REJECTIONS_MAX)
    later(b, HOLD_S)
    trial = buy(b, stop_price=stop)
    b.accept(trial)
    assert trial.state is (OrderState.OPEN if stop is None else OrderState.UNTRIGGERED)
    assert not b.engine.view.router.held()
