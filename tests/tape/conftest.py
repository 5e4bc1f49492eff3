"""Pairs and small streams for tape tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.columns import BookColumns, CandleColumns, TradeColumns
from botkit.model.pairs import Pair

S = 10**9


@pytest.fixture(scope="session")
def pairs() -> Mapping[str, Pair]:
    return packaged_pairs()


@pytest.fixture
def make_trades(pairs: Mapping[str, Pair]) -> Callable[..., TradeColumns]:
    def make(seconds: list[int], pair: str = "btc_usdt", lag_ms: int = 40) -> TradeColumns:
        time = np.array(seconds, dtype=np.int64) * S
        count = np.arange(len(seconds), dtype=np.int64)
        side = np.where(count % 2 == 0, 1, -1).astype(np.int8)
        return TradeColumns(pairs[pair], time + lag_ms * 10**6, time, 8_600_000 + count, 10_000 * (1 + count), side)

    return make


@pytest.fixture
def make_books(pairs: Mapping[str, Pair]) -> Callable[..., BookColumns]:
    def make(seconds: list[int], pair: str = "btc_usdt", depth: int = 3, lag_ms: int = 40) -> BookColumns:
        time = np.array(seconds, dtype=np.int64) * S
        levels = np.arange(depth, dtype=np.int64)[None, :]
        mid = 8_600_000 + np.arange(len(seconds), dtype=np.int64)[:, None]
        lots = np.full((len(seconds), depth), 50_000, dtype=np.int64)
        return BookColumns(
            pairs[pair], time + lag_ms * 10**6, time, mid - 10 - levels, lots, mid + 10 + levels, lots.copy()
        )

    return make


@pytest.fixture
def make_candles(pairs: Mapping[str, Pair]) -> Callable[..., CandleColumns]:
    def make(minutes: list[int], pair: str = "btc_usdt") -> CandleColumns:
        time = np.array(minutes, dtype=np.int64) * 60 * S
        base = 8_600_000 + np.arange(len(minutes), dtype=np.int64)
        return CandleColumns(
            pairs[pair], "1m", time + 60 * S, time, base, base + 5, base - 5, base + 1, np.full(len(minutes), 70_000)
        )

    return make
