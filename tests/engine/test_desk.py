"""The order protocol with handcrafted responses that are lost, late, early, duplicated or out of order."""

from __future__ import annotations

import pytest

from botkit.engine.orders.reconcile import difference_of
from botkit.engine.outcome_parts import Reply
from botkit.model.inputs import Forget
from botkit.model.orders import REPORTED_STATES, Order, OrderSpec, OrderState, Side
from botkit.model.requests import (
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetOrder,
    ListOrders,
    ListTrades,
    OrderAck,
)
from tests.engine_world import (
    BTC,
    BTC_LOTS,
    RICH,
    T0,
    UNIT,
    Bot,
    Exchange,
    Listener,
    S,
    cancelled_ids,
    order_id_of,
    report_of,
)

ONE = 1.0  # a coin


def bot(**more: object) -> Bot:
    made = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)), **more)  # type: ignore[arg-type]
    made.trade(1_000)
    return made


def buy(bot: Bot, amount: float = ONE, price: int = 900, **more: object) -> Order:
    """Place a limit buy and return it while its create request is in flight."""
    order: Order = bot.s.buy(BTC, amount=amount, price=price, **more)
    bot.end_turn()
    return order


def states(bot: Bot, order: Order) -> list[str]:
    """Return the order states reported to the strategy."""
    return [state.value for heard, state in bot.s.of("order") if heard is order]


# -- the simple path -----------------------------------------------------------------------------------------------


def test_an_order_is_tracked_from_the_call_to_the_fill() -> None:
    b = bot()
    order = buy(b)
    assert order.state is OrderState.SENDING
    assert order.sent == b.now
    b.accept(order)
    assert order.state is OrderState.OPEN
    b.execute(order, 4_000)
    b.push(order, 1, 4_000)
    assert difference_of(order, OrderState.OPEN, 0).endswith("btc_twd was open and is partly filled, executed 0.4")
    said = difference_of(order, OrderState.PARTLY_FILLED, 1_000)
    assert said.endswith("btc_twd: 0.3 more of it was filled, executed 0.4")
    b.execute(order, 6_000)
    b.push(order, 2, 10_000)
    assert states(b, order) == ["open", "partly_filled", "filled"]
    assert b.s.position(BTC).amount == 101.0
    assert b.s.balance("twd").locked == 0
    assert b.s.balance("twd").available == 10**6 - 900
    b.check()


def test_money_is_locked_as_soon_as_an_order_is_placed() -> None:
    b = bot()
    b.s.buy(BTC, amount=1, price=900)
    assert b.s.balance("twd").locked == 900


def test_a_report_that_arrives_before_the_response_is_applied_once() -> None:
    b = bot()
    order = buy(b)
    b.push(order, 0)
    assert order.state is OrderState.OPEN
    b.accept(order)
    assert states(b, order) == ["open"]


def test_a_pushed_order_report_frees_the_request_slot() -> None:
    b = bot()
    order = buy(b)
    b.push(order, 0)
    b.answer(b.create_of(order), Ending.UNKNOWN)
    assert order.state is OrderState.OPEN
    b.to(60.5)
    assert {use.held for use in b.router.usage(b.now) if use.pool == "create_order"} == {0}


def test_an_execution_that_arrives_before_the_response_is_kept_until_the_order_id_is_known() -> None:
    b = bot()
    order = buy(b)
    b.execute(order, 10_000)
    assert order.executed_lots == 0
    b.accept(order)
    assert order.executed_lots == 10_000
    b.push(order, 2, 10_000)
    assert order.state is OrderState.FILLED
    b.check()


def test_executions_of_foreign_orders_do_not_accumulate() -> None:
    for is_another in (False, True):
        b = bot()
        order = buy(b)
        stranger = Order(
            OrderSpec(
                client_id=2,
                strategy="x",
                pair=BTC,
                side=Side.BUY,
                type=order.type,
                created=0,
                price_ticks=5,
                amount_lots=9,
            )
        )
        b.execute(stranger, 9)
        b.accept(order)
        if is_another:
            # no create is in flight anymore, so neither this execution nor the previous one can be from one of our
            # orders
            b.execute(stranger, 9)
        ours = buy(b)
        # this order gets the foreign order's ID, so an execution kept under that ID would be booked to it
        b.accept(ours)
        assert order_id_of(ours) == order_id_of(stranger)
        assert ours.executed_lots == (0 if is_another else 9)


def test_duplicate_and_reordered_reports_have_no_further_effect() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    first = b.execution(order, 4_000)
    second = b.execution(order, 6_000)
    b.tell(second)
    b.tell(first)
    b.tell(first)
    b.tell(second)
    b.push(order, 2, 10_000)
    b.push(order, 1, 4_000)
    b.push(order, 0, 0)
    assert order.state is OrderState.FILLED
    assert order.executed_lots == 10_000
    b.check()


def test_an_order_stays_open_after_its_final_report_until_its_executions_arrive() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.push(order, 2, 10_000)
    assert order.state is OrderState.OPEN
    b.execute(order, 10_000)
    assert order.state is OrderState.FILLED


def test_missing_executions_are_requested_after_a_second() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.push(order, 2, 10_000)
    assert not b.to(0.9)
    b.to(1.1)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, 10_000),))
    listed = b.last(ListTrades)
    assert listed.order_id == order_id_of(order)
    b.answer(listed, body=(b.execution(order, 10_000, trade_id="rest"),))
    assert order.state is OrderState.FILLED
    assert b.s.position(BTC).amount == 101.0


@pytest.mark.parametrize("per_ms", [1, 600])
def test_executions_that_do_not_fit_in_one_listing_are_read_page_by_page(per_ms: int) -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    e = Exchange(b)
    e.orders = [report_of(order, 2, 10_000)]
    for i in range(2_500):
        b.now += 10**6 if i % per_ms == 0 else 0
        e.trades.append(b.execution(order, 4, trade_id=f"L{i}"))
    b.push(order, 2, 10_000)
    e.serve(10)
    assert (order.state, order.executed_lots) == (OrderState.FILLED, 10_000)
    assert len(b.all(ListTrades)) == len(set(b.all(ListTrades))) <= 5
    b.check()


def test_no_further_page_is_read_once_no_execution_is_missing() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    for _ in range(1_000):
        b.now += 10**6
        b.execute(order, 4)
    e = Exchange(b)
    e.orders = [report_of(order, 1, 8_000)]
    for i in range(1_000):
        b.now += 10**6
        e.trades.append(b.execution(order, 4, price=899, trade_id=f"L{i}"))
    b.push(order, 1, 8_000)
    e.serve(60)
    assert order.executed_lots == 8_000
    assert len(b.all(ListTrades)) == 1
    b.check()


def test_executions_of_one_millisecond_that_do_not_fit_in_one_listing_are_not_requested_without_end() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    e = Exchange(b)
    e.orders = [report_of(order, 1, 8_000)]
    e.trades = [b.execution(order, 4, trade_id=f"L{i}") for i in range(2_000)]
    b.push(order, 1, 8_000)
    e.serve(60)
    assert order.executed_lots == 4_000
    assert len(b.all(ListTrades)) <= 2 * 11  # two pages per attempt, at increasing intervals
    [(level, text)] = b.messages
    assert level == "error"
    assert text.startswith(f"order {order_id_of(order)} has more than 1,000 executions within one millisecond")
    assert "0.4 btc that it executed in btc_twd are not booked" in text


def test_an_order_that_was_filled_is_read_if_its_final_report_is_missing_after_a_second() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.execute(order, BTC_LOTS)
    b.to(0.9)
    assert b.all(GetOrder) == []
    b.to(1)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    assert order.state is OrderState.FILLED
    b.to(30)
    assert len(b.all(GetOrder)) == 1


def test_an_older_report_does_not_end_the_wait_for_executions() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.push(order, 2, 10_000)
    b.push(order, 1, 4_000)  # an older report that arrives late
    b.execute(order, 4_000)
    b.to(1.5)
    assert b.all(GetOrder)


def test_an_execution_booked_from_a_listing_is_not_booked_again_when_the_stream_reports_it() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.push(order, 1, 5_000)
    b.to(1.1)
    b.answer(b.last(GetOrder), body=(report_of(order, 1, 5_000),))
    b.answer(b.last(ListTrades), body=(b.execution(order, 5_000, trade_id="rest"),))
    assert order.executed_lots == 5_000
    b.execute(order, 5_000, trade_id="stream")  # a late duplicate of that execution
    assert order.executed_lots == 5_000
    b.execute(order, 5_000, trade_id="stream2")  # a different execution of the same size
    assert order.executed_lots == 10_000


def test_a_late_execution_of_a_final_order_is_booked() -> None:
    b = bot()
    order = buy(b)
    b.rest(order)
    b.push(order, 4, 0)
    assert order.state is OrderState.CANCELLED
    b.execute(order, 1_000)
    assert order.executed_lots == 1_000
    assert b.s.position(BTC).amount == pytest.approx(100.1)
    b.check()


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_cancelling_a_queued_order_withdraws_it() -> None:
    b = bot()
    order = b.s.buy(BTC, amount=1, price=900)
    b.s.cancel(order)
    b.end_turn()
    assert order.state is OrderState.CANCELLED
    assert not b.all(CreateOrder)
    assert states(b, order) == ["cancelled"]
    assert b.s.balance("twd").locked == 0


def test_a_cancel_for_an_order_in_flight_waits_until_the_order_id_is_known() -> None:
    b = bot()
    order = buy(b)
    b.s.cancel(order)
    assert not b.end_turn()
    assert cancelled_ids(b.accept(order)) == [order.client_id]


def test_repeated_cancel_calls_send_only_one_cancel() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.s.cancel(order)
    b.s.cancel(order)
    b.end_turn()
    b.s.cancel(order)
    b.end_turn()
    assert len(b.all(CancelOrder)) == 1


def test_a_pushed_final_state_makes_an_order_final_but_a_200_or_404_response_to_a_cancel_does_not() -> None:
    for outcome, status in ((Ending.OK, 200), (Ending.REFUSED, 404)):
        b = bot()
        order = b.rest(buy(b))
        b.s.cancel(order)
        b.end_turn()
        b.answer(b.last(CancelOrder), outcome, status=status)
        assert order.state is OrderState.OPEN
        assert b.s.balance("twd").locked == 900
        b.push(order, 4, 0)
        assert order.state is OrderState.CANCELLED
        assert b.s.balance("twd").locked == 0


def test_a_cancel_without_a_pushed_result_is_checked_after_a_second_and_resent_while_the_order_is_live() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.s.cancel(order)
    b.end_turn()
    b.answer(b.last(CancelOrder))
    assert not b.to(0.99)
    b.to(1.0)
    leaving = b.answer(b.last(GetOrder), body=(report_of(order, 0),))
    assert cancelled_ids(leaving) == [order.client_id]
    b.answer(b.last(CancelOrder), Ending.UNKNOWN)
    b.to(2.1)
    b.answer(b.last(GetOrder), body=(report_of(order, 4),))
    assert order.state is OrderState.CANCELLED


def test_reading_an_order_after_its_cancel_is_retried_until_it_succeeds() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.s.cancel(order)
    b.end_turn()
    b.answer(b.last(CancelOrder))
    b.to(1)
    b.answer(b.last(GetOrder), Ending.UNKNOWN)
    b.to(2)
    assert len(b.all(GetOrder)) == 2


def test_a_fill_that_arrives_before_the_cancel_takes_effect_is_booked() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.s.cancel(order)
    b.end_turn()
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    assert order.state is OrderState.FILLED


def test_cancel_all_cancels_only_the_orders_of_the_calling_strategy() -> None:
    b = Bot(Listener(), Listener())
    b.trade(1_000)
    first, second = b.strategies
    mine, other = first.buy(BTC, amount=1, price=900), second.buy(BTC, amount=1, price=900)
    b.end_turn()
    request = b.create_of(mine)
    assert request is not b.create_of(other)  # orders from different strategies never share a batch
    b.rest(mine)
    b.rest(other)
    first.cancel_all()
    b.end_turn()
    assert cancelled_ids(b.requests) == [mine.client_id]
    with pytest.raises(ValueError, match="belongs to strategy 's1'"):
        first.cancel(other)


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_an_order_that_expires_in_the_queue_is_never_sent() -> None:
    b = bot(limits={"create_order": "3/1m"}, batching=False)
    orders = [b.s.buy(BTC, amount=0.1, price=900, expire_s=5) for _ in range(8)]
    b.end_turn()
    sent = [order for order in orders if order.state is OrderState.SENDING]
    assert 0 < len(sent) < 8
    b.to(6)
    waiting = [order for order in orders if order not in sent]
    assert {order.state for order in waiting} == {OrderState.EXPIRED}
    assert all("deadline" in order.reason for order in waiting)
    assert len(b.all(CreateOrder)) == len(sent)
    assert all(states(b, order) == ["expired"] for order in waiting)


def test_an_order_still_open_at_the_exchange_after_expire_s_is_cancelled() -> None:
    b = bot()
    order = b.rest(buy(b, expire_s=5))
    assert not cancelled_ids(b.to(4.9))
    assert cancelled_ids(b.to(5)) == [order.client_id]
    b.push(order, 4)
    assert order.state is OrderState.CANCELLED
    assert order.reason == "expired"


def test_a_market_order_is_dropped_after_five_seconds_in_the_queue() -> None:
    b = bot(limits={"create_order": "2/1m"}, batching=False)
    orders = [b.s.market_buy(BTC, spend=1_000) for _ in range(6)]
    b.end_turn()
    b.to(5.1)
    ended = [order for order in orders if order.state is OrderState.EXPIRED]
    assert ended
    assert all(order.updated == T0 + 5 * S for order in ended)


# -- replacing --------------------------------------------------------------------------------------------------------


def test_a_replacement_order_is_not_sent_until_the_old_order_is_final() -> None:
    b = bot()
    old = b.rest(buy(b))
    new = b.s.replace(old, price=910)
    b.end_turn()
    assert new.state is OrderState.QUEUED
    assert cancelled_ids(b.requests) == [old.client_id]
    b.answer(b.last(CancelOrder))
    assert new.state is OrderState.QUEUED
    b.push(old, 4)
    assert new.state is OrderState.SENDING
    assert new.amount_lots == 10_000
    assert new.price_ticks == 910


def test_a_replacement_is_reduced_by_fills_that_occur_before_it_is_sent() -> None:
    b = bot()
    old = b.rest(buy(b))
    new = b.s.replace(old, price=910)
    b.end_turn()
    b.execute(old, 4_000)
    b.push(old, 3, 4_000)
    assert new.amount_lots == 6_000
    assert new.state is OrderState.SENDING


@pytest.mark.parametrize(("filled", "status", "why"), [(9_995, 3, "below the minimum"), (10_000, 2, "was filled")])
def test_a_replacement_that_is_no_longer_needed_is_dropped(filled: int, status: int, why: str) -> None:
    b = bot()
    old = b.rest(buy(b))
    new = b.s.replace(old, price=910)
    b.end_turn()
    b.execute(old, filled)
    b.push(old, status, filled)
    assert new.state is OrderState.CANCELLED
    assert why in new.reason
    assert not b.s.open_orders()


def test_replacing_a_queued_order_keeps_its_queue_position() -> None:
    b = bot()
    old = b.s.buy(BTC, amount=1, price=900)
    new = b.s.replace(old, price=910, amount=2)
    b.end_turn()
    assert old.state is OrderState.CANCELLED
    assert new.state is OrderState.SENDING
    assert [r.order.client_id for r in b.all(CreateOrder)] == [new.client_id]
    assert b.s.balance("twd").locked == 1_820


def test_a_refused_replacement_leaves_the_old_order_in_the_queue() -> None:
    b = bot()
    old = b.s.buy(BTC, amount=1, price=900)
    new = b.s.replace(old, amount=10**5)
    assert new.is_refused
    assert "available" in new.reason
    b.end_turn()
    assert old.state is OrderState.SENDING
    assert b.s.balance("twd").locked == 900


def test_only_the_latest_of_several_replacements_is_sent() -> None:
    b = bot()
    old = b.rest(buy(b))
    first = b.s.replace(old, price=910)
    second = b.s.replace(old, price=920)
    third = b.s.replace(second, price=930, amount=0.5)
    b.end_turn()
    assert [first.state, second.state] == [OrderState.CANCELLED, OrderState.CANCELLED]
    assert b.s.open_orders() == [old, third]
    b.push(old, 4)
    assert third.state is OrderState.SENDING
    assert third.amount_lots == 5_000
    assert b.s.open_orders() == [third]


def test_replacing_a_pending_replacement_does_not_order_again_what_has_filled_since() -> None:
    b = bot()
    old = b.rest(buy(b))
    first = b.s.replace(old, price=910)
    b.end_turn()
    b.execute(old, 4_000)
    b.push(old, 1, 4_000)
    second = b.s.replace(first, price=920)
    b.end_turn()
    b.execute(old, 1_000)
    b.push(old, 3, 5_000)
    assert second.state is OrderState.SENDING
    assert second.amount_lots == 5_000


def test_a_pending_replacement_can_be_cancelled() -> None:
    b = bot()
    old = b.rest(buy(b))
    new = b.s.replace(old, price=910)
    b.s.cancel(new)
    b.end_turn()
    assert new.state is OrderState.CANCELLED
    b.push(old, 4)
    assert len(b.all(CreateOrder)) == 1


def test_a_final_order_cannot_be_replaced() -> None:
    b = bot()
    old = b.rest(buy(b))
    b.push(old, 4)
    new = b.s.replace(old, price=910)
    assert new.is_refused
    assert "cancelled" in new.reason


def test_a_triggered_stop_order_can_be_replaced_by_a_limit_order() -> None:
    b = bot()
    stop = b.s.sell(BTC, amount=1, price=900, stop_price=950)
    b.end_turn()
    b.accept(stop)
    assert stop.state is OrderState.UNTRIGGERED
    b.push(stop, 0)
    new = b.s.replace(stop, price=890)
    assert new.type.value == "limit"
    assert new.stop_ticks == 0


# -- incomplete answers --------------------------------------------------------------------------------------------


def test_an_order_is_final_if_no_bytes_of_its_request_were_sent() -> None:
    b = bot()
    order = buy(b)
    b.answer(b.create_of(order), Ending.NOT_SENT, text="t0 is too old")
    assert order.state is OrderState.NOT_SENT
    assert b.s.balance("twd").locked == 0


def test_a_rejection_is_trusted_only_after_a_look_up_finds_no_order() -> None:
    b = bot()
    order = buy(b)
    b.answer(b.create_of(order), Ending.REFUSED, status=422, text="no")
    assert order.state is OrderState.SENDING
    b.answer(b.last(ListOrders), body=())
    assert order.state is OrderState.REJECTED
    assert order.reason == "no"
    assert b.s.balance("twd").locked == 0


def test_an_order_found_live_despite_its_rejection_is_adopted() -> None:
    b = bot()
    order = buy(b)
    b.answer(b.create_of(order), Ending.REFUSED, status=400)
    b.answer(b.last(ListOrders), body=(report_of(order, 0),))
    assert order.state is OrderState.OPEN
    assert b.s.balance("twd").locked == 900


def test_a_rejected_order_that_turns_out_to_be_live_locks_its_money_again_and_is_cancelled() -> None:
    b = bot()
    order = buy(b)
    b.answer(b.create_of(order), Ending.REFUSED, status=400)
    b.answer(b.last(ListOrders), body=())
    assert order.state is OrderState.REJECTED
    leaving = b.push(order, 0)
    assert order.state is OrderState.OPEN
    assert b.s.balance("twd").locked == 900
    assert cancelled_ids(leaving) == [order.client_id]
    b.push(order, 4)
    assert b.s.balance("twd").locked == 0
    b.decisions.flush()
    assert b'"late_order"' in b"".join(b.log)


def test_a_response_with_a_different_client_id_is_not_trusted() -> None:
    b = bot()
    order = buy(b)
    b.answer(b.create_of(order), body=OrderAck("X9", 9))
    assert order.state is OrderState.UNKNOWN


def test_a_report_of_another_users_order_with_our_client_id_is_treated_as_foreign() -> None:
    b = bot()
    order = buy(b)
    b.push(order, 0, price_ticks=901, order_id="F1")
    b.push(order, 0, created=order.sent - 60 * S, order_id="F2")
    assert order.state is OrderState.SENDING
    assert {row.order_id for row in b.engine.view.foreign_orders()} == {"F1", "F2"}


def test_a_report_with_the_client_id_of_an_unsent_order_is_treated_as_foreign() -> None:
    b = bot()
    order = b.s.buy(BTC, amount=1, price=900)
    b.s.cancel(order)
    b.end_turn()
    assert order.state is OrderState.CANCELLED
    b.push(order, 0)
    assert order.state is OrderState.CANCELLED
    assert [row.order_id for row in b.engine.view.foreign_orders()] == [order_id_of(order)]


def test_each_order_of_a_batch_with_an_unknown_outcome_is_resolved_separately() -> None:
    b = bot(limits={"create_order": "3/1m"})
    orders = [b.s.buy(BTC, amount=0.1, price=900 + i) for i in range(7)]
    b.end_turn()
    b.to(30)
    request = b.last(CreateBatch)
    inside = [order for order in orders if order.client_id in [new.client_id for new in request.orders]]
    assert len(inside) > 1
    b.answer(request, Ending.UNKNOWN)
    assert {order.state for order in inside} == {OrderState.UNKNOWN}
    b.to(31)
    asked = b.all(ListOrders)
    assert {r.client_id for r in asked} == {order.client_id for order in inside}
    there = inside[0]
    b.answer(next(r for r in asked if r.client_id == there.client_id), body=(report_of(there, 0),))
    assert there.state is OrderState.OPEN
    assert {order.state for order in inside[1:]} == {OrderState.UNKNOWN}


def test_a_batch_response_with_fewer_rows_than_orders_is_not_trusted() -> None:
    b = bot(limits={"create_order": "3/1m"})
    for i in range(7):
        b.s.buy(BTC, amount=0.1, price=900 + i)
    b.end_turn()
    b.to(30)
    request = b.last(CreateBatch)
    b.answer(request, body=(OrderAck("X1", request.orders[0].client_id),))
    assert {o.state for o in b.s.open_orders() if o.sent and o.state is not OrderState.SENDING} == {OrderState.UNKNOWN}


def test_the_remaining_amount_of_a_market_buy_is_tracked_in_quote_currency() -> None:
    b = bot()
    order = b.s.market_buy(BTC, spend=1_000)
    b.end_turn()
    assert b.s.balance("twd").locked == 1_000
    b.accept(order)
    b.execute(order, 9_900, price=1_000)
    b.push(order, 2, 9_900, price_ticks=0, original_lots=9_900)
    assert order.state is OrderState.FILLED
    assert b.portfolio.ledger.account["twd"] == RICH["twd"] - 990 * UNIT
    assert b.s.balance("twd").locked == 0
    b.check()


def test_a_final_report_with_fewer_executed_lots_than_already_booked_is_still_final() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.execute(order, 4_000)
    b.push(order, 3, 3_999)
    assert order.state is OrderState.CANCELLED
    b.decisions.flush()
    assert b'"mismatch"' in b"".join(b.log)


def test_executions_missing_from_listings_are_requested_at_increasing_intervals() -> None:
    b = bot()
    order = b.rest(buy(b))
    b.push(order, 2, 10_000)
    times = []
    for tenth in range(600):
        b.to(tenth / 10)
        for request in b.all(GetOrder)[len(times) :]:
            times.append(tenth / 10)
            b.answer(request, body=(report_of(order, 2, 10_000),))
            b.answer(b.last(ListTrades), body=())
    assert times[:4] == [1, 2, 4, 7]
    assert len(times) < 13


def test_a_delayed_replacement_counts_toward_the_order_rate_when_it_is_sent() -> None:
    b = bot(risk={"max_orders_per_second": 2})
    old = b.rest(buy(b))
    new = b.s.replace(old, price=910)
    b.end_turn()
    b.to(10)
    b.push(old, 4)
    assert new.state is OrderState.SENDING


def test_a_pending_replacement_that_expires_does_not_set_a_wake_time_in_the_past() -> None:
    b = bot()
    old = b.rest(buy(b, expire_s=5))
    new = b.s.replace(old, price=910)
    b.end_turn()
    b.to(10)
    b.push(old, 4)
    wake = b.engine.wake_at()
    assert wake is None or wake >= b.engine.view.now
    assert new.state is OrderState.EXPIRED
    assert len(b.all(CreateOrder)) == 1


# -- forgetting -------------------------------------------------------------------------------------------------------


def test_unsent_orders_are_dropped_immediately_and_sent_orders_are_kept_for_late_reports() -> None:
    b = bot()
    cancelled = buy(b)
    b.accept(cancelled)
    b.s.cancel(cancelled)
    b.end_turn()
    b.push(cancelled, 4)
    refused = b.s.buy(BTC, amount=ONE, price=10**9)
    b.end_turn()
    resting = buy(b, price=800)
    assert (cancelled.state, refused.state) == (OrderState.CANCELLED, OrderState.REFUSED)
    b.tell(Forget(b.now))
    assert b.reply == Reply((refused,))
    assert b.engine.view.order(refused.client_id) is None
    assert b.engine.view.order(cancelled.client_id) is cancelled
    b.tell(Forget(b.now + 1))
    assert b.reply == Reply((cancelled,))
    assert b.engine.view.orders() == [resting]


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_report_cannot_carry_a_state_that_is_internal_to_the_bot() -> None:
    for state in set(OrderState) - REPORTED_STATES:
        b = bot()
        order = buy(b)
        b.accept(order)
        with pytest.raises(AssertionError, match=f"{state.value} is not a state that an exchange reports"):
            b.push(order, 0, state=state)


def test_pending_decisions_do_not_accumulate_when_every_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botkit.engine.rooms.BLOCK_LINES", 10)
    b = bot()
    for _ in range(30):
        b.s.buy(BTC, amount=ONE, price=10**9)
        b.end_turn()
        assert len(b.decisions.pending) <= 10
    b.decisions.flush()
    assert b"".join(b.log).count(b'"k":"intent"') == 30
