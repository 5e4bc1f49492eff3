"""The doctor's verdict is correct for strategies that are known to be good, or bad for a known reason."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from botkit.cli.main import main
from botkit.model.clock import NS_PER_S
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.doctor.findings import Diagnosis, Rung
from botkit.research.doctor.future import files_read
from botkit.research.doctor.ladder import _Ladder
from botkit.research.doctor.path import last_middles
from botkit.research.doctor.quotes import symmetric_quotes
from botkit.research.looks import Look, LookLedger, Market
from botkit.research.luck.bootstrap import mean_test
from tests.research.doctor.planted import (
    BUSY,
    CYCLE,
    DAY_MS,
    FOLLOW,
    LAGS,
    LUCKY,
    OFFERING,
    PEEKING,
    QUICK,
    QUOTING,
    SEEING,
    SEEING_TO_CANCEL,
    STALE,
    START_MS,
    STORMY,
    closes,
    fitted_cycle,
    fitted_lags,
    planted,
    planted_on_books,
)

#: long enough to tell a Sharpe ratio of 2 from luck
YEARS = 2 * 365
#: long enough for what shows on every day, whatever else the doctor says about so few
MONTHS = 4 * 30


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))


def examined(capsys: pytest.CaptureFixture[str], config: Path) -> dict[str, Any]:
    code = main(["doctor", str(config), "--json"])
    out, err = capsys.readouterr()
    assert code in (0, 1), err
    found: dict[str, Any] = json.loads(out)
    assert (code == 0) == (found["verdict"] == "holds out of sample")
    return {**found, "rungs": {rung["name"]: rung for rung in found["rungs"]}}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration of a momentum strategy on a market with momentum."""
    return planted(tmp_path_factory.mktemp("good"), FOLLOW, closes(1, YEARS, momentum=0.4))


def test_a_momentum_strategy_on_a_market_with_momentum_holds_up_out_of_sample(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, good)
    assert found["verdict"] == "holds out of sample", found["sentence"]
    assert found["rungs"]["look-ahead"]["outcome"] == "ok"
    # the files that botkit itself reads are not the strategy's
    assert (found["rungs"]["files"]["outcome"], found["rungs"]["files"]["says"]) == ("ok", "it reads no files")
    assert found["rungs"]["looks"]["outcome"] == "ok"


def test_a_momentum_strategy_on_a_market_without_momentum_does_not_hold_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        found = examined(capsys, planted(tmp_path / f"null{seed}", FOLLOW, closes(seed, YEARS, drift=0.001)))
        assert found["verdict"] != "holds out of sample"
        assert found["verdict"] != "broken"


def test_a_strategy_that_reads_the_tape_file_is_reported_as_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = planted(tmp_path / "peeking", PEEKING, closes(1, MONTHS), params=", tape: TAPE")
    found = examined(capsys, config)
    assert found["verdict"] == "broken"
    assert "opens the tape itself" in found["sentence"]


def test_a_strategy_that_reads_future_rows_from_memory_is_reported_as_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, planted(tmp_path / "seeing", SEEING, closes(1, MONTHS)))
    assert found["verdict"] == "broken"
    assert "it sees rows from the future" in found["sentence"]


def test_a_strategy_that_looks_ahead_only_to_cancel_is_reported_as_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, planted(tmp_path / "seeing", SEEING_TO_CANCEL, closes(1, MONTHS)))
    assert found["rungs"]["look-ahead"]["outcome"] == "failed"
    assert found["verdict"] == "broken"


def test_a_decision_that_follows_from_a_fill_within_a_candle_does_not_look_ahead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, planted(tmp_path / "offering", OFFERING, closes(1, MONTHS)))
    assert found["rungs"]["look-ahead"]["outcome"] == "ok"


def test_costs_that_exceed_the_profit_are_detected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, planted(tmp_path / "busy", BUSY, closes(4, YEARS // 2, drift=0.001)))
    assert found["verdict"] == "loses after costs"


def test_a_profit_that_depends_on_zero_slippage_is_detected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # the strategy earns only 0.05 % per trade
    config = planted(tmp_path / "free", BUSY, closes(4, YEARS // 2, drift=0.0012), taker="0", slippage="0")
    found = examined(capsys, config)
    costs = found["rungs"]["costs"]
    assert costs["outcome"] == "failed" or costs["figures"]["slippage"] < costs["figures"]["configured"]


def test_a_profit_from_trading_on_an_outdated_book_is_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, planted_on_books(tmp_path, STALE, 1, days=2, delay_ms=60_000, sweeps=True))
    assert found["verdict"] == "loses after costs"
    assert "it lost" in found["rungs"]["costs"]["says"]


def test_a_profit_that_depends_on_low_latency_is_detected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, planted_on_books(tmp_path, QUICK, 1, days=2, delay_ms=120, sweeps=False))
    assert found["verdict"] == "loses after costs"
    assert "with latency doubled it loses" in found["sentence"]


def test_a_strategy_that_sends_too_many_orders_is_reported_as_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = "limits: {create_order: 40, batching: false}\n"
    found = examined(capsys, planted(tmp_path, STORMY, closes(1, 12, momentum=0.4), more=limits))
    assert found["verdict"] == "broken"
    assert "wait for the exchange's rate limits" in found["sentence"]


def test_parameters_fitted_to_the_past_perform_well_only_in_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = closes(1, YEARS)
    cycle = f", weights: {fitted_cycle(prices, 60)}"
    found = examined(capsys, planted(tmp_path / "cycle", CYCLE, prices, params=cycle))
    assert found["rungs"]["parameters"]["outcome"] == "failed"
    assert found["rungs"]["parameters"]["figures"]["parameters"] == 60
    assert found["verdict"] in ("in-sample only", "no better than chance")
    lags = f", weights: {fitted_lags(prices, 20)}"
    found = examined(capsys, planted(tmp_path / "lags", LAGS, prices, params=lags))
    assert found["rungs"]["out of sample"]["outcome"] == "failed"


def test_a_maker_is_compared_with_symmetric_quotes_of_equal_width_and_size(tmp_path: Path) -> None:
    config = planted_on_books(tmp_path, QUOTING, 1, days=2, delay_ms=1_000, sweeps=False)
    own = ['strategies.0.capital={twd: "5000000", btc: "5"}', 'backtest.balances={twd: "5000000", btc: "5"}']
    project = Project.load(config, overrides=own)
    bench = Bench(project)
    result = bench.result()
    middles = last_middles(bench.feed, "btc_twd")
    assert middles is not None
    null = symmetric_quotes(project, result, {"btc_twd": middles})
    assert null is not None
    (spec,) = null.specs()
    assert spec.parameters["amounts"] == [pytest.approx(0.1)]
    assert spec.parameters["widths"] == [pytest.approx(0.0003, rel=0.05)]
    quoted = Bench(null, bench.feed).result()
    assert quoted.fills
    assert {fill.is_maker for fill in quoted.fills} == {True}
    assert 0.9 < len(quoted.fills) / len(result.fills) < 1.1


def test_quotes_equal_to_those_of_the_null_strategy_are_no_better_than_chance() -> None:
    assert mean_test(np.zeros(30), mean_block=1.0) == 1.0
    p = mean_test(np.full(30, 0.001) + np.tile([0.0001, -0.0001], 15), mean_block=1.0)
    assert p is not None
    assert p < 0.01


def test_a_single_lucky_trade_is_not_treated_as_an_edge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(capsys, planted(tmp_path / "lucky", LUCKY, closes(3, YEARS, treble_on=305)))
    assert found["verdict"] in ("no better than chance", "loses after costs")
    assert found["rungs"]["best trades"]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("pnls", "says"),
    [
        ([5.0, 3.0, -1.0, 2.0], "its whole profit is from five trades or fewer"),
        ([5.0] * 5 + [-1.0] * 5, "without its best five of 10 trades it loses money"),
    ],
)
def test_a_profit_from_few_trades_is_told_as_what_it_is(pnls: list[float], says: str) -> None:
    equity = SimpleNamespace(times=np.array([0, 1]), values=np.array([1000.0, 1000.0]))
    trades = [SimpleNamespace(pnl=pnl, closed=1) for pnl in pnls]
    told: Any = SimpleNamespace(_trades=trades, _result=SimpleNamespace(equity=equity))
    rung = _Ladder._best_trades(told)
    assert (rung.outcome, rung.says) == ("failed", says)


def test_with_too_little_data_the_doctor_reports_how_many_days_are_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = examined(capsys, planted(tmp_path / "short", FOLLOW, closes(1, 60, momentum=0.4)))
    assert found["verdict"] in ("cannot tell", "loses after costs"), found["sentence"]
    assert found["rungs"]["data"]["outcome"] == "failed"
    assert "full days are too few" in found["rungs"]["out of sample"]["says"] or found["rungs"]["data"]["advice"]


def test_the_best_of_many_attempts_performs_well_only_in_sample(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # without the attempts, the same strategy holds up: the first test of this file
    start = START_MS * NS_PER_S // 1000
    market = Market.of(["scripted"], ["btc_twd"], is_synthetic=False)

    def noted(number: int) -> Look:
        return Look(
            code="c",
            config="f",
            params={"number": number},
            start=start,
            end=start + YEARS * DAY_MS * 1_000_000,
            noted=number,
            command="optimize",
            first_day=START_MS // DAY_MS,
            returns=tuple(np.random.default_rng(number).normal(0, 0.05, YEARS).tolist()),
            trades=100,
        )

    LookLedger(Path("state")).note(market, [noted(number) for number in range(3_000)])
    found = examined(capsys, good)
    assert found["verdict"] == "in-sample only"
    assert "3,000 configurations tried here" in found["sentence"]


def test_the_ladder_is_printed_and_ends_with_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(planted(tmp_path / "short", FOLLOW, closes(1, 60)))]) == 1
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == "test"
    assert "configuration" in lines[1]
    assert lines[-1].split(";")[0].lower() in ("cannot tell", "loses after costs")


def test_a_user_mistake_exits_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "nothing.yaml")]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_the_verdict_sentence_mentions_a_synthetic_market_first() -> None:
    found = Diagnosis.of("x", [], is_synthetic=True)
    assert found.sentence.startswith("Invented market: holds out of sample")


def test_the_most_severe_failure_determines_the_verdict() -> None:
    rungs = [
        Rung(name="a", outcome="failed", says="chance", calls_for="no better than chance"),
        Rung(name="b", outcome="failed", says="costs", calls_for="loses after costs"),
        Rung(name="c", outcome="warning", says="odd", calls_for="broken"),
    ]
    assert Diagnosis.of("x", rungs, is_synthetic=False).sentence == "Loses after costs; costs."


def test_only_files_opened_inside_the_with_block_are_recorded(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    for path in (one, two):
        path.write_text("x")
    with files_read() as found:
        one.read_text()
    two.read_text()
    assert found == {str(one)}
