"""Runs W2 or W3 with hftbacktest: `python run_hftbacktest.py W2|W3 ARRAYS`. The last line of output contains the
results as JSON.

A market order needs a book, but W2 has only trades. Therefore each trade is preceded by a level on each side, one tick
away.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from hftbacktest import GTC, GTX, LIMIT, MARKET, BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit

BOTH = EXCH_EVENT | LOCAL_EVENT
CASH = 10_000_000.0


def _events(kind, exchange, local, price, amount):
    """Return event rows; ``kind`` may be a single number or a column."""
    rows = np.zeros(len(price), event_dtype)
    rows["ev"], rows["exch_ts"], rows["local_ts"], rows["px"], rows["qty"] = kind, exchange, local, price, amount
    return rows


def _trades(data):
    side = np.where(data["trade_side"] > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    return _events(
        TRADE_EVENT | BOTH | side, data["trade_time"], data["trade_received"], data["trade_price"], data["trade_amount"]
    )


def trade_tape(data):
    """Return W2's events: a level one tick away on each side, then the trade. Older levels that cross a new level are
    removed.
    """
    price, exchange, local = data["trade_price"], data["trade_time"], data["trade_received"]
    n = len(price)
    rows = np.zeros((n, 3), event_dtype)
    rows["exch_ts"], rows["local_ts"] = exchange[:, None], local[:, None]
    rows["ev"][:, 0], rows["ev"][:, 1] = (DEPTH_EVENT | BOTH | side for side in (BUY_EVENT, SELL_EVENT))
    rows["px"][:, 0], rows["px"][:, 1] = price - 0.01, price + 0.01
    rows["qty"][:, :2] = 1_000.0
    rows[:, 2] = _trades(data)
    return rows


def book_tape(data):
    """Return W3's events: each book removes the levels of the previous book and adds its own levels. The trades are
    placed between the books.
    """
    exchange, local = data["book_time"], data["book_received"]
    n, depth = data["bid_price"].shape
    rows = np.zeros((n, 4, depth), event_dtype)
    rows["exch_ts"], rows["local_ts"] = exchange[:, None, None], local[:, None, None]
    for at, name, side in ((0, "bid", BUY_EVENT), (1, "ask", SELL_EVENT)):
        rows["ev"][:, [at, at + 2]] = DEPTH_EVENT | BOTH | side
        rows["px"][0, at], rows["px"][1:, at] = data[f"{name}_price"][0], data[f"{name}_price"][:-1]
        rows["px"][:, at + 2] = data[f"{name}_price"]
        rows["qty"][:, at + 2] = data[f"{name}_amount"]
    both = np.concatenate((rows.ravel(), _trades(data)))
    return both[np.argsort(both["local_ts"], kind="stable")]


@njit
def averages(backtest, prices, received):
    """Trade on W2's averages, processing each trade when it is received."""
    fast_weight, slow_weight, band = 2 / 101, 2 / 401, 0.00015
    fast = slow = prices[0]
    backtest.elapse(1)  # this call advances the clock
    side, number = 0, 0
    for row in range(1, len(prices)):
        price = prices[row]
        fast += fast_weight * (price - fast)
        slow += slow_weight * (price - slow)
        if fast - slow > band * slow:
            if side != 1:
                side = 1
                backtest.elapse(received[row] - backtest.current_timestamp)
                number += 1
                backtest.submit_buy_order(0, number, price, 0.01, GTC, MARKET, False)
        elif slow - fast > band * slow and side != -1:
            side = -1
            backtest.elapse(received[row] - backtest.current_timestamp)
            if number:
                number += 1
                backtest.submit_sell_order(0, number, price, 0.01, GTC, MARKET, False)
    backtest.elapse(received[-1] + 1_000_000_000 - backtest.current_timestamp)
    return number


@njit
def quotes(backtest, received):
    """Replace a bid and an ask on each book."""
    away, amount, tick, number = 0.0002, 0.01, 0.01, 0
    backtest.elapse(1)  # this call advances the clock
    for row in range(len(received)):
        backtest.elapse(received[row] - backtest.current_timestamp)
        depth = backtest.depth(0)
        middle = (depth.best_bid + depth.best_ask) / 2
        for order in (number - 1, number):
            if order > 0:
                backtest.cancel(0, order, False)
        backtest.clear_inactive_orders(0)
        number += 2
        bid, ask = np.floor(middle * (1 - away) / tick) * tick, np.ceil(middle * (1 + away) / tick) * tick
        backtest.submit_buy_order(0, number - 1, bid, amount, GTX, LIMIT, False)
        backtest.submit_sell_order(0, number, ask, amount, GTX, LIMIT, False)
    backtest.elapse(1_000_000_000)
    return number


def main(workload, arrays):
    """Run the workload."""
    with np.load(arrays) as data:
        data = dict(data)
    events = trade_tape(data) if workload == "W2" else book_tape(data)
    latency = 100_000_000 if workload == "W2" else 50_000_000
    asset = (
        BacktestAsset()
        .data(events.ravel())
        .linear_asset(1.0)
        .constant_order_latency(latency, latency)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.00005, 0.00005)
        .tick_size(0.01)
        .lot_size(0.0001)
    )
    backtest = HashMapMarketDepthBacktest([asset])
    wall, cpu = time.perf_counter(), time.process_time()
    if workload == "W2":
        orders = averages(backtest, data["trade_price"], data["trade_received"])
    else:
        orders = quotes(backtest, data["book_received"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    state = backtest.state_values(0)
    last = float(data["trade_price"][-1])
    coins = float(state.position) + (100 if workload == "W3" else 0)
    found = {
        "version": version("hftbacktest"),
        "run_s": wall,
        "run_cpu_s": cpu,
        "orders": int(orders),
        "fills": int(state.num_trades),
        "final_equity": CASH + float(state.balance) + coins * last - float(state.fee),
    }
    print(json.dumps(found))


main(*sys.argv[1:3])
