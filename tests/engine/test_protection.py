"""Protective exits managed by the engine."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.model.inputs import Halt, JournalFailed, Pause, Stop
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.requests import Ending
from tests.engine_world import BTC, RICH, Bot, Listener, S, cancelled_ids
from tests.plain_form import replaces_code

POOR = {"twd": RICH["twd"]}


def bot(**protection: Any) -> Bot:
    """Return a bot that holds one coin, bought at 1000, with protection set."""
    b = Bot(Listener(), balances=POOR)
    b.trade(1_000)
    b.s.protect(BTC, **protection)
    open_position(b)
    return b


def open_position(b: Bot, price: int = 1_000) -> None:
    order = b.s.buy(BTC, amount=1, price=price)
    b.end_turn()
    b.rest(order)
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    assert b.s.position(BTC).amount == 1.0


def exits(b: Bot) -> list[Order]:
    return [order for order in b.engine.view.orders() if order.side is Side.SELL and not order.is_refused]


def cancelled_buy(b: Bot) -> Order:
    order: Order = b.s.buy(BTC, amount=0.5, price=500)
    b.end_turn()
    b.rest(order)
    b.s.cancel(order)
    b.end_turn()
    b.push(order, 4)
    return order


def is_watching(b: Bot, cancelled: Order) -> bool:
    """Return True if protection would still exit a position opened by a late execution of a cancelled order."""
    before = len(exits(b))
    b.execute(cancelled, 5_000)
    b.trade(400)
    return len(exits(b)) > before


def sold(b: Bot, order: Order, price: int) -> None:
    b.rest(order)
    b.execute(order, order.amount_lots, price)
    b.push(order, 2, order.amount_lots)


@pytest.mark.parametrize(
    ("protection", "prices", "tag"),
    [
        ({"stop_loss_pct": 5}, [951, 950], "stop_loss"),
        ({"take_profit_pct": 10}, [1_099, 1_100], "take_profit"),
        ({"trail_pct": 10}, [1_200, 1_081, 1_080], "trailing_stop"),
        ({"stop_loss_pct": 5, "take_profit_pct": 10}, [960, 700], "stop_loss"),
    ],
)
def test_the_position_is_closed_once_an_exit_condition_is_met(protection: Any, prices: list[int], tag: str) -> None:
    b = bot(**protection)
    for price in prices[:-1]:
        b.trade(price)
        assert not exits(b)
    b.trade(prices[-1])
    (order,) = exits(b)
    assert order.type is OrderType.MARKET
    assert order.amount_lots == 10_000
    assert order.tag == tag
    b.trade(prices[-1])
    assert len(exits(b)) == 1


def test_protection_also_covers_the_next_position() -> None:
    b = bot(stop_loss_pct=5)
    b.trade(940)
    sold(b, exits(b)[0], 940)
    b.trade(900)
    assert b.s.position(BTC).is_flat
    open_position(b, 900)
    b.trade(860)
    assert len(exits(b)) == 1
    b.trade(855)
    assert len(exits(b)) == 2


def test_coins_locked_by_our_own_asks_are_freed_and_sold_immediately() -> None:
    b = bot(stop_loss_pct=5)
    ask = b.s.sell(BTC, amount=1, price=1_200)
    b.end_turn()
    b.rest(ask)
    assert cancelled_ids(b.trade(940)) == [ask.client_id]
    assert exits(b) == [ask]
    b.push(ask, 4)  # no further price update is needed
    assert [order.tag for order in exits(b)] == ["", "stop_loss"]
    assert exits(b)[1].state is OrderState.SENDING


def test_an_exit_that_cannot_be_a_market_order_is_sent_as_a_limit_order() -> None:
    b = bot(stop_loss_pct=5)
    stuck = b.s.buy(BTC, amount=1, price=500)
    b.end_turn()
    b.answer(b.create_of(stuck), Ending.UNKNOWN)
    b.trade(940)
    (order,) = exits(b)
    assert order.type is OrderType.LIMIT
    assert order.price_ticks == 930
    assert order.reduces


def test_an_exit_does_not_wait_for_a_sell_of_unknown_outcome_but_sells_the_other_coins() -> None:
    b = bot(stop_loss_pct=5)
    ask = b.s.sell(BTC, amount=0.1, price=1_200)
    b.end_turn()
    b.trade(940)
    assert exits(b) == [ask], "an answer that arrives soon lets one order sell everything"
    b.answer(b.create_of(ask), Ending.UNKNOWN)
    assert not cancelled_ids(b.trade(940))
    first = exits(b)[1]
    # no market orders are allowed while the outcome of an order in the pair is unknown
    assert (first.type, first.amount_lots, first.state) == (OrderType.LIMIT, 9_000, OrderState.SENDING)
    b.trade(930)
    assert exits(b) == [ask, first]
    sold(b, first, 930)
    b.trade(920)
    assert exits(b) == [ask, first], "the remaining coins may already be sold"
    b.push(ask, 0)
    assert cancelled_ids(b.requests) == [ask.client_id]
    b.push(ask, 4)
    last = exits(b)[2]
    assert (last.tag, last.amount_lots) == ("stop_loss", 1_000)
    sold(b, last, 910)
    assert b.s.position(BTC).is_flat
    b.check()


def test_coins_freed_while_the_outcome_of_an_exit_is_unknown_are_sold() -> None:
    b = bot(stop_loss_pct=5)
    ask = b.s.sell(BTC, amount=0.1, price=1_200)
    b.end_turn()
    b.answer(b.create_of(ask), Ending.UNKNOWN)
    b.trade(940)
    first = exits(b)[1]
    b.answer(b.create_of(first), Ending.UNKNOWN)
    b.trade(930)
    assert exits(b) == [ask, first], "every coin is in an order that may be at the exchange"
    b.push(ask, 4)
    assert [order.amount_lots for order in exits(b)] == [1_000, 9_000, 1_000]
    b.check()


def test_an_exit_waits_for_the_orders_whose_cancels_free_their_coins_soon() -> None:
    b = bot(stop_loss_pct=5)
    stuck = b.s.sell(BTC, amount=0.1, price=1_200)
    b.end_turn()
    resting = b.s.sell(BTC, amount=0.2, price=1_300)
    b.end_turn()
    b.rest(resting)
    b.answer(b.create_of(stuck), Ending.UNKNOWN)
    assert cancelled_ids(b.trade(940)) == [resting.client_id]
    assert exits(b) == [stuck, resting]
    b.push(resting, 4)
    assert exits(b)[2].amount_lots == 9_000


def test_an_exit_into_a_thin_book_becomes_a_limit_order() -> None:
    b = bot(stop_loss_pct=5)
    b.book([(940, 100)], [(950, 100)])
    b.trade(940)
    (order,) = exits(b)
    assert order.type is OrderType.LIMIT
    assert order.price_ticks == 930


def test_a_limit_exit_is_repriced_in_a_falling_market() -> None:
    b = bot(stop_loss_pct=5)
    b.book([(940, 100)], [(950, 100)])
    b.trade(940)
    (first,) = exits(b)
    b.rest(first)
    b.book([(800, 100)], [(810, 100)])
    b.trade(800)
    assert len(exits(b)) == 1
    b.to(5)
    assert cancelled_ids(b.requests) == [first.client_id]
    b.push(first, 4)
    assert len(exits(b)) == 2
    assert exits(b)[1].price_ticks == 792


@replaces_code
def test_a_refused_exit_is_retried_but_not_on_every_price_update() -> None:
    b = bot(stop_loss_pct=5)
    b.portfolio.lock = lambda order: "no"  # type: ignore[method-assign]
    for _ in range(50):
        b.trade(900)
    assert sum(b.seen().refusals.values()) == 2
    b.now += S
    b.trade(900)
    assert sum(b.seen().refusals.values()) == 4


@pytest.mark.parametrize("thin", [False, True])
def test_an_exit_held_back_by_a_journal_problem_is_retried_a_second_later(thin: bool) -> None:
    b = bot(stop_loss_pct=5)
    if thin:  # this book does not allow a market order, and the limit order used instead is also held back
        b.book([(900, 1)], [(950, 100)])
    b.tell(JournalFailed("the disk is full"))
    for _ in range(50):
        b.trade(900)
    assert [order.state for order in exits(b)] == [OrderState.NOT_SENT] * 2
    b.tell(JournalFailed(None))
    b.now += S
    b.trade(900)
    assert [order.state for order in exits(b)] == [OrderState.NOT_SENT] * 2 + [OrderState.SENDING]


def test_an_exit_that_is_answered_as_unsent_again_and_again_is_retried_a_second_later() -> None:
    """A live bot that was suspended answers each request so until it is reconciled, some microseconds later."""
    b = bot(stop_loss_pct=5)
    b.trade(900)
    for _ in range(50):
        *_, order = exits(b)
        if order.state is OrderState.SENDING:
            b.now += 10_000
            b.answer(b.create_of(order), Ending.NOT_SENT, text="not sent: the bot was suspended")
    assert [order.state for order in exits(b)] == [OrderState.NOT_SENT] * 2
    b.trade(900)
    assert len(exits(b)) == 2
    b.now += S
    b.trade(900)
    assert [order.state for order in exits(b)] == [OrderState.NOT_SENT] * 2 + [OrderState.SENDING]


def test_protection_can_be_removed() -> None:
    b = bot(stop_loss_pct=5)
    b.s.protect(BTC)
    b.trade(500)
    assert not exits(b)
    assert not b.engine.view.kept("s0")["best"]


def test_changing_the_distances_preserves_the_best_price_so_far() -> None:
    b = bot(trail_pct=50)
    b.trade(1_500)
    b.s.protect(BTC, trail_pct=10)
    b.trade(1_350)
    assert [order.tag for order in exits(b)] == ["trailing_stop"]


def test_an_invalid_protection_distance_is_refused() -> None:
    b = Bot(Listener())
    with pytest.raises(ValueError, match="above 0"):
        b.s.protect(BTC, stop_loss_pct=0)


def test_a_halted_bot_still_exits_positions() -> None:
    b = bot(stop_loss_pct=5)
    b.tell(Halt("test"))
    b.trade(900)
    assert exits(b)[0].state is OrderState.SENDING


def test_a_halt_does_not_cancel_exits_in_progress() -> None:
    b = bot(stop_loss_pct=5)
    b.trade(900)
    (order,) = exits(b)
    b.accept(order)
    assert not cancelled_ids(b.tell(Halt("test")))
    assert not order.cancel_requested


# -- a stopped strategy's exits -----------------------------------------------------------------------------------


def test_a_strategy_stopped_by_its_loss_limit_keeps_its_protective_exits() -> None:
    b = Bot(Listener(), balances=POOR, strategy_risk={"s0": {"max_daily_loss": {"twd": 20}}})
    b.trade(1_000)
    b.s.protect(BTC, stop_loss_pct=5)
    open_position(b)
    late = cancelled_buy(b)
    ask = b.s.sell(BTC, amount=0.5, price=1_200)
    b.end_turn()
    b.rest(ask)
    assert cancelled_ids(b.trade(970)) == [ask.client_id]
    assert not b.seen().active
    told = [text for _, text in b.messages]
    assert "max_daily_loss" in told[0]
    assert told[1] == "s0 was stopped and holds 1 of btc_twd; its protective exits stay active"
    b.push(ask, 4)
    assert b.s.buy(BTC, amount=1, price=900).reason == "the strategy is stopped"
    b.trade(951)
    assert exits(b) == [ask]
    b.trade(950)
    order = exits(b)[1]
    assert (order.tag, order.amount_lots, order.state) == ("stop_loss", 10_000, OrderState.SENDING)
    sold(b, order, 950)
    b.trade(949)
    assert not is_watching(b, late), "nothing is left to sell, and nothing will be bought"
    b.check()


def test_a_failed_strategy_keeps_its_exits_and_its_unprotected_positions_are_reported() -> None:
    def fail(strategy: Any, event: Any) -> None:
        raise RuntimeError("a mistake")

    for protection, told in (
        ({"trail_pct": 10}, "its protective exits stay active"),
        ({}, "nothing manages this position any more"),
    ):
        b = bot(**protection)
        b.s.deeds["timer"] = fail
        b.s.set_timer(every_s=1)
        b.to(1)
        assert b.failures
        assert [text for _, text in b.messages] == [f"s0 was stopped and holds 1 of btc_twd; {told}"]
        b.trade(1_100)
        b.trade(990)
        assert [order.tag for order in exits(b)] == (["trailing_stop"] if protection else [])


def test_a_buy_that_fills_while_its_strategy_is_stopping_is_protected() -> None:
    b = Bot(Listener(), balances=POOR)
    b.trade(1_000)
    b.s.protect(BTC, stop_loss_pct=5)
    order = b.s.buy(BTC, amount=1, price=1_000)
    b.end_turn()
    b.rest(order)
    b.break_strategy()
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    b.trade(940)
    assert [o.tag for o in exits(b)] == ["stop_loss"]


def test_protection_of_a_stopped_strategy_without_a_position_is_removed() -> None:
    b = Bot(Listener(), balances=POOR)
    b.trade(1_000)
    b.s.protect(BTC, stop_loss_pct=5)
    late = cancelled_buy(b)
    b.break_strategy()
    assert not is_watching(b, late)


def test_pausing_or_stopping_a_strategy_does_not_cancel_its_exit_in_progress() -> None:
    b = bot(stop_loss_pct=5)
    b.trade(900)
    (order,) = exits(b)
    b.accept(order)
    assert not cancelled_ids(b.tell(Pause("s0")))
    assert not cancelled_ids(b.break_strategy())
    assert not order.cancel_requested


def test_a_paused_strategy_keeps_its_protective_exits() -> None:
    b = bot(take_profit_pct=5)
    b.tell(Pause("s0"))
    b.trade(1_050)
    assert [order.tag for order in exits(b)] == ["take_profit"]
    assert "paused" in b.s.buy(BTC, amount=1, price=900).reason


def test_protection_ends_when_the_run_stops() -> None:
    b = bot(stop_loss_pct=5)
    b.tell(Stop())
    b.trade(900)
    assert not exits(b)
