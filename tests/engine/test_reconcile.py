"""Comparisons with the exchange: which data is read, in what order, and when failed reads are retried."""

from __future__ import annotations

from botkit.model.events import BalanceReport
from botkit.model.inputs import Begin, Compare, Restore, Unwritten
from botkit.model.orders import Order, OrderState
from botkit.model.requests import Ending, GetBalances, GetOrder, ListOpenOrders, ListOrders, ListTrades
from tests.engine_world import BTC, BTC_LOTS, T0, UNIT, Bot, Listener, S, report_of, unknown


def resting() -> tuple[Bot, Order]:
    """Return a bot one second after T0, with one order resting since T0."""
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(order)
    b.to(1)
    return b, order


def test_an_order_missing_from_the_listing_is_reread_until_a_read_succeeds() -> None:
    b, order = resting()
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(GetOrder), Ending.UNKNOWN)
    b.to(1.9)
    assert len(b.all(GetOrder)) == 1
    b.to(2)
    assert len(b.all(GetOrder)) == 2
    b.answer(b.last(GetOrder), Ending.RATE_LIMITED, status=429)
    b.to(4)
    b.answer(b.last(GetOrder), body=(report_of(order, 4),))
    assert order.state is OrderState.CANCELLED
    b.to(30)
    assert len(b.all(GetOrder)) == 3


def test_balances_are_not_read_until_the_executions_of_a_missing_order_are_booked() -> None:
    b, order = resting()
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(GetOrder), Ending.UNKNOWN)
    b.to(2.9)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    b.to(4.5)
    b.answer(b.last(ListTrades), Ending.UNKNOWN)
    b.to(6.4)
    assert b.all(GetBalances) == []
    b.to(6.5)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    b.answer(b.last(ListTrades), body=(b.execution(order, BTC_LOTS),))
    assert order.state is OrderState.FILLED
    b.to(7)
    assert len(b.all(GetBalances)) == 1


def test_balances_are_not_read_before_an_unknown_order_is_looked_up_and_its_executions_are_booked() -> None:
    b, order = unknown()
    b.to(0.5)
    b.tell(Compare())
    look_up = b.last(ListOrders)
    b.answer(b.last(ListOpenOrders), body=())
    b.to(3)
    assert b.all(GetBalances) == [], "the order may have been filled"
    b.answer(look_up, body=(report_of(order, 2, BTC_LOTS),))
    b.to(5)
    assert b.all(GetBalances) == [], "its executions are not booked yet"
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    b.answer(b.last(ListTrades), body=(b.execution(order, BTC_LOTS),))
    b.to(6)
    assert order.state is OrderState.FILLED
    assert len(b.all(GetBalances)) == 1


def test_a_comparison_does_not_wait_for_an_unknown_order_that_its_look_up_did_not_find() -> None:
    b, order = unknown()
    b.to(0.5)
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(ListOrders), body=())
    b.to(1)
    assert order.state is OrderState.UNKNOWN
    assert len(b.all(GetBalances)) == 1, "the proof that it is absent may take minutes"


def test_a_comparison_finishes_without_adopting_anything_if_an_order_cannot_be_read() -> None:
    b, _ = resting()
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    for second in range(2, 120):
        for request in b.to(second):
            if isinstance(request, GetOrder):
                b.answer(request, Ending.UNKNOWN)
    assert len(b.all(GetBalances)) == 1
    richer = b.exact_balances()
    total, available = richer.balances["twd"]
    richer.balances["twd"] = (total + 5 * UNIT, available + 5 * UNIT)
    b.answer(b.last(GetBalances), body=richer)
    assert b.portfolio.unassigned.get("twd", 0) == 0
    b.tell(Compare())  # a new comparison starts, which shows that the previous one has finished
    assert len(b.all(ListOpenOrders)) == 2


def test_a_comparison_goes_on_waiting_for_an_order_after_the_machine_has_slept() -> None:
    b, order = resting()
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(GetOrder), Ending.UNKNOWN)
    b.now = T0 + 600 * S
    b.end_turn()
    assert b.all(GetBalances) == [], "the order has not been read yet"
    b.answer(b.last(GetOrder), body=(report_of(order, 4),))
    b.to(601)
    assert order.state is OrderState.CANCELLED
    assert len(b.all(GetBalances)) == 1


def test_an_order_whose_final_report_is_lost_during_a_comparison_is_read_after_a_second() -> None:
    b, order = resting()
    b.tell(Compare())
    b.to(1.5)
    b.execute(order, BTC_LOTS)
    b.answer(b.last(ListOpenOrders), body=())
    b.to(2.4)
    assert b.all(GetOrder) == []
    b.to(2.5)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    assert order.state is OrderState.FILLED


def test_an_order_whose_final_report_arrives_after_the_listing_is_not_read() -> None:
    b, order = resting()
    b.tell(Compare())
    b.to(1.5)
    b.execute(order, BTC_LOTS)
    b.answer(b.last(ListOpenOrders), body=())
    b.push(order, 2, BTC_LOTS)
    b.to(30)
    assert b.all(GetOrder) == []


def test_an_order_whose_create_was_unanswered_in_a_comparison_is_read_a_second_after_its_answer() -> None:
    b = Bot(Listener(start=lambda s: s.subscribe_trades(BTC)))
    b.trade(1_000)
    order = b.s.buy(BTC, amount=1, price=1_000)
    b.end_turn()
    b.to(1)
    b.tell(Compare())  # its stream was silent, and the report of its fill is lost
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(GetBalances), body=BalanceReport({}))
    b.to(3)
    b.accept(order)
    assert order.state is OrderState.OPEN
    b.to(3.9)
    assert b.all(GetOrder) == []
    b.to(4)
    b.answer(b.last(GetOrder), body=(report_of(order, 2, BTC_LOTS),))
    b.to(6)
    b.answer(b.last(ListTrades), body=(b.execution(order, BTC_LOTS),))
    assert order.state is OrderState.FILLED


def test_an_order_sent_after_a_comparison_began_is_not_read() -> None:
    b, _ = resting()
    b.tell(Compare())
    b.to(1.5)
    order = b.s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.answer(b.last(ListOpenOrders), body=())
    b.to(2)
    b.accept(order)
    b.to(30)
    assert [request for request in b.all(GetOrder) if request.order_id == order.order_id] == []


def test_an_order_missing_from_the_journal_is_found_even_if_its_id_is_below_the_last_journaled_id() -> None:
    b, order = resting()
    # A replacement gets its ID when it is requested, but is sent only after the order that it replaces is final. Here,
    # ID 5 was journaled before ID 4 was sent.
    b.tell(Compare(Unwritten(T0, first_id=3, end_id=900, known=(3, 5))))
    rows = tuple(report_of(order, 0, client_id=i, order_id=f"E{i}") for i in (3, 4, 5))
    for _ in range(2):
        listing = b.last(ListOrders)
        b.answer(listing, body=rows if listing.pair == BTC else ())
    b.answer(b.last(ListOpenOrders), body=(report_of(order, 0),))
    b.to(2)
    b.answer(b.last(GetBalances), body=b.exact_balances())
    assert [comparison.unwritten for comparison in b.comparisons] == [("E4 of btc_twd",)]
    assert b.comparisons[0].unwritten_until == 5


def test_balances_older_than_an_execution_are_not_mistaken_for_a_withdrawal_even_if_repeated() -> None:
    b, order = resting()
    resting_too = b.s.sell(BTC, amount=0.5, price=2_000)
    b.end_turn()
    b.rest(resting_too)
    older = BalanceReport({"twd": b.exact_balances().balances["twd"], "btc": b.exact_balances().balances["btc"]})
    b.execute(order, BTC_LOTS)
    b.push(order, 2, BTC_LOTS)
    for second in (1.5, 3, 4, 5.5):  # the balance stream lags the execution stream
        b.to(second)
        b.tell(older)
    b.to(7)
    b.tell(BalanceReport({"btc": b.exact_balances().balances["btc"]}))
    assert b.messages == []
    assert min(b.portfolio.unassigned.values(), default=0) >= 0
    poorer = b.exact_balances().balances["btc"][0] - 2 * UNIT
    b.tell(BalanceReport({"btc": (poorer, poorer - UNIT // 2)}))
    b.to(10)
    b.tell(BalanceReport({"btc": (poorer, poorer - UNIT // 2)}))  # this difference is a withdrawal
    assert "1.5 btc less than its strategies own" in b.messages[-1][1]


def compare(b: Bot, twd: int) -> None:
    b.tell(Compare())
    b.answer(b.last(ListOpenOrders), body=())
    b.answer(b.last(GetBalances), body=BalanceReport({"twd": (twd, twd)}, snapshot=True))
    assert b.comparisons.pop()


def test_a_shortage_that_a_comparison_finds_blocks_new_orders_until_a_comparison_finds_its_end() -> None:
    capital = 1_000 * UNIT
    b = Bot(Listener(), balances={"twd": capital}, capital=[{"twd": capital}])
    b.trade(1_000)
    compare(b, capital)
    assert not b.messages
    compare(b, capital - 100 * UNIT)
    refused = b.s.buy(BTC, amount=0.5, price=900)
    assert "the account has 100 twd less than its strategies own" in refused.reason
    ((level, text),) = b.messages
    assert (level, "only orders that reduce a position are allowed" in text) == ("error", True)
    compare(b, capital - 100 * UNIT)
    assert len(b.messages) == 1
    compare(b, capital)
    assert b.messages[1][0] == "info"
    assert b.s.buy(BTC, amount=0.5, price=900).is_open


def test_a_shortage_in_the_books_of_an_earlier_run_blocks_new_orders_from_the_first_comparison_on() -> None:
    capital = 1_000 * UNIT
    before = Bot(Listener(), balances={"twd": capital}, capital=[{"twd": capital}])
    compare(before, 900 * UNIT)
    b = Bot(Listener(), capital=[{"twd": capital}], start=False)
    b.tell(Restore(books=before.portfolio.state()))
    compare(b, 900 * UNIT)
    b.tell(Begin())
    b.trade(1_000)
    assert "the account has 100 twd less than its strategies own" in b.s.buy(BTC, amount=0.5, price=900).reason
