"""Generates seeded market data for benchmarks with numpy, at millions of rows per second.

Use these functions only for benchmarks: different numpy versions may generate different rows. The synthetic market of
`botkit.tape.synthetic` does not depend on the numpy version, but is slower.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_MINUTE, NS_PER_MS, NS_PER_S, parse_time
from botkit.model.columns import BookColumns, CandleColumns, MarketColumns, TradeColumns
from botkit.tape.writer import TapeWriter

PAIR = "btc_usdt"
START = parse_time("2024-01-01")


def _walk(rng: np.random.Generator, n: int, step_ticks: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return prices around 86,000 USDT that drift, reverse direction, and stay within (43,000, 172,000)."""
    noise = rng.normal(0.0, step_ticks, n)
    # add slow swings, so that averages cross often but trends still exist
    phase = np.cumsum(rng.uniform(0.5, 1.5, n)) / 900.0
    swing = (2 * np.abs(phase % 2 - 1) - 1) * step_ticks * 20
    # reflect at the bounds instead of clipping, so that prices keep moving
    low, high = 4_300_000, 17_200_000
    # add noise that reverts immediately, because a pure random walk yields slightly fewer than 39,000 fills for
    # sma_cross in 1,000,000 candles
    bounce = rng.normal(0.0, step_ticks * 0.8, n)
    raw = 8_600_000 + np.cumsum(noise) + swing + bounce - low
    folded = np.abs((raw + (high - low)) % (2 * (high - low)) - (high - low)) + low
    ticks: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = np.rint(folded).astype(np.int64)
    return ticks


def candles(n: int = 1_000_000, seed: int = 1) -> CandleColumns:
    """Return ``n`` gapless one-minute candles of btc_usdt, each received when it ends."""
    rng = np.random.default_rng(seed)
    close = _walk(rng, n, 4_000)
    opened = np.concatenate((close[:1], close[:-1]))
    high = np.maximum(opened, close) + rng.integers(0, 2_000, n)
    low = np.minimum(opened, close) - rng.integers(0, 2_000, n)
    time = START + np.arange(n, dtype=np.int64) * NS_PER_MINUTE
    lots = rng.integers(10_000, 500_000, n) * 10_000
    return CandleColumns(packaged_pairs()[PAIR], "1m", time + NS_PER_MINUTE, time, opened, high, low, close, lots)


def trades(n: int = 5_000_000, seed: int = 1) -> TradeColumns:
    """Return ``n`` trades of btc_usdt about 100 ms apart, each received 20 to 60 ms after its trade time."""
    rng = np.random.default_rng(seed)
    ticks = _walk(rng, n, 120)
    time = START + np.cumsum(rng.integers(0, 200, n)) * NS_PER_MS
    received = np.maximum.accumulate(time + rng.integers(20, 60, n) * NS_PER_MS)
    lots = rng.integers(10, 20_000, n) * 10_000
    side = np.where(rng.integers(0, 2, n) == 1, 1, -1).astype(np.int8)
    return TradeColumns(packaged_pairs()[PAIR], received, time, ticks, lots, side)


def books_and_trades(books: int = 50_000, trades_a_book: int = 4, seed: int = 1) -> tuple[BookColumns, TradeColumns]:
    """Return ``books`` snapshots of btc_usdt one second apart with 5 levels per side, and trades at the best prices
    between consecutive snapshots.
    """
    rng = np.random.default_rng(seed)
    pair = packaged_pairs()[PAIR]
    n = books * trades_a_book
    middle = _walk(rng, books, 400)
    spread = rng.integers(200, 1_200, books)  # 2 to 12 USDT
    steps = np.arange(5, dtype=np.int64) * 500
    bid_ticks = (middle - spread // 2)[:, None] - steps
    ask_ticks = (middle + spread - spread // 2)[:, None] + steps
    bid_lots, ask_lots = (rng.integers(100, 5_000, (books, 5)) * 10_000 for _ in range(2))
    book_time = START + np.arange(books, dtype=np.int64) * NS_PER_S
    book_received = book_time + rng.integers(20, 60, books) * NS_PER_MS
    time = np.sort(START + rng.integers(0, books * NS_PER_S // NS_PER_MS, n) * NS_PER_MS)
    received = np.maximum.accumulate(time + rng.integers(20, 60, n) * NS_PER_MS)
    shown = np.clip(book_received.searchsorted(received, side="right") - 1, 0, None)
    side = np.where(rng.integers(0, 2, n) == 1, 1, -1).astype(np.int8)
    ticks = np.where(side > 0, ask_ticks[shown, 0], bid_ticks[shown, 0])
    lots = rng.integers(10, 2_000, n) * 10_000
    return (
        BookColumns(pair, book_received, book_time, bid_ticks, bid_lots, ask_ticks, ask_lots),
        TradeColumns(pair, received, time, ticks, lots, side),
    )


def write_tape(root: Path, *streams: MarketColumns) -> Path:
    """Write the streams as a tape at ``root``, for end-to-end benchmarks."""
    with TapeWriter(
        root, source="benchmark", recorded="numpy", synthetic=True, amount_decimals={PAIR: 4}, compression_level=1
    ) as writer:
        for columns in streams:
            writer.write(columns)
    return root
