"""Quiet spans are equivalent to row-by-row turns: byte-identical decisions and identical callbacks.

Random tapes have trades or candles, and books, for one or two pairs. Strategies act at random, with loss limits,
protected positions, several listeners and resolutions, timers, and subscriptions during the run. Each world runs once
with the driver's spans, and once with a turn for each row.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from botkit.backtesting.driver import Driver
from botkit.engine.agenda import Changes
from botkit.engine.indicators.moving_averages import SMA
from botkit.engine.indicators.oscillators import MACD
from botkit.engine.market import blocks
from botkit.engine.risk.review import RiskDesk
from botkit.engine.spans import Spans
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.model.inputs import History
from botkit.model.moment import KIND_RANKS
from botkit.model.pairs import Pair
from botkit.sim.account_setup import AccountSetup
from botkit.sim.fees import FixedFees
from botkit.sim.fills import Queue
from botkit.sim.kernel import Kernel
from botkit.sim.latency import Constant
from botkit.tape.feed import Slice
from tests.engine_world import BTC, ETH, MINUTE, PAIRS, T0, UNIT, Bot, Listener, S
from tests.plain_form import replaces_code
from tests.row_by_row import RowByRow

WORLDS = 60
ROWS = 400


class Actor(Listener):
    """Acts at random in some of its callbacks, and records the events that it receives."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(*plan["pairs"])
        self.plan = plan

    def on_start(self) -> None:
        plan = self.plan
        for pair in self.pairs:
            if plan["trades"]:
                self.subscribe_trades(pair)
            if plan["books"]:
                self.subscribe_book(pair, depth=plan["books"])
            for resolution in plan["resolutions"]:
                self.series.append(self.subscribe_bars(pair, resolution))
                self.series[-1].attach(SMA(7))
                self.series[-1].attach(MACD(2, 5, 3), of="high")
            if plan["protect"]:
                self.protect(pair, **plan["protect"])
        if plan["every_s"]:
            self.set_timer(every_s=plan["every_s"])

    def _hear(self, name: str, event: Any) -> None:
        figure = getattr(event, "price", None) or getattr(event, "close", None) or getattr(event, "bid_levels", None)
        self.heard.append((name, (self.now, figure, self.last_price(self.pairs[0]))))
        if name in ("bar", "timer") and self.now // S % 3 == 0:  # read prices on some events but not on others
            values = [(a.value, a.previous) for series in self.series for a in series.attached.values()]
            self.heard.append(("indicators", values))
        if name in ("trade", "book", "bar", "timer", "fill") and self.random.random() < self.plan["acts"]:
            self.act()

    def act(self) -> None:
        dice = self.random
        pair = dice.choice(self.pairs)
        price = round(self.last_price(pair) or 1_000)
        choice = dice.randrange(12)
        if choice == 0:
            self.market_buy(pair, spend=dice.randint(200, 20_000))
        elif choice == 1:
            self.close(pair)
        elif choice in (2, 3):
            self.buy(pair, amount=dice.randint(10, 2_000) / 1_000, price=price - dice.randint(-2, 5))
        elif choice in (4, 5):
            self.sell(pair, amount=dice.randint(10, 2_000) / 1_000, price=price + dice.randint(-2, 5))
        elif choice == 6:
            self.cancel_all()
        elif choice == 7:
            self.quote(pair, bids=[(price - 3, 1)], asks=[(price + 3, 1)])
        elif choice == 8:
            self.set_timer("again", every_s=dice.choice([7, 60, 95]))
        elif choice == 9 and self.plan["protects"]:
            self.protect(pair, stop_loss_pct=dice.choice([None, 1, 3]), trail_pct=dice.choice([None, 2]))
        elif choice == 10:
            orders = self.open_orders()
            if orders:
                self.replace(dice.choice(orders), price=price)
        elif choice == 11 and len(self.series) < 6 and self.plan["late"]:
            self.series.append(self.subscribe_bars(pair, dice.choice(["1m", "5m"])))
            self.series[-1].attach(SMA(3))


class SpanBySpan(Driver):
    """A backtest driver without books at the exchange. It treats books like all other rows."""

    def _load(self, piece: Slice) -> list[MarketColumns]:
        books = [columns for columns in piece.columns if isinstance(columns, BookColumns)]
        others: list[MarketColumns] = [columns for columns in piece.columns if not isinstance(columns, BookColumns)]
        rows = [*super()._load(Slice(piece.start, piece.end, others)), *books]
        return sorted(rows, key=lambda columns: (KIND_RANKS[columns.kind], columns.pair))


class EveryRow(RowByRow, SpanBySpan):
    """The plain driver: one turn for each row."""


def tape(random: Random, pair: Pair, kind: str) -> MarketColumns:
    """Generate a random walk with runs of equal timestamps, pauses, and an occasional jump."""
    rows = random.randint(1, ROWS)
    price, prices, lots = 1_000, [], []
    for _ in range(rows):
        price = max(50, price + random.choice([-40, *[0] * 20, *range(-3, 4), *range(-3, 4), 40]))
        prices.append(price)
        lots.append(random.choice([0 if kind == "candles" else 1, 50, 5_000]))
    ticks = np.array(spiked(prices), dtype=np.int64)
    amounts = np.array(lots, dtype=np.int64)
    if kind == "candles":
        present = np.array([i for i in range(rows) if i == 0 or random.random() > 0.05], dtype=np.int64)
        ticks, amounts = ticks[: len(present)], amounts[: len(present)]
        time = T0 + present * MINUTE
        wide = np.where(amounts > 0, 2, 0)
        return CandleColumns(pair, "1m", time + MINUTE, time, ticks, ticks + wide, ticks - wide, ticks, amounts)
    steps = [
        random.choice([0, 0, 1, 5 * 10**8, S, 20 * S, 200 * S if random.random() < 0.1 else S]) for _ in range(rows)
    ]
    received = T0 + S + np.cumsum(np.array(steps, dtype=np.int64))
    side = np.array([random.choice([-1, 0, 1]) for _ in range(rows)], dtype=np.int8)
    return TradeColumns(pair, received, received - received % S, ticks, amounts, side)


def books(random: Random, pair: Pair, like: MarketColumns) -> BookColumns:
    """Generate books with two levels per side around the prices of a tape, at or near the tape's timestamps. Some books
    are crossed.
    """
    ticks = like.ticks if isinstance(like, TradeColumns) else like.close  # type: ignore[union-attr]
    rows = sorted(random.randrange(len(ticks)) for _ in range(random.randint(1, len(ticks))))
    received = np.array([int(like.received[row]) - random.choice([0, 0, S // 2]) for row in rows], dtype=np.int64)
    received = np.maximum.accumulate(received)
    middle = ticks[rows]
    spread = np.array([random.choice([1, 1, 2, 5, 5, 5, 5, 5, 5, -3]) for _ in rows], dtype=np.int64)
    steps = np.arange(2, dtype=np.int64)
    bids, asks = (middle - spread)[:, None] - steps, (middle + spread)[:, None] + steps
    lots = np.full((len(rows), 2), 90_000, dtype=np.int64)
    return BookColumns(pair, received, received - received % S, bids, lots, asks, lots)


def spiked(prices: list[int]) -> list[int]:
    """In one world out of three, add a few implausible rows, or a permanent jump to a new price level at some row."""
    random = Random(sum(prices))  # a separate random generator, so that the walk does not depend on these draws
    if random.randrange(3):
        return prices
    for _ in range(random.randint(1, 5)):
        at, length = random.randrange(len(prices)), random.choice([1, 1, 2, 3, 4, 400])
        factor = random.choice([3, 20, 10**9])
        prices = [p * factor if at <= i < at + length else p for i, p in enumerate(prices)]
        if length == 400:
            break  # prices stay at the new level
    return [min(p, 10**12) for p in prices]


def play(seed: int, driver: type[Driver], *, merges: bool = True) -> tuple[Any, ...]:
    """Run a seed's world.

    Return all data in which two runs could differ. With ``merges``, half of the worlds have books, and half of the
    simple worlds have two pairs.
    """
    random, extra = Random(seed), Random(f"merged {seed}")
    kind = random.choice(["trades", "candles"])
    simple = random.random() < 0.6  # simple worlds use the tight loops; worlds with other callbacks use plain turns
    pairs = (BTC,) if simple else random.choice([(BTC,), (BTC, ETH)])
    has_books = merges and extra.random() < 0.5
    if merges and simple and extra.random() < 0.5:
        pairs = (BTC, ETH)
    plans = [
        {
            "pairs": pairs,
            "books": extra.choice([0, 1, 5]) if has_books else 0,
            "trades": kind == "trades" and random.random() < 0.7,
            "resolutions": () if simple and kind == "trades" else random.choice([(), ("1m",), ("5m",), ("1m", "5m")]),
            "protects": not simple,
            "protect": None
            if simple
            else random.choice([None, None, {"stop_loss_pct": 2}, {"trail_pct": 3, "take_profit_pct": 4}]),
            "every_s": random.choice([0, 0, 30, 61]),
            "acts": random.choice([0, 0.02, 0.02, 0.2]),
            "late": not simple and random.random() < 0.3,
        }
        for _ in range(1 if simple else random.choice([1, 2, 3]))
    ]
    limit = random.choice([None, None, 30, 300, 1_000, 3_000])
    columns = [tape(random, pair, kind) for pair in pairs]
    if has_books:
        columns += [books(extra, pair, rows) for pair, rows in zip(pairs, list(columns), strict=True)]
    # without a price for a coin, the daily loss would be unknown
    balances = {"twd": 10**5 * UNIT, **{pair.base: 5 * UNIT for pair in pairs}}
    b = Bot(
        *(Actor(plan) for plan in plans),
        balances=balances,
        risk={"max_daily_loss": {"twd": limit}} if limit else None,
        strategy_risk={"s0": {"max_daily_loss": {"twd": limit // 2}}} if limit else None,
        candle_pairs=pairs if kind == "candles" else (),
        bar_grace_s=0 if kind == "candles" else 2,
        seed=seed,
        start=False,
    )
    kernel = Kernel(
        pairs=PAIRS,
        accounts={"bot": AccountSetup(dict(balances), FixedFees({"maker": "0.001", "taker": "0.002"}))},
        queue=Queue(),
        latency=Constant({"order_ms": 40, "answer_ms": 30}),
        limits=None,
    )
    end = max(int(c.received[-1]) for c in columns) + 1
    b.begin()
    carrier = driver(b.engine, kernel, "bot", observe=lambda out, now: None, history=lambda wanted, now: History())
    carrier.run([Slice(T0, end, columns)], lambda piece, rows: None)
    b.check()
    kernel.check()
    b.decisions.flush()
    heard = [s.heard for s in b.strategies]
    series = [[list(one) for one in s.series] for s in b.strategies]
    last = {pair: b.portfolio.last_price(pair) for pair in pairs}
    view = b.engine.view
    return b.decisions.sha256(), heard, series, last, view.events, b"".join(b.log), b.risk.halts, view.checks.withheld()


@pytest.mark.parametrize("first", range(0, WORLDS, 20))
def test_spans_and_turns_yield_identical_decisions(first: int) -> None:
    kinds: Counter[bytes] = Counter()
    for seed in range(first, first + 20):
        fast, plain = play(seed, SpanBySpan), play(seed, EveryRow)
        for ours, theirs in zip(fast[5].splitlines(), plain[5].splitlines(), strict=False):
            assert ours == theirs, seed
        assert fast == plain, seed
        told = [name for heard in fast[1] for name, _ in heard]
        kinds[b"book"] += told.count("book")
        for line in fast[5].splitlines():
            kinds[line.split(b'"k":"')[1].split(b'"')[0]] += 1
    for kind in (b"intent", b"fill", b"cancel", b"loss_limit", b"quarantine", b"book"):
        assert kinds[kind], kinds  # worlds without events would prove nothing


def test_a_bar_whose_first_trade_is_in_a_span_is_closed_by_its_timer() -> None:
    assert play(619, SpanBySpan, merges=False) == play(619, EveryRow, merges=False)


def caught() -> bool:
    """Return True if a mutant of the span code makes different decisions in any world, or fails one of its own
    assertions.
    """
    for seed in range(WORLDS):
        try:
            if play(seed, SpanBySpan) != play(seed, EveryRow):
                return True
        except AssertionError:
            return True
    return False


@replaces_code
def test_a_mutant_whose_spans_ignore_a_loss_limit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RiskDesk.first_breach

    def late(self: RiskDesk, pair: Pair, prices: Any, now: int) -> int | None:
        found = plain(self, pair, prices, now)
        return found if found == 0 else None

    monkeypatch.setattr(RiskDesk, "first_breach", late)
    assert caught()


@replaces_code
def test_a_mutant_whose_spans_ignore_a_price_jump_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "jumps", lambda *columns: [])
    assert caught()


@replaces_code
def test_a_mutant_whose_spans_ignore_a_strategy_action_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Spans.__init__

    def deaf(self: Spans, **parts: Any) -> None:
        plain(self, **{**parts, "changes": Changes()})  # this instance never counts a change

    monkeypatch.setattr(Spans, "__init__", deaf)
    assert caught()
