"""The command ``botkit config``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from botkit.cli.main import main

CONFIG = """\
strategies:
  - {use: dip, params: {pair: btc_usdt, window: 5}}
plugins: [../strategies]
risk: {max_open_orders: 5}
backtest: {balances: {usdt: 1000}}
"""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a project that was created with `botkit new`, and a configuration for the strategy `dip`."""
    assert main(["new", "strategy", "dip", "--dir", str(tmp_path)]) == 0
    (tmp_path / "configs" / "x.yaml").write_text(CONFIG)
    capsys.readouterr()
    return tmp_path


def test_config_check_accepts_a_valid_configuration(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(project / "configs" / "x.yaml")]) == 0
    assert "OK; x on bitopro with dip" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (
            "exchange: {name: bitopro, rset: 'https://elsewhere.example/v3'}",
            "has no option `rset`; did you mean `rest`?",
        ),
        ("exchange: {name: bitopro, color: red}", "has no option `color`; it has rest, ws"),
        ("notify: [{use: smoke}]", "no notifier named `smoke`"),
        ("emulator: {fees: {rank: 99}}", "fees.rank is 99"),
        ("emulator: {fills: {model: psychic}}", "psychic"),
        ("live: {fees: {rank: 99}}", "fees.rank is 99"),
        ("amount_step: {foo_bar: basePrecision}", "the exchange has no pair 'foo_bar'"),
        ("currency: eur", "the exchange has no currency 'eur'"),
        ("reserve: {usdt: 999999}", "the reserve of 999999 usdt is more than the 1000 usdt in `backtest.balances`"),
        ("log: {file: x.yaml/log.jsonl}", "cannot be written"),
        ("notify: [{use: telegram, token: abc}]", "telegram: chat: it is missing"),
        ("notify: [{use: telegram, chat: 5}]", "telegram: token: it is missing"),
        ("notify: [{use: telegram, chat: 5, token: a, usr: 5}]", "telegram: usr: unknown key; did you mean `user`?"),
        ("notify: [{use: apprise, addresses: a}]", "apprise: addresses: unknown key; it takes url, urls, digest_s"),
        ("notify: [{use: bell, loud: 1}]", "bell: loud: unknown key; it takes digest_s, daily_cap"),
        ("notify: [{use: bell, digest_s: -1}]", "digest_s must be 0 to 86400 seconds"),
        ("notify: [{use: telegram, chat: 5, token: abc}]", "telegram: token: this is not a Telegram token"),
        ("notify: [{use: telegram, chat: 5, token: 5}]", "telegram: token: this is not a Telegram token"),
        ("notify: [{use: telegram, chat: 5, token: ''}]", "telegram: token: this is not a Telegram token"),
        ("notify: [{use: telegram, chat: 1.5, token: '${T}'}]", "telegram: chat: write the numeric Telegram ID"),
        (
            "notify: [{use: telegram, chat: 5, user: joe, token: '${T}'}]",
            "telegram: user: write the numeric Telegram ID",
        ),
        ("notify: [{use: telegram, chat: 5, user: -1, token: '${T}'}]", "telegram: user: user IDs are positive"),
        (
            "notify: [{use: telegram, chat: 5, token: '${T}', address: 'ftp://x'}]",
            "telegram: address: the server sees the token, so its address must start with https://",
        ),
    ],
)
def test_config_check_finds_mistakes_in_settings_that_are_used_only_during_a_run(
    project: Path, capsys: pytest.CaptureFixture[str], extra: str, words: str
) -> None:
    path = project / "configs" / "x.yaml"
    path.write_text(CONFIG + extra + "\n")
    assert main(["config", "check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}:{len(CONFIG.splitlines()) + 1}: ")
    assert words in line


def test_config_check_leaves_no_log_behind(project: Path) -> None:
    path = project / "configs" / "x.yaml"
    path.write_text(CONFIG + "log: {file: ../logs/deep/x.jsonl}\n")
    assert main(["config", "check", str(path)]) == 0
    assert not (project / "logs").exists()


@pytest.mark.parametrize("section", ["", "    "])
def test_a_risk_limit_in_an_unknown_currency_is_refused_at_its_line(
    project: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    path = project / "configs" / "x.yaml"
    limit = "risk: {max_order_value: {btx: 1}}"
    text = CONFIG.replace("risk: {max_open_orders: 5}", limit)
    if section:
        text = CONFIG.replace("window: 5}}", "window: 5}, " + limit + "}")
    path.write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "btx" in row)
    assert main(["config", "check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {path}:{line}: the exchange has no currency 'btx'; did you mean btc?"
    )


@pytest.mark.parametrize("section", ["", "    "])
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("{btx: 1}", "the exchange has no currency 'btx'; did you mean btc?"),
        ("{btc_usdx: 1}", "the exchange has no pair 'btc_usdx'; did you mean btc_usdt?"),
        ("{eth_usdt: 1}", "no parameter of a strategy names the pair eth_usdt, so max_position cannot use it; use one"),
        ("{eth: 1}", "no pair of the strategies buys eth, and btc cannot be valued in it, so max_position cannot use"),
        ("{twd: 1}", "no pair of the strategies buys twd, and btc cannot be valued in it, so max_position cannot use"),
    ],
)
def test_a_limit_of_a_position_that_the_bot_cannot_hold_is_refused_at_its_line(
    project: Path, capsys: pytest.CaptureFixture[str], section: str, limit: str, words: str
) -> None:
    path = project / "configs" / "x.yaml"
    risk = f"risk: {{max_position: {limit}}}"
    text = CONFIG.replace("risk: {max_open_orders: 5}", risk)
    if section:
        text = CONFIG.replace("window: 5}}", "window: 5}, " + risk + "}")
    path.write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "max_position" in row)
    assert main(["config", "check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path}:{line}: {words}")


@pytest.mark.parametrize(
    ("before", "after", "key", "words"),
    [
        (
            "risk: {max_open_orders: 5}",
            "risk: {max_order_value: {usdt: 100, twd: 1000}}",
            "max_order_value",
            "usdt cannot be valued in twd, because no chain of the bot's pairs (btc_usdt) connects them, so "
            "max_order_value cannot use twd; use one of btc, usdt, or let a strategy name usdt_twd",
        ),
        (
            "window: 5}}",
            "window: 5}, risk: {max_daily_loss: {twd: 1000}}}",
            "max_daily_loss",
            "usdt cannot be valued in twd, because no chain of the bot's pairs (btc_usdt) connects them, so "
            "max_daily_loss cannot use twd; use one of btc, usdt, or let a strategy name usdt_twd",
        ),
        (
            "window: 5}}",
            "window: 5}, capital: {usdt: 100, eth: 1}}",
            "capital",
            "eth is in no pair of this bot, so it cannot be capital; use one of btc, usdt, or let a strategy name a "
            "pair that has it, such as eth_usdt",
        ),
        (
            "window: 5}}",
            "window: 5}, capital: {usdt: 100, usdz: 1}}",
            "capital",
            "the exchange has no currency 'usdz'; did you mean usdt?",
        ),
    ],
)
def test_a_limit_or_capital_that_the_bots_pairs_give_no_value_is_refused_as_by_a_run(
    project: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, key: str, words: str
) -> None:
    path = project / "configs" / "x.yaml"
    text = CONFIG.replace(before, after)
    path.write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if key in row)
    assert main(["config", "check", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}:{line}: {words}\n"
    if key != "capital":  # the books of an earlier run may have it
        assert main(["run", str(path), "--mode", "paper"]) == 2
        assert f"{path}:{line}: {words}" in capsys.readouterr().err


def test_limits_and_capital_in_currencies_that_the_valuation_connects_are_accepted(project: Path) -> None:
    path = project / "configs" / "x.yaml"
    text = CONFIG.replace("max_open_orders: 5", "max_order_value: {twd: 1000, USDT: 50}, max_daily_loss: {btc: 1}")
    path.write_text(
        text.replace("window: 5}}", "window: 5}, capital: {usdt: 100, twd: 5}}").replace("1000}}\n", "1000, twd: 5}}\n")
        + "currency: twd\n"
    )
    assert main(["config", "check", str(path)]) == 0


@pytest.mark.parametrize("limit", ["{btc: 1}", "{BTC: 1}", "{btc_usdt: 1}", "{usdt: 1000}", "{twd: 1}\ncurrency: twd"])
def test_limits_of_a_pair_its_coin_and_the_value_of_all_positions_are_accepted(project: Path, limit: str) -> None:
    path = project / "configs" / "x.yaml"
    what, _, more = limit.partition("\n")
    path.write_text(CONFIG.replace("max_open_orders: 5", f"max_position: {what}") + more)
    assert main(["config", "check", str(path)]) == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("use: dip", "use: dpi", "did you mean `dip`"),
        ("window: 5", "windw: 5", "window"),
        ("window: 5", "window: lots", "'lots' is not"),
        ("btc_usdt", "btc_usdx", "btc_usd"),
        ("max_open_orders", "max_open_order", "did you mean `max_open_orders`"),
        ("../strategies", "../strategy", "there is no folder"),
    ],
)
def test_config_check_finds_errors_that_only_plugins_can_detect(
    project: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, words: str
) -> None:
    file = project / "configs" / "x.yaml"
    file.write_text(CONFIG.replace(before, after))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if after in text)
    assert main(["config", "check", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}:{line}: ")
    assert words in error


def test_config_show_states_the_origin_of_each_value(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "configs" / "x.yaml"
    assert main(["config", "show", str(file), "--set", "dip.window=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (window,) = [line for line in lines if "window:" in line]
    assert "window: 7" in window
    assert window.endswith("# --set dip.window=7")
    assert main(["config", "show", str(file), "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["risk.max_open_orders"] == {"key": "risk.max_open_orders", "value": 5, "origin": f"{file}:4"}


def test_the_schema_is_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    assert "BotConfig" in json.loads(capsys.readouterr().out)["$defs"]


#: what live trading needs, with keys from the environment
LIVE = """\
strategies:
  - {use: dip, params: {pair: btc_usdt, window: 5}}
plugins: [../strategies]
account: {email: "${MAIL}", key: "${KEY}", secret: "${SECRET}"}
risk: {max_order_value: {usdt: 500}, max_position: {btc: 1}, max_daily_loss: {usdt: 100}, price_collar_pct: 2}
live: {confirm: true}
backtest: {balances: {usdt: 1000}, slippage: 0.0002, data: ../nowhere}
notify: [{use: telegram, token: "${TOKEN}", chat: "${CHAT}"}]
"""


def _checked(project: Path, text: str, mode: str | None) -> int:
    path = project / "configs" / "x.yaml"
    path.write_text(text)
    return main(["config", "check", str(path), *(() if mode is None else ("--mode", mode))])


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the variables of `LIVE`."""
    for name in ("MAIL", "KEY", "SECRET"):
        monkeypatch.setenv(name, "a")
    monkeypatch.setenv("TOKEN", "123456789:" + "A" * 35)
    monkeypatch.setenv("CHAT", "5")
    return monkeypatch


@pytest.mark.parametrize(
    ("mode", "before", "after", "words"),
    [
        ("live", "live: {confirm: true}", "live: {}", "real orders need `live: {confirm: true}`"),
        ("live", "max_daily_loss: {usdt: 100}, ", "", "real orders need `risk: {max_daily_loss"),
        ("live", "${KEY}", "${NOPE}", "the environment variable NOPE is not set"),
        ("live", "${TOKEN}", "${NOPE}", "the environment variable NOPE is not set"),
        ("paper", "${CHAT}", "${KEY}", "telegram: chat: write the numeric Telegram ID"),
        ("emulator", "live:", "emulator: {market: ../nowhere}\nlive:", "nowhere"),
        ("backtest", "", "", "there is no file or folder"),
    ],
)
def test_config_check_with_a_mode_finds_what_a_run_in_this_mode_would_refuse(
    project: Path,
    environ: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    before: str,
    after: str,
    words: str,
) -> None:
    text = LIVE.replace(before, after) if before else LIVE
    assert _checked(project, text, None) == 0
    assert "not checked: what a run needs" in capsys.readouterr().out
    assert _checked(project, text, mode) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["emulator", "paper", "live"])
def test_config_check_with_a_mode_accepts_what_can_run_and_runs_on_start(
    project: Path, environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    assert _checked(project, LIVE, mode) == 0
    assert "not checked" not in capsys.readouterr().out
    source = project / "strategies" / "dip.py"
    lines = source.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if "def on_start" in line)
    lines.insert(at + 1, "        from botkit import ConfigError\n        raise ConfigError('fast is above slow')\n")
    source.write_text("".join(lines))
    assert _checked(project, LIVE, None) == 0
    assert _checked(project, LIVE, mode) == 2
    assert "strategy 'dip': fast is above slow" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_config_check_for_live_trading_refuses_a_key_file_that_others_can_read(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = project / "keys"
    keys.write_text("MAIL=a\nKEY=a\nSECRET=a\n")
    keys.chmod(0o644)
    text = LIVE.replace('secret: "${SECRET}"', 'secret: "${SECRET}", secrets_file: ../keys').replace(
        LIVE[LIVE.index("notify") :], ""
    )
    assert _checked(project, text, "live") == 2
    assert "others can read it (mode 0644)" in capsys.readouterr().err
    keys.chmod(0o600)
    assert _checked(project, text, "live") == 0


def test_a_live_run_without_its_key_sends_no_request(
    project: Path, environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise AssertionError("a run without its key has connected")

    environ.setattr("botkit.assembly.live.connect", connect)
    environ.delenv("KEY")
    path = project / "configs" / "x.yaml"
    path.write_text(LIVE)
    assert main(["run", str(path), "--mode", "live"]) == 2
    assert "the environment variable KEY is not set" in capsys.readouterr().err
