"""User mistakes: each one produces a clear error and exit code 2, and leaves no partially written output."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.backtest_world import ROOT, write_candles, write_config, write_strategy

HEAD = "timestamp,open,high,low,close,volume"
T = 1_704_067_200_000


def rows(*lines: str) -> str:
    return "\n".join([HEAD, *lines]) + "\n"


def row(i: int, figures: str = "100,101,99,100,5") -> str:
    return f"{T + 60_000 * i},{figures}"


def refused(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a backtest, check that it exits with code 2 and leaves no files behind, and return its standard error."""
    out = tmp_path / "runs" / "out"
    code = main(["backtest", str(config), "--out", str(out), *arguments])
    printed = capsys.readouterr()
    assert code == 2, printed
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert not out.exists()
    assert not out.parent.exists() or not list(out.parent.iterdir()), "a part of a run was left behind"
    return printed.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (HEAD + "\n", "no rows"),
        ("timestamp,open,high,low,volume\n" + f"{T},1,1,1,1\n", "close"),
        (rows(row(1), row(0)), "sorted"),
        (rows(row(0), row(0)), "second candle"),
        (rows(row(0), row(1, "100,101,99,nan,5")), "close"),
        (rows(row(0), row(1, "100,101,99,,5")), "close"),
        (rows(row(0), row(1, "100,101,-99,100,5")), "zero or negative"),
        (rows(row(0), row(1, "0,101,99,100,5")), "zero or negative"),
        (rows(row(0), row(1, "100,101,99,100,-5")), "volume"),
        (rows(row(0), row(1, "100,98,99,100,5")), "high"),
        (rows(row(0), row(1, "100,101,99,hundred,5")), "hundred"),
    ],
    ids=[
        "empty",
        "header only",
        "missing column",
        "unsorted",
        "doubled",
        "nan",
        "blank",
        "negative price",
        "zero price",
        "negative volume",
        "high below low",
        "text",
    ],
)
def test_impossible_candles_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(text, encoding="utf-8")
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}"
    config = write_config(tmp_path, data, plugins=ROOT / "strategies", use="sma_cross")
    error = refused(tmp_path, config, capsys)
    assert str(file) in error
    assert says in error.lower(), error


def test_candles_that_do_not_match_the_declared_resolution_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(rows(row(0), row(1), row(2)), encoding="utf-8")
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1h}}"
    config = write_config(tmp_path, data, plugins=ROOT / "strategies", use="sma_cross")
    assert "1h" in refused(tmp_path, config, capsys)


def test_bars_finer_than_the_candle_resolution_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(rows(*(f"{T + 3_600_000 * i},100,101,99,100,5" for i in range(5))), encoding="utf-8")
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1h}}"
    config = write_config(tmp_path, data, plugins=ROOT / "strategies", use="sma_cross")
    error = refused(tmp_path, config, capsys)
    assert "1m" in error
    assert "1h" in error


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pair: btc_usdt, fast", "pair: btc_usd, fast", "btc_usd"),
        ("fast: 3", "fats: 3", "fast"),
        ("fast: 3", "fast: three", "fast"),
        ("fast: 3", "fast: 0", "fast"),
        ("resolution: 1m, fast", "resolution: 2m, fast", "2m"),
        ("use: sma_cross", "use: sma_corss", "sma_cross"),
        ("strategies:", "strategeis:", "strategies"),
        ("exchange: bitopro", "exchange: bitpro", "bitopro"),
        ('slippage: "0.0002"', 'slippage: "a lot"', "slippage"),
        ('  slippage: "0.0002"\n', "", "slippage"),
        ("order_ms: 100", "order_ms: -1", "order_ms"),
        ('maker: "0.001"', 'maker: "1.5"', "maker"),
        ('usdt: "1000000"', 'usdt: "-5"', "usdt"),
        ("name: test\n", "name: test\nname: again\n", "name"),
        ("name: test\n", "name: [test\n", "yaml"),
        ("candles.csv", "candels.csv", "candels.csv"),
        ("kind: candles", "kind: candels", "candels"),
        ("plugins: [", "plugins: [/nowhere/at/all, ", "/nowhere/at/all"),
        ("name: test\n", "name: test\nrisk: {max_open_ordres: 5}\n", "max_open_orders"),
        ("name: test\n", "name: test\nrisk: {max_daily_loss: 5}\n", "max_daily_loss"),
        ("name: test\n", "name: test\ntimezone: Asia/Taipeh\n", "Asia/Taipei"),
        ("fast: 3, slow: 5", "fast: 5, slow: 3", "fast"),
    ],
)
def test_configuration_mistakes_are_reported_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    file = write_candles(tmp_path / "candles.csv", [100.0 + i % 7 for i in range(50)])
    config = write_config(
        tmp_path,
        f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}",
        plugins=ROOT / "strategies",
        use="sma_cross",
        params="{pair: btc_usdt, fast: 3, slow: 5}".replace(
            "pair: btc_usdt, fast", "pair: btc_usdt, resolution: 1m, fast"
        )
        if "resolution" in old
        else "{pair: btc_usdt, fast: 3, slow: 5}",
    )
    text = config.read_text(encoding="utf-8")
    assert old in text, text
    config.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert says.lower() in refused(tmp_path, config, capsys).lower()


def test_a_pair_missing_from_the_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_candles(tmp_path / "candles.csv", [100.0] * 50)
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}"
    config = write_config(
        tmp_path, data, plugins=ROOT / "strategies", use="sma_cross", params="{pair: eth_usdt}",
        balances='{usdt: "1000"}',
    )  # fmt: skip
    error = refused(tmp_path, config, capsys)
    assert "eth_usdt" in error
    assert "btc_usdt" in error


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{not json", "line 2"),
        (json.dumps({"received": T + 1, "frame": {"event": "ORDER_BOOK", "pair": "BTC_USDT", "bids": []}}), "line 2"),
        (json.dumps({"frame": {}}), "line 2"),
    ],
)
def test_unreadable_frames_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    trade = {"timestamp": T // 1000, "price": "100", "amount": "1", "isBuyer": True}
    good = {"received": T, "frame": {"event": "TRADE", "pair": "BTC_USDT", "timestamp": T, "data": [trade]}}
    file = tmp_path / "day.frames.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write(json.dumps(good) + "\n" + line + "\n")
    config = write_config(tmp_path, f"{{path: {file}, kind: frames}}", plugins=ROOT / "strategies", use="market_maker")
    error = refused(tmp_path, config, capsys)
    assert str(file) in error
    assert says in error.replace(":2", " line 2"), error


SUBSCRIBES = "def on_start(self):\n    self.subscribe_bars(self.pair, '1m')\n    self.set_timer(every_s=60)\n"
ORDERS = "def on_bar(self, bar):\n    self.market_buy(self.pair, spend=100)\n"


@pytest.mark.parametrize(
    ("body", "callback"),
    [
        ("def on_start(self):\n    raise RuntimeError('broken here')\n", "on_start"),
        (SUBSCRIBES + "def on_bar(self, bar):\n    raise RuntimeError('broken here')\n", "on_bar"),
        (SUBSCRIBES + "def on_timer(self, timer):\n    raise RuntimeError('broken here')\n", "on_timer"),
        (SUBSCRIBES + ORDERS + "def on_order(self, order):\n    raise RuntimeError('broken here')\n", "on_order"),
        (SUBSCRIBES + ORDERS + "def on_fill(self, fill):\n    raise RuntimeError('broken here')\n", "on_fill"),
        (SUBSCRIBES + ORDERS + "def on_balance(self, balance):\n    raise RuntimeError('broken here')\n", "on_balance"),
        (SUBSCRIBES + "def on_stop(self):\n    raise RuntimeError('broken here')\n", "on_stop"),
    ],
)
def test_an_exception_in_a_callback_aborts_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, callback: str
) -> None:
    file = write_candles(tmp_path / "candles.csv", [100.0 + i % 7 for i in range(50)])
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}"
    plugins = write_strategy(tmp_path, "pair: Pair\n\n" + body)
    config = write_config(tmp_path, data, plugins=plugins)
    error = refused(tmp_path, config, capsys)
    line = (
        (plugins / "scripted.py")
        .read_text(encoding="utf-8")
        .splitlines()
        .index("        raise RuntimeError('broken here')")
    )
    assert callback in error
    assert "broken here" in error
    assert f"scripted.py:{line + 1}" in error


@pytest.mark.parametrize(
    ("subscribe", "callback"),
    [("subscribe_trades(self.pair)", "on_trade"), ("subscribe_book(self.pair)", "on_book")],
)
def test_an_exception_while_handling_a_market_event_aborts_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], subscribe: str, callback: str
) -> None:
    trade = {"timestamp": T // 1000, "price": "100", "amount": "1", "isBuyer": True}
    level = {"amount": "1", "count": 1, "total": "1"}
    book = {
        "event": "ORDER_BOOK", "pair": "BTC_USDT", "timestamp": T,
        "bids": [{"price": "99", **level}], "asks": [{"price": "101", **level}],
    }  # fmt: skip
    file = tmp_path / "day.frames.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        for i in range(5):
            data = [dict(trade, timestamp=T // 1000 + i)]
            prints = {"event": "TRADE", "pair": "BTC_USDT", "timestamp": T + 1000 * i, "data": data}
            for frame in (book, prints):
                out.write(json.dumps({"received": T + 1000 * i, "frame": frame}) + "\n")
    body = (
        f"pair: Pair\n\ndef on_start(self):\n    self.{subscribe}\n\n"
        f"def {callback}(self, event):\n    raise RuntimeError('broken here')\n"
    )
    config = write_config(
        tmp_path, f"{{path: {file}, kind: frames, trades: single}}", plugins=write_strategy(tmp_path, body)
    )
    error = refused(tmp_path, config, capsys)
    assert callback in error
    assert "scripted.py:" in error


def test_a_time_span_without_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_candles(tmp_path / "candles.csv", [100.0] * 50)
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}"
    config = write_config(tmp_path, data, plugins=ROOT / "strategies", use="sma_cross")
    assert "2024-01-01" in refused(tmp_path, config, capsys, "--from", "2025-01-01")
    assert "2023" in refused(tmp_path, config, capsys, "--from", "2024-01-01", "--to", "2023-01-01")
    assert "no-such" in refused(tmp_path, config, capsys, "--data", str(tmp_path / "no-such"))
    assert "nope" in refused(tmp_path, config, capsys, "--set", "nope.fast=3")


def test_a_failed_run_keeps_the_files_of_the_previous_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_candles(tmp_path / "candles.csv", [100.0 + i % 7 for i in range(50)])
    data = f"{{path: {file}, pair: btc_usdt, kind: candles, resolution: 1m}}"
    config = write_config(tmp_path, data, plugins=ROOT / "strategies", use="sma_cross")
    out = tmp_path / "out"
    assert main(["backtest", str(config), "--out", str(out), "--json"]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    file.write_text(rows(row(1), row(0)), encoding="utf-8")
    assert main(["backtest", str(config), "--out", str(out), "--json"]) == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
    capsys.readouterr()
