"""Fees in BITO, in a bot that trades no pair with it: what the books make of them before and after its first price."""

from __future__ import annotations

import json
from datetime import UTC
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from botkit.backtesting.recorder import ResultRecorder
from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.risk.review import RiskDesk
from botkit.engine.risk.rules import MaxDailyLoss, MaxDrawdown
from botkit.engine.view import MoneyView
from botkit.model.orders import Order, Side
from botkit.model.pairs import Pair
from tests.portfolio_cases import BITO_TWD, BTC_TWD, COIN, coins, execution, make_order

TRADED: dict[str, Pair] = {"btc_twd": BTC_TWD}
SHARE = CapitalShare("a", (BTC_TWD,), coins(twd=10_000, btc=1))
BALANCES = coins(twd=10_000, btc=1, bito=1_000)
DAY = 86_400 * 10**9


def books(*, declared: bool = False, known: bool = True, share: CapitalShare = SHARE) -> Portfolio:
    """Return books that have not been opened. ``declared`` pairs have prices from the start, as if configured."""
    pairs = TRADED | ({"bito_twd": BITO_TWD} if declared else {})
    coin = FeeCoin("bito", (BITO_TWD,)) if known else None
    return Portfolio(pairs=pairs, shares=[share], reserve={}, currency="twd", fee_coin=coin)


def desk_of(portfolio: Portfolio) -> RiskDesk:
    return RiskDesk([MaxDailyLoss({"twd": 300}), MaxDrawdown("0.5")], {}, portfolio, lambda now: now - now % DAY)


def opened(**options: bool) -> tuple[Portfolio, RiskDesk]:
    portfolio = books(**options)
    desk = desk_of(portfolio)
    portfolio.open(BALANCES)
    desk.turn_of_day(DAY)
    portfolio.mark(BTC_TWD, 10_000)
    return portfolio, desk


def restarted(portfolio: Portfolio, *, saved_by_older: bool = False, **options: bool) -> tuple[Portfolio, RiskDesk]:
    state = json.loads(json.dumps(portfolio.state()))
    if saved_by_older:
        state.pop("late_fees", None)
        state.pop("values_fees", None)
    again = books(**options)
    desk = desk_of(again)
    again.restore(state)
    desk.turn_of_day(DAY)
    return again, desk


def buy(portfolio: Portfolio, *, fee: float, price: float = 10_000) -> Order:
    order = make_order("a", BTC_TWD, Side.BUY, price=price, amount=0.1)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=price, amount=0.1, fee=round(fee * COIN), fee_currency="bito"), 1)
    return order


def equity(portfolio: Portfolio) -> float | None:
    units = portfolio.equity_units(None, "twd")
    return None if units is None else units / COIN


def today(portfolio: Portfolio) -> float | None:
    units = portfolio.today.pnl_units(None, "twd")
    return None if units is None else units / COIN


def unvalued(portfolio: Portfolio) -> dict[str, int]:
    return portfolio.fees.unvalued(portfolio.holdings(None))


def test_a_fee_without_a_price_is_told_and_its_first_price_makes_it_a_loss() -> None:
    portfolio, _ = opened()
    buy(portfolio, fee=20)
    assert (equity(portfolio), today(portfolio)) == (20_000, 0)
    assert unvalued(portfolio) == coins(bito=20)
    assert portfolio.position("a", BTC_TWD).realised == 0
    portfolio.mark(BITO_TWD, 2)
    assert (equity(portfolio), today(portfolio)) == (19_960, -40)
    assert unvalued(portfolio) == {}
    assert portfolio.position("a", BTC_TWD).realised == -40
    buy(portfolio, fee=5)  # from now on, a fee counts at once
    assert (equity(portfolio), today(portfolio)) == (19_950, -50)
    assert portfolio.position("a", BTC_TWD).realised == -40
    portfolio.check()


def test_the_pairs_of_the_coin_are_followed_from_the_first_fee_on() -> None:
    portfolio, _ = opened()
    assert not portfolio.fees.is_followed
    assert "bito_twd" not in portfolio.prices
    buy(portfolio, fee=0)
    assert not portfolio.fees.is_followed, "no fee was paid"
    buy(portfolio, fee=1)
    assert portfolio.fees.unpriced() == [BITO_TWD]


def test_a_fee_without_a_price_does_not_hide_a_loss_from_the_limits() -> None:
    portfolio, desk = opened()
    buy(portfolio, fee=20)
    assert desk.breached(DAY + 1) is None
    portfolio.mark(BTC_TWD, 9_600)  # 1.1 btc lose 440 twd
    breach = desk.breached(DAY + 2)
    assert breach is not None
    assert "440" in str(breach)


def test_many_prices_at_once_break_a_limit_where_single_ones_do() -> None:
    portfolio, desk = opened()
    buy(portfolio, fee=20)
    assert desk.first_breach(BTC_TWD, np.array([9_900.0, 9_800.0, 9_600.0, 9_000.0]), DAY + 1) == 2


def test_limits_count_fees_in_bito() -> None:
    portfolio, desk = opened(declared=True)
    portfolio.mark(BITO_TWD, 2)
    buy(portfolio, fee=149)
    assert desk.breached(DAY + 1) is None
    buy(portfolio, fee=1)
    assert desk.breached(DAY + 2) is not None


def test_valued_fees_are_neither_forgotten_nor_counted_twice_at_a_restart() -> None:
    portfolio, _ = opened(declared=True)
    portfolio.mark(BITO_TWD, 2)
    buy(portfolio, fee=20)
    again, desk = restarted(portfolio)
    again.mark(BTC_TWD, 10_000)
    # without the price, a peak or a profit would be too high by the fees of all earlier days
    assert equity(again) is today(again) is None
    assert desk.breached(DAY + 1) is None
    again.mark(BITO_TWD, 2)
    assert (equity(again), today(again)) == (19_960, -40)


def test_fees_that_an_older_version_could_not_value_are_no_loss_of_the_day_of_the_upgrade() -> None:
    before, _ = opened(known=False)
    buy(before, fee=300)
    assert (equity(before), today(before)) == (20_000, 0)
    again, desk = restarted(before, saved_by_older=True)
    assert again.fees.unpriced() == [BITO_TWD], "the coin that the books owe is followed at once"
    again.mark(BTC_TWD, 10_000)
    assert (today(again), unvalued(again)) == (0, coins(bito=300))
    again.mark(BITO_TWD, 10)  # 3,000 twd, which would break both limits
    assert (equity(again), today(again)) == (17_000, 0)
    assert desk.breached(DAY + 1) is None
    buy(again, fee=31)
    assert today(again) == -310
    assert desk.breached(DAY + 2) is not None


def test_a_fee_paid_while_older_ones_wait_for_their_price_is_a_loss_all_the_same() -> None:
    before, _ = opened(known=False)
    buy(before, fee=300)
    again, _ = restarted(before, saved_by_older=True)
    again.mark(BTC_TWD, 10_000)
    buy(again, fee=4)
    assert today(again) == 0, "the limits go on"
    again.mark(BITO_TWD, 10)
    assert today(again) == -40


def test_a_fee_that_waits_for_its_price_survives_a_restart() -> None:
    portfolio, _ = opened()
    buy(portfolio, fee=20)
    again, _ = restarted(portfolio)
    again.mark(BTC_TWD, 10_000)
    assert unvalued(again) == coins(bito=20)
    again.mark(BITO_TWD, 2)
    assert (equity(again), today(again)) == (19_960, -40)
    assert again.position("a", BTC_TWD).realised == -40


def test_a_bot_that_no_longer_says_so_is_not_blind_at_its_first_fee() -> None:
    portfolio, _ = opened(declared=True)
    portfolio.mark(BITO_TWD, 2)  # and no fee is paid
    again, _ = restarted(portfolio)
    again.mark(BTC_TWD, 10_000)
    buy(again, fee=20)
    assert (equity(again), unvalued(again)) == (20_000, coins(bito=20))


def test_a_fee_that_strategies_owe_each_other_is_followed_at_a_restart() -> None:
    def two(**options: bool) -> Portfolio:
        pairs = TRADED | ({"bito_twd": BITO_TWD} if options.get("declared") else {})
        shares = [SHARE, CapitalShare("b", (BTC_TWD,), coins(bito=20))]
        return Portfolio(pairs=pairs, shares=shares, reserve={}, currency="twd", fee_coin=FeeCoin("bito", (BITO_TWD,)))

    portfolio = two(declared=True)
    portfolio.open(coins(twd=10_000, btc=1, bito=20))
    portfolio.mark(BTC_TWD, 10_000)
    portfolio.mark(BITO_TWD, 2)
    buy(portfolio, fee=20)
    assert portfolio.holdings(None)["bito"] == 0
    again = two()
    again.restore(json.loads(json.dumps(portfolio.state())))
    again.mark(BTC_TWD, 10_000)
    assert again.equity_units("a", "twd") is None, "as after every restart, until the price is read"
    again.mark(BITO_TWD, 2)
    assert again.equity_units("a", "twd") == 19_960 * COIN


def test_a_new_day_starts_without_the_fees_of_the_day_before() -> None:
    portfolio, desk = opened()
    buy(portfolio, fee=20)
    desk.turn_of_day(2 * DAY)
    buy(portfolio, fee=3)
    portfolio.mark(BITO_TWD, 2)
    assert today(portfolio) == -6


def test_fees_from_a_strategys_own_bito_count_before_and_after_the_first_price() -> None:
    share = CapitalShare("a", (BTC_TWD,), coins(twd=10_000, btc=1, bito=100))
    portfolio = books(declared=True, share=share)
    desk = desk_of(portfolio)
    portfolio.open(BALANCES)
    desk.turn_of_day(DAY)
    portfolio.mark(BTC_TWD, 10_000)
    buy(portfolio, fee=20)
    assert (today(portfolio), unvalued(portfolio)) == (0, coins(bito=20))
    portfolio.mark(BITO_TWD, 2)
    assert (equity(portfolio), today(portfolio)) == (20_160, -40)


def test_a_fee_in_a_coin_that_no_pair_values_is_told_for_ever() -> None:
    portfolio, _ = opened(known=False)
    buy(portfolio, fee=20)
    assert equity(portfolio) == 20_000
    assert unvalued(portfolio) == coins(bito=20)
    assert not portfolio.fees.may_be_valued("bito")
    again, _ = restarted(portfolio, known=False)
    again.mark(BTC_TWD, 10_000)
    assert unvalued(again) == coins(bito=20)


def test_a_session_that_begins_with_such_a_debt_has_a_report() -> None:
    portfolio, _ = opened(known=False)
    buy(portfolio, fee=20)
    view: Any = SimpleNamespace(money=MoneyView(cast(Any, SimpleNamespace(portfolio=portfolio))), names=lambda: ["a"])
    recorder = ResultRecorder(view, [BTC_TWD], [BTC_TWD], UTC, DAY)
    assert recorder.opening == coins(twd=9_000, btc=1.1)
