"""Positions: average cost in exact integers, dust, and sellable amounts."""

from __future__ import annotations

from decimal import Decimal

from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.money.positions import Position
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from tests.portfolio_cases import BTC_TWD, BTC_USDT, COIN, coins, execution, make_order, open_portfolio


def trade(portfolio: Portfolio, side: Side, price: float, amount: float, fee: int = 0, pair: Pair = BTC_TWD) -> None:
    order = make_order("a", pair, side, price=price, amount=amount)
    assert portfolio.lock(order) is None
    portfolio.fill(order, execution(order, price=price, amount=amount, fee=fee), 1)


def start(**balances: float) -> tuple[Portfolio, Position]:
    owned = coins(**balances)
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD, BTC_USDT), owned), balances=owned)
    return portfolio, portfolio.position("a", BTC_TWD)


def test_two_purchases_average_their_cost_and_a_sale_realises_profit() -> None:
    portfolio, position = start(twd=10_000)
    trade(portfolio, Side.BUY, 100, 1)
    trade(portfolio, Side.BUY, 200, 3)
    assert (position.amount, position.average_entry, position.realised) == (4, 175, 0)
    trade(portfolio, Side.SELL, 300, 1, fee=2 * COIN)
    assert (position.amount, position.average_entry, position.realised) == (3, 175, 123)
    portfolio.mark(BTC_TWD, 165)
    assert position.unrealised == -30
    trade(portfolio, Side.SELL, 165, 3)
    assert (position.amount, position.average_entry, position.unrealised, position.realised) == (0, 0, 0, 93)


def test_a_fee_deducted_in_coins_raises_the_average_entry_price() -> None:
    portfolio, position = start(twd=10_000)
    trade(portfolio, Side.BUY, 100, 1, fee=COIN // 5)
    assert (position.amount, position.average_entry) == (0.8, 125)


def test_opening_coins_are_valued_at_the_first_price_and_booked_to_the_first_listed_pair() -> None:
    portfolio, position = start(twd=1000, btc=2)
    assert portfolio.position("a", BTC_USDT).amount == 0
    assert (position.amount, position.average_entry, position.unrealised) == (2, 0, 0)
    portfolio.mark(BTC_TWD, 500)
    portfolio.mark(BTC_TWD, 600)
    assert (position.average_entry, position.unrealised) == (500, 200)


def test_opening_coins_sold_before_the_first_price_are_valued_at_their_proceeds() -> None:
    portfolio, position = start(btc=2)
    trade(portfolio, Side.SELL, 500, 1)
    assert (position.realised, position.average_entry) == (0, 500)


def test_coins_bought_in_one_pair_and_sold_in_another_create_a_short_position() -> None:
    portfolio, position = start(twd=1000)
    trade(portfolio, Side.BUY, 100, 2)
    trade(portfolio, Side.SELL, 4, 2, pair=BTC_USDT)
    other = portfolio.position("a", BTC_USDT)
    assert (position.amount, other.amount, other.average_entry, other.sellable) == (2, -2, 4, 0)
    assert not other.is_flat
    trade(portfolio, Side.BUY, 3, 1, pair=BTC_USDT)
    assert (other.amount, other.realised) == (-1, 1)


def test_a_fill_that_crosses_zero_closes_one_side_and_opens_the_other() -> None:
    _, position = start(twd=1000)
    position.apply(2 * COIN, -200 * COIN)
    position.apply(-5 * COIN, 600 * COIN)
    assert (position.amount, position.realised, position.average_entry) == (-3, 40, 120)
    position.apply(4 * COIN, -400 * COIN)
    assert (position.amount, position.realised, position.average_entry) == (1, 100, 100)


def test_locked_coins_remain_in_the_position_but_are_not_sellable() -> None:
    portfolio, position = start(btc=2)
    order = make_order("a", BTC_TWD, Side.SELL, price=500, amount=1.5)
    portfolio.lock(order)
    assert (position.amount, position.sellable) == (2, 0.5)
    portfolio.release(order)
    assert position.sellable == 2


def test_the_sellable_amount_is_capped_by_the_balance() -> None:
    portfolio, position = start(btc=2)
    trade(portfolio, Side.SELL, 4, 1.5, pair=BTC_USDT)  # sold in the other pair
    assert (position.amount, position.sellable) == (2, 0.5)


def test_a_position_below_the_minimum_order_size_is_dust() -> None:
    portfolio, position = start(twd=1000)
    assert position.is_flat
    trade(portfolio, Side.BUY, 100, 0.0001, fee=1)
    assert position.amount == 0.00009999
    assert position.is_flat
    assert position.sellable == 0
    trade(portfolio, Side.BUY, 100, 0.0001)
    assert not position.is_flat
    assert position.sellable == 0.00019999


def test_a_fully_locked_position_is_not_flat() -> None:
    portfolio, position = start(btc=1)
    portfolio.lock(make_order("a", BTC_TWD, Side.SELL, price=500, amount=1))
    assert (position.sellable, position.is_flat) == (0, False)


def test_exact_position_figures_are_the_decimal_equivalents_of_the_float_figures() -> None:
    portfolio, position = start(twd=1000)
    trade(portfolio, Side.BUY, 100, 0.3, fee=1)
    portfolio.mark(BTC_TWD, 110)
    exact = position.exact
    assert exact.amount == exact.sellable == Decimal("0.29999999")
    assert exact.average_entry == Decimal(30) / Decimal("0.29999999")
    assert exact.unrealised == Decimal("2.9999989")
    assert exact.realised == 0
