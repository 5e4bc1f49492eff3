"""Executions are booked once, whichever of the two sources shows them first, and with their own fees."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from botkit.engine.orders.executions import Executions
from botkit.model.events import TradeReport
from botkit.model.inputs import BookedExecution
from botkit.model.orders import Side
from tests.engine_world import BTC

#: (ticks, lots, fee): few values, so that equal executions with equal and with different fees are common
rows = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(0, 2)), min_size=1, max_size=6)


def report(at: int, row: tuple[int, int, int], *, listed: bool) -> TradeReport:
    ticks, lots, fee = row
    return TradeReport(
        pair=BTC,
        order_id="1",
        trade_id=f"{'row' if listed else 'match'} {at}",
        side=Side.BUY,
        price_ticks=ticks,
        lots=lots,
        fee_units=fee,
        fee_currency="btc",
        is_maker=fee < 1,
        time=at,
    )


class Bot:
    """What is booked of one order, over several lives."""

    def __init__(self) -> None:
        self.booked: list[TradeReport] = []
        self.executions = Executions()

    def take(self, row: TradeReport, *, listed: bool) -> None:
        new = self.executions.take(row, listed=listed)
        if new is not None:
            self.booked.append(new)

    def restart(self) -> None:
        self.executions = Executions()
        self.executions.restore(BookedExecution(r.price_ticks, r.lots, r.fee_units) for r in self.booked)

    def rows(self) -> Counter[tuple[int, int, int]]:
        return Counter((r.price_ticks, r.lots, r.fee_units) for r in self.booked)


def happen(bot: Bot, executed: list[tuple[int, int, int]], data: st.DataObject, *, restarts: bool) -> None:
    """Show executions in any order, each once by the stream or not at all, repeated at will by the listing."""
    unsent = list(range(len(executed)))
    for _ in range(data.draw(st.integers(0, 14))):
        kind = data.draw(st.sampled_from(["stream", "listing", "restart"] if restarts else ["stream", "listing"]))
        if kind == "restart":
            bot.restart()
            # what has been booked was before this life, so that its stream does not send it
            left = bot.rows()
            for at in list(unsent):
                if left[executed[at]] > 0:
                    left[executed[at]] -= 1
                    unsent.remove(at)
        elif kind == "stream" and unsent:
            at = unsent.pop(data.draw(st.integers(0, len(unsent) - 1)))
            bot.take(report(at, executed[at], listed=False), listed=False)
        else:
            at = data.draw(st.integers(0, len(executed) - 1))
            bot.take(report(at, executed[at], listed=True), listed=True)
    for at in data.draw(st.permutations(range(len(executed)))):
        bot.take(report(at, executed[at], listed=True), listed=True)


@given(rows, st.data())
def test_once_the_listing_is_complete_each_execution_is_booked_once_with_its_fee(
    executed: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    bot = Bot()
    happen(bot, executed, data, restarts=False)
    assert bot.rows() == Counter(executed)


@given(rows, st.data())
def test_fees_that_the_sources_state_differently_change_no_count(
    executed: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    bot = Bot()
    plain = bot.take

    def take(row: TradeReport, *, listed: bool) -> None:
        scaled = row if not listed else report(row.time, (row.price_ticks, row.lots, row.fee_units + 100), listed=True)
        plain(scaled, listed=listed)

    bot.take = take  # type: ignore[method-assign]
    happen(bot, executed, data, restarts=False)
    assert Counter(row[:2] for row in bot.rows().elements()) == Counter(row[:2] for row in executed)


@given(rows, st.data())
def test_a_restart_books_only_what_the_earlier_lives_did_not(
    executed: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    bot = Bot()
    happen(bot, executed, data, restarts=True)
    assert bot.rows() == Counter(executed)


def test_of_two_equal_executions_a_restart_books_the_one_whose_fee_is_missing() -> None:
    bot = Bot()
    bot.take(report(2, (1, 1, 7), listed=False), listed=False)
    bot.restart()
    for at, fee in ((1, 5), (2, 7)):
        bot.take(report(at, (1, 1, fee), listed=True), listed=True)
    assert bot.rows() == Counter({(1, 1, 7): 1, (1, 1, 5): 1})
