"""Time that orders spent at the best price, compared with a brute-force count of individual time steps."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from botkit.backtesting.at_best import AtBest, watched
from botkit.model.columns import BookColumns
from botkit.model.order_spec import OrderSpec, OrderType, Side
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.order import CANCELLED, Account, VenueOrder
from tests.report.sample_result import pair

PAIR = pair()
END = 40

#: (arrived, ended or None, price, is_buy)
ORDERS = st.lists(
    st.tuples(st.integers(0, 35), st.none() | st.integers(1, 20), st.integers(95, 105), st.booleans()), max_size=8
)
#: (received, best bid or None, best ask or None)
BOOKS = st.lists(
    st.tuples(st.integers(0, 39), st.none() | st.integers(95, 100), st.none() | st.integers(100, 105)),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[0],
).map(sorted)


def order(number: int, arrived: int, lasted: int | None, price: int, is_buy: bool) -> VenueOrder:
    spec = OrderSpec(
        client_id=number, pair=PAIR, side=Side.BUY if is_buy else Side.SELL, type=OrderType.LIMIT, price_ticks=price,
        amount_lots=10, strategy="maker",
    )  # fmt: skip
    account = Account("main", AccountSetup(balances={}, fees=FixedFees({"maker": "0.001", "taker": "0.002"})))
    made = VenueOrder(account, spec, str(number), number, arrived, arrived, 0)
    made.joined_behind, made.is_placed = number, True
    if lasted is not None:
        made.updated, made.state = min(END, arrived + lasted), CANCELLED
    return made


def books(rows: list[tuple[int, int | None, int | None]]) -> BookColumns:
    def column(values: list[int | None]) -> np.ndarray:
        return np.array([value or 0 for value in values], np.int64).reshape(-1, 1)

    times = np.array([time for time, _, _ in rows], np.int64)
    bids, asks = column([bid for _, bid, _ in rows]), column([ask for _, _, ask in rows])
    return BookColumns(PAIR, times, times, bids, (bids > 0) * 1, asks, (asks > 0) * 1)


def counted(orders: list[VenueOrder], rows: list[tuple[int, int | None, int | None]], is_buy: bool) -> int:
    """Count the time steps at which an order was at the best price, checking each step individually."""
    found = 0
    for now in range(END):
        seen = [row for row in rows if row[0] <= now]
        own = [
            each.price_ticks
            for each in orders
            if each.is_buy is is_buy and each.arrived <= now < (END if each.state is not CANCELLED else each.updated)
        ]
        if not seen or not own:
            continue
        best = seen[-1][1 if is_buy else 2]
        if best is None or (max(own) >= best if is_buy else min(own) <= best):
            found += 1
    return found


@given(ORDERS, BOOKS, st.integers(0, 8))
def test_time_at_best_price_matches_a_brute_force_count(
    given_orders: list[tuple[int, int | None, int, bool]], rows: list[tuple[int, int | None, int | None]], cut: int
) -> None:
    orders = [order(number, *each) for number, each in enumerate(given_orders, 1)]
    watch = AtBest("maker", PAIR, orders, 0, END)
    for part in (rows[:cut], rows[cut:]):  # books arrive in slices
        watch.see(books(part))
    row = watch.row()
    assert round(row.at_best_bid * END) == counted(orders, rows, True)
    assert round(row.at_best_ask * END) == counted(orders, rows, False)
    assert row.orders == len(orders)


def test_the_median_amount_ahead_includes_only_orders_with_a_queue_position_set_by_a_book() -> None:
    orders = [order(number, 0, 4 * number, 99, True) for number in (1, 2, 5)]
    orders[2].is_placed = False
    orders[0].executed_lots = 3
    (watch,) = watched(orders, 0, END)
    watch.see(books([(0, 99, 101)]))
    row = watch.row()
    assert (row.filled, row.ahead_median, row.rested_median_s) == (1, PAIR.rules.amount(2), 8e-9)
