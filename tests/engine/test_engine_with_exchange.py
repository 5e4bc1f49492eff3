"""The engine with the simulated exchange: requests, responses, and matching balances."""

from __future__ import annotations

from typing import Any

from botkit.model.orders import OrderState
from botkit.model.requests import Answer, CreateBatch, CreateOrder, Ending
from tests.engine_world import BTC, T0, Listener, S, Sim
from tests.sim import venue

BOOKS = [(second, [(990, 50_000), (980, 90_000)], [(1_010, 50_000), (1_020, 90_000)]) for second in range(120)]


def listens(s: Any) -> None:
    s.subscribe_book(BTC)
    s.subscribe_trades(BTC)


def sim(*strategies: Listener, prints: Any = (), **more: Any) -> Sim:
    columns = [venue.books(_at_t0(BOOKS), BTC)]
    if prints:
        columns.append(venue.trades(_at_t0(prints), BTC))  # type: ignore[arg-type]
    made = Sim(*(strategies or (Listener(start=listens),)), columns=columns, **more)
    made.to(2)
    made.trade(1_000)
    return made


def _at_t0(rows: Any) -> Any:
    shift = (T0 - venue.T0) // S  # that module's tables assume a different start time
    return [(row[0] + shift, *row[1:]) for row in rows]


class Deaf(Sim):
    """An exchange that loses the responses to create requests, so the bot gives up on each request after five
    seconds.
    """

    def send(self, leaving: Any) -> None:
        self.lost: set[int] = getattr(self, "lost", set())
        self.lost |= {r.id for r in leaving if isinstance(r, CreateOrder | CreateBatch)}
        super().send(leaving)

    def to(self, seconds: float) -> Any:
        target = T0 + round(seconds * S)
        gone: list[tuple[int, int]] = getattr(self, "gone", [])
        self.gone = gone
        while True:
            times = [
                at
                for at in (self.kernel.next_at(), self.engine.wake_at(), gone[0][0] if gone else None)
                if at is not None
            ]
            if not times or min(times) > target:
                break
            at = min(times)
            self.now = max(self.now, at)
            if gone and gone[0][0] == at:
                self.tell(Answer(request_id=gone.pop(0)[1], outcome=Ending.UNKNOWN, text="timeout"))
                continue
            news = self.kernel.advance(at)
            for publication in news:
                for event in publication.events:
                    if isinstance(event, Answer) and event.request_id in self.lost:
                        gone.append((at + 5 * S, event.request_id))
                    elif publication.account is None or isinstance(event, Answer):
                        self.tell(event)  # other account events are dropped: the account stream is down
            if not news:
                self.tell(None)
        self.now = max(self.now, target)
        return []


def test_bot_and_exchange_balances_are_equal_after_a_market_order_fills_from_the_book() -> None:
    b = sim()
    order = b.s.market_buy(BTC, amount=6, max_slippage_pct=2)
    b.end_turn()
    b.to(4)
    assert order.state is OrderState.FILLED
    assert [fill.price_ticks for fill in b.s.of("fill")] == [1_010, 1_020]
    assert [state.value for _, state in b.s.of("order")] == ["open", "filled"]
    b.check()


def test_a_resting_order_appears_in_the_book_and_is_cancelled() -> None:
    b = sim()
    order = b.s.buy(BTC, amount=1, price=995, post_only=True)
    b.end_turn()
    b.to(4)
    assert order.state is OrderState.OPEN
    assert b.s.book(BTC).best_bid == 995.0
    assert b.s.book(BTC, own=False).best_bid == 990.0
    b.s.cancel(order)
    b.end_turn()
    b.to(6)
    assert order.state is OrderState.CANCELLED
    assert b.s.balance("twd").locked == 0
    b.check()


def test_a_post_only_order_that_would_take_liquidity_is_cancelled_by_the_exchange() -> None:
    b = sim()
    order = b.s.buy(BTC, amount=1, price=1_010, post_only=True)
    b.end_turn()
    b.to(4)
    assert order.state is OrderState.POST_ONLY_CANCELLED
    b.check()


def test_replacing_a_resting_order_sends_a_cancel_and_then_a_create() -> None:
    b = sim()
    old = b.s.buy(BTC, amount=1, price=985)
    b.end_turn()
    b.to(3)
    new = b.s.replace(old, price=995)
    b.end_turn()
    b.to(5)
    assert (old.state, new.state) == (OrderState.CANCELLED, OrderState.OPEN)
    assert [row.state for row in b.kernel.orders("bot")] == [OrderState.CANCELLED, OrderState.OPEN]
    b.check()


def test_a_protected_position_is_closed_by_an_order_sent_to_the_exchange() -> None:
    b = sim(prints=[(10, 900, 100, -1)])
    b.s.protect(BTC, stop_loss_pct=5)
    b.to(9)
    b.trade(1_000)
    assert not b.s.of("fill")
    b.trade(900)
    b.to(20)
    assert [fill.order.tag for fill in b.s.of("fill")][:1] == ["stop_loss"]
    b.check()


def test_orders_with_lost_responses_are_found_in_order_listings_and_their_fills_in_trade_listings() -> None:
    b = Deaf(Listener(start=listens), columns=[venue.books(_at_t0(BOOKS), BTC)])
    b.to(2)
    b.trade(1_000)
    rest = b.s.buy(BTC, amount=1, price=900)
    take = b.s.market_sell(BTC, amount=1)
    b.end_turn()
    b.to(7)
    assert {rest.state, take.state} == {OrderState.SENDING}
    b.to(7.2)
    assert {rest.state, take.state} == {OrderState.UNKNOWN}
    b.to(20)
    assert rest.state is OrderState.OPEN
    assert take.state is OrderState.FILLED
    assert len(b.kernel.orders("bot")) == 2
    b.check()
