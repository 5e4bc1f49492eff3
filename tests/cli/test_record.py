"""The command ``botkit record``, called with arguments as a user would type them, against a small exchange. Most tests
use virtual time; tests that kill the command or send it a signal run a separate process over real sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from botkit.cli.main import main
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.tape.tape import Tape
from tests.live.world import until
from tests.market_venue import MarketVenue
from tests.simulation.terminal import Terminal
from tests.waiting import PATIENCE_S, wait_for

Run = Callable[..., tuple[int, str, str]]
SECOND = 10**9


@pytest.fixture
def venue(terminal: Terminal) -> MarketVenue:
    return terminal.serve(MarketVenue().served())


@pytest.fixture
def real_venue() -> Iterator[MarketVenue]:
    with MarketVenue() as served:
        yield served


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def numbers(tape: Path, pair: str = "btc_twd") -> list[int]:
    """Return the numbers of the recorded trades, which the venue encodes in the prices."""
    chunks = Tape.open(tape, packaged_pairs()).read(pair, "trades")
    scale = 10 ** packaged_pairs()[pair].rules.price_decimals
    return [int(ticks) // scale - 1_000_000 for columns in chunks for ticks in columns.ticks]  # type: ignore[union-attr]


def arguments(venue: MarketVenue, out: Path, *more: str) -> list[str]:
    return ["record", "--pairs", "btc_twd", "--out", str(out), "--rest", venue.rest, "--ws", venue.ws, *more]


def started(venue: MarketVenue, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "botkit", *arguments(venue, out, *more)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def journal_bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in (out / "journal").glob("*.rows"))


def test_a_recording_contains_every_trade_in_order(run: Run, venue: MarketVenue, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    code, printed, _ = run(*arguments(venue, out, "--pairs", "btc_twd,eth_twd", "--duration", "1.5s", "--json"))
    assert code == 0
    told = json.loads(printed)
    assert set(told["rows"]) == {"btc_twd books", "btc_twd trades", "eth_twd books", "eth_twd trades"}
    for pair in ("btc_twd", "eth_twd"):
        found = numbers(out, pair)
        assert len(found) == told["rows"][f"{pair} trades"] > 5
        assert found == list(range(found[0], found[-1] + 1))
    assert not (out / "journal").exists()
    code, printed, err = run("data", "check", out)
    assert code == 0, printed + err


def test_a_kill_loses_less_than_a_second_of_data_and_the_next_start_continues_the_tape(
    run: Run, real_venue: MarketVenue, tmp_path: Path
) -> None:
    out = tmp_path / "tape"
    process = started(real_venue, out)
    wait_for(lambda: journal_bytes(out) > 3_000)
    process.kill()
    killed = time.time()
    process.communicate()
    # the rows are first read from the journal
    before = numbers(out)
    assert before == list(range(before[0], before[-1] + 1))
    # the next start converts the journal to Parquet without changing the rows
    process = started(real_venue, out)
    assert process.stderr is not None
    said = "".join(iter(process.stderr.readline, "trades btc_twd: connected\n"))
    wait_for(lambda: journal_bytes(out) > 3_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said + err
    assert "left by an earlier run" in said
    after = numbers(out)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert sorted(set(after)) == after
    tape = Tape.open(out, packaged_pairs())
    for kind in ("trades", "books"):
        stream = tape.stream("btc_twd", kind)  # type: ignore[arg-type]
        assert stream is not None
        [(start, end)] = stream.gaps
        assert start < killed * SECOND < end
    assert run("data", "check", out)[0] == 0


def test_a_kill_at_any_time_loses_less_than_a_second_of_rows(
    run: Run, venue: MarketVenue, terminal: Terminal, tmp_path: Path
) -> None:
    out = tmp_path / "tape"
    lost_s: list[float] = []

    async def look() -> None:
        """Collect the data that would remain on disk if the process were killed now."""
        await asyncio.sleep(1.0)
        while True:
            await asyncio.sleep(0.317)
            left = numbers(shutil.copytree(out, tmp_path / f"killed{len(lost_s)}"))
            made_at = {of: at for at, of in venue.trades}
            lost_s.append(venue.trades[-1][0] - made_at[left[-1]])

    terminal.begin(look())
    assert run(*arguments(venue, out, "--duration", "7s"))[0] == 0
    assert len(lost_s) > 10
    assert max(lost_s) < 1.0


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM that a process can catch")
def test_a_signal_stops_the_recording_cleanly(real_venue: MarketVenue, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    process = started(real_venue, out, "--raw")
    wait_for(lambda: journal_bytes(out) > 3_000)
    process.send_signal(signal.SIGTERM)
    printed, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "btc_twd: connected" in err
    assert "inspect it with `botkit data info" in printed
    assert not (out / "journal").exists()
    [raw] = (out / "raw").iterdir()
    assert raw.name.endswith(".frames.jsonl.gz")


def test_a_second_recorder_for_the_same_tape_is_refused(run: Run, real_venue: MarketVenue, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    process = started(real_venue, out)
    try:
        wait_for(lambda: journal_bytes(out) > 0)
        code, _, err = run(*arguments(real_venue, out, "--duration", "1s"))
        assert code == 2
        assert f"is being recorded by another botkit record (process {process.pid})" in err
    finally:
        process.kill()
        process.communicate()


def test_a_lost_connection_leaves_a_gap_in_books_and_in_trades_no_longer_in_the_recent_trade_list(
    run: Run, venue: MarketVenue, terminal: Terminal, tmp_path: Path
) -> None:
    out = tmp_path / "tape"
    venue.keep = 3  # ten trades are missed during half a second of backoff

    async def cut() -> None:
        await until(lambda: journal_bytes(out) > 3_000)
        await venue.cut()
        size = journal_bytes(out)
        await until(lambda: journal_bytes(out) > size + 3_000)
        terminal.signal(signal.SIGINT)

    terminal.begin(cut())
    code, _, err = run(*arguments(venue, out))
    assert code == 0, err
    assert "lost, the connection was closed" in err
    tape = Tape.open(out, packaged_pairs())
    found = numbers(out)
    holes = [(a, b) for a, b in itertools.pairwise(found) if b != a + 1]
    assert len(holes) == 1
    for kind in ("trades", "books"):
        stream = tape.stream("btc_twd", kind)  # type: ignore[arg-type]
        assert stream is not None
        assert len(stream.gaps) == 1, kind


def test_raw_frames_contain_the_same_trades_as_the_recording(run: Run, venue: MarketVenue, tmp_path: Path) -> None:
    out, again = tmp_path / "tape", tmp_path / "again"
    assert run(*arguments(venue, out, "--raw", "--duration", "1.5s"))[0] == 0
    [raw] = (out / "raw").iterdir()
    assert run("data", "import", raw, "--out", again)[0] == 0
    assert numbers(again) == numbers(out)


def test_a_recording_can_be_backtested_immediately(run: Run, real_venue: MarketVenue, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    process = started(real_venue, out)
    wait_for(lambda: journal_bytes(out) > 8_000)
    process.kill()
    process.communicate()
    config = tmp_path / "bot.yaml"
    strategies = Path(__file__).parents[2] / "strategies"
    config.write_text(
        f"""
name: recorded
exchange: bitopro
plugins: [{strategies}]
strategies:
  - name: mm
    use: market_maker
    params: {{pair: btc_twd}}
    capital: {{twd: "1000000", btc: "1"}}
backtest:
  data: {out}
"""
    )
    code, printed, err = run("backtest", config, "--out", tmp_path / "result", "--json")
    assert code == 0, err
    assert json.loads(printed)["events"] > 10


def test_a_mistake_prints_a_helpful_one_line_error(run: Run, tmp_path: Path) -> None:
    base = ("record", "--out", tmp_path / "t")
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((*base, "--pairs", "btc_usd"), "did you mean btc_usdt?"),
        ((*base, "--pairs", " , "), "is empty"),
        ((*base, "--pairs", "btc_twd", "--duration", "soon"), "is not a duration; write 90s"),
        ((*base, "--pairs", "btc_twd", "--ws", "ws://example.com"), "is not encrypted"),
        ((*base, "--pairs", "btc_twd", "--exchange", "binance"), "binance"),
    ]
    for given, message in cases:
        code, out, err = run(*given)
        assert (code, out) == (2, ""), given
        assert message in err
        assert "Traceback" not in err
    assert not (tmp_path / "t").exists()


def test_the_exit_code_is_1_if_no_data_was_received(run: Run, venue: MarketVenue, tmp_path: Path) -> None:
    venue.muted = True
    code, out, _ = run(*arguments(venue, tmp_path / "tape", "--duration", "0.6s"))
    assert code == 1
    assert "nothing yet" in out
