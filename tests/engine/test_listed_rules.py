"""A running bot follows the rules that the exchange lists: maintenance, minima, and ticks of another size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from botkit.engine.market.listed_rules import EVERY_NS, SOON_NS
from botkit.engine.orders.rejections import REJECTIONS_MAX
from botkit.model.clock import NS_PER_S
from botkit.model.orders import Order, OrderState
from botkit.model.pairs import Pair, PairRules
from botkit.model.requests import CancelOrder, CreateOrder, Ending, GetBook, GetPairs, ListOrders
from tests import engine_world
from tests.engine_world import BTC, ETH, T0, Bot, Listener

RULES = replace(engine_world.RULES, open_orders_max=50)
EVERY_S, SOON_S = EVERY_NS // NS_PER_S, SOON_NS // NS_PER_S
CLOSED = replace(RULES, maintenance=True)
IN_MAINTENANCE = "btc_twd is in maintenance"


def bot(rules: PairRules = RULES, *, only: bool = False, watch_speed: float | None = 1, **more: Any) -> Bot:
    """Return a bot with pairs of its own, as every running bot has. It trades btc_twd, and eth_twd unless ``only``."""
    pairs = {"btc_twd": Pair("btc_twd", rules), "eth_twd": Pair("eth_twd", RULES)}
    traded = {name: pair for name, pair in pairs.items() if name == "btc_twd" or not only}
    made = Bot(
        Listener(start=lambda s: [s.subscribe_trades(pair) for pair in traded.values()]),
        pairs=pairs,
        traded=traded,
        watch_speed=watch_speed,
        batching=False,
        **more,
    )
    for pair in traded.values():
        made.trade(1_000, pair=pair)
    return made


def later(b: Bot, seconds: float) -> None:
    b.to((b.now - T0) / NS_PER_S + seconds)


def listed(b: Bot, btc: PairRules | None = RULES, eth: PairRules = RULES) -> None:
    """Let the exchange answer the read that is under way."""
    rows: Mapping[str, PairRules] = {"eth_twd": eth} if btc is None else {"btc_twd": btc, "eth_twd": eth}
    assert b.list_pairs(rows), "no read is under way"


def in_a_while(b: Bot, btc: PairRules | None = RULES, eth: PairRules = RULES, seconds: float = EVERY_S) -> None:
    """Let the next read come, and answer it."""
    later(b, seconds)
    listed(b, btc, eth)


def buy(b: Bot, pair: Pair = BTC, amount: float = 1, **more: Any) -> Order:
    """Place a buy, a second after the last, so that no limit of the exchange delays it."""
    later(b, 1)
    order: Order = b.s.buy(pair, amount=amount, price=900, **more)
    b.end_turn()
    return order


def reject(b: Bot, order: Order) -> None:
    b.answer(b.create_of(order), Ending.REFUSED, status=422, text="maintenance")
    b.answer(b.last(ListOrders), body=())
    assert order.state is OrderState.REJECTED


def told(b: Bot) -> list[str]:
    return [note.text for note in b.notes if note.kind == "rules"]


def reads(b: Bot) -> int:
    return len(b.all(GetPairs))


def test_the_rules_are_read_once_an_hour() -> None:
    b = bot()
    later(b, EVERY_S - 1)
    assert reads(b) == 0
    later(b, 1)
    assert reads(b) == 1
    later(b, 5)
    assert reads(b) == 1, "one at a time"
    listed(b)
    later(b, EVERY_S - 1)
    assert reads(b) == 1
    later(b, 1)
    assert reads(b) == 2
    assert not told(b), "nothing has changed"
    assert buy(b).state is OrderState.SENDING


def test_a_backtest_never_reads_the_rules() -> None:
    b = bot(watch_speed=None)
    later(b, 3 * EVERY_S)
    assert reads(b) == 0


def test_a_pair_in_maintenance_at_the_start_trades_once_it_has_ended() -> None:
    b = bot(CLOSED)
    refused = buy(b)
    assert refused.state is OrderState.REFUSED
    assert refused.reason == IN_MAINTENANCE
    assert told(b) == [
        "btc_twd is in maintenance: its orders are refused until it is open again, which is checked every minute; "
        "other pairs go on"
    ]
    assert b.engine.view.router.held() == [IN_MAINTENANCE]
    assert buy(b, ETH).state is OrderState.SENDING
    for minute in range(1, 4):
        later(b, SOON_S)
        assert reads(b) == minute
        listed(b, CLOSED)
        assert buy(b).is_refused
    assert len(told(b)) == 1, "the user is told once"
    in_a_while(b, seconds=SOON_S)
    assert told(b)[1:] == ["btc_twd is open again: its orders are sent"]
    assert buy(b).state is OrderState.SENDING
    assert not b.engine.view.router.held()
    later(b, EVERY_S - 2)
    assert reads(b) == 4, "once an hour again"


def test_a_rejection_makes_the_bot_look_for_maintenance_but_not_more_than_once_a_minute() -> None:
    b = bot()
    later(b, 100)
    reject(b, buy(b))
    assert reads(b) == 1
    listed(b)
    reject(b, buy(b))
    reject(b, buy(b))
    assert reads(b) == 1
    later(b, SOON_S)
    assert reads(b) == 2
    listed(b, CLOSED)
    created = len(b.all(CreateOrder))
    assert buy(b).reason == IN_MAINTENANCE
    assert len(b.all(CreateOrder)) == created


def test_an_order_that_waits_in_the_queue_when_maintenance_begins_is_not_sent() -> None:
    b = bot()
    later(b, EVERY_S)
    b.s.buy(BTC, amount=1, price=900)
    waiting: Order = b.s.buy(BTC, amount=1, price=901)
    listed(b, CLOSED)
    assert waiting.state is OrderState.NOT_SENT
    assert waiting.reason == IN_MAINTENANCE


def test_the_maintenance_of_its_only_pair_does_not_halt_a_bot() -> None:
    b = bot(only=True)
    orders = [buy(b) for _ in range(2 * REJECTIONS_MAX)]
    for order in orders[:REJECTIONS_MAX]:
        reject(b, order)
    assert b.engine.view.halted is None, "the list of the pairs is read first"
    listed(b, CLOSED)
    for order in orders[REJECTIONS_MAX:]:
        reject(b, order)
    assert b.engine.view.halted is None
    assert buy(b).reason == IN_MAINTENANCE
    in_a_while(b, seconds=SOON_S)
    assert buy(b).state is OrderState.SENDING
    for order in [buy(b) for _ in range(REJECTIONS_MAX)]:
        reject(b, order)
    listed(b)
    assert b.engine.view.halted is not None, "rejections in an open pair still count"


def test_the_maintenance_of_all_pairs_does_not_halt_a_bot() -> None:
    b = bot()
    orders = [buy(b, pair) for pair in (BTC, ETH) for _ in range(REJECTIONS_MAX // 2)]
    for order in orders:
        reject(b, order)
    listed(b, CLOSED, CLOSED)
    assert b.engine.view.halted is None
    in_a_while(b, seconds=SOON_S)
    assert [buy(b, pair).state for pair in (BTC, ETH)] == [OrderState.SENDING] * 2


def test_a_bot_halts_if_the_only_pair_that_is_open_rejects_all_orders() -> None:
    b = bot()
    in_a_while(b, eth=CLOSED)
    for order in [buy(b) for _ in range(REJECTIONS_MAX)]:
        reject(b, order)
    listed(b, eth=CLOSED)
    assert b.engine.view.halted is not None
    assert len(b.engine.view.router.held()) == 1, "eth_twd"


def test_a_ladder_of_orders_that_maintenance_refuses_does_not_stop_its_strategy() -> None:
    b = bot(CLOSED)
    b.s.deeds["trade"] = lambda s, trade: [s.buy(BTC, amount=1, price=900 - n) for n in range(200)]
    b.trade(1_000)
    assert b.seen().active
    assert len(b.seen().refusals) == 1


@pytest.mark.parametrize("ending", [Ending.UNKNOWN, Ending.REFUSED])
def test_rejections_halt_a_bot_that_cannot_read_the_list(ending: Ending) -> None:
    b = bot(only=True)
    for order in [buy(b) for _ in range(REJECTIONS_MAX)]:
        reject(b, order)
    b.answer(b.last(GetPairs), ending, text="no answer")
    assert b.engine.view.halted == f"the exchange rejected {REJECTIONS_MAX} orders in a row, most recently: maintenance"


@pytest.mark.parametrize("speed", [1, 6])
def test_rejections_wait_ten_seconds_for_the_list_before_they_halt_a_bot(speed: int) -> None:
    b = bot(only=True, watch_speed=speed)
    orders = [buy(b) for _ in range(2 * REJECTIONS_MAX)]
    for order in orders[:REJECTIONS_MAX]:
        reject(b, order)
    later(b, 6 * speed)
    assert b.engine.view.halted is None
    listed(b, CLOSED)
    in_a_while(b, seconds=SOON_S)
    for order in orders[REJECTIONS_MAX:]:
        reject(b, order)
    later(b, 9 * speed)
    assert b.engine.view.halted is None
    later(b, speed)
    assert b.engine.view.halted is not None


def test_other_rejections_wait_for_the_list_as_long_again() -> None:
    b = bot(only=True, watch_speed=12)  # they wait for two minutes
    orders = [buy(b) for _ in range(2 * REJECTIONS_MAX)]
    for order in orders[:REJECTIONS_MAX]:
        reject(b, order)
    listed(b, CLOSED)
    in_a_while(b, seconds=SOON_S)
    for order in orders[REJECTIONS_MAX:]:
        reject(b, order)
    later(b, 119)
    assert b.engine.view.halted is None
    listed(b, CLOSED)
    later(b, 30)
    assert b.engine.view.halted is None


def test_a_held_pair_that_is_in_maintenance_needs_no_trial_afterwards() -> None:
    b = bot()
    for order in [buy(b) for _ in range(REJECTIONS_MAX)]:
        reject(b, order)
    listed(b)
    assert "is held since" in buy(b).reason
    in_a_while(b, CLOSED, seconds=SOON_S)
    assert buy(b).reason == IN_MAINTENANCE
    in_a_while(b, seconds=SOON_S)
    assert [buy(b).state for _ in range(2)] == [OrderState.SENDING] * 2


def test_a_quote_is_placed_when_maintenance_ends_and_costs_no_refusals_before() -> None:
    b = bot(CLOSED)
    for _ in range(3):
        b.s.quote(BTC, bids=[(900, 1)], asks=[(1_100, 1)])
        b.end_turn()
    assert not b.all(CreateOrder)
    assert not b.seen().refusals
    in_a_while(b, seconds=SOON_S)
    assert {request.order.price_ticks for request in b.all(CreateOrder)} == {900, 1_100}


def test_a_quote_that_was_rejected_before_its_pair_closed_is_placed_afterwards() -> None:
    b = bot()
    b.s.quote(BTC, bids=[(900, 1)])
    b.end_turn()
    (order,) = b.s.open_orders(BTC)
    reject(b, order)
    listed(b, CLOSED)
    in_a_while(b, seconds=SOON_S)
    (again,) = b.s.open_orders(BTC)
    assert again.price_ticks == 900


def test_held_and_closed_pairs_are_both_shown() -> None:
    b = bot()
    for order in [buy(b) for _ in range(REJECTIONS_MAX)]:
        reject(b, order)
    listed(b)
    in_a_while(b, eth=CLOSED, seconds=SOON_S)
    shown = b.engine.view.router.held()
    assert "btc_twd is held since" in shown[0]
    assert shown[1:] == ["eth_twd is in maintenance"]


def test_an_exit_that_maintenance_prevents_is_sent_after_it() -> None:
    b = bot(CLOSED)
    b.s.protect(BTC, stop_loss_pct=5)
    b.trade(1_000)
    b.trade(900)
    assert not b.all(CreateOrder)
    in_a_while(b, seconds=SOON_S)
    b.trade(900)
    (exit_order,) = b.all(CreateOrder)
    assert exit_order.order.reduces


def test_a_frozen_book_of_a_pair_in_maintenance_is_not_read() -> None:
    b = bot(CLOSED)
    for pair in (BTC, ETH):
        b.book([(999, 100)], [(1_001, 100)], pair=pair)
    later(b, 90)
    assert {str(request.pair) for request in b.all(GetBook)} == {"eth_twd"}
    listed(b)
    later(b, 2)
    assert {str(request.pair) for request in b.all(GetBook)} == {"btc_twd", "eth_twd"}


def test_changed_bounds_of_an_order_apply_from_then_on() -> None:
    b = bot()
    pair = b.engine.view.markets()[0].pair
    in_a_while(b, replace(RULES, least_lots=20_000, open_orders_max=3, least_spend_units=500 * 10**8))
    assert buy(b).reason == "amount 1 btc is below the minimum 2"
    assert b.s.market_buy(BTC, spend=499).reason == "spend 499 twd is below the minimum 500"
    assert b.s.rules("btc_twd").least_lots == 20_000
    assert pair.rules.least_lots == 20_000, "a pair that a strategy holds shows them too"
    assert [buy(b, amount=2).is_refused for _ in range(4)] == [False] * 3 + [True]
    assert told(b) == [
        "btc_twd: the exchange changed its minLimitBaseAmount from 0.001 to 2 and minMarketBuyQuoteAmount from 190 to "
        "500 and orderOpenLimit from 50 to 3"
    ]


def test_amounts_stay_in_the_steps_that_the_configuration_selected() -> None:
    base = replace(RULES, amount_decimals=8, display_decimals=4, least_lots=10**5, most_lots=10**13)
    b = bot(base.in_display_steps())
    in_a_while(b, replace(base, display_decimals=2))
    assert b.s.rules("btc_twd").amount_step == 10**6
    assert buy(b, amount=1.239).amount == 1.23


@pytest.mark.parametrize(
    ("field", "name"), [("price_decimals", "quotePrecision"), ("amount_decimals", "basePrecision")]
)
def test_ticks_or_lots_of_another_size_halt_the_pair_until_a_restart(field: str, name: str) -> None:
    b = bot()
    resting = b.rest(buy(b))
    bought = b.rest(buy(b))
    b.execute(bought, bought.amount_lots)
    b.push(bought, 2, executed=bought.amount_lots)
    other = b.rest(buy(b, ETH))
    old = getattr(RULES, field)
    in_a_while(b, replace(RULES, **{field: old + 1}, least_lots=RULES.least_lots * 10))
    reason = (
        f"btc_twd is halted: the exchange changed its {name} from {old} to {old + 1}, which the bot can follow only "
        "after a restart"
    )
    assert buy(b).reason == reason
    assert b.notes[-1].level == "error"
    assert told(b) == [
        f"{reason}. Its open orders are cancelled, and only orders that reduce a position are sent; other pairs go on"
    ]
    assert [request.client_id for request in b.all(CancelOrder)] == [resting.client_id]
    b.book([(999, 10**7)], [(1_001, 100)])
    assert not b.s.close(BTC).is_refused
    assert other.is_open
    assert buy(b, ETH).state is OrderState.SENDING
    in_a_while(b)
    assert buy(b).reason == reason, "what arrived in between may have been misread"
    assert b.engine.view.halted is None
    later(b, EVERY_S - 10)
    assert reads(b) == 2, "nothing that a read could show would reopen the pair"


def test_a_pair_that_is_no_longer_listed_is_closed_until_it_is() -> None:
    b = bot()
    in_a_while(b, None)
    assert buy(b).reason == "btc_twd is no longer among the exchange's pairs"
    assert b.s.close(BTC).reason == "btc_twd is no longer among the exchange's pairs"
    in_a_while(b, seconds=SOON_S)
    assert buy(b).state is OrderState.SENDING
    assert len(told(b)) == 2


def test_a_pair_that_the_bot_does_not_use_is_closed_in_silence() -> None:
    b = bot(only=True)
    in_a_while(b, eth=CLOSED)
    assert not told(b)
    assert not b.engine.view.router.held()
    later(b, EVERY_S - 1)
    assert reads(b) == 1, "it is no reason to read more often"


def test_a_failed_read_changes_nothing_and_is_repeated_after_a_minute() -> None:
    b = bot()
    later(b, EVERY_S)
    for failures in range(1, 12):
        assert reads(b) == failures
        assert len(told(b)) == (failures > 10)
        b.answer(b.last(GetPairs), Ending.UNKNOWN, text="no answer")
        later(b, SOON_S)
    assert told(b) == [
        "the rules of the pairs could not be read 10 times in a row: no answer; the bot goes on with those that it has"
    ]
    assert buy(b).state is OrderState.SENDING


@pytest.mark.parametrize("body", [(), None])
def test_an_empty_list_closes_nothing(body: Any) -> None:
    b = bot()
    later(b, EVERY_S)
    b.answer(b.last(GetPairs), body=body)
    assert buy(b).state is OrderState.SENDING


def test_an_exchange_that_does_not_tell_is_asked_once_an_hour() -> None:
    b = bot()
    later(b, EVERY_S)
    b.answer(b.last(GetPairs), Ending.REFUSED, status=422, text="there is no trading_pairs")
    later(b, EVERY_S - 1)
    assert reads(b) == 1
    later(b, 1)
    assert reads(b) == 2
