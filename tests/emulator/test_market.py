"""The emulator's market: two-sided books for all pairs, no arbitrage, history, speed, and recorded tapes."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import numpy as np
import pytest

from botkit.emulator.companions import MODELS
from botkit.emulator.sources import MarketSource, SyntheticSource
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.clock import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.tape.writer import TapeWriter
from tests.emulator.raw import Raw
from tests.shared_market import Market, Rows

pytestmark = pytest.mark.virtual_time

START = 1_790_300_040 * NS_PER_S


def source(seed: int = 1) -> SyntheticSource:
    return SyntheticSource(packaged_pairs(), seed=seed, start=START, history_days=0.02)


def test_every_pair_has_a_book_with_two_sorted_sides() -> None:
    market = source()
    candles = market.history()
    rows = market.chunk(START + 120 * NS_PER_S)
    assert {part.pair for part in candles} == set(packaged_pairs())
    books = [part for part in rows if isinstance(part, BookColumns)]
    assert {part.pair for part in books} == set(packaged_pairs())
    for part in books:
        there = part.bid_lots > 0
        assert there[:, 0].all(), part.pair
        assert (part.ask_lots[:, 0] > 0).all(), part.pair
        assert (part.bid_ticks[:, 0] < part.ask_ticks[:, 0]).all(), part.pair
        assert (np.diff(part.bid_ticks, axis=1)[there[:, 1:]] < 0).all(), part.pair
        assert (np.diff(part.ask_ticks, axis=1)[part.ask_lots[:, 1:] > 0] > 0).all(), part.pair


def test_there_is_no_arbitrage_between_a_companion_pair_and_its_model_pair() -> None:
    market = source()
    market.history()
    rows = market.chunk(START + 600 * NS_PER_S)
    mids = {
        str(part.pair): float(part.bid_ticks[-1, 0] + part.ask_ticks[-1, 0]) / 2 / 10**part.pair.rules.price_decimals
        for part in rows
        if isinstance(part, BookColumns)
    }
    for name, model in MODELS.items():
        through = mids[model.pair] * model.factor / (mids[model.by] if model.by else 1)
        assert mids[name] == pytest.approx(through, rel=0.02 if mids[name] < 0.01 else 0.004), name


def test_equal_seeds_produce_identical_companion_pairs() -> None:
    def rows(seed: int) -> list[bytes]:
        market = source(seed)
        market.history()
        return [part.ticks.tobytes() for part in market.chunk(START + 60 * NS_PER_S) if isinstance(part, TradeColumns)]

    assert rows(1) == rows(1) != rows(2)


def test_the_market_that_tests_share_has_the_same_rows() -> None:
    def rows(market: MarketSource, *, pause_s: int) -> list[tuple[str, str, int, bytes]]:
        streams: dict[tuple[str, str], list[bytes]] = {}
        parts: list[MarketColumns] = list(market.history())
        for passed_s in (*range(0, 90, pause_s), 90):
            parts += market.chunk(START + passed_s * NS_PER_S)
        for part in parts:
            arrays = (getattr(part, name) for name in part.__struct_fields__)
            by_row = np.column_stack([array for array in arrays if isinstance(array, np.ndarray)])
            streams.setdefault((part.pair, part.kind), []).append(by_row.tobytes())
        return [(pair, kind, market.known_until, b"".join(found)) for (pair, kind), found in streams.items()]

    expected = rows(source(), pause_s=1)
    shared = Rows(source, kept=40 * NS_PER_S)  # the first reader continues after the kept rows, the second one repeats
    assert rows(Market(shared), pause_s=9) == expected
    assert rows(Market(shared), pause_s=1) == expected


async def test_time_runs_at_the_configured_speed(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=300.0)
    raw = Raw(emulator.rest, session)
    before = emulator.clock.now()
    _, first = await raw.get("/trades/btc_usdt")
    await asyncio.sleep(0.5)
    _, later = await raw.get("/trades/btc_usdt")
    passed = emulator.clock.now() - before
    assert passed > 140 * NS_PER_S
    assert later["data"][0]["timestamp"] - first["data"][0]["timestamp"] > 60
    # a client that uses the machine's own clock is still accepted
    assert (await raw.get("/accounts/balance", private=True))[0] == 200


async def test_historical_candles_continue_into_current_ones(start, session) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(speed=600.0, history_days=0.2)
    raw = Raw(emulator.rest, session)
    await asyncio.sleep(0.5)
    now_s = emulator.clock.now() // NS_PER_S
    query = {"resolution": "1m", "from": str(now_s - 3600), "to": str(now_s)}
    _, found = await raw.get("/trading-history/btc_usdt", **query)
    stamps = [row["timestamp"] // 60_000 for row in found["data"]]
    assert len(stamps) >= 58
    assert stamps[-1] == now_s // 60 or stamps[-1] == now_s // 60 - 1
    closes = [float(row["close"]) for row in found["data"]]
    # prices do not jump between the two sets of candles
    assert max(abs(b / a - 1) for a, b in itertools.pairwise(closes)) < 0.02
    for name, value in (("resolution", "2m"), ("from", "x"), ("to", "-1")):
        status, reply = await raw.get("/trading-history/btc_usdt", **(query | {name: value}))
        assert (status, reply) == (422, {"error": f"Wrong parameter: {name}"})


def small_tape(folder: Path) -> Path:
    market = source(5)
    market.history()
    with TapeWriter(folder, source="test", recorded="generated", synthetic=True) as writer:
        for part in market.chunk(START + 30 * NS_PER_S):
            if part.pair == "btc_usdt":
                writer.write(part)
    return folder


@pytest.mark.parametrize("second", [0, 1, 30, 59])
async def test_an_emulator_has_every_book_as_soon_as_it_starts(start, session, second: int) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(start=START + second * NS_PER_S, speed=0.001)
    raw = Raw(emulator.rest, session)
    for pair in packaged_pairs():
        _, book = await raw.get(f"/order-book/{pair}")
        assert book["bids"], pair
        assert book["asks"], pair


async def test_a_recorded_tape_is_shifted_to_the_current_time_and_freezes_at_its_end(
    start, session, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(market=small_tape(tmp_path / "tape"), speed=60.0)
    raw = Raw(emulator.rest, session)
    while not emulator.venue.market_ended or emulator.venue.next_at() is not None:
        await asyncio.sleep(0.02)
    _, trades = await raw.get("/trades/btc_usdt")
    assert abs(trades["data"][0]["timestamp"] - emulator.venue.started // NS_PER_S) < 120
    _, book = await raw.get("/order-book/btc_usdt")
    assert len(book["bids"]) == 5
    _, empty = await raw.get("/order-book/btc_twd")
    assert empty == {"bids": [], "asks": []}
    status, reply = await raw.create("btc_usdt", action="BUY", type="MARKET", amount="100")
    assert status == 200, reply


async def test_a_tape_keeps_its_original_timestamps_in_lockstep(start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    emulator = await start(market=small_tape(tmp_path / "tape"), lockstep=True)
    assert START <= emulator.clock.now() < START + NS_PER_MINUTE
    assert emulator.clock.now() < START + NS_PER_DAY
