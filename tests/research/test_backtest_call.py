"""`botkit.backtest` accepts every kind of strategy and data, makes the same decisions as the command line, and explains
mistakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import botkit
from botkit import SMA, Bar, BotkitError, ConfigError, Pair, Strategy, param
from botkit.research.result import Result
from tests.backtest_world import ROOT, run
from tests.research_world import waves

START_MS = 1_704_067_200_000


class Cross(Strategy):
    """Trades moving average crossovers, like the strategy in the `crossing` configuration."""

    pair: Pair
    fast: int = param(5, ge=1, le=100)
    slow: int = 20
    spend: float = 1000.0

    def on_start(self) -> None:
        bars = self.subscribe_bars(self.pair, "1m")
        self.quick, self.calm = bars.attach(SMA(self.fast)), bars.attach(SMA(self.slow))

    def on_bar(self, bar: Bar) -> None:
        if self.quick.crossed_above(self.calm):
            self.market_buy(self.pair, spend=self.spend)
        elif self.quick.crossed_below(self.calm) and self.position(self.pair).sellable:
            self.close(self.pair)


class Talker(Cross):
    """Logs a warning on its first bar."""

    def on_bar(self, bar: Bar) -> None:
        if bar.time == START_MS * 10**6:
            self.log.warning("hello")


class Broken(Cross):
    """Fails on its first bar."""

    def on_bar(self, bar: Bar) -> None:
        raise ZeroDivisionError("it was zero")


ARGUMENTS: dict[str, Any] = {
    "params": {"pair": "btc_usdt"},
    "capital": {"usdt": 10_000},
    "balances": {"usdt": 10_000},
    "fees": {"maker": "0.001", "taker": "0.002"},
    "slippage": 0.0002,
    "latency": {"order_ms": 100, "answer_ms": 100},
}


def candles(rows: int = 3_000) -> pd.DataFrame:
    """Return the rows of the data file in the `crossing` configuration."""
    closes = [round(value, 2) for value in waves(rows)]
    before = [closes[0], *closes[:-1]]
    return pd.DataFrame(
        {
            "open": before,
            "high": [max(pair) + 1 for pair in zip(before, closes, strict=True)],
            "low": [min(pair) - 1 for pair in zip(before, closes, strict=True)],
            "close": closes,
            "volume": 1000.0,
        },
        index=pd.to_datetime([START_MS + 60_000 * n for n in range(rows)], unit="ms", utc=True),
    )


def sha(result: Result) -> object:
    return result.figures["journal_sha256"]


def without_names(run: Any) -> list[tuple[object, ...]]:
    return [(fill.time, fill.side, fill.price_ticks, fill.lots, fill.fee_units) for fill in run.fills]


def test_a_class_run_on_a_dataframe_trades_as_the_command_line_does_on_the_file(crossing: Path) -> None:
    alone = run(crossing)
    called = botkit.backtest(Cross, data=candles(), **ARGUMENTS)
    assert len(alone.fills) > 50
    assert without_names(called.run) == without_names(alone)
    assert called.figures["return"] == pytest.approx(alone.summary["return"], rel=1e-12)


def test_a_configuration_path_leads_to_the_same_decisions_as_the_command_line(crossing: Path) -> None:
    assert sha(botkit.backtest(crossing)) == run(crossing).summary["journal_sha256"]
    assert (
        sha(botkit.backtest(str(crossing), params={"fast": 4, "slow": 9}))
        == (run(crossing, overrides=["s.fast=4", "s.slow=9"]).summary["journal_sha256"])
    )


def test_a_strategy_name_is_looked_up_among_the_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = botkit.backtest(
        "sma_cross", data="backtest_data", params={"pair": "btc_usdt", "fast": 12}, balances={"usdt": 1000},
        slippage=0.0002, end="2025-01-20",
    )  # fmt: skip
    assert result.figures["fills"]
    assert result.figures["strategy"] == "sma_cross"


def test_a_dict_can_contain_classes_and_several_strategies() -> None:
    config = {
        "name": "pair-of-them",
        "strategies": [
            {"name": "a", "use": Cross, "params": {"pair": "btc_usdt"}, "capital": {"usdt": "5000"}},
            {"name": "b", "use": Cross, "params": {"pair": "btc_usdt", "fast": 3}, "capital": {"usdt": Decimal(5000)}},
        ],
        "backtest": {"balances": {"usdt": 10_000}, "slippage": 0.0002},
    }
    result = botkit.backtest(config, data={"btc_usdt": candles()}, params={"a.slow": 30, "b": {"slow": 40}})
    assert list(result.equity.columns) == ["equity", "drawdown", "a", "b"]
    assert set(result.fills["strategy"]) == {"a", "b"}
    assert result.equity["a"].iloc[-1] + result.equity["b"].iloc[-1] == pytest.approx(result.equity["equity"].iloc[-1])
    assert result.by("strategy").index.tolist() == ["a", "b"]
    text = result.config
    assert "slow: 30" in text
    assert "slow: 40" in text


def test_data_can_be_a_path_a_tape_or_several_dataframes(crossing: Path) -> None:
    file = crossing.parent / "candles.csv"
    whole = candles()
    expected = sha(botkit.backtest(Cross, data=whole, **ARGUMENTS))
    tape = botkit.load(file, pair="btc_usdt")
    for data in (
        {"btc_usdt": file},
        {"btc_usdt": str(file)},
        tape,
        [whole.iloc[:1_000], whole.iloc[1_000:]],
        {"btc_usdt": [whole.iloc[:7], whole.iloc[7:]]},
        tape.candles("btc_usdt"),
        whole.reset_index(names="time"),
    ):
        assert sha(botkit.backtest(Cross, data=data, **ARGUMENTS)) == expected


def test_a_time_span_can_be_given_as_date_datetime_or_text(crossing: Path) -> None:
    asked = [
        {"start": "2024-01-01T12:00", "end": "2024-01-02"},
        {"start": datetime(2024, 1, 1, 4, tzinfo=UTC), "end": date(2024, 1, 2)},
        {
            "start": pd.Timestamp("2024-01-01T12:00", tz="Asia/Taipei"),
            "end": pd.Timestamp("2024-01-02T16:00", tz="UTC"),
        },
    ]
    found = [botkit.backtest(crossing, **span) for span in asked]
    assert len({sha(result) for result in found}) == 1
    assert found[0].run.start == START_MS * 10**6 + 4 * 3_600 * 10**9
    assert found[0].run.end == START_MS * 10**6 + 40 * 3_600 * 10**9


def test_a_backtest_can_run_inside_a_running_event_loop(crossing: Path) -> None:
    async def in_a_cell() -> object:
        await asyncio.sleep(0)
        return sha(botkit.backtest(crossing))

    assert asyncio.run(in_a_cell()) == sha(botkit.backtest(crossing))


def test_a_result_contains_the_warnings_logged_by_its_strategies() -> None:
    (message,) = botkit.backtest(Talker, data=candles(10), **ARGUMENTS).messages
    assert message.endswith("warning: Talker: hello")
    assert message.startswith("2024-01-01T08:01:00")


def test_a_class_can_be_changed_and_run_again() -> None:
    """Reproduce a notebook in which a cell is edited and executed again."""
    one = type("Mine", (Cross,), {})
    other = type("Mine", (Cross,), {"slow": 50})
    first, second = (botkit.backtest(cls, data=candles(), **ARGUMENTS) for cls in (one, other))
    assert sha(first) != sha(second)
    assert sha(botkit.backtest(one, data=candles(), **ARGUMENTS)) == sha(first)


def test_importing_botkit_loads_no_heavy_libraries() -> None:
    code = (
        "import sys, botkit\n"
        "heavy = {'pandas', 'pyarrow', 'aiohttp', 'jinja2', 'click', 'rich', 'botkit.research.result'}\n"
        "print(sorted(heavy & set(sys.modules)), botkit.backtest.__name__, botkit.load.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n")[0] == "[] backtest load"


# -- mistakes ---------------------------------------------------------------------------------------------------------


def naive(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index(frame.index.tz_localize(None))


def changed(frame: pd.DataFrame, row: int, column: str, value: Any) -> pd.DataFrame:
    frame = frame.copy()
    frame.iloc[row, frame.columns.get_loc(column)] = value
    return frame


FRAME = candles(50)
TRADES = pd.DataFrame({"price": [1.0, 2.0], "amount": [1.0, 1.0]}, index=FRAME.index[:2])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"params": {"pair": "btc_usdt", "fsat": 3}}, "fsat: Cross has no such parameter; did you mean fast?"),
        ({"params": {"pair": "btc_usdt", "fast": 0}}, "Cross.fast=0: fast: must be at least 1, not 0"),
        ({"params": {"pair": "btc_usdt", "fast": "many"}}, "fast: 'many' is not a plain number"),
        ({"params": {}}, "pair: Cross requires it (pair)"),
        ({"params": {"pair": "btc_eur"}}, "pair: "),
        ({"params": [1]}, "params is list; pass it as a dict"),
        ({"params": {"other.fast": 1}}, "there is no strategy named `other`; use one of: Cross"),
        ({"slipage": 1}, "backtest() has no argument `slipage`; did you mean `slippage`?"),
        ({"slippage": 5}, "slippage=5: `backtest.slippage`: 5 would be 500 %"),
        ({"slippage": None}, "`slippage` is required"),
        ({"balances": None, "capital": None}, "there is no money to trade with"),
        ({"balances": {"usdt": -1}}, "must be at least 0"),
        ({"balances": {"usdt": "much"}}, "`backtest.balances.usdt` is "),
        ({"balances": 1000}, "`backtest.balances` is 1000, but a mapping is expected"),
        ({"start": "yesterday"}, "'yesterday' is not a time"),
        ({"start": "2024-01-03", "end": "2024-01-01"}, "is not after the start"),
        ({"start": "2030-01-01"}, "change --from and --to, or the data"),
        ({"benchmark": "gold"}, "there is no benchmark `gold`; use buy-and-hold"),
        ({"fees": {"maker": 0.001}}, "`taker` is missing"),
        ({"seed": -1}, "`seed` is "),
        ({"data": None}, "there is no data to run on"),
        ({"data": "nowhere"}, "data: there is no file or folder nowhere"),
        ({"data": []}, "data is empty"),
        ({"data": 5}, "data is int; pass a path, a DataFrame"),
        ({"data": {"btc_eur": FRAME}}, "the exchange has no pair 'btc_eur'"),
        ({"data": {"eth_usdt": FRAME}}, "there is no data for btc_usdt; the data contains eth_usdt"),
        ({"data": FRAME.iloc[:0]}, 'data["btc_usdt"] has no rows'),
        ({"data": naive(FRAME)}, 'data["btc_usdt"]: its times have no time zone'),
        ({"data": FRAME.iloc[::-1]}, 'data["btc_usdt"]:1: this row is earlier than the one before'),
        ({"data": pd.concat([FRAME, FRAME.iloc[-1:]])}, 'data["btc_usdt"]:50: a second candle for the time'),
        ({"data": FRAME.reset_index(drop=True)}, 'data["btc_usdt"] has no times'),
        ({"data": FRAME.drop(columns="volume")}, 'data["btc_usdt"] has no column volume'),
        ({"data": FRAME[["open"]]}, "contains neither candles (open, high, low, close, volume) nor trades"),
        ({"data": changed(FRAME, 7, "close", float("nan"))}, 'data["btc_usdt"]:7: close is missing'),
        ({"data": changed(FRAME, 7, "high", float("inf"))}, 'data["btc_usdt"]:7: high is not a finite number'),
        ({"data": changed(FRAME, 7, "low", 10**9)}, 'data["btc_usdt"]:7: the high is below the low'),
        ({"data": changed(FRAME, 7, "low", -1.0)}, 'data["btc_usdt"]:7: a price is zero or negative'),
        ({"data": changed(FRAME.astype(object), 7, "open", "x")}, "data[\"btc_usdt\"]:7: open 'x' is not a number"),
        ({"data": FRAME.iloc[:1]}, "the resolution cannot be inferred from one candle"),
        ({"data": FRAME.set_index(FRAME.index + pd.Timedelta(seconds=7))}, "is not the start of a 1m candle"),
        ({"data": FRAME.iloc[[0, 1, 5]].set_index(FRAME.index[[0, 7, 14]])}, "the exchange's resolutions are"),
        ({"data": changed(TRADES, 1, "amount", 0.0)}, 'data["btc_usdt"]:1: the amount is zero or negative'),
        ({"data": TRADES.assign(side="up")}, "data[\"btc_usdt\"]:0: side 'up' is neither buy nor sell"),
        ({"data": pd.concat([FRAME, FRAME[["close"]]], axis=1)}, 'data["btc_usdt"] has two columns named close'),
        ({"data": [FRAME, FRAME]}, "both have btc_usdt candles 1m"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_one_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BotkitError) as caught:
        botkit.backtest(Cross, **{"data": FRAME, **ARGUMENTS, **arguments})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4),
    st.sampled_from([object(), "btc_usdt", "usdt", "1e9", "2024-01-01", "${X}", "a: b", "\x00", "\ud800", "sma.fast"]),
)  # fmt: skip
_KEYS = st.one_of(
    st.text(max_size=6), st.integers(), st.sampled_from(["usdt", "maker", "rank", "pair", "model", "order_ms", "use"])
)
_JUNK = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=5,
)


_ARGUMENTS = (
    *(
        "data",
        "params",
        "balances",
        "start",
        "end",
        "seed",
        "benchmark",
        "slippage",
        "fees",
        "latency",
        "fills",
        "risk",
    ),
    *("currency", "timezone", "reserve", "capital", "exchange", "account", "notify", "limits", "name", "plugins"),
    *("block", "amount_step", "bar_grace_ms", "log", "emulator", "live"),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_ARGUMENTS), _JUNK)
def test_an_argument_of_any_type_raises_only_botkit_errors(name: str, value: Any) -> None:
    with contextlib.suppress(BotkitError):
        botkit.backtest(Cross, **{"data": FRAME, **ARGUMENTS, name: value})


_CELLS = st.one_of(
    st.none(), st.floats(), st.integers(-(10**20), 10**20), st.text(max_size=5), st.booleans(),
    st.sampled_from([pd.NaT, pd.Timestamp("2024-01-01"), float("inf"), "1e400", "0x10"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from(list(FRAME.columns)), _CELLS), max_size=3),
    st.sampled_from([
        lambda frame, cell: frame,
        lambda frame, cell: frame.rename(columns={"open": cell}),
        lambda frame, cell: frame.set_index(pd.Index([cell] * len(frame))),
        lambda frame, cell: pd.concat([frame, frame], axis=1),
        lambda frame, cell: frame.set_index("open", append=True),
        lambda frame, cell: frame.rename(columns={"open": "price", "volume": "amount"}).drop(columns="high"),
        lambda frame, cell: frame.assign(time=cell),
    ]),
    _CELLS,
)  # fmt: skip
def test_a_dataframe_with_any_content_raises_only_botkit_errors(edits: Any, change: Any, cell: Any) -> None:
    frame = FRAME.iloc[:12].astype(object)
    for row, column, value in edits:
        frame.iloc[row, frame.columns.get_loc(column)] = value
    with contextlib.suppress(BotkitError):
        botkit.backtest(Cross, data=change(frame, cell), **ARGUMENTS)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Cross(), "a backtest creates its own instances; pass the class Cross, not Cross()"),
        (int, "int is not a strategy; derive it from botkit.Strategy"),
        (None, "not NoneType"),
        (42, "not int"),
        ("no_such_thing", "there is no strategy named `no_such_thing`"),
        ("nowhere/bot.yaml", "nowhere/bot.yaml: there is no such file"),
        ({}, "`strategies` is missing"),
        ({"strategies": []}, "a bot needs a strategy"),
        ({"strategies": "x"}, "a list is expected"),
        ({"strategies": [{"use": int}]}, "int is not a strategy"),
        ({"strategies": [{"use": Cross}], 5: 1}, "the key 5 in `` is not text"),
        ({"strategies": [{"use": Cross}], "acount": {}}, "unknown key `acount`; did you mean `account`?"),
    ],
)
def test_objects_that_are_not_strategies_are_refused(strategy: object, said: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        botkit.backtest(strategy, data=FRAME, balances={"usdt": 1})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_error_from_a_failing_strategy_states_the_line_of_code() -> None:
    with pytest.raises(
        BotkitError, match=r"strategy 'Broken' raised in on_bar at .*test_backtest_call.py:\d+: "
    ) as caught:
        botkit.backtest(Broken, data=FRAME, **ARGUMENTS)
    assert "it was zero" in str(caught.value).splitlines()[0]


def test_with_several_strategies_a_parameter_must_be_qualified_with_a_strategy_name() -> None:
    config = {"strategies": [{"name": name, "use": Cross, "params": {"pair": "btc_usdt"}} for name in "ab"]}
    with pytest.raises(ConfigError, match=r"`fast` may belong to any of a, b; name the strategy too, such as 'a.fast'"):
        botkit.backtest(config, data=FRAME, balances={"usdt": 1}, slippage=0, params={"fast": 3})


def test_a_single_capital_amount_for_several_strategies_is_refused() -> None:
    config = {"strategies": [{"name": name, "use": Cross, "params": {"pair": "btc_usdt"}} for name in "ab"]}
    with pytest.raises(ConfigError, match=r"capital: there are several strategies \(a, b\); set the capital of each"):
        botkit.backtest(config, data=FRAME, balances={"usdt": 1}, slippage=0, capital={"usdt": 1})
