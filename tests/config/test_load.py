"""Loading a configuration: the documented sample, ``--set``, the origin of each value, and every kind of mistake."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.config.backtest import BacktestConfig
from botkit.config.decode import field_types
from botkit.config.load import LoadedConfig, load_config
from botkit.config.schema import BotConfig
from botkit.config.strategy import StrategyConfig
from botkit.errors import ConfigError

SAMPLE = """\
name: sma-demo
exchange: bitopro
plugins: [../strategies]                 # folders or modules; default: ./strategies in the current directory
strategies:
  - name: sma
    use: sma_cross
    params: {pair: btc_usdt, resolution: 1m, fast: 10, slow: 30, share: 1.0}   # share of the free quote balance
risk: {max_open_orders: 50}
backtest:
  data:
    - {path: ../backtest_data, pair: btc_usdt}                                  # a tape, or one file:
    # - {path: candles.csv, pair: btc_usdt, kind: candles, resolution: 1m}
    # - {path: day.frames.jsonl.gz, kind: frames}
  balances: {usdt: "1000000"}                                                   # default: capital + reserve
  fees: {maker: "0.001", taker: "0.002"}                                        # or rank: 0..6|auto, bito: true
  slippage: "0.0002"                                                            # zero is a red line in the report
  latency: {order_ms: 100, answer_ms: 100}                                      # feed_ms only without receive times
"""

MINIMAL = "strategies: [{use: sma}]\n"


def load(tmp_path: Path, text: str, *overrides: str) -> LoadedConfig:
    (tmp_path / "strategies").mkdir(exist_ok=True)
    (tmp_path / "configs").mkdir(exist_ok=True)
    file = tmp_path / "configs" / "x.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides=overrides)


def refused(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    prefix = f"{tmp_path / 'configs' / 'x.yaml'}:"
    return [line.removeprefix(prefix) for line in str(caught.value).splitlines()]


def test_the_documented_sample_loads(tmp_path: Path) -> None:
    loaded = load(tmp_path, SAMPLE)
    config = loaded.config
    assert config.name == "sma-demo"
    assert config.exchange.name == "bitopro"
    assert loaded.plugin_folders == ((tmp_path / "strategies").resolve(),)
    assert config.strategies[0].params == {
        "pair": "btc_usdt", "resolution": "1m", "fast": 10, "slow": 30, "share": Decimal("1.0"),
    }  # fmt: skip
    assert config.backtest.data[0].path == (tmp_path / "backtest_data").resolve()
    assert config.backtest.balances == {"usdt": Decimal(1_000_000)}
    assert config.backtest.fees.choice() == ("fixed", {"maker": Decimal("0.001"), "taker": Decimal("0.002")})
    assert config.backtest.slippage == Decimal("0.0002")
    assert config.backtest.latency.choice() == ("constant", {"order_ms": 100, "answer_ms": 100, "feed_ms": 0})
    assert config.risk == {"max_open_orders": 50}


def test_defaults_match_the_documentation(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL).config
    assert config.name == "x"  # the file name
    assert config.strategies[0].label == "sma"
    assert config.timezone == "Asia/Taipei"
    assert config.backtest.fees.choice() == ("rank", {"rank": 0, "bito": False})
    assert config.backtest.fills.choice() == ("queue", {})
    assert config.live.latest_accept_s == 900
    assert config.emulator.latest_accept_s == 2
    assert config.amount_step_of("btc_twd") == "base"
    assert not config.live.confirm


def test_scalar_values_and_single_items_are_accepted_in_place_of_sections(tmp_path: Path) -> None:
    text = MINIMAL + (
        "limits: strict\nlog: debug\nnotify: bell\nplugins: ../strategies\namount_step: {btc_twd: amountPrecision}\n"
        "backtest: {data: tape, fills: pessimistic, fees: {rank: auto, bito: true}}\nlive:\n"
    )
    loaded = load(tmp_path, text)
    config = loaded.config
    assert config.limits.strict
    assert config.log.level == "debug"
    assert config.notify[0].use == "bell"
    assert loaded.plugin_folders == ((tmp_path / "strategies").resolve(),)
    assert config.amount_step_of("btc_twd") == "amount"
    assert config.amount_step_of("eth_twd") == "base"
    assert config.backtest.data[0].path.name == "tape"
    assert config.backtest.fills.choice() == ("pessimistic", {})
    assert config.backtest.fees.choice() == ("rank", {"rank": "auto", "bito": True})


def test_plugin_options_are_passed_through_unchanged(tmp_path: Path) -> None:
    text = MINIMAL + (
        "exchange: {name: paper, tick: 0.5}\nlimits: {create_order: skills, batching: false}\n"
        "notify: [{use: apprise, url: '${APPRISE}', level: error}]\n"
        "backtest: {fees: {model: mine, maker: 0.001, curve: [1, 2.5]}, latency: {model: lognormal, sigma: 0.5}}\n"
    )
    config = load(tmp_path, text).config
    assert config.exchange.options == {"tick": Decimal("0.5")}
    assert config.limits.rows == {"create_order": "skills"}
    assert config.notify[0].options == {"url": "${APPRISE}"}
    name, options = config.backtest.fees.choice()
    assert (name, options["curve"]) == ("mine", [1, Decimal("2.5")])
    assert config.backtest.latency.choice()[1]["sigma"] == Decimal("0.5")


def test_a_date_range_uses_the_time_zone_and_includes_the_entire_last_day(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + "backtest: {from: 2025-01-31, to: 2025-01-31}\n").config
    start, end = config.backtest.span(config.zone)
    assert start == 1_738_252_800 * 10**9  # 2025-01-30T16:00Z
    assert end == start + 86_400 * 10**9


def test_the_set_option_changes_parameters_by_strategy_and_other_settings_by_path(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, SAMPLE, "sma.fast=12", "backtest.slippage=0.001", "strategies.sma.capital=40%",
        "emulator.fees.rank=2", "sma.weights=[1, 2]", "backtest.fills=pessimistic",
    )  # fmt: skip
    config = loaded.config
    assert config.strategies[0].params["fast"] == 12
    assert config.strategies[0].params["weights"] == [1, 2]
    assert config.strategies[0].params["slow"] == 30
    assert config.strategies[0].capital_percent == 40
    assert config.backtest.slippage == Decimal("0.001")
    assert config.emulator.fees.rank == 2
    assert config.backtest.fills.model == "pessimistic"
    assert loaded.where("strategies.0.params.fast") == "--set sma.fast=12"


def test_a_relative_path_in_an_override_is_resolved_against_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(tmp_path, SAMPLE, "backtest.data=tape")
    assert loaded.config.backtest.data[0].path == (tmp_path / "tape").resolve()


def test_the_origin_of_each_value_is_recorded(tmp_path: Path) -> None:
    loaded = load(tmp_path, SAMPLE, "sma.fast=12")
    file = tmp_path / "configs" / "x.yaml"
    assert loaded.where("strategies.0.params.slow") == f"{file}:7"
    assert loaded.where("backtest.latency.feed_ms") == f"{file}:17", "an absent value has its section's place"
    origins = loaded.origins()
    assert origins["strategies.0.params.fast"] == "--set sma.fast=12"
    assert origins["exchange.name"] == f"{file}:2"
    assert origins["exchange.rest"] == "default"
    assert origins["backtest.slippage"] == f"{file}:16"
    assert origins["timezone"] == "default"
    assert str(loaded.error("risk.max_open_orders", "too many")) == f"{file}:8: too many"


MISTAKES = [
    # (text appended to the minimal file, line, part of the message)
    ("stratgies: []\n", 2, "unknown key `stratgies`; did you mean `strategies`?"),
    ("backtest: {fee: {rank: 1}}\n", 2, "unknown key `fee` in `backtest`; did you mean `fees`?"),
    ("seed: yes\n", 2, "`seed` is yes, but a whole number is expected; write true"),
    ("seed: 010\n", 2, "write 10"),
    ("seed: 1_000\n", 2, "write 1000"),
    ("seed: 1e3\n", 2, "write it out: 1000"),
    ("seed: 1.5\n", 2, "a whole number"),
    ("seed: -1\n", 2, "must be at least 0"),
    ("seed: 22:22\n", 2, "a whole number"),
    ("seed: NaN\n", 2, "a whole number"),
    ("live: {confirm: yes}\n", 2, "write true"),
    ("live: {confirm: 'true'}\n", 2, "remove the quotes"),
    ("live: {confirm: 1}\n", 2, "true or false is expected"),
    ("live: {on_stop: flaten}\n", 2, "did you mean `flatten`?"),
    ("backtest:\n  slippage: 0,1\n", 3, "a number is expected"),
    ("backtest: {slippage: 2}\n", 2, "would be 200 %"),
    ("backtest: {slippage: -0.01}\n", 2, "-0.01 is below 0"),
    ("backtest: {fees: {maker: -0.0001, taker: 0.2}}\n", 2, "negative fees (rebates) are not supported"),
    (
        "notify: [{use: bell, level: loud}]\n",
        2,
        "`notify[0].level` is set to a value that is not shown, as it may be secret; write one of info",
    ),
    ("backtest: {slippage: 1e-4}\n", 2, "write it out: 0.0001"),
    ("backtest: {fees: {maker: 0.2, taker: 0.2}}\n", 2, "would be 20"),
    ("backtest: {fees: {maker: 0.001}}\n", 2, "`taker` is missing"),
    ("backtest: {fees: {maker: 0, taker: 0, rank: 1}}\n", 2, "give either your own rates or a rank"),
    ("backtest: {fees: {ranks: 1}}\n", 2, "did you mean `rank`?"),
    ("backtest: {latency: {orderms: 1}}\n", 2, "did you mean `order_ms`?"),
    ("backtest: {latency: {from: out, order_ms: 1}}\n", 2, "give either measured latencies (`from`)"),
    ("backtest: {latency: {from: out, model: lognormal}}\n", 2, "give either measured latencies (`from`)"),
    ("backtest: {latency: {form: out}}\n", 2, "did you mean `from`?"),
    ("backtest: {balances: {USDT: 5}}\n", 2, "lower case; write usdt"),
    ("backtest: {balances: {usdt: -5}}\n", 2, "must be at least 0"),
    ("backtest: {balances: 5}\n", 2, "a mapping is expected"),
    ("backtest: {data: [{pair: btc_twd}]}\n", 2, "`path` is missing"),
    ("backtest: {data: [{path: x, pair: BTC-TWD}]}\n", 2, "a pair is written like"),
    ("backtest: {data: [{path: x, resolution: 2m}]}\n", 2, "not a resolution"),
    ("backtest: {from: tomorrow}\n", 2, "not a time"),
    ("backtest: {from: 2025-02-01, to: 2025-01-01}\n", 2, "is not after the start"),
    ("page: true\n", 2, "a mapping is expected"),
    ("page: {contrl: true}\n", 2, "unknown key `contrl` in `page`; did you mean `control`?"),
    ("page: {host: [bots.example.com]}\n", 2, "unknown key `host` in `page`; did you mean `hosts`?"),
    ("page: {port: 8600}\n", 2, "unknown key `port` in `page`"),
    ("page: {control: yes}\n", 2, "write true"),
    ("page: {control: 1}\n", 2, "true or false is expected"),
    ("page:\n  hosts: bots.example.com\n", 3, "`page.hosts` is bots.example.com, but a list is expected"),
    ("page:\n  hosts:\n    - bots.example.com\n    - https://bots.example.com\n", 5, "without http:// and port"),
    ("page: {hosts: [Bots.example.com]}\n", 2, "write one in lower case"),
    ("timezone: Taipei\n", 2, "did you mean `Asia/Taipei`?"),
    ("timezone: Asia\n", 2, "is not a time zone"),
    ("timezone: ../../etc/passwd\n", 2, "is not a time zone"),
    ("name: ../x\n", 2, "a name is 1 to 64"),
    ("name: /etc/x\n", 2, "a name is 1 to 64"),
    ("name: 'a\\..\\b'\n", 2, "a name is 1 to 64"),
    ('name: "x\\0"\n', 2, "a name is 1 to 64"),
    ("name: con\n", 2, "Windows"),
    ("name: true\n", 2, "text is expected"),
    ("plugins: [../nowhere]\n", 2, "there is no folder"),
    ("plugins: [{path: x}]\n", 2, "a name is expected"),
    ("account: {email: a, key: b}\n", 2, "`secret` is missing"),
    ("exchange: {name: bitopro, rest: localhost}\n", 2, "is not an address"),
    ("exchange: []\n", 2, "a mapping is expected"),
    ("limits: strikt\n", 2, "write strict"),
    ("log: loud\n", 2, "is not a level"),
    ("reserve: {btc: '${BTC}'}\n", 2, "for secrets"),
    ("account: {email: ${MAIL}}\n", 2, "put ${NAME} in quotes"),
    ("risk: {max_order_value: {twd: 1_000}}\n", 2, "is ambiguous"),
    ("amount_step: basePrecison\n", 2, "basePrecision"),
]


def test_a_name_that_ends_with_a_newline_is_refused(tmp_path: Path) -> None:
    assert "a name is 1 to 64" in " ".join(refused(tmp_path, MINIMAL + 'name: "x\\n"\n'))


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES)
def test_each_mistake_is_reported_with_its_line_and_a_remedy(tmp_path: Path, text: str, line: int, words: str) -> None:
    (message, *more) = refused(tmp_path, MINIMAL + text)
    assert message.startswith(f"{line}: "), message
    assert words in message
    assert not more


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\n", "`strategies` is missing"),
        ("strategies:\n", "a bot needs a strategy"),
        ("strategies: [{name: a}]\n", "`use` is missing"),
        ("strategies: [{use: a}, {use: a}]\n", "two strategies are named 'a'"),
        ("strategies: [{use: a, name: x}, {use: b, name: X}]\n", "two strategies are named 'X'"),
        ("strategies: [{use: a, capital: 60%}, {use: b, capital: 50%}]\n", "add up to 110 %"),
        ("strategies: [{use: a, capital: 0%}]\n", "is not valid; write"),
        ("strategies: [{use: a, capital: lots}]\n", "is not valid; write"),
        ("strategies: [{use: a, capital: {twd: 0}}]\n", "must be above 0"),
        ("strategies: [{use: a, params: {fast: 010}}]\n", "write 10"),
        ("strategies: [{use: a, params: {trade: no}}]\n", "write false"),
        ("strategies: {use: a}\n", "a list is expected"),
        ("strategies: [{use: 'a b'}]\n", "a name is 1 to 64"),
    ],
)
def test_a_mistake_in_the_strategies_is_reported_with_its_line_and_a_remedy(
    tmp_path: Path, text: str, words: str
) -> None:
    (message,) = refused(tmp_path, text)
    assert words in message
    assert message.startswith("1: ")


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    messages = refused(tmp_path, "stratgies: []\nseed: yes\nlive: {confirm: maybe}\nstrategies: [{use: a}]\n")
    assert [message.split(":")[0] for message in messages] == ["1", "2", "3"]


def test_a_list_of_hundreds_of_mistakes_is_truncated(tmp_path: Path) -> None:
    messages = refused(tmp_path, MINIMAL + "".join(f"x{n}: 1\n" for n in range(100)))
    assert len(messages) == 21
    assert "80 more" in messages[-1]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sma", "key=value"),
        ("=1", "key=value"),
        ("sma..x=1", "key=value"),
        ("sme.fast=1", "did you mean `sma`?"),
        ("sma=1", "also name the parameter"),
        ("backtest.slipage=1", "did you mean `slippage`?"),
        ("strategies.7.use=a", "not an index into the list of 1 entries"),
        ("seed=[", "not valid YAML"),
        ("seed=&a 1", "anchor"),
        ("sma.fast=1_2", "ambiguous"),
    ],
)
def test_errors_in_overrides_name_the_argument(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match="--set") as caught:
        load(tmp_path, SAMPLE, override)
    assert words in str(caught.value)


YAML_BITS = st.sampled_from(
    ["name", "strategies", "use", "params", "backtest", "data", "fees", "capital", "account", "notify", "plugins",
     "limits", "exchange", "a", "1", "-1", "0.5", "yes", "010", "1e999999999", "40%", "${X}", "~", "null", "true", "<<",
     "?", "&a", "*a", "!!set", "|", ">", "'", '"', "{", "}", "[", "]", ":", ": ", ",", "- ", "\n", "\n  ", "\n    ",
     "%",     "---", "...", "#", "\t", "\0", "\ud7ff", "٣", "2025-01-01", "../x", "~root", "\\x", '"\\uD800"']
)  # fmt: skip


@settings(
    deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    text=st.lists(YAML_BITS, max_size=25).map("".join),
    override=st.none() | st.lists(YAML_BITS, max_size=6).map("".join),
)
def test_loading_random_text_raises_only_config_errors(tmp_path: Path, text: str, override: str | None) -> None:
    for content in (text, MINIMAL + text, f"strategies: [{{use: a, params: {{b: {text}}}}}]"):
        try:
            loaded = load(tmp_path, content, *([override] if override is not None else []))
        except ConfigError:
            continue
        assert loaded.origins()


LEAVES = (
    st.none() | st.booleans() | st.integers(-5, 10**25) | st.sampled_from(["x", "40%", "0.1", "", "a/b", "\0", "${A}"])
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_value_in_any_section_is_either_accepted_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    def some(kind: type) -> dict[str, object]:
        keys = data.draw(st.lists(st.sampled_from(sorted(field_types(kind))), max_size=3, unique=True))  # type: ignore[arg-type]
        return {key: data.draw(TREES) for key in keys}

    tree = {"strategies": [{"use": "a", **some(StrategyConfig)}], "backtest": some(BacktestConfig), **some(BotConfig)}
    try:
        loaded = load(tmp_path, json.dumps(tree))
    except ConfigError:
        return
    assert loaded.origins()


def test_a_mistake_in_an_item_of_a_list_is_named_like_any_other_place(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("strategies:\n  - {name: a, use: b}\n  - {name: A, use: c}\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:3: `strategies\[1\]\.name`: two strategies are named 'A'"):
        load_config(path)
