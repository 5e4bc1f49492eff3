"""Runs a few of the random strategies that receive trades. ``python -m tests.parity`` runs 100 of them on each tape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.model.columns import TradeColumns
from botkit.tape.tape import Tape
from tests.parity.random_runs import compare
from tests.parity.tapes import FRAMES, ParityTape, parity_tape

#: seeds by tape; each seed differed from its backtest in the past, or covers a different kind of run
SEEDS = {"frames": (1, 26), "bundled": (4, 17), "bursts": (0, 2, 3), "cascades": (0, 4, 23)}


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ParityTape | None]:
    """Return a function that returns a tape by name. A tape is written when a test first needs it, because several
    workers share the tests of this file.
    """
    folder = tmp_path_factory.mktemp("hearing")
    return lambda name: parity_tape(name, folder)


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name, seeds in SEEDS.items() for seed in seeds])
async def test_a_strategy_that_receives_trades_makes_identical_decisions_over_the_wire_and_in_a_backtest(
    tapes: Callable[[str], ParityTape | None], tmp_path: Path, name: str, seed: int
) -> None:
    tape = tapes(name)
    if tape is None:
        pytest.skip(f"{FRAMES} is not there")
    found = await compare(seed, tape, tmp_path)
    assert found.difference == ""
    assert found.counts["trades heard"] > (1_000 if name != "bundled" else 20)
    assert found.counts["fills"] > 10
    if name in ("bursts", "cascades"):
        assert found.counts["bursts in several frames"] > 5


@pytest.mark.parametrize("name", ["bursts", "cascades"])
def test_generated_tapes_have_over_a_hundred_simultaneous_trades(
    tapes: Callable[[str], ParityTape | None], name: str
) -> None:
    tape = tapes(name)
    assert tape is not None
    large, amid_book = Counter[str](), 0
    opened = Tape.open(tape.path, packaged_pairs())
    books = {stream.pair: [*opened.read(*stream.key)] for stream in opened.streams if stream.kind == "books"}
    for stream in opened.streams:
        if stream.kind != "trades":
            continue
        (columns,) = opened.read(*stream.key)
        assert isinstance(columns, TradeColumns)
        moments, counts = np.unique(columns.received, return_counts=True)
        large[stream.pair] += int((counts > 100).sum())
        amid_book += int(np.isin(books[stream.pair][0].received, moments[counts > 100]).sum())
    assert set(large) == set(tape.pairs)
    assert min(large.values()) >= 3
    assert amid_book >= 2
