"""Pairs, orders and executions for portfolio and risk rule tests. The numbers are small enough for mental
arithmetic.
"""

from __future__ import annotations

import itertools

from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.model.events import TradeReport
from botkit.model.orders import Order, OrderSpec, OrderType, Side
from botkit.model.pairs import Pair, PairRules

COIN = 10**8


def make_pair(name: str, *, price_decimals: int, amount_decimals: int = 8, least: str = "0.0001") -> Pair:
    least_lots = round(float(least) * 10**amount_decimals)
    return Pair(
        name,
        PairRules(
            price_decimals=price_decimals,
            amount_decimals=amount_decimals,
            display_decimals=4,
            least_lots=least_lots,
            most_lots=10**16,
            least_spend_units=190 * COIN,
            open_orders_max=200,
        ),
    )


BTC_TWD = make_pair("btc_twd", price_decimals=0)
ETH_TWD = make_pair("eth_twd", price_decimals=1)
USDT_TWD = make_pair("usdt_twd", price_decimals=3, amount_decimals=4, least="1")
BTC_USDT = make_pair("btc_usdt", price_decimals=2)
BITO_TWD = make_pair("bito_twd", price_decimals=4, least="1")
ETH_BTC = make_pair("eth_btc", price_decimals=8)
PAIRS: dict[str, Pair] = {str(p): p for p in (BTC_TWD, ETH_TWD, USDT_TWD, BTC_USDT, BITO_TWD)}

_ids = itertools.count(1)


def make_order(
    strategy: str,
    pair: Pair,
    side: Side,
    *,
    price: float = 0.0,
    amount: float = 0.0,
    spend: float = 0.0,
    created: int = 0,
    reduces: bool = False,
    stop: float = 0.0,
) -> Order:
    """Return a limit order, or a market order if no price is given."""
    rules = pair.rules
    return Order(
        OrderSpec(
            client_id=next(_ids),
            strategy=strategy,
            pair=pair,
            side=side,
            type=OrderType.STOP_LIMIT if stop else OrderType.LIMIT if price else OrderType.MARKET,
            created=created,
            price_ticks=rules.ticks(price, up=False) if price else 0,
            stop_ticks=rules.ticks(stop, up=False) if stop else 0,
            amount_lots=rules.lots(amount) if amount else 0,
            spend_units=rules.spend_units(spend) if spend else 0,
            reduces=reduces,
        )
    )


def execution(
    order: Order, *, price: float, amount: float, fee: int = 0, fee_currency: str = "", time: int = 0
) -> TradeReport:
    """Return an execution. ``fee`` is in units; by default, its currency is the one that the order receives."""
    pair = order.pair
    return TradeReport(
        pair=pair,
        order_id="1",
        trade_id=str(next(_ids)),
        side=order.side,
        price_ticks=pair.rules.ticks(price, up=False),
        lots=pair.rules.lots(amount),
        fee_units=fee,
        fee_currency=fee_currency or (pair.base if order.side is Side.BUY else pair.quote),
        is_maker=False,
        time=time,
    )


def coins(**amounts: float) -> dict[str, int]:
    """Return units by currency: ``coins(twd=100)``."""
    return {currency: round(amount * COIN) for currency, amount in amounts.items()}


def open_portfolio(
    *shares: CapitalShare,
    balances: dict[str, int],
    reserve: dict[str, int] | None = None,
    pairs: dict[str, Pair] | None = None,
    currency: str = "twd",
) -> Portfolio:
    portfolio = Portfolio(pairs=pairs or PAIRS, shares=shares, reserve=reserve or {}, currency=currency)
    portfolio.open(balances)
    return portfolio
