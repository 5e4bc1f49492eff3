"""Long runs are split into pieces: no seed is lost or counted twice, and a piece whose process dies is reported as
broken.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.pieces import Kept, Piece, carried_out, left, merged
from tests.simulation.plan import Layer
from tests.simulation.world import Result


def piece(first: int, seeds: int, commit: str = "c0ffee") -> Piece:
    return Piece(commit=commit, layer="core", first=first, seeds=seeds)


def run(seed: int, layer: Layer) -> Result:
    """Return a fabricated result that depends only on the seed."""
    if seed == 13:
        os._exit(3)
    return Result(
        seed=seed,
        broken="I1: twice" if seed == 7 else "",
        orders=10 * seed,
        crashes=seed % 2,
        starts=1,
        faults={"reset": seed, "garbage": 0},
        reached={f"branch {seed % 3}": 1},
    )


@given(
    first=st.integers(0, 50),
    seeds=st.integers(0, 60),
    size=st.integers(1, 20),
    done=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=4),
)
def test_the_remaining_pieces_of_a_range_contain_exactly_its_unfinished_seeds(
    first: int, seeds: int, size: int, done: list[tuple[int, int]]
) -> None:
    had = {seed for begin, count in done for seed in range(begin, begin + count)}
    found = list(left(first, seeds, size, [piece(begin, count) for begin, count in done]))
    seeds_found = [seed for begin, count in found for seed in range(begin, begin + count)]
    assert seeds_found == [seed for seed in range(first, first + seeds) if seed not in had]
    assert all(0 < count <= size for _, count in found)


def test_merged_pieces_equal_the_result_of_a_single_run() -> None:
    whole = piece(0, 12)
    for seed in range(12):
        whole.take(run(seed, "core"))
    found = merged(list(carried_out(iter([piece(0, 5), piece(5, 4), piece(9, 3)]), run, 2, None)))
    assert msgspec.structs.replace(found, cpu_s=0.0) == whole
    assert found.broken == [(7, "I1: twice")]


def test_a_piece_whose_process_dies_is_reported_as_broken_and_the_others_continue() -> None:
    found = {one.first: one for one in carried_out(iter([piece(12, 4), piece(20, 4)]), run, 2, None)}
    assert [text for _, text in found[12].broken] == ["process: it ended with 3 within this piece"]
    assert found[20].starts == 4


def test_no_piece_starts_after_the_time_limit() -> None:
    assert list(carried_out(iter([piece(0, 4)]), run, 2, time.monotonic() - 1)) == []


def test_finished_pieces_are_found_by_commit_and_layer_even_if_the_last_line_is_incomplete(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "run.jsonl")
    assert kept.read("c0ffee", "core") == []
    kept.add(piece(0, 5))
    kept.add(piece(0, 5, commit="decade"))
    kept.add(msgspec.structs.replace(piece(0, 5), layer="whole"))
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(piece(5, 5))[:40])
    assert kept.read("c0ffee", "core") == [piece(0, 5)]
    kept.add(piece(10, 5))
    assert kept.read("c0ffee", "core") == [piece(0, 5), piece(10, 5)]
