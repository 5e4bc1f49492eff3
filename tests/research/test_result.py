"""A result's tables, its report, its chart, and its display in a notebook."""

from __future__ import annotations

import pickle
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import botkit
from botkit import BotkitError, ConfigError
from botkit.backtesting.metrics import GROUPS
from botkit.model.results import BacktestResult, Curve
from botkit.report.svg import curves_svg, ticks
from botkit.research.result import Result
from tests.backtest_world import ROOT
from tests.report.sample_result import sample_result
from tests.research.test_backtest_call import ARGUMENTS, Cross, candles

TEXT, TIME = "string", "datetime64[ns, UTC]"
COLUMNS: dict[str, dict[str, str]] = {
    "orders": {
        "time": TIME, "strategy": TEXT, "pair": TEXT, "side": TEXT, "type": TEXT, "price": "float64",
        "amount": "float64", "spend": "float64", "stop_price": "float64", "post_only": "bool", "state": TEXT,
        "reason": TEXT, "executed": "float64", "value": "float64", "queue_ms": "float64", "updated": TIME,
        "client_id": "int64", "order_id": TEXT, "tag": TEXT,
    },
    "fills": {
        "time": TIME, "strategy": TEXT, "pair": TEXT, "side": TEXT, "liquidity": TEXT, "price": "float64",
        "amount": "float64", "value": "float64", "fee": "float64", "fee_currency": TEXT, "worth": "float64",
        "fee_worth": "float64", "client_id": "int64", "order_id": TEXT, "tag": TEXT, "mid": "float64",
        "markout_1s_bps": "float64", "markout_10s_bps": "float64", "markout_60s_bps": "float64",
    },
    "trades": {
        "opened": TIME, "closed": TIME, "strategy": TEXT, "pair": TEXT, "kind": TEXT, "amount": "float64",
        "entry_price": "float64", "exit_price": "float64", "entry_value": "float64", "exit_value": "float64",
        "fees": "float64", "profit": "float64", "currency": TEXT, "pnl": "float64", "return": "float64",
        "mae": "float64", "mfe": "float64", "holding_s": "float64", "exit_reason": TEXT, "entry_tag": TEXT,
        "exit_tag": TEXT, "given": "bool", "client_id": "int64",
    },
    "equity": {"equity": "float64", "drawdown": "float64"},
    "daily": {"date": TEXT, "equity": "float64", "return": "float64"},
    "drawdowns": {"fall": "float64", "peak": TIME, "trough": TIME, "recovered": TIME, "lasted": "timedelta64[ns]"},
    "makers": {
        "strategy": TEXT, "pair": TEXT, "fills": "int64", "worth": "float64", "share": "float64",
        "spread_bps": "float64", "markout_1s_bps": "float64", "markout_10s_bps": "float64",
        "markout_60s_bps": "float64", "fee_bps": "float64", "inventory_least": "float64",
        "inventory_most": "float64", "inventory_average": "float64",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def result() -> Result:
    return botkit.backtest(Cross, data=candles(), **ARGUMENTS)


@pytest.fixture(scope="module")
def made() -> Result:
    """Return the result of the bundled market maker over ten minutes of order books."""
    return botkit.backtest(
        ROOT / "configs" / "market_maker.yaml", start="2025-04-03T07:00", end="2025-04-03T07:10", readings=False
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_tables_have_the_documented_columns_for_any_content(result: Result, made: Result, name: str) -> None:
    empty = botkit.backtest(Cross, data=candles(15), **ARGUMENTS)
    for held in (result, made, empty):
        frame = getattr(held, name)
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == COLUMNS[name]
    for indexed in ("equity", "daily"):
        for held in (result, empty):
            assert str(getattr(held, indexed).index.dtype) == TIME


def test_the_guide_documents_every_table_column(result: Result) -> None:
    text = (ROOT / "botkit" / "guide" / "research.md").read_text(encoding="utf-8")
    missing = {
        f"{name}.{column}" for name, columns in COLUMNS.items() for column in columns if f"`{column}`" not in text
    }
    assert missing == set()
    assert {key for key in result.figures if f"`{key}`" not in text} == set()


def test_tables_match_the_exact_rows(result: Result, made: Result) -> None:
    for held in (result, made):
        run, fills, orders, trades = held.run, held.fills, held.orders, held.trades
        assert (len(fills), len(orders), len(trades)) == (len(run.fills), len(run.orders), len(run.trades))
        assert [fill.time for fill in run.fills] == fills["time"].astype("int64").tolist()
        assert [fill.price_ticks for fill in run.fills] == (fills["price"] * 100).round().astype(int).tolist()
        assert (fills["amount"] * fills["price"]).sum() == pytest.approx(fills["value"].sum())
        assert fills["worth"].sum() == pytest.approx(held.figures["turnover"])
        assert fills["fee_worth"].sum() == pytest.approx(held.figures["fees"])
        assert (orders["queue_ms"].dropna() >= 0).all()
        assert trades["pnl"].tolist() == [trade.pnl for trade in run.trades]
        own = trades[~trades["given"]]
        assert held.figures["round_trips"] == len(own)
        assert held.figures["win_rate"] == pytest.approx((own["pnl"] > 0).mean())
        assert held.figures["expectancy"] == pytest.approx(own["pnl"].mean())
        assert held.figures["best_trade"] == pytest.approx(own["return"].max())
        assert held.figures["average_holding_s"] == pytest.approx(
            (own["closed"] - own["opened"]).dt.total_seconds().mean()
        )
        assert (own["mae"] <= 0).all()
        assert (own["mfe"] >= 0).all()
        assert held.equity["equity"].iloc[-1] == pytest.approx(held.figures["final_equity"])
        assert held.equity["drawdown"].max() <= held.figures["max_drawdown"] + 1e-12
        assert held.drawdowns["fall"].max() == pytest.approx(held.figures["max_drawdown"])


def test_the_summary_is_a_single_row_of_typed_values(result: Result) -> None:
    frame = result.summary
    assert frame.index.tolist() == ["Cross"]
    assert list(frame.columns) == list(result.figures)
    assert frame["return"].item() == result.figures["return"]
    assert np.isnan(frame["sharpe"].item())  # two days are not enough for monthly returns
    assert frame["ratios_missing"].item() == "1 daily return; a ratio needs at least 30"
    both = pd.concat([frame, botkit.backtest(Cross, data=candles(), **ARGUMENTS).summary])
    assert both.dtypes.tolist() == frame.dtypes.tolist()


@pytest.mark.parametrize("group", GROUPS)
def test_trades_can_be_grouped(result: Result, made: Result, group: str) -> None:
    for held in (result, made):
        frame, own = held.by(group), held.trades[~held.trades["given"]]
        assert frame["trades"].sum() == len(own) == held.figures["round_trips"]
        assert frame["pnl"].sum() == pytest.approx(own["pnl"].sum())
    own = result.trades
    key = own["closed"].dt.tz_convert("Asia/Taipei").dt.strftime("%Y-%m") if group == "month" else own[group]
    expected = own.groupby(key.astype(str))["pnl"].agg(["count", "sum", "mean"])
    frame = result.by(group)
    assert frame.index.tolist() == expected.index.tolist()
    assert frame[["trades", "pnl", "expectancy"]].to_numpy() == pytest.approx(expected.to_numpy())


def test_grouping_by_an_unknown_column_is_refused(result: Result) -> None:
    with pytest.raises(ConfigError, match="trades cannot be grouped by 'colour'; use one of: pair, strategy"):
        result.by("colour")


def test_a_makers_markouts_are_in_its_fills_and_its_strategy_row(made: Result) -> None:
    fills, (_, row) = made.fills, next(made.makers.iterrows())
    own = fills[fills["liquidity"] == "maker"]
    assert row["fills"] == len(own) > 5
    sign = own["side"].map({"buy": 1, "sell": -1}).astype(float)
    spread = sign * (own["mid"] - own["price"]) / own["price"] * 10_000
    assert row["spread_bps"] == pytest.approx(np.average(spread, weights=own["worth"]))
    for name in ("markout_1s_bps", "markout_10s_bps", "markout_60s_bps"):
        known = own[own[name].notna()]
        assert row[name] == pytest.approx(np.average(known[name], weights=known["worth"]))
    # maker fees are charged in the base currency for bids, and in the quote currency for asks
    base = np.where(own["fee_currency"] == "btc", own["fee"], 0)
    held = (sign * own["amount"] - base).cumsum()
    assert row["inventory_most"] == pytest.approx(max(0, held.max()))
    assert row["inventory_least"] == pytest.approx(min(0, held.min()))


def test_monthly_returns_compound_the_daily_returns() -> None:
    result = botkit.backtest(
        Cross, data="backtest_data" if Path("backtest_data").exists() else ROOT / "backtest_data",
        **{**ARGUMENTS, "params": {"pair": "btc_usdt", "fast": 50, "slow": 100}},
    )  # fmt: skip
    daily = result.daily["return"].dropna()
    months = result.daily["date"].str[:7][daily.index]
    assert result.monthly.to_dict() == pytest.approx(((1 + daily).groupby(months).prod() - 1).to_dict())
    assert result.figures["sharpe"] == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365))


def test_a_result_is_unchanged_after_a_pickle_round_trip(result: Result) -> None:
    copy = pickle.loads(pickle.dumps(result))
    assert copy.figures == result.figures
    assert copy.trades.equals(result.trades)
    assert copy._repr_html_() == result._repr_html_()
    assert copy.messages == result.messages


def test_pickling_a_result_that_contains_an_unpicklable_plugin_object_raises_a_clear_error(result: Result) -> None:
    run = pickle.loads(pickle.dumps(result.run))
    run.extra["theirs"] = (value for value in range(3))
    with pytest.raises(
        BotkitError, match="this result cannot be pickled: a plugin added an object that cannot be pickled"
    ):
        pickle.dumps(Result(run))


def test_the_report_of_a_result_is_identical_to_the_one_from_the_command_line(result: Result, tmp_path: Path) -> None:
    path = result.report(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert "<title>Cross · backtest</title>" in text
    with pytest.raises(ConfigError, match=r"nowhere/report.html cannot be written: No such file or directory"):
        result.report("nowhere/report.html")


class Elements(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def hostile() -> BacktestResult:
    run = sample_result()
    run.name = HOSTILE
    run.currency = HOSTILE
    run.warnings[0] = type(run.warnings[0])(HOSTILE * 200)
    return run


@pytest.mark.parametrize("make", [sample_result, hostile])
def test_a_notebook_displays_a_result_escaped_and_without_scripts(make: Any) -> None:
    html = Result(make())._repr_html_()
    assert len(html.encode()) < 200_000
    page = Elements(html)
    assert page.tags <= {
        "div",
        "b",
        "span",
        "p",
        "table",
        "tr",
        "td",
        "svg",
        "title",
        "path",
        "text",
        "rect",
        "polyline",
    }
    assert not [name for name, value in page.attributes if name.startswith("on") or "javascript" in (value or "")]
    assert not any("://" in (value or "") for name, value in page.attributes if name != "xmlns")


def test_the_notebook_display_of_a_long_run_stays_small() -> None:
    run = sample_result()
    times = [run.start + n * 10**9 for n in range(200_000)]
    run.equity = Curve(times, [1_000_000 + (n * 7919) % 1_000 for n in range(200_000)])
    html = Result(run)._repr_html_()
    assert len(html.encode()) < 200_000
    # the curve's extremes are drawn, and the axis labels between them are round numbers
    points = [
        float(y) for line in re.findall(r'<polyline points="([^"]+)"', html)[:1] for y in re.findall(r",([\d.]+)", line)
    ]
    assert (min(points), max(points)) == (24.0, 244.0)
    assert {"1,000,000", "1,000,500"} <= set(re.findall(r">([\d,]+)</text>", html))


def test_a_result_contains_no_secrets_from_the_configuration(tmp_path: Path) -> None:
    secret = "s3cr3t-w0rd"
    config = {
        "strategies": [{"use": Cross, "params": {"pair": "btc_usdt"}}],
        "account": {"email": f"{secret}@x.y", "key": secret, "secret": secret},
        "notify": [{"use": "bell", "token": secret}],
        "backtest": {"balances": {"usdt": 1000}, "slippage": 0},
    }
    result = botkit.backtest(config, data=candles(100))
    assert "(hidden)" in result.config
    page = result.report(tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (pickle.dumps(result), result.config, repr(result), result._repr_html_(), page, str(vars(result))):
        assert secret not in (text.decode("latin-1") if isinstance(text, bytes) else text)
    with pytest.raises(ConfigError) as caught:
        botkit.backtest({**config, "account": {"emial": secret}}, data=candles(100))
    assert secret not in str(caught.value)


def test_a_plot_is_saved_as_an_svg_file(result: Result, tmp_path: Path) -> None:
    plot = result.plot()
    path = plot.save(tmp_path / "plot.svg")
    assert path.read_text(encoding="utf-8") == plot.svg == plot._repr_html_()
    assert plot.svg.count("<polyline") == 2  # the equity curve and its drawdowns


def test_the_benchmark_is_drawn_as_a_line_next_to_the_equity() -> None:
    frames = {"btc_usdt": candles(), "eth_usdt": candles() / [20, 20, 20, 20, 1]}
    both = {
        "strategies": [
            {"name": name, "use": Cross, "params": {"pair": pair}}
            for name, pair in (("a", "btc_usdt"), ("b", "eth_usdt"))
        ],
        "backtest": {"balances": {"usdt": 10_000}, "slippage": 0.0002},
    }
    result = botkit.backtest(both, data=frames, benchmark="buy-and-hold")
    closes = {name: frame["close"] for name, frame in frames.items()}
    growth = sum(close / close.iloc[0] for close in closes.values()) / 2
    held = result.run.benchmark
    assert held is not None
    assert held.return_ == pytest.approx(growth.iloc[-1] - 1, rel=1e-4)
    assert held.return_ == pytest.approx(result.figures["buy_and_hold_return"], rel=1e-4)
    assert held.max_drawdown == pytest.approx((1 - growth / growth.cummax()).max(), rel=1e-4)
    # rounding a price to ticks changes it by less than a basis point
    at = result.equity["benchmark"].dropna()
    expected = growth.set_axis(growth.index + pd.Timedelta(minutes=1)).reindex(at.index, method="ffill") * 10_000
    # the downsampled line has steps between the retained points
    assert at.to_numpy() == pytest.approx(expected.to_numpy(), rel=3e-3)
    assert result.plot().svg.count("<polyline") == 4
    assert "buy-and-hold" in result._repr_html_()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 6))
def test_an_axis_has_only_a_few_round_labels(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick <= low + span * (1 + 1e-6) for tick in found)
    assert len(found) >= most / 2.5 - 1


def test_a_plot_without_curves_is_empty() -> None:
    from datetime import UTC

    assert "<polyline" not in curves_svg({}, zone=UTC)
    assert "<polyline" not in curves_svg({"a": Curve([], [])}, zone=UTC)
    assert curves_svg({"a": Curve([1], [5.0])}, zone=UTC).count("<polyline") == 2
