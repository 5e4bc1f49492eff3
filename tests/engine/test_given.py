"""Coins assigned to a strategy: how they appear to the strategy, how many of them `close` sells, and where flattening
stops.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.model.inputs import Begin, Flatten, Halt, History, MoveCapital, Restore, Stop
from botkit.model.orders import Order, Side
from botkit.model.requests import CreateBatch, CreateOrder
from tests.engine_world import BTC, BTC_LOTS, UNIT, Bot, Listener
from tests.portfolio_cases import BTC_TWD, BTC_USDT, COIN, PAIRS, USDT_TWD, coins, execution, make_order, open_portfolio

ACCOUNT = {"twd": 10_000 * UNIT, "btc": 5 * UNIT}
GIVEN = {"twd": 10_000 * UNIT, "btc": 2 * UNIT}


def trading(capital: dict[str, int] | int | None, strategies: int = 1) -> Bot:
    """Return a bot with a price and a book. Its account holds more coins than are assigned to its strategies."""
    b = Bot(
        *(Listener(start=lambda s: s.subscribe_book(BTC, 5)) for _ in range(strategies)),
        balances=ACCOUNT,
        capital=[capital] * strategies,
        start=False,
    )
    b.tell(Restore(balances=ACCOUNT))
    b.tell(Begin())
    b.tell(History())
    b.trade(1000)
    b.book([(999, 100 * BTC_LOTS)], [(1001, 100 * BTC_LOTS)])
    return b


def asked(b: Bot) -> list[Order]:
    """Return the sent orders."""
    found: list[Order] = []
    for request in b.requests:
        if isinstance(request, CreateOrder):
            found.append(request.order)
        elif isinstance(request, CreateBatch):
            found += request.orders
    return found


def test_account_coins_not_given_to_a_strategy_are_unassigned() -> None:
    b = trading(None)
    position = b.s.position(BTC)
    assert (position.amount, position.given, position.sellable) == (0, 0, 0)
    assert b.s.balance("btc").total == 0
    assert b.s.close(BTC).is_refused
    refused = b.s.market_sell(BTC, amount=1)
    assert refused.reason == "needs 1 btc, 0 available; 5 btc of the account belongs to no strategy"
    assert b.portfolio.unassigned["btc"] == 5 * UNIT
    assert not asked(b)


def test_close_sells_only_the_coins_that_the_strategy_owns() -> None:
    b = trading(GIVEN)
    assert (b.s.position(BTC).amount, b.s.position(BTC).given) == (2, 2)
    b.s.close(BTC)
    b.end_turn()
    [order] = asked(b)
    assert (order.side, order.amount_lots) == (Side.SELL, 2 * BTC_LOTS)
    assert b.portfolio.unassigned["btc"] == 3 * UNIT


def test_capital_moves_change_the_given_coins_but_trades_do_not() -> None:
    b = trading(GIVEN)
    bought = b.s.market_buy(BTC, spend=3003)
    b.end_turn()
    b.execute(bought, 3 * BTC_LOTS, 1001)
    b.push(bought, 2, executed=3 * BTC_LOTS)
    assert (b.s.position(BTC).amount, b.s.position(BTC).given) == (5, 2)
    b.tell(MoveCapital("s0", {"btc": UNIT}))
    assert (b.s.position(BTC).amount, b.s.position(BTC).given) == (6, 3)
    b.tell(MoveCapital("s0", {"btc": -4 * UNIT}))
    position = b.s.position(BTC)
    assert (position.amount, position.given, position.exact.given) == (2, 0, Decimal(0)), "never below 0"
    b.tell(MoveCapital("s0", {"btc": 4 * UNIT}))
    assert b.s.position(BTC).given == 3, "but coins taken beyond that are still counted"


@pytest.mark.parametrize(("bought", "side", "lots"), [(3, Side.SELL, 3), (-1, Side.BUY, 1)])
def test_flattening_restores_the_given_coin_amount(bought: int, side: Side, lots: int) -> None:
    b = trading(GIVEN)
    if bought > 0:
        order = b.s.market_buy(BTC, spend=1001 * bought)
    else:
        order = b.s.market_sell(BTC, amount=-bought)
    b.end_turn()
    b.execute(order, abs(bought) * BTC_LOTS, 1000)
    b.push(order, 2, executed=abs(bought) * BTC_LOTS)
    b.requests.clear()
    b.tell(Stop(withdraws=True))
    b.tell(Flatten("s0"))
    [back] = asked(b)
    assert (back.side, back.tag) == (side, "flatten")
    assert (back.amount_lots if side is Side.SELL else back.spend_units // (1001 * 10**8) * BTC_LOTS) == lots * BTC_LOTS
    assert b.s.market_buy(BTC, spend=1001).reason == "the bot is being stopped"


def test_flattening_does_nothing_if_the_strategy_holds_exactly_its_given_coins() -> None:
    b = trading(GIVEN)
    b.tell(Stop(withdraws=True))
    b.tell(Flatten("s0"))
    assert not asked(b)


def test_flattening_does_not_buy_back_coins_while_the_bot_is_halted() -> None:
    b = trading(GIVEN)
    order = b.s.market_sell(BTC, amount=1)
    b.end_turn()
    b.execute(order, BTC_LOTS, 1000)
    b.push(order, 2, executed=BTC_LOTS)
    b.tell(Halt("too much lost"))
    b.requests.clear()
    b.tell(Stop(withdraws=True))
    b.tell(Flatten("s0"))
    assert not asked(b)
    assert b.reply is not None
    assert b.reply.value == ("the bot is halted: too much lost",)


def test_a_coin_bought_in_one_pair_and_sold_in_another_leaves_no_surplus() -> None:
    owned = coins(twd=10_000, btc=1)
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD, BTC_USDT), owned), balances=owned)
    for pair, side, amount in ((BTC_TWD, Side.BUY, 3.0), (BTC_USDT, Side.SELL, 2.0)):
        order = make_order("a", pair, side, price=100, amount=amount)
        assert portfolio.lock(order) is None
        portfolio.fill(order, execution(order, price=100, amount=amount), 0)
    [(position, units)] = portfolio.ownership.surplus("a")
    assert (position.pair, units) == (BTC_TWD, COIN)


# -- opening, restarts and costs --------------------------------------------------------------------------------------


def restarted(portfolio: Portfolio, state: Any = None) -> Portfolio:
    again = Portfolio(pairs=PAIRS, shares=portfolio.shares, reserve=portfolio.reserve, currency="twd")
    again.restore(json.loads(json.dumps(portfolio.state() if state is None else state)))
    return again


def test_the_pool_contains_only_the_quote_currency_of_each_strategys_first_pair() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, BTC_USDT)),
        CapitalShare("b", (USDT_TWD,)),
        balances=coins(twd=100, usdt=50, btc=1),
    )
    assert portfolio.pooled == ("twd",)
    assert portfolio.unassigned == coins(twd=0, usdt=50, btc=1)
    assert portfolio.position("b", USDT_TWD).amount == 0


def test_pooled_money_is_not_treated_as_a_strategys_coins() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_USDT,)), CapitalShare("b", (USDT_TWD,)), balances=coins(twd=100, usdt=50)
    )
    assert portfolio.balance("b", "usdt").available == 50
    assert portfolio.position("b", USDT_TWD).sellable == 0, "closing its position must not sell a's money"


def test_a_strategy_without_pairs_uses_the_bots_valuation_currency() -> None:
    portfolio = open_portfolio(CapitalShare("a"), balances=coins(twd=100, usdt=50))
    assert portfolio.unassigned == coins(twd=0, usdt=50)


def test_given_coins_survive_restarts() -> None:
    owned = coins(twd=100, btc=2)
    portfolio = restarted(open_portfolio(CapitalShare("a", (BTC_TWD,), owned), balances=coins(twd=100, btc=3)))
    assert portfolio.position("a", BTC_TWD).given == 2
    portfolio.transfers.move("a", coins(btc=-0.5))
    assert restarted(portfolio).position("a", BTC_TWD).given == 1.5


def test_given_coins_in_state_saved_by_older_versions_are_never_treated_as_a_surplus() -> None:
    fixed = CapitalShare("fixed", (BTC_TWD, BTC_USDT), coins(twd=100, btc=1))
    portfolio = open_portfolio(fixed, CapitalShare("pool", (BTC_TWD,)), balances=coins(twd=300, btc=3))
    portfolio.transfers.move("pool", coins(btc=2))
    order = make_order("fixed", BTC_TWD, Side.BUY, price=10, amount=4)
    portfolio.lock(order)
    portfolio.fill(order, execution(order, price=10, amount=4), 0)
    state = portfolio.state()
    state["positions"] = {
        name: {pair: figures[:5] for pair, figures in own.items()} for name, own in state["positions"].items()
    }
    again = restarted(portfolio, state)
    assert again.position("fixed", BTC_TWD).given == 1, "the record of capital has the figure"
    assert again.position("pool", BTC_TWD).given == 2, "a pool has no record of it, so its whole holding counts"


@pytest.mark.parametrize("is_running", [True, False])
def test_the_specified_cost_of_added_coins_becomes_their_average_cost_and_no_profit_is_booked(is_running: bool) -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=100)), balances=coins(twd=100, btc=2))
    portfolio.days.watch("a", "twd")
    if is_running:
        portfolio.mark(BTC_TWD, 1000)
    portfolio.transfers.move("a", coins(btc=2), 400 * COIN)
    portfolio.mark(BTC_TWD, 1000)
    position = portfolio.position("a", BTC_TWD)
    assert (position.average_entry, position.unrealised, position.given) == (400, 1200, 2)
    assert portfolio.days.pnl_units("a", "twd") == 0


def test_coins_added_without_a_cost_are_valued_at_the_current_price() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=100)), balances=coins(twd=100, btc=2))
    portfolio.mark(BTC_TWD, 1000)
    portfolio.transfers.move("a", coins(btc=2))
    assert portfolio.position("a", BTC_TWD).average_entry == 1000


@pytest.mark.parametrize(
    ("moved", "told"),
    [(coins(twd=1), "omit the cost"), (coins(btc=1, usdt=1), "btc and usdt were given; add them one at a time")],
)
def test_a_cost_is_refused_unless_exactly_one_coin_is_added(moved: dict[str, int], told: str) -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD, USDT_TWD), coins(twd=50)), balances=coins(twd=100, btc=2, usdt=9)
    )
    assert told in str(portfolio.transfers.wrong_cost("a", moved))


# -- reports ------------------------------------------------------------------------------------------------------


def test_the_report_lists_each_strategys_coins_and_the_unassigned_coins() -> None:
    portfolio = open_portfolio(
        CapitalShare("a", (BTC_TWD,), coins(twd=100)),
        CapitalShare("b", (BTC_TWD,)),
        CapitalShare("c", (BTC_TWD,)),
        balances=coins(twd=500, btc=2, usdt=9),
        reserve=coins(btc=0.5),
    )
    shown = portfolio.ownership.shown(coins(btc=0.25))
    assert shown.sentence() == (
        "a owns 100 twd; b and c share 400 twd; not used: 1.25 btc, 9 usdt (owned by no strategy); "
        "0.5 btc (reserve); 0.25 btc (owned by other bots)"
    )
    assert shown.remedy(None) == 'to assign coins, add `capital: {btc: "1.25", twd: "100"}` to a'
    assert shown.remedy("x.yaml") == ("assign coins with `botkit capital add x.yaml a btc=1.25 --cost PRICE`")


def test_a_currency_partly_given_to_a_strategy_is_not_offered_for_assignment_again() -> None:
    portfolio = open_portfolio(CapitalShare("a", (BTC_TWD,), coins(twd=9, btc=1)), balances=coins(twd=9, btc=3, usdt=4))
    shown = portfolio.ownership.shown({})
    assert shown.left == coins(btc=2, usdt=4)
    assert shown.remedy(None) == ""
