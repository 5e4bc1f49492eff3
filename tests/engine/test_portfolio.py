"""Sub-accounts, locks, fills and the comparison with the exchange's balances."""

from __future__ import annotations

import json
import re

import pytest

from botkit.engine.money.balance_check import SETTLE_NS
from botkit.engine.money.portfolio import CapitalShare, Portfolio, Shortage
from botkit.errors import ConfigError
from botkit.model.events import BalanceReport
from botkit.model.orders import Side
from tests.portfolio_cases import (
    BITO_TWD,
    BTC_TWD,
    BTC_USDT,
    COIN,
    ETH_TWD,
    PAIRS,
    USDT_TWD,
    coins,
    execution,
    make_order,
    open_portfolio,
)


def balance(portfolio: Portfolio, strategy: str, currency: str) -> tuple[float, float]:
    found = portfolio.balance(strategy, currency)
    return found.available, found.locked


# -- the split --------------------------------------------------------------------------------------------------------


def test_a_strategy_without_capital_can_spend_the_account_balance_minus_reserve_and_sub_accounts() -> None:
    portfolio = open_portfolio(
        CapitalShare("fixed", (BTC_TWD,), coins(twd=30)),
        CapitalShare("rest", (BTC_TWD,)),
        balances=coins(twd=100, btc=2),
        reserve=coins(twd=20, btc=1),
    )
    assert balance(portfolio, "fixed", "twd") == (30, 0)
    assert balance(portfolio, "rest", "twd") == (50, 0)
    assert balance(portfolio, "rest", "btc") == balance(portfolio, "fixed", "btc") == (0, 0)
    assert portfolio.unassigned == coins(twd=20, btc=2)


def test_a_percentage_applies_to_the_unreserved_quote_currency_balance() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,), 40),
        CapitalShare("b", (BTC_TWD,), 60),
        balances=coins(twd=100, btc=1),
        reserve=coins(twd=50),
    )
    assert balance(portfolio, "a", "twd") == (20, 0)
    assert balance(portfolio, "b", "twd") == (30, 0)
    assert balance(portfolio, "a", "btc") == (0, 0)
    assert portfolio.unassigned == coins(twd=50, btc=1)


def test_without_pooled_strategies_the_remaining_account_balance_is_unassigned() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=30)), balances=coins(twd=100))
    assert portfolio.unassigned == coins(twd=70)


def test_coins_without_a_pair_stay_unassigned() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100, doge=5))
    assert balance(portfolio, "a", "doge") == (0, 0)
    assert portfolio.unassigned["doge"] == 5 * COIN


def test_capital_larger_than_the_account_balance_is_refused_with_figures() -> None:
    portfolio = Portfolio(
        pairs=PAIRS,
        shares=[CapitalShare("a", (), coins(twd=60)), CapitalShare("b", (), coins(twd=50))],
        reserve=coins(twd=5),
        currency="twd",
    )
    with pytest.raises(ValueError, match=r"'b' is 50 twd, but only 35 is left .* 100 twd \(5 reserved, 60 given"):
        portfolio.open(coins(twd=100))


def test_percentages_that_total_more_than_a_hundred_are_refused() -> None:
    portfolio = Portfolio(
        pairs=PAIRS, shares=[CapitalShare("a", (), 60), CapitalShare("b", (), 50)], reserve={}, currency="twd"
    )
    with pytest.raises(ValueError, match="110%"):
        portfolio.open(coins(twd=100))


def test_capital_in_an_untraded_currency_is_refused() -> None:
    portfolio = Portfolio(
        pairs={"btc_twd": BTC_TWD}, shares=[CapitalShare("a", (), coins(doge=6))], reserve={}, currency="twd"
    )
    with pytest.raises(ValueError, match="'a' is in doge, which is neither base nor quote"):
        portfolio.open(coins(doge=100))


def test_a_valuation_currency_without_a_conversion_path_is_refused() -> None:
    with pytest.raises(ValueError, match="btc cannot be valued in eur"):
        Portfolio(pairs=PAIRS, shares=[], reserve={}, currency="eur")


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_limit_buy_locks_its_value_rounded_up_and_a_sell_locks_its_coins() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_USDT,), coins(usdt=100, btc=1)), balances=coins(usdt=100, btc=1))
    buy = make_order("a", BTC_USDT, Side.BUY, price=30_000.01, amount=0.00000001)
    assert portfolio.lock(buy) is None
    assert portfolio.ledger.locks.get(buy.client_id, 0) == 30_001  # 0.0003000001 usdt
    sell = make_order("a", BTC_USDT, Side.SELL, price=30_000, amount=0.25)
    assert portfolio.lock(sell) is None
    assert balance(portfolio, "a", "btc") == (0.75, 0.25)
    portfolio.check()


def test_a_market_buy_locks_its_full_spending_amount() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=1000))
    assert portfolio.lock(make_order("a", BTC_TWD, Side.BUY, spend=400)) is None
    assert balance(portfolio, "a", "twd") == (600, 400)


def test_a_refusal_states_the_required_available_and_locked_amounts() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=4200))
    for _ in range(2):
        assert portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=1500, amount=1)) is None
    refusal = portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=5000, amount=1))
    assert refusal == "needs 5000 twd, 1200 available (3000 locked in 2 orders)"


def test_a_sub_account_cannot_spend_another_sub_accounts_money() -> None:
    portfolio = open_portfolio(
        CapitalShare("poor", (BTC_TWD,), coins(twd=10)), CapitalShare("rich", (BTC_TWD,)), balances=coins(twd=1000)
    )
    assert portfolio.lock(make_order("poor", BTC_TWD, Side.BUY, price=11, amount=1)) == "needs 11 twd, 10 available"
    assert portfolio.lock(make_order("rich", BTC_TWD, Side.BUY, price=990, amount=1)) is None


def test_releasing_a_lock_twice_has_no_further_effect() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=1000))
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=4)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=100, amount=1), 5)
    for _ in range(2):
        portfolio.release(order)
        assert balance(portfolio, "a", "twd") == (900, 0)
    portfolio.check()


# -- fills ------------------------------------------------------------------------------------------------------------


def test_a_buy_filled_below_its_limit_frees_the_price_difference_and_its_fee_is_deducted_in_coins() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=1000))
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=4)
    portfolio.lock(order)
    fill = portfolio.fill(order, execution(order, price=90, amount=1, fee=200_000, time=7), 9)
    assert balance(portfolio, "a", "twd") == (610, 300)
    assert balance(portfolio, "a", "btc") == (0.998, 0)
    assert (fill.value, fill.amount, fill.fee, fill.fee_currency, fill.time) == (90, 1, 0.002, "btc", 7)
    assert (order.executed, order.remaining, order.average_price, order.updated) == (1, 3, 90, 9)
    assert fill.executed_lots == order.executed_lots == COIN
    assert portfolio.position("a", BTC_TWD).amount == 0.998


def test_the_fee_on_a_sell_is_deducted_from_its_proceeds() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(btc=2)), balances=coins(btc=2))
    order = make_order("a", BTC_TWD, Side.SELL, price=100, amount=2)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=110, amount=0.5, fee=COIN // 10), 1)
    assert balance(portfolio, "a", "btc") == (0, 1.5)
    assert balance(portfolio, "a", "twd") == (54.9, 0)
    portfolio.check()


def test_unspent_money_from_a_market_buy_is_freed_when_the_order_becomes_final() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=1000))
    order = make_order("a", BTC_TWD, Side.BUY, spend=400)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=130, amount=3), 1)
    assert balance(portfolio, "a", "twd") == (600, 10)
    portfolio.release(order)
    assert balance(portfolio, "a", "twd") == (610, 0)


def test_many_small_fills_leave_no_locked_remainder() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_USDT,)), balances=coins(usdt=1))
    order = make_order("a", BTC_USDT, Side.BUY, price=33_333.33, amount=0.00000007)
    portfolio.lock(order)
    for _ in range(7):  # 33333.33 x 1e-8 rounds down to 33,333 units each time
        portfolio.fill(order, execution(order, price=33_333.33, amount=0.00000001), 1)
        portfolio.check()
    assert portfolio.ledger.locks.get(order.client_id, 0) == 0
    assert portfolio.balance("a", "usdt").available_units == COIN - 7 * 33_333


def test_filling_more_than_the_order_amount_fails_an_assertion() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=1000))
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(order)
    with pytest.raises(AssertionError):
        portfolio.fill(order, execution(order, price=100, amount=1.5), 1)


def test_a_fee_in_the_exchanges_token_is_deducted_from_the_strategys_own_balance_first() -> None:
    owned = coins(twd=1000, bito=10)
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD, BITO_TWD), owned), balances=owned)
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=100, amount=1, fee=2 * COIN, fee_currency="bito"), 1)
    assert balance(portfolio, "a", "bito") == (8, 0)
    assert balance(portfolio, "a", "btc") == (1, 0)


def test_a_fee_paid_with_another_strategys_coins_is_charged_to_the_strategy_that_incurred_it() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,), coins(twd=100)),
        CapitalShare("b", (BITO_TWD,), coins(bito=3)),
        balances=coins(twd=100, bito=4),
    )
    portfolio.mark(BTC_TWD, 100)
    portfolio.mark(BITO_TWD, 5)
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=100, amount=1, fee=2 * COIN, fee_currency="bito"), 1)
    assert portfolio.unassigned["bito"] == 0  # unassigned coins pay for the fee first ...
    assert balance(portfolio, "b", "bito") == (2, 0)  # unassigned coins cover the fee first ...
    assert portfolio.equity_units("a", "twd") == 90 * COIN
    assert portfolio.equity_units("b", "twd") == 15 * COIN
    assert portfolio.equity_units(None, "twd") == 105 * COIN
    assert portfolio.position("a", BTC_TWD).average_entry == 110
    assert portfolio.account["bito"] == 2 * COIN
    portfolio.check()


def test_a_late_fill_is_booked_as_a_debt_repaid_from_later_income() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,), coins(twd=100)),
        CapitalShare("b", (BTC_TWD,)),
        balances=coins(twd=1000),
    )
    late = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(late)
    portfolio.release(late)  # assumed absent
    portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=80, amount=1))
    portfolio.fill(late, execution(late, price=100, amount=1), 1)
    assert balance(portfolio, "a", "twd") == (0, 80)
    assert balance(portfolio, "b", "twd") == (820, 0)
    portfolio.mark(BTC_TWD, 100)
    assert portfolio.equity_units("a", "twd") == 100 * COIN
    sell = make_order("a", BTC_TWD, Side.SELL, price=100, amount=1)
    portfolio.lock(sell)
    portfolio.fill(sell, execution(sell, price=100, amount=1), 2)
    assert balance(portfolio, "b", "twd") == (900, 0)
    assert balance(portfolio, "a", "twd") == (20, 80)
    portfolio.check()


def test_relocking_an_order_found_live_locks_the_available_money() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(order)
    portfolio.release(order)
    portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=40, amount=1))
    assert portfolio.relock(order) == "needs 40 twd, 0 available (100 locked in 2 orders)"
    assert portfolio.ledger.locks.get(order.client_id, 0) == 60 * COIN
    portfolio.fill(order, execution(order, price=100, amount=0.5), 1)
    assert portfolio.ledger.locks.get(order.client_id, 0) == 10 * COIN
    portfolio.release(order)
    portfolio.check()


def test_relocking_a_partly_locked_order_does_not_count_the_existing_lock_twice() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=1)
    portfolio.lock(order)
    portfolio.release(order)
    other = make_order("a", BTC_TWD, Side.BUY, price=40, amount=1)
    portfolio.lock(other)
    portfolio.relock(order)
    portfolio.release(other)
    assert portfolio.relock(order) is None
    assert balance(portfolio, "a", "twd") == (0, 100)
    refusal = portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=1, amount=1))
    assert refusal == "needs 1 twd, 0 available (100 locked in 1 order)"
    portfolio.check()


# -- the exchange's own figures ---------------------------------------------------------------------------------------


def report(**totals: float) -> BalanceReport:
    return BalanceReport({c: (u, u) for c, u in coins(**totals).items()})


def test_a_deposit_is_booked_as_unassigned() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    (found,) = portfolio.balances.compare(report(twd=150), 0, quiet=True)
    assert (found.actual_units - found.expected_units, found.adopted_units, found.shortage) == (
        50 * COIN,
        50 * COIN,
        None,
    )
    assert balance(portfolio, "a", "twd") == (100, 0)
    assert portfolio.unassigned["twd"] == 50 * COIN
    assert portfolio.balances.compare(report(twd=150), 0, quiet=True) == []
    portfolio.check()


def test_withdrawing_a_strategys_money_causes_a_shortage_until_the_money_is_returned() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100), reserve=coins(twd=10))
    (found,) = portfolio.balances.compare(report(twd=95), 0, quiet=True)
    assert found.shortage is None
    (found,) = portfolio.balances.compare(report(twd=60), 0, quiet=True)
    assert found.shortage == Shortage("twd", 30 * COIN)
    assert "30 twd less than its strategies own" in str(found.shortage)
    assert portfolio.balances.shortages() == [Shortage("twd", 30 * COIN)]
    portfolio.balances.compare(report(twd=90), 0, quiet=True)
    assert portfolio.balances.shortages() == []


def test_a_currency_missing_from_a_snapshot_is_treated_as_zero() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100, btc=1))
    found = portfolio.balances.compare(BalanceReport({"twd": (100 * COIN, 0)}, snapshot=True), 0, quiet=True)
    assert [d.currency for d in found] == ["btc"]


def test_a_balance_difference_that_a_live_order_may_explain_is_not_adopted() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    order = make_order("a", BTC_TWD, Side.BUY, price=60, amount=1)
    portfolio.lock(order)
    for moment in (0, 10 * SETTLE_NS):
        found = portfolio.balances.compare(report(twd=40, btc=1), moment, quiet=False)
        assert [d.adopted_units for d in found] == [0, 0]
    portfolio.fill(order, execution(order, price=60, amount=1), 1)
    assert portfolio.balances.compare(report(twd=40, btc=1), 20 * SETTLE_NS, quiet=True) == []


def test_an_unexplained_balance_difference_is_adopted_once_it_is_stable() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    portfolio.lock(make_order("a", BTC_TWD, Side.BUY, price=60, amount=1))
    (first,) = portfolio.balances.compare(report(twd=30), 0, quiet=False)
    (second,) = portfolio.balances.compare(report(twd=30), SETTLE_NS, quiet=False)
    assert (first.adopted_units, second.adopted_units) == (0, -10 * COIN)
    assert second.shortage == Shortage("twd", 10 * COIN)


def test_a_difference_of_one_unit_per_fill_is_tolerated_because_rounding_is_undocumented() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    order = make_order("a", BTC_TWD, Side.BUY, price=60, amount=1)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=60, amount=1), 1)
    (found,) = portfolio.balances.compare(BalanceReport({"twd": (40 * COIN - 1, 0)}), 0, quiet=True)
    assert found.shortage is None
    (found,) = portfolio.balances.compare(BalanceReport({"twd": (40 * COIN - 2, 0)}), 0, quiet=True)
    assert found.shortage is not None


# -- value and trading days --------------------------------------------------------------------------------------


def test_equity_is_unknown_until_all_prices_are_known_and_excludes_unassigned_funds() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, ETH_TWD), coins(twd=90, btc=1, eth=2)),
        balances=coins(twd=100, btc=3, eth=2),
        reserve=coins(twd=10),
    )
    portfolio.mark(BTC_TWD, 1000)
    assert portfolio.equity_units("a", "twd") is None
    portfolio.mark(ETH_TWD, 50)
    assert portfolio.equity_units("a", "twd") == portfolio.equity_units(None, "twd") == 1190 * COIN
    portfolio.mark(USDT_TWD, 32)
    assert portfolio.equity_units(None, "usdt") is None  # the shortest conversion path for btc uses btc_usdt
    portfolio.mark(BTC_USDT, 31)
    assert portfolio.equity_units(None, "usdt") == 90 * COIN // 32 + 31 * COIN + 100 * COIN // 32


def test_strategies_in_a_pool_keep_their_own_positions_and_profits() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,)), CapitalShare("b", (BTC_TWD,)), balances=coins(twd=1000, btc=1)
    )
    assert moved(portfolio, "pool", btc=1) is None
    portfolio.mark(BTC_TWD, 100)
    # coins moved to the pool are booked to the first strategy that lists the pair
    assert portfolio.position("a", BTC_TWD).amount == 1
    assert portfolio.position("b", BTC_TWD).amount == 0
    for level in ("a", "b", None):
        portfolio.days.watch(level, "twd")
    order = make_order("b", BTC_TWD, Side.BUY, price=100, amount=2)
    portfolio.lock(order)
    assert balance(portfolio, "a", "twd") == (800, 200)
    portfolio.fill(order, execution(order, price=100, amount=2), 1)
    portfolio.mark(BTC_TWD, 90)
    assert portfolio.days.pnl_units("a", "twd") == -10 * COIN
    assert portfolio.days.pnl_units("b", "twd") == -20 * COIN
    assert portfolio.days.pnl_units(None, "twd") == -30 * COIN
    assert portfolio.position("b", BTC_TWD).unrealised == -20


def test_daily_profit_is_measured_from_the_start_of_the_day() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(btc=1)), balances=coins(btc=1))
    portfolio.days.watch("a", "twd")
    assert portfolio.days.pnl_units("a", "twd") == 0
    portfolio.mark(BTC_TWD, 100)  # without prices at the start of the day, profit is measured from the first price
    portfolio.mark(BTC_TWD, 90)
    assert portfolio.days.pnl_units("a", "twd") == -10 * COIN
    portfolio.days.start(86_400)
    assert portfolio.days.pnl_units("a", "twd") == 0
    portfolio.mark(BTC_TWD, 95)
    assert portfolio.days.pnl_units("a", "twd") == 5 * COIN


def test_deposits_do_not_count_as_profit() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,)), balances=coins(twd=100))
    portfolio.days.watch(None, "twd")
    portfolio.balances.compare(report(twd=500), 0, quiet=True)
    assert portfolio.days.pnl_units(None, "twd") == 0


# -- restarts ---------------------------------------------------------------------------------------------------------


def restarted(portfolio: Portfolio, *shares: CapitalShare) -> Portfolio:
    again = Portfolio(pairs=PAIRS, shares=shares or portfolio.shares, reserve=portfolio.reserve, currency="twd")
    again.restore(json.loads(json.dumps(portfolio.state())))
    return again


def test_a_position_in_a_pair_that_only_the_strategys_code_names_outlasts_restarts() -> None:
    only_btc = {str(BTC_TWD): BTC_TWD}
    share = CapitalShare("a", (BTC_TWD,))
    portfolio = open_portfolio(share, balances=coins(twd=1000), pairs=only_btc)
    portfolio.valuation.add(ETH_TWD)
    order = make_order("a", ETH_TWD, Side.BUY, price=100, amount=3)
    assert portfolio.lock(order) is None
    portfolio.fill(order, execution(order, price=100, amount=3), 1)
    before = portfolio.state()
    for _ in range(3):
        portfolio = Portfolio(pairs=only_btc, shares=portfolio.shares, reserve={}, currency="twd")
        portfolio.restore(json.loads(json.dumps(before)))
        assert portfolio.state() == before
    assert portfolio.position("a", ETH_TWD).amount == 3
    assert portfolio.state() == before


def test_a_restart_restores_the_complete_state() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,), coins(twd=500)), CapitalShare("b", (ETH_TWD,)), balances=coins(twd=1000, eth=1)
    )
    portfolio.days.watch("a", "twd")
    portfolio.days.start(77)
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=3)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=99, amount=1, fee=1000), 1)
    again = restarted(portfolio)
    assert again.state() == portfolio.state()
    assert again.days.day == 77
    assert again.position("a", BTC_TWD).average_entry == portfolio.position("a", BTC_TWD).average_entry
    again.fill(order, execution(order, price=100, amount=2), 2)
    again.release(order)
    again.check()
    assert balance(again, "a", "twd") == (201, 0)


def test_editing_the_configured_capital_raises_an_error_that_names_the_capital_commands() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=500)), balances=coins(twd=1000))
    with pytest.raises(ConfigError, match=r"was 500 twd .* is now 600 twd\. .*botkit capital add"):
        restarted(portfolio, CapitalShare("a", (BTC_TWD,), coins(twd=600)))


# -- capital moves ------------------------------------------------------------------------------------------------


def moved(portfolio: Portfolio, target: str, **amounts: float) -> str | None:
    """Move capital, and return the reason if the move is refused."""
    units = coins(**amounts)
    refusal = portfolio.transfers.refusal(target, units)
    if refusal is None:
        portfolio.transfers.move(target, units)
        portfolio.check()
    return refusal


def two_with_capital() -> Portfolio:
    return open_portfolio(
        CapitalShare("a", (BTC_TWD,), coins(twd=500)),
        CapitalShare("b", (BTC_TWD, ETH_TWD), coins(twd=100)),
        balances=coins(twd=1000, btc=2),
        reserve=coins(twd=50),
    )


def test_capital_moves_between_unassigned_funds_and_a_sub_account() -> None:
    portfolio = two_with_capital()
    assert moved(portfolio, "a", twd=300, btc=0.5) is None
    assert balance(portfolio, "a", "twd") == (800, 0)
    assert portfolio.position("a", BTC_TWD).amount == 0.5
    assert portfolio.unassigned == coins(twd=100, btc=1.5)
    assert moved(portfolio, "a", twd=-800, btc=-0.2) is None
    assert portfolio.unassigned == coins(twd=900, btc=1.7)
    assert portfolio.position("a", BTC_TWD).amount == 0.3


def test_a_refused_capital_move_returns_the_reason_and_changes_nothing() -> None:
    portfolio = two_with_capital()
    order = make_order("a", BTC_TWD, Side.BUY, price=100, amount=3)
    assert portfolio.lock(order) is None
    before = portfolio.state()
    for target, amounts, told in (
        ("a", {"twd": 351}, r"351 twd is more than the 350 twd .* \(of 400, 50 is reserved\)\. Take it from another"),
        ("a", {"twd": -201}, "a has 200 twd available, but 201 was requested; 300 twd more is locked in 1 order"),
        ("a", {"btc": -1}, "a has 0 btc available"),
        ("a", {"twd": 1, "twb": 1}, r"twb is neither base nor quote .*did you mean twd"),
        ("aa", {"twd": 1}, "there is no strategy 'aa'; did you mean a"),
        ("zzz", {"twd": 1}, "this bot has a, b"),
        ("pool", {"twd": 1}, "there is no strategy 'pool'"),
    ):
        refusal = moved(portfolio, target, **amounts)
        assert refusal is not None
        assert re.search(told, refusal), refusal
    assert portfolio.state() == before


def test_the_pools_capital_can_be_changed() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,)), CapitalShare("b", (ETH_TWD,)), balances=coins(twd=1000, eth=1)
    )
    assert moved(portfolio, "pool", eth=1) is None
    portfolio.balances.compare(report(twd=1500, eth=3), 0, quiet=True)
    portfolio.mark(ETH_TWD, 100)
    portfolio.days.watch("b", "twd")
    portfolio.days.watch(None, "twd")
    assert moved(portfolio, "pool", twd=500, eth=2) is None
    assert balance(portfolio, "b", "twd") == (1500, 0)
    assert portfolio.position("b", ETH_TWD).amount == 3
    assert portfolio.equity_units("b", "twd") == coins(twd=300)["twd"]
    assert portfolio.days.pnl_units("b", "twd") == portfolio.days.pnl_units(None, "twd") == 0
    assert moved(portfolio, "pool", eth=-1) is None
    assert portfolio.days.pnl_units("b", "twd") == 0


def test_coins_given_to_a_pooled_strategy_can_only_be_withdrawn_from_that_strategy() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,)), CapitalShare("b", (BTC_TWD,)), balances=coins(twd=1000, btc=5)
    )
    portfolio.mark(BTC_TWD, 100)
    for level in ("a", "b", None):
        portfolio.days.watch(level, "twd")
    assert moved(portfolio, "b", btc=2) is None
    assert moved(portfolio, "a", btc=1) is None
    assert (portfolio.position("a", BTC_TWD).given, portfolio.position("b", BTC_TWD).given) == (1, 2)
    assert portfolio.equity_units("b", "twd") == coins(twd=200)["twd"]
    assert balance(portfolio, "a", "btc") == (3, 0)  # strategies in the pool share its funds
    refusal = moved(portfolio, "a", btc=-2)
    assert refusal is not None
    assert "a has 1 btc of its own to give back, but 2 was requested" in refusal
    assert moved(portfolio, "b", btc=-2) is None
    assert portfolio.unassigned["btc"] == 4 * COIN
    assert [portfolio.days.pnl_units(level, "twd") for level in ("a", "b", None)] == [0, 0, 0]


def test_deposits_and_withdrawals_do_not_change_profit_even_before_the_first_price() -> None:
    portfolio = two_with_capital()
    for level in ("a", None):
        portfolio.days.watch(level, "twd")
    assert moved(portfolio, "a", twd=100, btc=1) is None
    portfolio = restarted(portfolio)
    assert moved(portfolio, "a", btc=-0.5) is None
    portfolio.mark(BTC_TWD, 200)
    portfolio.mark(ETH_TWD, 1)
    assert portfolio.days.pnl_units("a", "twd") == portfolio.days.pnl_units(None, "twd") == 0
    portfolio.mark(BTC_TWD, 190)
    assert portfolio.days.pnl_units("a", "twd") == -coins(twd=5)["twd"]
    assert moved(portfolio, "a", twd=-600, btc=-0.25) is None
    assert portfolio.days.pnl_units("a", "twd") == portfolio.days.pnl_units(None, "twd") == -coins(twd=5)["twd"]
    position = portfolio.position("a", BTC_TWD)
    assert position.realised + position.unrealised == -5


def test_a_newly_added_strategy_does_not_change_the_daily_profit() -> None:
    a, b = CapitalShare("a", (BTC_TWD,), coins(twd=500)), CapitalShare("b", (ETH_TWD,), coins(twd=100, eth=1))
    portfolio = open_portfolio(a, balances=coins(twd=1000, eth=2))
    portfolio.days.watch(None, "twd")
    again = restarted(portfolio, a, b)
    again.mark(ETH_TWD, 50)
    assert again.days.pnl_units(None, "twd") == 0
    assert again.equity_units(None, "twd") == coins(twd=650)["twd"]


def with_capital(name: str, capital: dict[str, int] | int | None) -> CapitalShare:
    return CapitalShare(name, (BTC_TWD,), capital)


def test_the_configured_capital_may_match_the_first_start_the_last_start_or_the_current_total() -> None:
    portfolio = open_portfolio(with_capital("a", coins(twd=500)), balances=coins(twd=1000))
    assert moved(portfolio, "a", twd=100) is None
    for amount in (500, 600):
        restarted(portfolio, with_capital("a", coins(twd=amount)))
    with pytest.raises(
        ConfigError, match=r"was 500 twd .*, 600 twd with all additions and withdrawals since, and is now 700"
    ) as e:
        restarted(portfolio, with_capital("a", coins(twd=700)))
    assert "`botkit capital add CONFIG a twd=100`" in str(e.value)
    portfolio = restarted(portfolio, with_capital("a", coins(twd=600)))
    assert moved(portfolio, "a", twd=-50) is None
    for amount in (500, 550, 600):
        restarted(portfolio, with_capital("a", coins(twd=amount)))
    with pytest.raises(ConfigError, match="`botkit capital take CONFIG a twd=30`"):
        restarted(portfolio, with_capital("a", coins(twd=520)))


def test_a_configured_percentage_may_be_kept_or_replaced_with_amounts() -> None:
    portfolio = open_portfolio(with_capital("a", 40), balances=coins(twd=1000, btc=1))
    assert moved(portfolio, "a", twd=100) is None
    restarted(portfolio, with_capital("a", 40))
    restarted(portfolio, with_capital("a", coins(twd=500)))
    with pytest.raises(ConfigError, match="was 40% when it first started"):
        restarted(portfolio, with_capital("a", 50))
    with pytest.raises(ConfigError, match="cannot move between the pool and a sub-account"):
        restarted(portfolio, with_capital("a", None))


def test_portfolio_state_saved_without_capital_totals_is_restored() -> None:
    portfolio = open_portfolio(with_capital("a", coins(twd=500)), balances=coins(twd=1000))
    state = portfolio.state()
    for name in ("given", "written", "unsettled"):
        del state[name]
    again = Portfolio(pairs=PAIRS, shares=portfolio.shares, reserve={}, currency="twd")
    again.restore(state)
    assert again.state() == portfolio.state()


def test_a_removed_strategys_money_is_kept_until_the_strategy_returns_and_can_be_withdrawn() -> None:
    a, b = with_capital("a", coins(twd=500)), with_capital("b", coins(twd=100, btc=1))
    before = open_portfolio(a, b, balances=coins(twd=1000, btc=2))
    before.days.watch("b", "twd")
    portfolio = restarted(before, a)
    portfolio.days.start(1)
    assert moved(portfolio, "b", twd=-60, btc=-0.25) is None
    assert portfolio.unassigned == coins(twd=460, btc=1.25)
    portfolio = restarted(portfolio, a, b)
    assert balance(portfolio, "b", "twd") == (40, 0)
    assert portfolio.position("b", BTC_TWD).amount == 0.75


def test_a_stopped_bots_capital_can_be_changed_whichever_accepted_figure_is_configured() -> None:
    portfolio = open_portfolio(with_capital("a", coins(twd=500)), balances=coins(twd=1000))
    shares = (with_capital("a", coins(twd=600)), with_capital("new", coins(twd=1)))
    again = Portfolio(pairs=PAIRS, shares=shares, reserve={}, currency="twd")
    again.restore(json.loads(json.dumps(portfolio.state())), starting=False)
    refusal = moved(again, "new", twd=1)
    assert refusal is not None
    assert "has not started yet" in refusal
    assert moved(again, "a", twd=100) is None
    started = restarted(again, *shares)
    assert balance(started, "new", "twd") == (1, 0)
    assert balance(started, "a", "twd") == (600, 0)


def test_a_removed_strategy_keeps_its_money_and_a_new_strategy_is_funded_from_the_remainder() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=500)), balances=coins(twd=1000, btc=1))
    again = restarted(portfolio, CapitalShare("new", (BTC_TWD,), coins(twd=300, btc=1)))
    assert balance(again, "new", "twd") == (300, 0)
    assert again.position("new", BTC_TWD).amount == 1
    assert again.unassigned == coins(twd=200, btc=0)
    assert again.equity_units(None, "twd") is None  # btc has no price yet
    again.check()
    with pytest.raises(ValueError, match="only 500 is left"):
        restarted(portfolio, CapitalShare("new", (BTC_TWD,), coins(twd=600)))
