"""Orders with unknown outcomes are looked up until they are found or proved absent, and are never resent."""

from __future__ import annotations

from typing import Any

import pytest

from botkit.model.events import BalanceReport
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.requests import (
    CreateOrder,
    Ending,
    GetBalances,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    Request,
)
from tests.engine_world import BTC, ETH, Bot, Exchange, Listener, S, cancelled_ids, report_of, unknown


def kinds(requests: list[Request]) -> list[str]:
    return [type(r).__name__ for r in requests]


def test_an_order_with_an_unknown_outcome_is_looked_up_at_increasing_intervals() -> None:
    b, _ = unknown(latest_accept_s=900)
    times = []
    for tenth in range(1, 1_000):
        b.to(tenth / 10)
        for request in b.all(ListOrders)[len(times) :]:
            times.append(tenth / 10)
            b.answer(request, body=())
    assert times == [0.5, 1, 2, 4, 8, 15, 30, 60, 90]


def test_retries_of_refused_look_ups_start_soon_but_are_spread_out() -> None:
    b, first = unknown(latest_accept_s=900)
    second = b.s.buy(ETH, amount=1, price=90)
    b.end_turn()
    b.answer(b.create_of(second), Ending.UNKNOWN, text="timeout")
    asked: dict[int, list[float]] = {first.client_id: [], second.client_id: []}
    for tenth in range(1, 100):
        b.to(tenth / 10)
        for request in b.all(ListOrders)[sum(map(len, asked.values())) :]:
            assert request.client_id is not None
            asked[request.client_id].append(tenth / 10)
            b.answer(request, Ending.REFUSED, status=409, text="Conflict")
    assert asked[first.client_id][0] == asked[second.client_id][0] == 0.5
    assert 1 <= asked[first.client_id][1] - 0.5 < 3
    assert not set(asked[first.client_id][1:]) & set(asked[second.client_id][1:])
    assert len(asked[first.client_id]) < 6, "reads are not repeated too quickly"


def test_an_order_with_an_unknown_outcome_is_found_and_adopted() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.orders = [report_of(order, 0)]
    e.serve(1)
    assert order.state is OrderState.OPEN
    assert len(b.all(CreateOrder)) == 1


def test_an_order_with_an_unknown_outcome_is_found_through_a_pushed_report() -> None:
    b, order = unknown()
    b.push(order, 0)
    assert order.state is OrderState.OPEN
    b.to(60)
    assert not b.all(ListOrders), "no more look-ups are sent"


def test_executions_are_read_when_an_order_with_an_unknown_outcome_is_found_filled() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.orders = [report_of(order, 2, 10_000)]
    e.trades = [b.execution(order, 10_000)]
    e.serve(3)
    assert order.state is OrderState.FILLED
    assert order.executed_lots == 10_000
    b.check()


def test_a_cancel_is_held_back_until_the_order_with_the_unknown_outcome_is_found() -> None:
    b, order = unknown()
    b.s.cancel(order)
    assert not b.end_turn()
    assert cancelled_ids(b.push(order, 0)) == [order.client_id]


def test_an_order_is_proved_absent_only_after_the_time_limit_and_all_reads() -> None:
    b, order = unknown(latest_accept_s=10)
    e = Exchange(b)
    e.serve(9.99)
    assert order.state is OrderState.UNKNOWN
    assert set(kinds(e.asked)) == {"ListOrders"}
    e.asked.clear()
    before = len(b.requests)
    e.asked += b.requests[:before]
    e.serve(10.5)
    assert order.state is OrderState.ABSENT
    assert kinds(b.requests[before:]) == ["ListOrders", "ListOrders", "ListOpenOrders", "GetBalances", "ListTrades"]
    assert [r.client_id for r in b.requests[before : before + 2]] == [order.client_id, None]  # type: ignore[union-attr]
    assert b.s.balance("twd").locked == 0
    assert len(b.all(CreateOrder)) == 1


@pytest.mark.parametrize("lost", [ListOrders, ListOpenOrders, ListTrades, GetBalances])
def test_an_order_is_not_proved_absent_while_a_read_fails(lost: type[Any]) -> None:
    b, order = unknown()
    e = Exchange(b)
    e.lost = {lost}
    e.serve(100)
    assert order.state is OrderState.UNKNOWN
    e.lost = set()
    e.serve(200)
    assert order.state is OrderState.ABSENT


def test_an_order_that_appears_after_being_proved_absent_is_live_again_and_cancelled() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.serve(5)
    assert order.state is OrderState.ABSENT
    leaving = b.push(order, 0)
    assert order.state is OrderState.OPEN
    assert b.s.balance("twd").locked == 900
    assert cancelled_ids(leaving) == [order.client_id]
    b.execute(order, 10_000)
    b.push(order, 2, 10_000)
    assert order.state is OrderState.FILLED
    b.check()


def test_a_matching_row_without_a_client_id_prevents_an_order_from_being_proved_absent() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.orders = [report_of(order, 0, client_id=None, order_id="F1")]
    e.serve(100)
    assert order.state is OrderState.UNKNOWN


def test_the_listing_row_of_an_earlier_order_with_the_same_client_id_does_not_match() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.orders = [report_of(order, 2, 10_000, created=order.sent - 3 * S)]
    e.serve(5)
    assert order.state is OrderState.ABSENT


def test_unexplained_locked_money_prevents_an_order_from_being_proved_absent() -> None:
    b, order = unknown()
    e = Exchange(b)
    total = b.portfolio.account["twd"]
    e.balances = BalanceReport({"twd": (total, total - 900 * 10**8)}, snapshot=True)
    e.serve(100)
    assert order.state is OrderState.UNKNOWN
    e.balances = None
    e.serve(200)
    assert order.state is OrderState.ABSENT


def test_locks_from_our_own_and_foreign_orders_explain_the_locked_balance() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    mine = b.s.buy(BTC, amount=2, price=800)
    b.end_turn()
    b.rest(mine)
    order = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    e = Exchange(b)
    foreign = report_of(mine, 0, order_id="F1", client_id=None, pair=ETH, price_ticks=100)
    e.open = [report_of(mine, 0), foreign]
    total = b.portfolio.account["twd"]
    e.balances = BalanceReport({"twd": (total, total - (1_600 + 200) * 10**8)}, snapshot=True)
    e.serve(5)
    assert order.state is OrderState.ABSENT


def test_a_manual_trade_is_explained_once_its_order_has_been_read() -> None:
    b, order = unknown()
    e = Exchange(b)
    manual = report_of(order, 2, 500, order_id="F1", client_id=2_147_483_647, price_ticks=1_000, original_lots=500)
    e.trades = [b.execution(order, 500, price=1_000)]
    e.trades = [type(e.trades[0])(**{**_fields(e.trades[0]), "order_id": "F1"})]
    e.serve(60)
    assert order.state is OrderState.UNKNOWN  # because the order behind that trade could not be read yet
    e.orders = [manual]
    e.serve(200)
    assert order.state is OrderState.ABSENT


def test_an_order_with_an_unknown_outcome_is_adopted_through_a_listed_trade() -> None:
    b, order = unknown()
    e = Exchange(b)
    e.trades = [b.execution(order, 10_000)]
    e.serve(2)
    e.orders = []
    assert order.state is OrderState.UNKNOWN
    e.orders = [report_of(order, 2, 10_000)]
    e.serve(40)
    assert order.state is OrderState.FILLED


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def test_further_pages_are_read_after_a_full_listing_page() -> None:
    b, order = unknown()
    e = Exchange(b)
    others = [
        report_of(order, 4, order_id=f"F{i}", client_id=5_000 + i, created=order.sent + S + i * 10**6)
        for i in range(2_500)
    ]
    e.orders = [*others, report_of(order, 0, client_id=None, order_id="it")]  # the oldest row
    e.serve(4)
    assert order.state is OrderState.UNKNOWN
    pages = [r for r in e.asked if isinstance(r, ListOrders) and r.client_id is None]
    assert len(pages) >= 3
    e.orders = others
    e.serve(60)
    assert order.state is OrderState.ABSENT


def test_a_market_order_is_found_even_if_its_row_has_a_different_price_and_amount() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    order = b.s.market_buy(BTC, spend=1_000)
    b.end_turn()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    e = Exchange(b)
    e.orders = [report_of(order, 2, 10_000, price_ticks=0, original_lots=10_000)]
    e.trades = [b.execution(order, 10_000, price=1_000)]
    e.serve(3)
    assert order.state is OrderState.FILLED
    b.check()


# -- the pair of an unknown order -------------------------------------------------------------------------------------


def test_only_reducing_limit_sells_are_accepted_while_an_order_in_the_pair_has_an_unknown_outcome() -> None:
    b, order = unknown()
    assert "is unknown; no new orders in that pair" in b.s.buy(BTC, amount=1, price=800).reason
    assert "is unknown; no new orders in that pair" in b.s.market_sell(BTC, amount=1).reason
    assert "is unknown; no new orders in that pair" in b.s.market_buy(BTC, spend=1_000).reason
    assert b.s.sell(BTC, amount=100, price=1_100).is_open
    b.trade(1_000, pair=ETH)
    assert b.s.buy(ETH, amount=1, price=900).is_open
    b.end_turn()
    b.push(order, 4)
    assert b.s.buy(BTC, amount=1, price=800).is_open


def test_coins_in_sells_with_unknown_outcomes_are_treated_as_sold() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    order = b.s.sell(BTC, amount=60, price=1_100)
    b.end_turn()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    assert b.s.sell(BTC, amount=50, price=1_100).is_refused
    assert b.s.sell(BTC, amount=40, price=1_100).is_open


def test_coins_in_sells_with_unknown_outcomes_are_treated_as_sold_for_strategies_that_share_them() -> None:
    b = Bot(Listener(), Listener())
    b.trade(1_000)
    first, second = b.strategies
    more = second.buy(BTC, amount=50, price=1_000)
    b.end_turn()
    b.rest(more)
    b.execute(more, 500_000)
    b.push(more, 2, 500_000)
    order = first.sell(BTC, amount=60, price=1_100)  # from the hundred coins that the first strategy owns
    b.end_turn()
    b.answer(b.create_of(order), Ending.UNKNOWN)
    assert first.sell(BTC, amount=50, price=1_100).is_refused
    assert second.sell(BTC, amount=50, price=1_100).is_open


def test_a_pair_with_two_unknown_order_outcomes_is_blocked_until_both_are_resolved() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    first, second = b.s.buy(BTC, amount=1, price=900), b.s.buy(BTC, amount=1, price=800)
    b.end_turn()
    for request in b.all(CreateOrder):
        b.answer(request, Ending.UNKNOWN)
    b.push(first, 0)
    assert b.s.buy(BTC, amount=1, price=700).is_refused
    b.push(second, 0)
    assert b.s.buy(BTC, amount=1, price=700).is_open


def _five_unknown() -> tuple[Bot, list[Order]]:
    """Return a bot with five buys that all lost their response at the same moment; they may still arrive for 2 s."""
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)), batching=False)
    b.trade(1_000)
    orders = [b.s.buy(BTC, amount=1, price=900 - i) for i in range(5)]
    b.end_turn()
    for request in b.all(CreateOrder):
        b.answer(request, Ending.UNKNOWN)
    return b, orders


@pytest.mark.parametrize("kind", [ListOpenOrders, GetBalances])
def test_orders_with_unknown_outcomes_share_the_reads_of_the_whole_account(kind: type[Any]) -> None:
    b, orders = _five_unknown()
    e = Exchange(b)
    e.held = {kind}
    e.serve(2.5)
    (only,) = b.all(kind)  # the one that found the way free; the other four wait for it to come back
    b.to(3.0)
    assert b.all(kind) == [only]
    b.answer(only, body=e.body(only))
    first, second = b.all(kind)
    b.answer(second, body=e.body(second))
    e.held, e.asked = set(), [*e.asked, first, second]
    e.serve(10)
    assert b.all(kind) == [first, second], "the second answered the other four"
    assert [order.state for order in orders] == [OrderState.ABSENT] * 5


def test_a_shared_read_that_fails_is_repeated_for_each_order_that_waited_for_it() -> None:
    b, orders = _five_unknown()
    e = Exchange(b)
    e.lost = {ListOpenOrders}
    e.serve(20)
    assert [order.state for order in orders] == [OrderState.UNKNOWN] * 5
    e.lost = set()
    e.open = e.orders = [report_of(orders[3], 0)]
    e.serve(100)
    assert [order.state for order in orders] == [OrderState.ABSENT] * 3 + [OrderState.OPEN, OrderState.ABSENT]


def test_a_foreign_order_is_shown_but_never_changed() -> None:
    b, order = unknown()
    row = report_of(order, 0, client_id=9, order_id="F1", type=OrderType.LIMIT, side=Side.SELL)
    b.tell(row)
    assert b.engine.view.foreign_orders() == [row]
    assert not cancelled_ids(b.requests)


def test_queued_orders_are_not_sent_while_another_order_in_their_pair_has_an_unknown_outcome() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)), limits={"create_order": "3/1m"}, batching=False)
    b.trade(1_000)
    orders = [b.s.buy(BTC, amount=1, price=900 + i) for i in range(4)]
    way_out = b.s.sell(BTC, amount=1, price=1_100)
    b.end_turn()
    sent = [order for order in orders if order.state is OrderState.SENDING]
    waiting = [order for order in orders if order.state is OrderState.QUEUED]
    assert sent
    assert waiting
    b.answer(b.create_of(sent[0]), Ending.UNKNOWN)
    for order in sent[1:]:
        b.accept(order)
    b.to(120)
    assert {order.state for order in waiting} == {OrderState.NOT_SENT}
    [shown] = b.engine.view.strategies()
    assert shown.sent == shown.orders - len(waiting), "an order that never left this machine is not counted as sent"
    assert "is unknown; no new orders in that pair" in waiting[0].reason
    assert way_out.state is OrderState.SENDING
