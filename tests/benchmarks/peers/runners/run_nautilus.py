"""Runs W1, W2 or W3 with nautilus_trader: `python run_nautilus.py W1|W2|W3 ARRAYS`. The last line of output contains
the results as JSON.
"""

import json
import sys
import time
from decimal import Decimal
from importlib.metadata import version

import numpy as np
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType, BookOrder, OrderBookDepth10
from nautilus_trader.model.enums import AccountType, BookType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler, TradeTickDataWrangler
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("SIM")
FEE = Decimal("0.00005")
BTCUSDT = CurrencyPair(
    instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
    raw_symbol=Symbol("BTCUSDT"),
    base_currency=BTC,
    quote_currency=USDT,
    price_precision=2,
    size_precision=8,
    price_increment=Price.from_str("0.01"),
    size_increment=Quantity.from_str("0.00000001"),
    ts_event=0,
    ts_init=0,
    maker_fee=FEE,
    taker_fee=FEE,
)
BARS = BarType.from_str("BTCUSDT.SIM-1-MINUTE-LAST-EXTERNAL")


class Counting(Strategy):
    """Counts its own fills, and sends market orders for a fixed amount."""

    def __init__(self, amount):
        super().__init__()
        self.amount = Quantity(float(amount), 8)
        self.fills = self.orders_sent = 0
        self.last = 0.0

    def on_order_filled(self, event):
        """Count the fill."""
        self.fills += 1

    def market(self, side):
        """Send a market order."""
        self.orders_sent += 1
        self.submit_order(self.order_factory.market(BTCUSDT.id, side, self.amount))


class Cross(Counting):
    """Holds one coin while a fast moving average is above a slow one."""

    def on_start(self):
        """Subscribe."""
        from nautilus_trader.indicators import SimpleMovingAverage

        self.fast, self.slow = SimpleMovingAverage(10), SimpleMovingAverage(30)
        self.before, self.holds = None, False
        self.register_indicator_for_bars(BARS, self.fast)
        self.register_indicator_for_bars(BARS, self.slow)
        self.subscribe_bars(BARS)

    def on_bar(self, bar):
        """Trade when the averages cross."""
        self.last = bar.close.as_double()
        if not self.slow.initialized:
            return
        before, now = self.before, self.fast.value - self.slow.value
        self.before = now
        if before is None:
            return
        if before <= 0 < now and not self.holds:
            self.market(OrderSide.BUY)
            self.holds = True
        elif before >= 0 > now and self.holds:
            self.market(OrderSide.SELL)
            self.holds = False


class Averages(Counting):
    """Trades on W2's averages."""

    def on_start(self):
        """Subscribe."""
        self.fast = self.slow = 0.0
        self.side = 0
        self.subscribe_trade_ticks(BTCUSDT.id)

    def on_trade_tick(self, tick):
        """Trade when the averages are far enough apart."""
        price = self.last = tick.price.as_double()
        slow = self.slow
        if not slow:
            self.fast = self.slow = price
            return
        fast = self.fast = self.fast + 2 / 101 * (price - self.fast)
        slow = self.slow = slow + 2 / 401 * (price - slow)
        if fast - slow > 0.00015 * slow:
            if self.side != 1:
                self.side = 1
                self.market(OrderSide.BUY)
        elif slow - fast > 0.00015 * slow and self.side != -1:
            self.side = -1
            if self.orders_sent:
                self.market(OrderSide.SELL)


class Quotes(Counting):
    """Replaces a bid and an ask on each book."""

    def on_start(self):
        """Subscribe."""
        self.subscribe_order_book_depth(BTCUSDT.id)

    def on_order_book_depth(self, depth):
        """Cancel all resting orders and quote again."""
        self.last = middle = (depth.bids[0].price.as_double() + depth.asks[0].price.as_double()) / 2
        self.cancel_all_orders(BTCUSDT.id)
        for side, price in ((OrderSide.BUY, middle * 0.9998), (OrderSide.SELL, middle * 1.0002)):
            self.orders_sent += 1
            self.submit_order(
                self.order_factory.limit(BTCUSDT.id, side, self.amount, Price(round(price, 2), 2), post_only=True)
            )


def trade_ticks(data):
    """Return the trades."""
    frame = pd.DataFrame(
        {
            "price": data["trade_price"],
            "quantity": data["trade_amount"],
            "buyer_maker": data["trade_side"] < 0,
            "trade_id": np.arange(len(data["trade_price"])).astype(str),
        },
        index=pd.to_datetime(data["trade_received"], utc=True),
    )
    return TradeTickDataWrangler(BTCUSDT).process(frame)


def bars(data):
    """Return the candles, each available when it ends."""
    columns = {name: data[name] for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.to_datetime(data["time"] + 60_000_000_000, utc=True))
    return BarDataWrangler(BARS, BTCUSDT).process(frame)


def depths(data):
    """Return the books."""
    empty = BookOrder(OrderSide.NO_ORDER_SIDE, Price(0, 2), Quantity(0, 8), 0)
    rows, columns = [], {name: data[name].tolist() for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")}
    for row, received in enumerate(data["book_received"].tolist()):
        sides, counts = [], []
        for side, name in ((OrderSide.BUY, "bid"), (OrderSide.SELL, "ask")):
            levels = zip(columns[f"{name}_price"][row], columns[f"{name}_amount"][row], strict=True)
            orders = [BookOrder(side, Price(p, 2), Quantity(a, 8), 0) for p, a in levels]
            counts.append([1] * len(orders) + [0] * (10 - len(orders)))
            sides.append(orders + [empty] * (10 - len(orders)))
        rows.append(
            OrderBookDepth10(
                instrument_id=BTCUSDT.id, bids=sides[0], asks=sides[1], bid_counts=counts[0], ask_counts=counts[1],
                flags=0, sequence=row, ts_event=received, ts_init=received,
            )
        )  # fmt: skip
    return rows


def main(workload, arrays):
    """Run the workload."""
    with np.load(arrays) as loaded:
        data = dict(loaded)
    config = BacktestEngineConfig(
        logging=LoggingConfig(bypass_logging=True), risk_engine=RiskEngineConfig(bypass=True), run_analysis=False
    )
    engine = BacktestEngine(config=config)
    latency = 50_000_000 if workload == "W3" else 100_000_000
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(10_000_000, USDT), Money(100, BTC)],
        latency_model=LatencyModel(base_latency_nanos=latency),
        book_type=BookType.L2_MBP if workload == "W3" else BookType.L1_MBP,
        bar_execution=True,
        trade_execution=True,
    )
    engine.add_instrument(BTCUSDT)
    if workload == "W1":
        engine.add_data(bars(data))
    else:
        engine.add_data(trade_ticks(data))
    if workload == "W3":
        engine.add_data(depths(data))
    strategy = {"W1": lambda: Cross("1"), "W2": lambda: Averages("0.01"), "W3": lambda: Quotes("0.01")}[workload]()
    engine.add_strategy(strategy)
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    account = engine.portfolio.account(VENUE)
    money, coins = (account.balance_total(currency).as_double() for currency in (USDT, BTC))
    print(
        json.dumps(
            {
                "version": version("nautilus_trader"),
                "run_s": wall,
                "run_cpu_s": cpu,
                "orders": strategy.orders_sent,
                "fills": strategy.fills,
                "final_equity": money + (coins if workload == "W3" else coins - 100) * strategy.last,
            }
        )
    )


main(*sys.argv[1:3])
