"""Generates markets with known properties, and strategies that are known to be good, or to be bad for a known
reason.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MS, NS_PER_S
from botkit.model.columns import BookColumns, TradeColumns
from botkit.tape.writer import TapeWriter
from tests.backtest_world import write_config, write_strategy

DAY_MS = 86_400_000
START_MS = 1_609_459_200_000  # 2021-01-01
#: daily volatility
SIGMA = 0.03

#: holds a position if the price closed higher on the last day; on a market with momentum, the Sharpe ratio is about 3
FOLLOW = """
pair: Pair

def on_start(self):
    self.bars = self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    up = bar.close > bar.open
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: applies this rule to tomorrow's bar, which the strategy reads from the tape's file
PEEKING = """
pair: Pair
tape: str = ""

def on_start(self):
    self.subscribe_bars(self.pair, "1d")
    lines = Path(self.tape).read_text().splitlines()[1:]
    self.up = {int(line.split(",")[0]): float(line.split(",")[4]) > float(line.split(",")[1]) for line in lines}

def on_bar(self, bar):
    up = self.up.get(bar.time // 1_000_000 + 86_400_000, False)
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: applies this rule to tomorrow's bar in memory: the strategy searches the process for an array of the complete tape
SEEING = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1d")
    self.whole = None

def on_bar(self, bar):
    if self.whole is None or self.whole.close[self.whole.time.searchsorted(bar.time)] != bar.close:
        self.whole = self.tape_in_memory(bar)
    rows = self.whole
    at = int(rows.time.searchsorted(bar.time)) + 1
    up = at < len(rows) and rows.close[at] > rows.open[at]
    if up and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not up and self.position(self.pair).sellable:
        self.close(self.pair)

def tape_in_memory(self, bar):
    import gc

    from botkit.model.columns import CandleColumns

    gc.collect()  # tapes of earlier runs
    alive = [thing for thing in gc.get_objects() if isinstance(thing, CandleColumns)]
    at = [(rows, int(rows.time.searchsorted(bar.time))) for rows in alive]
    alike = [rows for rows, row in at if row < len(rows) and rows.close[row] == bar.close]
    # the youngest is probably the one being read: the doctor keeps the recorded tape beside the one with another future
    return [rows for rows in alike if len(rows) == max(map(len, alike))][-1]
"""

#: bids every day, and peeks at tomorrow's bar only to decide whether to cancel the bid
SEEING_TO_CANCEL = SEEING.replace(
    SEEING[SEEING.index("    if up and") : SEEING.index("def tape_in_memory")],
    """    for order in self.open_orders(self.pair):
        self.cancel(order)
    if self.position(self.pair).sellable:
        self.close(self.pair)
    bid = self.buy(self.pair, price=bar.close * 0.995, amount=0.01)
    if not up:
        self.cancel(bid)

""",
)

#: buys, and offers what was bought at once for a little more than it paid
OFFERING = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    for order in self.open_orders(self.pair):
        self.cancel(order)
    if self.position(self.pair).sellable:
        self.close(self.pair)
    else:
        self.market_buy(self.pair, spend=100_000)

def on_fill(self, fill):
    if self.position(self.pair).sellable and not self.open_orders():
        self.sell(self.pair, price=fill.price * 1.02, amount=self.position(self.pair).sellable)
"""

#: buys before the single day on which the price triples, and otherwise makes small random trades
LUCKY = """
pair: Pair
seed: int = 0

def on_start(self):
    self.subscribe_bars(self.pair, "1d")
    self.days = 0

def on_bar(self, bar):
    self.days += 1
    whole = 300 <= self.days < 310
    if self.position(self.pair).is_flat:
        if whole or self.random.random() < 0.5:
            share = 0.95 if whole else 0.02
            self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * share)
    elif not whole and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: trades every day for no reason
BUSY = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    if self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    else:
        self.close(self.pair)
"""


#: sends seventy unnecessary orders each day
STORMY = FOLLOW.replace(
    "    up = ",
    """    for order in self.open_orders(self.pair):
        self.cancel(order)
    for _ in range(70):
        self.buy(self.pair, price=bar.close * 0.5, amount=0.0001)
    up = """,
)

#: holds a position on some days of a cycle, whose length equals the number of weights
CYCLE = """
pair: Pair
weights: list[float] = []

def on_start(self):
    self.bars = self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    day = bar.time // 86_400_000_000_000 + 1
    wants = self.weights[day % len(self.weights)] > 0
    if wants and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not wants and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: holds a position while a weighted sum of recent daily returns is above 0
LAGS = """
pair: Pair
weights: list[float] = []

def on_start(self):
    self.bars = self.subscribe_bars(self.pair, "1d")

def on_bar(self, bar):
    if len(self.bars.close) <= len(self.weights):
        return
    closes = self.bars.close[-len(self.weights) - 1 :]
    wants = sum(w * (b / a - 1) for w, a, b in zip(self.weights, closes, closes[1:])) > 0
    if wants and self.position(self.pair).is_flat:
        self.market_buy(self.pair, spend=self.balance(self.pair.quote).available * 0.95)
    elif not wants and self.position(self.pair).sellable:
        self.close(self.pair)
"""

#: buys when a trade shows that the price has moved away from the last received book, and sells at the next book
STALE = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair, depth=5)
    self.subscribe_trades(self.pair)

def on_trade(self, trade):
    book = self.book(self.pair)
    if trade.price > book.best_ask * 1.001 and self.position(self.pair).is_flat and not self.open_orders():
        self.market_buy(self.pair, spend=100_000)

def on_book(self, book):
    if self.position(self.pair).sellable and not self.open_orders():
        self.close(self.pair)
"""

#: buys when a taker buys, because a taker's buy moves the price shortly afterwards, and sells minutes later
QUICK = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair, depth=5)
    self.subscribe_trades(self.pair)
    self.seen = 0

def on_trade(self, trade):
    if trade.side is Side.BUY and self.position(self.pair).is_flat and not self.open_orders():
        self.seen = self.now
        self.market_buy(self.pair, spend=100_000)

def on_book(self, book):
    if self.now > self.seen + 300 * 10**9 and self.position(self.pair).sellable and not self.open_orders():
        self.close(self.pair)
"""


#: quotes both sides, slightly closer to the mid price than the other quotes on the exchange
QUOTING = """
pair: Pair

def on_start(self):
    self.subscribe_book(self.pair, depth=5)

def on_book(self, book):
    middle = self.book(self.pair, own=False).mid
    self.quote(self.pair, bids=[(middle * 0.9997, 0.1)], asks=[(middle * 1.0003, 0.1)])
"""


def closes(
    seed: int, days: int, *, momentum: float = 0.0, treble_on: int | None = None, drift: float = 0.0
) -> list[float]:
    """Return daily closes. ``momentum`` is the fraction of one day's move that is repeated on the next day."""
    random = Random(seed)
    price, last, found = 1_000_000.0, 0.0, []
    for day in range(days):
        last = momentum * last + random.gauss(drift, SIGMA)
        price *= math.exp(last + (math.log(3) if day == treble_on else 0.0))
        found.append(price)
    return found


def planted(
    folder: Path,
    body: str,
    prices: list[float],
    *,
    params: str = "",
    taker: str = "0.0005",
    slippage: str = "0.0002",
    seed: int = 0,
    more: str = "",
) -> Path:
    """Write the configuration for a strategy that trades daily candles with these closes."""
    folder.mkdir(parents=True, exist_ok=True)
    tape = folder / "candles.csv"
    rows, before = ["timestamp,open,high,low,close,volume"], prices[0]
    for day, close in enumerate(prices):
        high, low = max(before, close) * 1.001, min(before, close) * 0.999
        rows.append(f"{START_MS + DAY_MS * day},{before:.0f},{high:.0f},{low:.0f},{close:.0f},100000")
        before = close
    tape.write_text("\n".join(rows) + "\n")
    return _written(
        folder,
        body,
        f"[{{path: {tape}, pair: btc_twd, kind: candles, resolution: 1d}}]",
        params.replace("TAPE", str(tape)),
        f'  fees: {{maker: "{taker}", taker: "{taker}"}}\n  slippage: "{slippage}"\n'
        "  latency: {order_ms: 100, answer_ms: 100}\n",
        f"seed: {seed}\n{more}",
    )


def planted_on_books(folder: Path, body: str, seed: int, *, days: int, delay_ms: int, sweeps: bool) -> Path:
    """Write the configuration for a strategy that uses books and trades. A trade occurs every half hour, and the next
    book follows ``delay_ms`` later. The price then stays constant for ten minutes. If the trade ``sweeps``, its price
    is the new price.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random, pair = Random(seed), packaged_pairs()["btc_twd"]
    books, trades, middle = [], [], 1_000_000.0
    for moment in range(days * 48):
        at = START_MS * NS_PER_MS + moment * 1_800 * NS_PER_S
        up = random.choice([1, -1])
        later = middle * (1 + 0.006 * up)
        # a buying taker takes all asks up to the new price, and a selling taker takes all bids down to it
        trades.append((at, round(later if sweeps else middle * (1 + 0.0005 * up)), 1_000_000, up))
        books += [(at - NS_PER_S, middle), (at + delay_ms * NS_PER_MS, later), (at + 600 * NS_PER_S, later * 1.0001)]
        # most of the move reverts before the next trade
        middle = later * math.exp(random.gauss(-0.005 * up, 0.001))
    levels = np.array([0.0005, 0.001, 0.002, 0.004, 0.02])
    middles = np.array([price for _, price in books])[:, None]
    times = np.array([at for at, _ in books], dtype=np.int64)
    lots = np.full((len(books), 5), 100_000_000, dtype=np.int64)
    bids, asks = (np.rint(middles * (1 + sign * levels)).astype(np.int64) for sign in (-1, 1))
    at, ticks, amounts, sides = (np.array(column, dtype=np.int64) for column in zip(*trades, strict=True))
    with TapeWriter(folder / "tape", source="planted", recorded="made up") as writer:
        writer.write(BookColumns(pair, times, times, bids, lots, asks, lots))
        writer.write(TradeColumns(pair, at, at, ticks, amounts, sides.astype(np.int8)))
    latency = "  latency: {order_ms: 50, answer_ms: 50}\n"
    fees = '  fees: {maker: "0.0005", taker: "0.0005"}\n'
    return _written(folder, body, str(folder / "tape"), "", fees + latency, "max_book_age_s: 3600\n")


def _written(folder: Path, body: str, data: str, params: str, backtest: str, more: str) -> Path:
    return write_config(
        folder,
        data,
        plugins=write_strategy(folder, body),
        params=f"{{pair: btc_twd{params}}}",
        balances='{twd: "10000000"}',
        backtest=backtest,
        more=f"timezone: UTC\n{more}",
    )


def fitted_cycle(prices: list[float], length: int) -> list[float]:
    """Return the mean return for each day of a cycle, computed over all prices."""
    moves = np.diff(np.log(prices))
    # the day on which a bar starts, as in the strategy
    phases = (START_MS // DAY_MS + 1 + np.arange(len(moves))) % length
    return [round(float(moves[phases == phase].mean()) * 1_000, 3) for phase in range(length)]


def fitted_lags(prices: list[float], lags: int, share: float = 0.7) -> list[float]:
    """Return the weights of recent returns that best predict the next return within the first ``share`` of the
    prices.
    """
    moves = np.diff(np.log(prices))[: int(len(prices) * share)]
    rows = np.array([moves[at - lags : at] for at in range(lags, len(moves))])
    return [round(float(weight), 4) for weight in np.linalg.lstsq(rows, moves[lags:], rcond=None)[0]]
