"""The command ``botkit download``, called with arguments as a user would type them, against a small exchange over
HTTP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from botkit.cli.main import main
from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.live import market_access
from botkit.live.clock import REAL_CLOCK, SteadyClock
from botkit.live.limits import rate_limited_reads
from botkit.model.clock import format_time
from botkit.tape.tape import Tape
from tests.market_venue import MarketVenue

Run = Callable[..., tuple[int, str, str]]
START_S = 1_735_689_600  # 2025-01-01
PAIRS = packaged_pairs()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(rate_limited_reads, "_FIRST_PAUSE_S", 0.001)

    def call(venue: MarketVenue | None, *arguments: object) -> tuple[int, str, str]:
        where = ["--timezone", "UTC", *(["--rest", venue.rest] if venue else [])]
        code = main(["download", *map(str, arguments), *where, "--ledger", "none"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def minutes(first: int, count: int, *, without: range = range(0)) -> dict[int, int]:
    return {START_S + 60 * i: 3_000_000 + i for i in range(first, first + count) if i not in without}


def closes(out: Path, pair: str = "btc_twd") -> list[int]:
    scale = 10 ** PAIRS[pair].rules.price_decimals
    chunks = Tape.open(out, PAIRS).read(pair, "candles", "1m")
    return [int(close) // scale - 3_000_000 for columns in chunks for close in columns.close]  # type: ignore[union-attr]


def gaps(out: Path) -> list[tuple[int, int]]:
    stream = Tape.open(out, PAIRS).stream("btc_twd", "candles", "1m")
    assert stream is not None
    return [((a // 10**9 - START_S) // 60, (b // 10**9 - START_S) // 60) for a, b in stream.gaps]


def test_a_long_time_span_is_requested_in_parts_and_written_completely(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    with MarketVenue(candles=minutes(0, 20_000)) as venue:
        code, printed, err = run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-14", "--out", out)
    assert code == 0, err
    assert "btc_twd candles 1m: 20,000 from 2025-01-01T00:00Z to 2025-01-14T21:20Z" in printed
    assert closes(out) == list(range(20_000))
    assert len(venue.requests) == 3
    assert gaps(out) == []


def test_a_download_resumes_at_the_end_of_the_tape(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    span = ("btc_twd", "--from", "2025-01-01", "--out", out)
    with MarketVenue(candles=minutes(0, 300)) as venue:
        assert run(venue, *span, "--to", "2025-01-01T02:00")[0] == 0
        assert closes(out) == list(range(120))
        venue.requests.clear()
        code, printed, _ = run(venue, *span, "--to", "2025-01-01T05:00")
        assert code == 0
        assert "180 from 2025-01-01T02:00Z" in printed
        assert [int(q["from"]) for q in venue.requests] == [START_S + 120 * 60]
        # this also works without --from
        assert run(venue, "btc_twd", "--to", "2025-01-02", "--out", out)[0] == 0
    assert closes(out) == list(range(300))
    assert main(["data", "check", str(out)]) == 0


def test_candles_missing_on_the_exchange_become_gaps_within_and_between_requests(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tape"
    # one gap within a response, and one that spans the boundary after the first request's 8,000 candles
    candles = {**minutes(0, 100), **minutes(110, 7_885), **minutes(8_010, 100)}
    with MarketVenue(candles=candles) as venue:
        code, printed, err = run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-06T15:10", "--out", out)
    assert code == 0, err
    assert len(venue.requests) == 2
    assert gaps(out) == [(100, 110), (7_995, 8_010)]
    assert "the exchange omitted 25 intervals without trades" in printed
    assert main(["data", "check", str(out)]) == 0, "what the exchange makes is no mistake in the tape"
    told = capsys.readouterr().out
    missing = "omitted 25 candles in 2 places, the first before 2025-01-01T01:51:00.000Z: there were no trades"
    assert f"{missing} at those times" in told


def test_candles_missing_between_two_downloads_also_become_a_gap(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    with MarketVenue(candles={**minutes(0, 60), **minutes(90, 30)}) as venue:
        run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-01T01:00", "--out", out)
        run(venue, "btc_twd", "--to", "2025-01-01T02:00", "--out", out)
    assert gaps(out) == [(60, 90)]


def test_a_running_candle_is_not_stored_even_if_this_machines_clock_is_ahead(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tape"
    ahead = 3600 * 10**9
    monkeypatch.setattr(market_access, "SteadyClock", lambda: SteadyClock(wall=lambda: REAL_CLOCK.wall_ns() + ahead))
    before = int(time.time())
    first = before // 60 * 60 - 90 * 60
    # buckets until some after the present one, as an exchange would not have them: the request can take a while
    candles = {first + 60 * i: 3_000_000 + i for i in range(95)}
    start = format_time(first * 10**9, ZoneInfo("UTC"))[:16]
    with MarketVenue(candles=candles) as venue:
        code, _, err = run(venue, "btc_twd", "--from", start, "--out", out)
    after = time.time()
    assert code == 0, err
    stored = [first + 60 * i for i in closes(out)]
    assert stored[0] == first
    assert stored[-1] + 60 <= after
    assert stored[-1] + 60 > before - 60 - 30, "what had ended half a minute before is stored"


def test_an_interrupted_download_keeps_all_earlier_responses(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    with MarketVenue(candles=minutes(0, 10_000)) as venue:
        venue.refusals = [0, 422]
        code, _, err = run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-08", "--out", out)
        assert code == 2
        assert "error: trading_history: 422 asked to" in err
        assert closes(out) == list(range(8_000))
        assert run(venue, "btc_twd", "--to", "2025-01-08", "--out", out)[0] == 0
    assert closes(out) == list(range(10_000))
    assert int(venue.requests[-1]["from"]) > START_S + 60 * 8_000 - 1


def test_temporary_errors_are_retried(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    with MarketVenue(candles=minutes(0, 10)) as venue:
        venue.refusals = [503, 500, 502]
        assert run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-01T00:10", "--out", out)[0] == 0
    assert closes(out) == list(range(10))
    assert len(venue.requests) == 4


def test_several_pairs_are_downloaded_with_a_json_summary(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    with MarketVenue(candles=minutes(0, 10)) as venue:
        code, printed, err = run(
            venue, "btc_twd", "ETH_TWD", "--from", "2025-01-01", "--to", "2025-01-01T00:10", "--out", out, "--json"
        )
    assert (code, err) == (0, "")
    told: dict[str, Any] = json.loads(printed)
    assert [(s["pair"], s["candles"], s["missing"]) for s in told["streams"]] == [
        ("btc_twd", 10, 0),
        ("eth_twd", 10, 0),
    ]
    assert closes(out, "eth_twd") == list(range(10))


def test_a_mistake_prints_a_helpful_one_line_error(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "tape"
    for arguments, message in (
        (("btc_tw", "--from", "2025-01-01"), "did you mean btc_twd?"),
        (("btc_twd",), "set a start with --from"),
        (("btc_twd", "--from", "soon"), "--from: 'soon' is not a time"),
        (("btc_twd", "--from", "2025-01-01", "--resolution", "7m"), "'7m' is not one of"),
    ):
        code, printed, err = run(None, *arguments, "--out", out)
        assert (code, printed) == (2, ""), arguments
        assert message in err
        assert "Traceback" not in err
    assert not out.exists()
    with MarketVenue(candles=minutes(0, 10)) as venue:
        run(venue, "btc_twd", "--from", "2025-01-01", "--to", "2025-01-01T00:10", "--out", out)
        code, _, err = run(venue, "btc_twd", "--from", "2024-12-01", "--out", out)
    assert code == 2
    assert "a tape can only be extended at its end: omit --from to continue at 2025-01-01T00:10" in err
