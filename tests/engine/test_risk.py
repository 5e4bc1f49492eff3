"""Risk rules for the bot and for individual strategies: the built-in rules, order and position counts, and loss
limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from botkit.engine import plugin
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.risk.review import RiskDesk
from botkit.engine.risk.rules import BUILT_IN
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from botkit.model.extension import RiskRule, RiskView
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair
from tests.portfolio_cases import (
    BTC_TWD,
    BTC_USDT,
    COIN,
    ETH_TWD,
    USDT_TWD,
    coins,
    execution,
    make_order,
    open_portfolio,
)

BUY, SELL = Side.BUY, Side.SELL


def by_day(now: int) -> int:
    return now - now % NS_PER_DAY


def rules(**values: Any) -> list[RiskRule]:
    return [BUILT_IN[name](value) for name, value in values.items()]


def desk_of(
    bot: Sequence[RiskRule] = (),
    a: Sequence[RiskRule] = (),
    balances: Mapping[str, int] | None = None,
    prices: bool = True,
) -> tuple[RiskDesk, Portfolio]:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, BTC_USDT, USDT_TWD), 50),
        CapitalShare("b", (BTC_TWD, ETH_TWD), 50),
        balances=dict(balances or coins(twd=1_000_000)),
    )
    held = {c: units // 2 for c, units in portfolio.unassigned.items() if units > 1}
    for name in ("a", "b"):
        portfolio.transfers.move(name, held)
    if prices:
        for pair, price in ((BTC_TWD, 1000.0), (ETH_TWD, 100.0), (USDT_TWD, 30.0), (BTC_USDT, 33.0)):
            portfolio.mark(pair, price)
    desk = RiskDesk(list(bot), {"a": list(a)}, portfolio, by_day)
    desk.start("a", 0)
    return desk, portfolio


def send(desk: RiskDesk, portfolio: Portfolio, order: Order) -> Order:
    assert desk.review(order) is None
    assert portfolio.lock(order) is None
    desk.order_opened(order)
    return order


def fill(desk: RiskDesk, portfolio: Portfolio, order: Order, price: float, amount: float) -> None:
    booked = portfolio.fill(order, execution(order, price=price, amount=amount), 0)
    desk.order_filled(order, booked.lots)


def test_an_order_of_a_strategy_that_is_no_longer_configured_counts_for_the_bot_until_it_is_final() -> None:
    desk, _ = desk_of(bot=rules(max_open_orders=1))
    left = make_order("gone", BTC_TWD, BUY, price=900, amount=1)
    desk.order_opened(left)
    mine = make_order("a", BTC_TWD, BUY, price=900, amount=1)
    assert "1 orders are open" in (desk.review(mine) or "")
    assert (desk.view("a").orders.open_orders(), desk.view(None).orders.open_orders()) == (0, 1)
    desk.order_filled(left, left.amount_lots)
    desk.order_closed(left)
    assert desk.review(mine) is None


# -- values -----------------------------------------------------------------------------------------------------------


def test_an_order_above_the_value_limit_is_refused_with_both_figures() -> None:
    desk, _ = desk_of(rules(max_order_value={"twd": "10000"}))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=10)) is None
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=12))
    assert refusal == "order value 12,000 TWD is above max_order_value 10,000 TWD"
    assert desk.review(make_order("a", BTC_TWD, BUY, spend=10_001)) is not None
    assert desk.review(make_order("a", BTC_TWD, SELL, amount=10)) is None  # 10 at the last price
    assert desk.review(make_order("a", BTC_TWD, SELL, amount=10.01)) is not None


def test_an_order_in_another_currency_is_valued_in_the_limits_currency() -> None:
    desk, _ = desk_of(rules(max_order_value={"twd": 10_000}))
    assert desk.review(make_order("a", BTC_USDT, BUY, price=33, amount=10)) is None
    refusal = desk.review(make_order("a", BTC_USDT, BUY, price=33.5, amount=10))
    assert refusal == "order value 10,050 TWD is above max_order_value 10,000 TWD"


def test_a_limit_in_the_quote_currency_overrides_limits_in_other_currencies() -> None:
    desk, _ = desk_of(rules(max_order_value={"twd": 10, "usdt": 400}))
    assert desk.review(make_order("a", BTC_USDT, BUY, price=33, amount=10)) is None
    assert desk.review(make_order("a", BTC_TWD, BUY, price=11, amount=1)) is not None


def test_an_order_that_cannot_be_valued_yet_is_refused() -> None:
    desk, _ = desk_of(rules(max_order_value={"twd": 10_000}), prices=False)
    refusal = desk.review(make_order("a", BTC_USDT, BUY, price=33, amount=1))
    assert refusal == "max_order_value cannot be checked: no price yet to value btc_usdt in TWD"
    assert desk.review(make_order("a", BTC_TWD, BUY, price=33, amount=1)) is None


# -- both levels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bot", "own"), [(10, 5), (5, 10)])
def test_the_stricter_of_the_bot_and_strategy_limits_applies(bot: int, own: int) -> None:
    desk, _ = desk_of(rules(max_order_value={"twd": bot}), rules(max_order_value={"twd": own}))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=5, amount=1)) is None
    assert "max_order_value 5 TWD" in str(desk.review(make_order("a", BTC_TWD, BUY, price=6, amount=1)))


def test_a_rule_for_one_strategy_does_not_affect_the_others() -> None:
    desk, _ = desk_of(a=rules(max_order_value={"twd": 5}))
    assert desk.review(make_order("b", BTC_TWD, BUY, price=6, amount=1)) is None


def test_an_order_is_refused_if_a_rule_raises_an_exception() -> None:
    class Broken:
        def review(self, order: Order, view: RiskView) -> str | None:
            raise KeyError("oops")

    desk, _ = desk_of([Broken()])
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=6, amount=1))
    assert refusal == "risk rule Broken failed, so the order was not sent: KeyError('oops')"


@pytest.mark.parametrize("returned", ["", False, True, 0, Decimal(1)])
def test_an_order_is_refused_if_a_rule_returns_neither_a_reason_nor_none(returned: Any) -> None:
    class Vague:
        def review(self, order: Order, view: RiskView) -> str | None:
            return returned  # type: ignore[no-any-return]

    desk, _ = desk_of([Vague(), *rules(max_order_value={"twd": 5})])
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=6, amount=1))
    assert refusal == (
        f"risk rule Vague failed, so the order was not sent: review returned {returned!r}; it must return the reason "
        f"to refuse the order, or None to accept it"
    )


def test_a_rule_that_exits_refuses_the_order_and_does_not_end_the_bot() -> None:
    class Exits:
        def review(self, order: Order, view: RiskView) -> str | None:
            raise SystemExit(3)

    desk, _ = desk_of([Exits()])
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=6, amount=1))
    assert refusal == "risk rule Exits failed, so the order was not sent: SystemExit(3)"


# -- positions --------------------------------------------------------------------------------------------------------


def test_live_and_queued_buys_count_toward_the_position() -> None:
    desk, portfolio = desk_of(a=rules(max_position={"btc": "5"}))
    first = send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=1000, amount=3))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=2)) is None
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=2.5))
    assert refusal == "position would be 5.5 BTC with this order and those still open, above max_position 5 BTC"
    fill(desk, portfolio, first, 1000, 2)
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=2.5)) is not None
    portfolio.release(first)
    desk.order_closed(first)
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=3)) is None
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=3.1)) is not None


def test_a_coin_limit_applies_to_all_pairs_of_the_coin_and_a_pair_limit_only_to_that_pair() -> None:
    balances = coins(twd=100_000, usdt=2000)
    desk, portfolio = desk_of(a=rules(max_position={"btc": 5}), balances=balances)
    send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=1000, amount=3))
    assert desk.review(make_order("a", BTC_USDT, BUY, price=33, amount=2.1)) is not None
    desk, portfolio = desk_of(a=rules(max_position={"btc_twd": 5}), balances=balances)
    send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=1000, amount=3))
    assert desk.review(make_order("a", BTC_USDT, BUY, price=33, amount=9)) is None
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=2.1))
    assert (
        refusal == "position in btc_twd would be 5.1 BTC with this order and those still open, above max_position 5 BTC"
    )


def test_a_position_limit_in_money_applies_to_the_total_value_of_all_positions() -> None:
    desk, portfolio = desk_of(rules(max_position={"twd": 5000}))
    send(desk, portfolio, make_order("b", ETH_TWD, BUY, price=90, amount=20))  # 2000 at the last price of 100
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=3)) is None
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=3.1))
    assert refusal == "position would be 5,100 TWD with this order and those still open, above max_position 5,000 TWD"


def test_a_market_buy_counts_as_the_lots_it_would_buy_at_the_last_price() -> None:
    desk, portfolio = desk_of(a=rules(max_position={"btc": 5}))
    order = send(desk, portfolio, make_order("a", BTC_TWD, BUY, spend=4000))
    assert desk.view("a").orders.pending_lots(BTC_TWD, BUY) == 4 * COIN
    assert desk.review(make_order("a", BTC_TWD, BUY, spend=1500)) is not None
    # the fill price was better than expected, so the order bought more lots than expected
    fill(desk, portfolio, order, 500, 8)
    assert desk.view("a").orders.pending_lots(BTC_TWD, BUY) == 0
    desk.order_closed(order)


def test_a_market_buy_from_an_earlier_run_counts_toward_the_position_once_a_price_is_known() -> None:
    desk, portfolio = desk_of(rules(max_position={"btc": "10"}), prices=False)
    desk.order_opened(make_order("a", BTC_TWD, BUY, spend=6_000))
    fits, too_much = (make_order("a", BTC_TWD, BUY, price=900, amount=amount) for amount in (4, 4.1))
    assert "has no price yet, so the open market buy cannot be counted" in str(desk.review(fits))
    assert desk.review(make_order("a", BTC_TWD, SELL, price=900, amount=1)) is None
    portfolio.mark(BTC_TWD, 1000.0)
    assert desk.review(fits) is None
    assert "above max_position" in str(desk.review(too_much))


def test_a_market_buy_without_a_price_blocks_no_orders_if_no_rule_limits_positions() -> None:
    desk, _ = desk_of(rules(max_open_orders=5), prices=False)
    desk.order_opened(make_order("a", BTC_TWD, BUY, spend=6_000))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=4)) is None


def test_a_market_buy_that_was_final_before_the_first_price_is_no_longer_counted() -> None:
    desk, portfolio = desk_of(rules(max_position={"btc": "10"}), prices=False)
    order = make_order("a", BTC_TWD, BUY, spend=6_000)
    desk.order_opened(order)
    desk.order_filled(order, BTC_TWD.rules.lots_for_value(100_000, 10**8))
    desk.order_closed(order)
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=10)) is None
    portfolio.mark(BTC_TWD, 1000.0)
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=10)) is None


def test_only_the_unfilled_remainder_of_a_market_buy_is_counted() -> None:
    desk, _ = desk_of(rules(max_position={"btc": "10"}))
    order = make_order("a", BTC_TWD, BUY, spend=6_000)
    order.executed_units = 4_000 * COIN
    desk.order_opened(order)
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=8)) is None
    assert desk.review(make_order("a", BTC_TWD, BUY, price=900, amount=8.1)) is not None


def test_sells_and_reducing_orders_are_exempt_from_the_position_limit() -> None:
    desk, _ = desk_of(rules(max_position={"btc": 1}), balances=coins(btc=10))
    assert desk.review(make_order("a", BTC_TWD, SELL, price=1000, amount=3)) is None
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=3, reduces=True)) is None
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1000, amount=0.1)) is not None


# -- counts -----------------------------------------------------------------------------------------------------------


def test_open_orders_are_counted_for_the_bot_and_for_each_strategy() -> None:
    desk, portfolio = desk_of(rules(max_open_orders=3), rules(max_open_orders="2"))
    orders = [send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=10, amount=1)) for _ in range(2)]
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=10, amount=1))
    assert refusal == "2 orders are open, max_open_orders is 2"
    send(desk, portfolio, make_order("b", ETH_TWD, BUY, price=10, amount=1))
    assert desk.review(make_order("b", BTC_TWD, BUY, price=10, amount=1)) == "3 orders are open, max_open_orders is 3"
    assert desk.open_by_pair == {BTC_TWD: 2, ETH_TWD: 1}
    for _ in range(2):
        desk.order_closed(orders[0])
    assert desk.review(make_order("a", BTC_TWD, BUY, price=10, amount=1)) is None
    assert desk.view("a").orders.open_orders(BTC_TWD) == desk.view("a").orders.open_orders() == 1


def test_orders_above_the_order_rate_are_refused_until_a_second_has_passed() -> None:
    desk, portfolio = desk_of(rules(max_orders_per_second=2))

    def order(at: int) -> Order:
        return make_order("a", BTC_TWD, BUY, price=10, amount=1, created=at)

    send(desk, portfolio, order(5))
    second = send(desk, portfolio, order(6))
    assert desk.review(order(NS_PER_S + 4)) == "2 orders in the last second, max_orders_per_second is 2"
    desk.order_closed(second)
    desk.order_opened(second)  # the order was restored after a failed replacement and must be counted only once
    assert desk.review(order(NS_PER_S + 5)) is None


# -- collar -----------------------------------------------------------------------------------------------------------


def test_the_collar_refuses_only_prices_unfavorable_to_the_user() -> None:
    desk, _ = desk_of(rules(price_collar_pct="2.5"))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1025, amount=1)) is None
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=1026, amount=1))
    assert refusal == "price 1026 is 2.60 % above the last price 1000, price_collar_pct is 2.5"
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1, amount=1)) is None
    assert desk.review(make_order("a", BTC_TWD, SELL, price=975, amount=1)) is None
    assert "2.60 % below the last price" in str(desk.review(make_order("a", BTC_TWD, SELL, price=974, amount=1)))


def test_the_collar_checks_a_stop_order_against_its_stop_price_and_a_market_order_against_the_book() -> None:
    desk, _ = desk_of(rules(price_collar_pct=5))
    assert desk.review(make_order("a", BTC_TWD, BUY, price=1250, stop=1200, amount=1)) is None
    assert "above the stop price 1200" in str(
        desk.review(make_order("a", BTC_TWD, BUY, price=1270, stop=1200, amount=1))
    )
    assert desk.review(make_order("a", BTC_TWD, BUY, spend=100)) is None
    desk.expected_price = lambda order: 1100.0
    assert "expected price 1100 is 10.00 % above" in str(desk.review(make_order("a", BTC_TWD, BUY, spend=100)))


def test_without_a_last_price_the_collar_refuses_all_but_reducing_orders() -> None:
    desk, _ = desk_of(rules(price_collar_pct=5), prices=False)
    assert "no last price yet" in str(desk.review(make_order("a", BTC_TWD, BUY, price=1, amount=1)))
    assert desk.review(make_order("a", BTC_TWD, SELL, price=1, amount=1, reduces=True)) is None


# -- losses -----------------------------------------------------------------------------------------------------------


def losing(limit: Mapping[str, Any], level: str = "a") -> tuple[RiskDesk, Portfolio]:
    chosen = rules(max_daily_loss=limit)
    desk, portfolio = desk_of(chosen if level == "bot" else (), chosen if level == "a" else ())
    order = send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=1000, amount=10))
    fill(desk, portfolio, order, 1000, 10)
    desk.order_closed(order)
    return desk, portfolio


def test_an_unrealised_loss_that_reaches_a_limit_halts_the_bot_or_strategy_once() -> None:
    desk, portfolio = losing({"twd": 3000})
    portfolio.mark(BTC_TWD, 701)
    assert desk.breached(1) is None
    portfolio.mark(BTC_TWD, 700)
    breach = desk.breached(2)
    assert breach is not None
    assert (breach.level, breach.loss_units) == ("a", 3000 * COIN)
    assert str(breach) == "the day's loss 3,000 TWD has reached max_daily_loss 3,000 TWD"
    assert desk.breached(3) is None
    assert "a is halted: the day's loss" in str(desk.review(make_order("a", BTC_TWD, BUY, price=1, amount=1)))
    assert desk.review(make_order("a", BTC_TWD, SELL, price=700, amount=1, reduces=True)) is None
    assert desk.review(make_order("b", BTC_TWD, BUY, price=1, amount=1)) is None


def test_after_a_resume_the_daily_loss_is_measured_from_the_resume() -> None:
    desk, portfolio = losing({"twd": 3000}, "bot")
    portfolio.mark(BTC_TWD, 700)
    assert desk.breached(1) is not None
    assert "the bot is halted" in str(desk.review(make_order("b", BTC_TWD, BUY, price=1, amount=1)))
    desk.resume(None)
    assert desk.breached(2) is None
    portfolio.mark(BTC_TWD, 401)
    assert desk.breached(3) is None
    portfolio.mark(BTC_TWD, 400)
    breach = desk.breached(4)
    assert str(breach) == "the loss since the resume 3,000 TWD has reached max_daily_loss 3,000 TWD"
    assert portfolio.today.pnl_units(None, "twd") == -6000 * COIN, "what was lost today does not change at a resume"


def test_the_whole_day_is_kept_over_a_resume_a_move_of_capital_and_a_restart_and_ends_with_the_day() -> None:
    desk, portfolio = losing({"twd": 3000}, "bot")
    portfolio.mark(BTC_TWD, 700)
    assert desk.breached(1) is not None
    desk.resume(None)
    portfolio.transfers.move("a", {"twd": -100 * COIN})
    again = Portfolio(
        pairs={str(p): p for p in (BTC_TWD, BTC_USDT, USDT_TWD, ETH_TWD)},
        shares=portfolio.shares,
        reserve={},
        currency="twd",
    )
    desk = RiskDesk(rules(max_daily_loss={"twd": 3000}), {}, again, by_day)
    again.restore(portfolio.state())
    desk.turn_of_day(NS_PER_HOUR)
    again.mark(BTC_TWD, 600)
    assert again.days.pnl_units(None, "twd") == -1000 * COIN
    assert again.today.pnl_units(None, "twd") == -4000 * COIN
    desk.turn_of_day(25 * NS_PER_HOUR)
    assert again.today.pnl_units(None, "twd") == 0
    assert "today" not in again.state()


def test_only_reducing_orders_are_accepted_once_the_loss_limit_is_reached() -> None:
    desk, portfolio = losing({"twd": 3000})
    portfolio.mark(BTC_TWD, 690)
    refusal = desk.review(make_order("a", BTC_TWD, BUY, price=1, amount=1))
    assert refusal == "the day's loss 3,100 TWD has reached max_daily_loss 3,000 TWD"
    assert desk.review(make_order("a", BTC_TWD, SELL, price=690, amount=1, reduces=True)) is None


def test_a_trading_day_starts_at_local_midnight_even_across_clock_changes() -> None:
    starts = [0, 23 * NS_PER_HOUR, 48 * NS_PER_HOUR, 72 * NS_PER_HOUR, 96 * NS_PER_HOUR]
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(btc=1)), balances=coins(btc=1))
    portfolio.mark(BTC_TWD, 100)
    desk = RiskDesk(rules(max_daily_loss={"twd": 3}), {}, portfolio, lambda now: max(s for s in starts if s <= now))
    assert desk.turn_of_day(5)
    assert desk.next_day() == 23 * NS_PER_HOUR
    portfolio.mark(BTC_TWD, 98)
    assert not desk.turn_of_day(23 * NS_PER_HOUR - 1)
    assert desk.turn_of_day(23 * NS_PER_HOUR)
    assert (desk.next_day(), portfolio.days.day) == (48 * NS_PER_HOUR, 23 * NS_PER_HOUR)
    assert portfolio.days.pnl_units(None, "twd") == 0


def test_the_start_of_the_next_trading_day_is_known_even_without_loss_limits() -> None:
    desk, _ = desk_of(rules(max_open_orders=5))
    assert not desk.has_loss_limits
    assert desk.next_day() == NS_PER_DAY


def test_a_restart_keeps_the_daily_baseline_and_a_new_limit_is_measured_from_the_first_price() -> None:
    _, portfolio = losing({"twd": 3000})
    portfolio.mark(BTC_TWD, 900)
    again = Portfolio(
        pairs={str(p): p for p in (BTC_TWD, BTC_USDT, USDT_TWD, ETH_TWD)},
        shares=portfolio.shares,
        reserve={},
        currency="twd",
    )
    desk = RiskDesk(rules(max_daily_loss={"twd": 9}), {"a": rules(max_daily_loss={"twd": 3000})}, again, by_day)
    again.restore(portfolio.state())
    assert not desk.turn_of_day(NS_PER_HOUR)
    again.mark(BTC_TWD, 900)
    assert again.days.pnl_units("a", "twd") == -1000 * COIN
    assert again.days.pnl_units(None, "twd") == 0


@pytest.mark.parametrize("is_new_day", [False, True])
def test_a_run_without_the_strategy_keeps_its_daily_baseline_and_peak_within_the_day(is_new_day: bool) -> None:
    _, portfolio = losing({"twd": 3000})
    portfolio.peaks.watch("a", "twd")
    portfolio.mark(BTC_TWD, 900)
    pairs = {str(p): p for p in (BTC_TWD, BTC_USDT, USDT_TWD, ETH_TWD)}
    without = Portfolio(pairs=pairs, shares=[CapitalShare("z", (BTC_TWD,), {})], reserve={}, currency="twd")
    without.restore(portfolio.state())
    if is_new_day:
        without.days.start(NS_PER_DAY)
    again = Portfolio(pairs=pairs, shares=portfolio.shares, reserve={}, currency="twd")
    RiskDesk([], {"a": [*rules(max_daily_loss={"twd": 3000}), *rules(max_drawdown="0.5")]}, again, by_day)
    again.restore(without.state())
    again.mark(BTC_TWD, 900)
    assert again.days.pnl_units("a", "twd") == (0 if is_new_day else -1000 * COIN)
    assert again.peaks.baseline_units("a", "twd") == portfolio.peaks.baseline_units("a", "twd")


@pytest.mark.parametrize("limit", [{"max_daily_loss": {"twd": 3000}}, {"max_drawdown": "0.02"}])
@pytest.mark.parametrize("first_price", [None, 100, 1])
def test_a_loss_counts_while_another_coin_has_no_price(limit: dict[str, Any], first_price: float | None) -> None:
    # 3,000 of the strategy's 100,000 TWD are lost, beside coins whose value is unknown for a while
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, ETH_TWD), coins(twd=100_000, eth=5)), balances=coins(twd=100_000, eth=5)
    )
    desk = RiskDesk(rules(**limit), {}, portfolio, by_day)
    desk.start("a", 0)
    portfolio.mark(BTC_TWD, 1000)
    fill(desk, portfolio, send(desk, portfolio, make_order("a", BTC_TWD, BUY, price=1000, amount=10)), 1000, 10)
    assert desk.breached(0) is None
    assert desk.first_breach(BTC_TWD, np.array([900.0, 701.0, 700.0, 650.0]), 0) == (
        1 if "max_drawdown" in limit else 2
    )
    portfolio.mark(BTC_TWD, 790)  # a loss of 2,100
    if first_price is None:
        portfolio.mark(BTC_TWD, 700)
        assert desk.breached(0) is not None
        return
    before = None if "max_drawdown" in limit else portfolio.days.pnl_units(None, "twd")
    portfolio.mark(ETH_TWD, first_price)  # neither a profit nor a loss
    if before is not None:
        assert portfolio.days.pnl_units(None, "twd") == before == -2100 * COIN
    peak = portfolio.peaks.baseline_units(None, "twd")
    assert peak is None or peak == (100_000 + 5 * first_price) * COIN
    portfolio.mark(BTC_TWD, 695)
    assert desk.breached(0) is not None


def test_what_is_bought_before_its_first_price_counts_from_its_cost_on() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, ETH_TWD), coins(twd=100_000, eth=5)), balances=coins(twd=100_000, eth=5)
    )
    desk = RiskDesk(rules(max_daily_loss={"twd": 3000}), {}, portfolio, by_day)
    desk.start("a", 0)
    fill(desk, portfolio, send(desk, portfolio, make_order("a", ETH_TWD, BUY, price=1000, amount=10)), 1000, 10)
    assert desk.breached(0) is None  # 10,000 TWD are spent, but not lost
    more = make_order("a", ETH_TWD, BUY, price=1000, amount=1)
    assert desk.review(more) == "max_daily_loss cannot be checked: a price is missing to value the equity in TWD"
    assert desk.review(make_order("a", ETH_TWD, SELL, price=1000, amount=1, reduces=True)) is None
    portfolio.mark(ETH_TWD, 800)
    assert portfolio.days.pnl_units(None, "twd") == -2000 * COIN
    portfolio.mark(ETH_TWD, 700)
    assert desk.breached(0) is not None


def test_after_a_restart_a_loss_is_unknown_until_every_held_coin_has_a_price_again() -> None:
    _, portfolio = losing({"twd": 3000})
    portfolio.mark(BTC_TWD, 800)
    pairs = {str(p): p for p in (BTC_TWD, BTC_USDT, USDT_TWD, ETH_TWD)}
    again = Portfolio(pairs=pairs, shares=portfolio.shares, reserve={}, currency="twd")
    desk = RiskDesk([], {"a": rules(max_daily_loss={"twd": 3000})}, again, by_day)
    again.restore(portfolio.state())
    desk.turn_of_day(NS_PER_HOUR)
    assert desk.breached(0) is None
    assert "cannot be checked" in (desk.review(make_order("a", BTC_TWD, BUY, price=700, amount=1)) or "")
    again.mark(BTC_TWD, 800)
    assert again.days.pnl_units("a", "twd") == -2000 * COIN
    assert desk.review(make_order("a", BTC_TWD, BUY, price=700, amount=1)) is None


def test_a_span_of_prices_breaches_a_loss_limit_at_the_same_row_as_single_prices() -> None:
    desk, portfolio = losing({"twd": 3000})
    prices = np.array([900.0, 701.0, 700.0, 1000.0, 600.0])
    assert desk.first_breach(BTC_TWD, prices, 0) == 2
    assert portfolio.last_price(BTC_TWD) == 1000.0  # the check itself has no side effects
    assert desk.first_breach(BTC_TWD, prices[:2], 0) is None
    assert desk.first_breach(ETH_TWD, np.array([1.0, 2.0]), 0) is None  # the strategy holds no eth
    portfolio.mark(BTC_TWD, 700)
    assert desk.first_breach(ETH_TWD, np.array([1.0, 2.0]), 0) == 0


def test_a_price_between_two_ticks_is_rounded_to_the_nearest_tick() -> None:
    desk, portfolio = losing({"twd": 3000})
    prices = np.array([700.6, 700.4])  # 701 and 700: at the second price, the loss equals the limit
    assert desk.first_breach(BTC_TWD, prices, 0) == 1
    portfolio.mark(BTC_TWD, 700.6)
    assert desk.breached(1) is None
    portfolio.mark(BTC_TWD, 700.4)
    assert desk.breached(2) is not None


def test_the_breach_check_for_a_span_skips_halted_strategies() -> None:
    desk, _ = losing({"twd": 3000})
    assert desk.first_breach(BTC_TWD, np.array([600.0]), 0) == 0
    desk.halt("a", "by hand")
    assert desk.first_breach(BTC_TWD, np.array([600.0]), 0) is None


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_order_value", 10_000, "must say what is limited, such as {twd: 10000}; got 10000"),
        ("max_order_value", {}, "must say what is limited"),
        ("max_order_value", {"twd": -1}, "for twd is -1; it must be above zero"),
        ("max_order_value", {"twd": "1e3"}, "'1e3' is not a plain decimal number"),
        ("max_daily_loss", {"twd": True}, "must be a number, not True"),
        ("max_position", {"btc": None}, "must be a number, not None"),
        ("max_position", {1: 1}, "say what is limited"),
        ("max_open_orders", 0, "it must be a whole number of at least 1"),
        ("max_open_orders", 2.5, "it must be a whole number of at least 1"),
        ("max_orders_per_second", True, "must be a whole number such as 50, not True"),
        ("max_orders_per_second", "many", "must be a whole number such as 50, not 'many'"),
        ("price_collar_pct", "wide", "must be a percentage such as 5, not 'wide'"),
        ("price_collar_pct", 0, "is 0; it must be above zero"),
    ],
)
def test_an_invalid_rule_value_is_refused_with_a_reason(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        BUILT_IN[name](value)
    assert sentence in str(caught.value)
    assert name in str(caught.value)


def test_a_limit_in_a_currency_that_cannot_be_valued_is_refused() -> None:
    with pytest.raises(ValueError, match="twd cannot be valued in eur"):
        desk_of(rules(max_daily_loss={"eur": 5}))


def test_the_built_in_rules_are_registered_through_a_plugin() -> None:
    offered: dict[str, Any] = {}
    plugin.botkit_register_risk_rules(offered.__setitem__)
    assert offered == BUILT_IN


@pytest.mark.parametrize("has_capital", [True, False])
@pytest.mark.parametrize("pairs", [(BTC_TWD,), (BTC_TWD, BTC_USDT), (USDT_TWD, BTC_USDT)])
@pytest.mark.parametrize("limit", [{"btc": "1"}, {"twd": 1_000_000}])
def test_the_bots_max_position_counts_the_coins_of_a_renamed_strategy(
    has_capital: bool, pairs: tuple[Pair, ...], limit: dict[str, Any]
) -> None:
    def share(name: str, *pairs: Pair) -> CapitalShare:
        return CapitalShare(name, pairs, coins(twd=1_000_000, usdt=100) if has_capital else None)

    before = open_portfolio(share("old", BTC_TWD, USDT_TWD), balances=coins(twd=3_000_000, usdt=300_000))
    old = make_order("old", BTC_TWD, BUY, price=1_000_000, amount=0.9)
    before.lock(old)
    before.fill(old, execution(old, price=1_000_000, amount=0.9), 0)
    later = Portfolio(
        pairs={str(p): p for p in (*pairs, USDT_TWD)}, shares=(share("new", *pairs),), reserve={}, currency="twd"
    )
    later.restore(before.state())
    for pair, price in ((BTC_TWD, 1_000_000.0), (USDT_TWD, 30.0), (BTC_USDT, 33_333.0)):
        if pair in later.prices:
            later.mark(pair, price)
    price = 1_000_000.0 if pairs[-1] is BTC_TWD else 33_333.0
    desk = RiskDesk(rules(max_position=limit), {}, later, by_day)
    refusal = desk.review(make_order("new", pairs[-1], BUY, price=price, amount=0.2))
    assert "above max_position" in (refusal or "")
    assert desk.review(make_order("new", pairs[-1], BUY, price=price, amount=0.05)) is None


def test_capital_taken_from_a_strategy_that_is_not_configured_is_no_loss_when_it_returns() -> None:
    pairs = {str(BTC_TWD): BTC_TWD}
    shares = [CapitalShare("a", (BTC_TWD,), coins(twd=5_000)), CapitalShare("b", (BTC_TWD,), coins(twd=5_000))]
    before = open_portfolio(*shares, balances=coins(twd=20_000), pairs=pairs)
    limits = {"a": [*rules(max_daily_loss={"twd": 1_000}), *rules(max_drawdown="0.5")]}
    RiskDesk([], limits, before, by_day).start("a", 0)
    without = Portfolio(pairs=pairs, shares=shares[1:], reserve={}, currency="twd")
    without.restore(before.state())
    without.transfers.move("a", coins(twd=-4_000))
    again = Portfolio(pairs=pairs, shares=shares, reserve={}, currency="twd")
    desk = RiskDesk([], limits, again, by_day)
    again.restore(without.state())
    desk.start("a", 0)
    assert (again.days.pnl_units("a", "twd"), again.peaks.baseline_units("a", "twd")) == (0, 1_000 * COIN)
    assert desk.breached(0) is None
