"""`botkit audit`: re-simulates a recorded session and compares the simulation with the recording."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.assembly.audit import _proposals
from botkit.cli.main import main
from botkit.exchange.bitopro import sign
from botkit.live.replay import RecordedInputs
from botkit.model.latency import MeasuredLatencies
from botkit.model.pairs import Pair
from tests.simulation.terminal import Terminal

Printed = pytest.CaptureFixture[str]

STRATEGY = """
from botkit import Pair, Strategy, hookimpl

class Mixed(Strategy):
    pair: Pair
    def on_start(self):
        self.subscribe_book(self.pair, depth=5)
        self.subscribe_trades(self.pair)
        self.set_timer(every_s=20)
    def on_timer(self, timer):
        book = self.book(self.pair, own=False)
        if book.best_bid is None or book.best_ask is None:
            return
        self.cancel_all()
        draw = self.random.random()
        if draw < 0.2:
            self.market_buy(self.pair, spend=200)
        elif draw < 0.4:
            self.market_sell(self.pair, amount=0.002)
        else:
            self.buy(self.pair, amount=0.004, price=book.best_bid)
            self.sell(self.pair, amount=0.004, price=book.best_ask)

@hookimpl
def botkit_register_strategies(register):
    register("mixed", Mixed)
"""
#: more than the strategy can pay: refused, and never sent
TOO_MUCH = "        self.buy(self.pair, amount=900, price=book.best_bid)\n        draw ="
#: enough for fifty fills
MINUTES = 12


class Session:
    """A recorded run of a bot on the emulator, and the audit of this run."""

    def __init__(self, folder: Path, capsys: Printed) -> None:
        self.folder = folder
        self.capsys = capsys
        self.config = folder / "mixed.yaml"

    def write(self, backtest: str = "latency: {order_ms: 0, answer_ms: 0}") -> None:
        write_config(self.config, backtest)

    @property
    def place(self) -> Path:
        return self.folder / "state" / "mixed" / "emulator" / "inside"

    def audit(self, *arguments: str, run: Path | None = None) -> tuple[int, str]:
        code = main(["audit", str(run or self.place), *arguments])
        out, err = self.capsys.readouterr()
        return code, out + err

    def document(self, *arguments: str) -> dict[str, Any]:
        code = main(["audit", str(self.place), "--json", *arguments])
        out, err = self.capsys.readouterr()
        assert (code, err) in ((0, ""), (1, "")), err
        return {"code": code, **json.loads(out)}


def write_config(path: Path, backtest: str = "latency: {order_ms: 0, answer_ms: 0}") -> None:
    path.write_text(
        "name: mixed\nplugins: [plugins]\n"
        "strategies:\n  - {name: m, use: mixed, params: {pair: btc_usdt}, capital: {usdt: 50000, btc: 1}}\n"
        "emulator: {balances: {usdt: 50000, btc: 1}, speed: 1}\n"
        f"backtest: {{{backtest}}}\n"
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a bot that has run for `MINUTES`."""
    folder = tmp_path_factory.mktemp("recorded") / "bot"
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "mixed.py").write_text(STRATEGY.replace("        draw =", TOO_MUCH))
    write_config(folder / "mixed.yaml")
    with pytest.MonkeyPatch.context() as patch, Terminal(folder.parent / "broker"):
        patch.setenv("BOTKIT_STATE", str(folder / "state"))
        patch.setattr(sign, "_nonces", sign._LastNonces())
        assert main(["run", str(folder / "mixed.yaml"), "--plain", "--duration", f"{MINUTES}m"]) == 0
    shutil.copytree(folder, folder.parent / "as recorded")
    return folder


@pytest.fixture
def session(recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> Session:
    """Return the session as it was recorded, whatever other tests did to it. It stays in its place, because a run names
    its own configuration and has a checksum.
    """
    shutil.rmtree(recorded)
    shutil.copytree(recorded.parent / "as recorded", recorded)
    monkeypatch.setenv("BOTKIT_STATE", str(recorded / "state"))
    monkeypatch.chdir(recorded)  # pages are written to ./out
    return Session(recorded, capsys)


def test_the_simulation_of_an_emulator_session_matches_the_session(session: Session) -> None:
    found = session.document()
    figures = found["figures"]
    assert figures["real_fills"] > 20
    assert figures["matched"] > 0.9, figures
    assert abs(figures["worse_bps"]) < 1.0, figures
    assert abs(figures["later_s"]) < 1.0, figures
    [run] = found["runs"]
    assert run["measured"]["matched"] > 0.9, run["measured"]
    status = json.loads((session.place / "status.json").read_text())
    assert status["refused"] > 20
    assert run["orders"] == status["orders"], "those that were sent, as the bot counts them"
    [latency] = [line for line in run["proposals"] if line.startswith("latency: {from: ")]
    assert "whose emulator ran at" not in latency
    fast = msgspec.structs.replace(MeasuredLatencies.read(Path(run["run"])), speed=30.0)
    [latency] = _proposals(Path(run["run"]), fast, None)
    assert latency.endswith("; true of this run alone, whose emulator ran at 30x")
    assert any(line.startswith('slippage: "0.00') for line in run["proposals"])
    real = [pair["real"] for pair in run["pairs"] if pair["real"]]
    assert {leg["is_maker"] for leg in real} == {True, False}

    code, text = session.audit("--max-missed", "100", "--max-extra", "100", "--max-money", "1000", "--max-price", "99")
    assert code == 0, text
    assert "within tolerance" in text
    for row in ("mixed, mode emulator: ", "matched", "real money more by", "for the configuration:\n  backtest:\n"):
        assert row in text

    # orders rest for 20 s, so the simulation misses most fills
    session.write("latency: {order_ms: 15000, answer_ms: 0}")
    code, text = session.audit("--max-missed", "0.5")
    assert code == 1, text
    assert "has changed since the run" in text
    assert "of the real value was missed by the simulation; the tolerance is 0.5 %" in text
    [run] = session.document()["runs"]
    assert run["configured"]["later_s"] < -10, "with 15 s of latency, simulated fills come later than the real ones"
    assert run["exact"]["matched"] > 0.9, run["exact"]
    assert run["exact"]["extra"] < 0.1, run["exact"]
    assert abs(run["exact"]["later_s"]) < 1.0, run["exact"]


def test_a_nightly_audit_covers_only_the_most_recent_orders(session: Session) -> None:
    # the embedded emulator starts from scratch for each run, so a copy of the first run serves as the second
    shutil.copytree(session.place / "runs" / "1", session.place / "runs" / "2")
    runs = ["1", "2"]
    newest = session.document()
    assert [Path(run["run"]).name for run in newest["runs"]] == [runs[-1]]
    both = session.document("--since", "7d")
    assert [Path(run["run"]).name for run in both["runs"]] == runs
    assert both["figures"]["real_fills"] > newest["figures"]["real_fills"]
    last = session.document("--since", "3m")
    assert 0 < last["runs"][-1]["orders"] < newest["runs"][-1]["orders"]
    begun, ended = last["runs"][-1]["start"], last["runs"][-1]["end"]
    assert 0 <= ended - begun <= 180 * 10**9
    (session.place / "runs" / "1" / "inputs.bin").unlink()  # the bot keeps only its latest recordings
    assert session.document("--since", "7d")["figures"] == newest["figures"]
    code, text = session.audit(run=session.config)  # a configuration path selects the latest run of its bot
    assert f"runs/{runs[-1]}: " in text, text
    assert code in (0, 1)


def test_a_truncated_recording_is_compared_up_to_its_end(session: Session) -> None:
    whole = session.document()["figures"]["real_fills"]
    [run] = (session.place / "runs").iterdir()
    for name, part in (("inputs.bin", 0.7), ("decisions.jsonl", 0.6)):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: int(len(content) * part)])
    found = session.document()
    assert 0 < found["figures"]["real_fills"] < whole
    assert found["figures"]["matched"] > 0.8


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "inputs.json").unlink(), "contains no recorded run"),
        (lambda run: (run / "decisions.jsonl").unlink(), "decisions.jsonl cannot be read"),
        (lambda run: (run / "decisions.jsonl").write_text("{}x\n{}\n"), "decisions.jsonl:1 is damaged"),
        (lambda run: (run / "inputs.bin").write_bytes(b"x" * 5_000), "is damaged"),
    ],
)
def test_a_damaged_run_is_reported_as_a_user_error(session: Session, spoil: Any, message: str) -> None:
    [run] = (session.place / "runs").iterdir()
    spoil(run)
    code, text = session.audit()
    assert code == 2
    assert message in text


def test_the_audit_of_a_run_without_orders_reports_that_there_are_no_fills_to_compare(session: Session) -> None:
    [run] = (session.place / "runs").iterdir()
    rows = (run / "decisions.jsonl").read_text().splitlines()
    kept = [row for row in rows if json.loads(row)["k"] not in ("intent", "fill", "state", "cancel")]
    (run / "decisions.jsonl").write_text("\n".join(kept) + "\n")
    code, text = session.audit()
    assert (code, text.splitlines()[-1]) == (0, "no fills to compare")
    shutil.rmtree(run)
    assert session.audit()[0] == 2


def test_an_audit_decodes_a_recording_only_twice(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    class Counted(RecordedInputs):
        def __init__(self, run: Path, pairs: Mapping[str, Pair]) -> None:
            decoded.append(run)
            super().__init__(run, pairs)

    monkeypatch.setattr("botkit.assembly.audit.RecordedInputs", Counted)
    [run] = session.document()["runs"]
    assert run["measured"] is not None
    assert len(decoded) == 2, "once for the arrivals and the simulations that need none, once for the one that does"
