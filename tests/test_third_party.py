"""A third-party plugin that provides an exchange, a data format, a fee model, a risk rule, a wrapper and a report
section.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.cli.main import main

PLUGIN = """
import numpy as np
from botkit import FeeRates, Pair, PairRules, Strategy, hookimpl
from botkit.model.columns import TradeColumns
from botkit.model.extension import ExchangeFacts, ReportSection
from botkit.model.limits import NEEDED_ENDPOINTS, EndpointLimit, LimitTable, Scope, WindowLimit

SEEN = []


class Buyer(Strategy):
    pair: Pair

    def on_start(self):
        self.subscribe_trades(self.pair)

    def on_trade(self, trade):
        self.market_buy(self.pair, spend=10)


class Flat:
    assumptions = ("Everybody pays one half.",)
    uses_discount = False

    def __init__(self, options, facts):
        self._rate = int(float(options["rate"]) * 10**8)

    def rates(self, now):
        rate = self._rate
        return FeeRates(maker_e8=rate, taker_e8=rate, discounted_maker_e8=rate, discounted_taker_e8=rate, source="flat")

    def record(self, now, volume_units):
        pass


class SecondsRule:
    def __init__(self, value):
        if value not in (2, 3):
            raise ValueError("only_each wants 2 or 3")
        self._value = value

    def review(self, order, view):
        return None if view.now // 10**9 % self._value == 0 else "not in this second"


class Semicolons:
    endings = (".semi",)

    def read(self, path, pairs, options):
        rows = np.array([line.split(";") for line in path.read_text().splitlines()], dtype=np.int64)
        time = rows[:, 0] * 10**9
        yield TradeColumns(
            pairs[options["pair"]], time, time.copy(), rows[:, 1].copy(), rows[:, 2].copy(), rows[:, 3].astype(np.int8)
        )


class Elsewhere:
    name = "elsewhere"

    def facts(self, options):
        rules = PairRules(
            price_decimals=2, amount_decimals=8, display_decimals=4, least_lots=100, most_lots=10**16,
            least_spend_units=10**8, open_orders_max=5,
        )
        row = WindowLimit(int(options.get("orders", 1000)), 10, Scope.ACCOUNT)
        names = () if options.get("bare") else NEEDED_ENDPOINTS
        limit = lambda n: EndpointLimit(endpoint=n, method="GET", path=n, private=True, pool=n, windows=(row,))
        table = {n: limit(n) for n in names}
        return ExchangeFacts(
            name=self.name, pairs={"gold_usd": Pair("gold_usd", rules)}, limits=LimitTable(table), fee_ranks=(),
            volume_currency="usd", discount_currency="",
        )

    def connect(self, options):
        raise NotImplementedError


@hookimpl
def botkit_register_strategies(register):
    register("buyer", Buyer)


@hookimpl
def botkit_register_exchanges(register):
    register("elsewhere", Elsewhere())


@hookimpl
def botkit_register_fee_models(register):
    register("flat", Flat)


@hookimpl
def botkit_register_risk_rules(register):
    register("only_each", SecondsRule)


@hookimpl
def botkit_register_tape_formats(register):
    register("semicolons", Semicolons())


@hookimpl(wrapper=True)
def on_trade(trade):
    SEEN.append(trade)
    return (yield)


@hookimpl
def botkit_report_sections(result):
    return [ReportSection(title="Wrapped", html=f"<p>{len(SEEN)} trades went by</p>")]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "elsewhere.py").write_text(PLUGIN, encoding="utf-8")
    rows = [f"{1_700_000_000 + i};{200_000 + i};{10**8};{(-1) ** i}" for i in range(60)]
    (tmp_path / "day.semi").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "bot.yaml"
    path.write_text(
        "name: test\nexchange: {name: elsewhere}\nplugins: [plugins]\n"
        "strategies:\n  - {name: b, use: buyer, params: {pair: gold_usd}}\n"
        "risk: {only_each: 2}\n"
        "backtest:\n  data: [{path: day.semi, pair: gold_usd}]\n  balances: {usd: 100000}\n"
        "  fees: {model: flat, rate: 0.5}\n  slippage: 0\n",
        encoding="utf-8",
    )
    return path


def test_a_backtest_can_use_an_exchange_a_data_format_and_models_from_a_plugin(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(config), "--out", str(tmp_path / "out"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["currency"], summary["orders"], summary["refused"], summary["fills"]) == ("usd", 60, 30, 30)
    assert summary["strategies"][0]["refusals"] == {"not in this second": 30}
    assert summary["fees"] == pytest.approx(summary["turnover"] / 2, rel=1e-5)
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "60 trades went by" in report
    assert "Everybody pays one half." in report


def test_the_rate_limits_of_an_exchange_from_a_plugin_are_obeyed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = ["--set", "exchange.orders=2", "--set", "risk={}"]
    assert main(["backtest", str(config), "--out", str(tmp_path / "out"), "--json", *slow]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["orders_delayed"] > 0
    assert summary["max_queue_ms"] > 1_000
    assert "refused" not in " ".join(summary["warnings"])


def test_an_exchange_without_limits_is_named_in_the_error(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", str(config), "--out", str(tmp_path / "out"), "--set", "exchange.bare=true"]) == 2
    assert "`elsewhere` has no rate limit for create_order" in capsys.readouterr().err
