"""A user's mistake produces a single message that states the error, its location, and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from botkit.cli.main import main
from tests.cli.first_week import FirstBot

ON_BAR = """
def on_start(self):
    self.subscribe_bars(self.pair, "1m")

def on_bar(self, bar):
    {}
"""

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("self.buy(self.pair, amount=-1, price=bar.close)", "amount is -1; it must be above 0"),
        ("self.buy(self.pair, amount=1, price=-5)", "price is -5; it must be above 0"),
        ("self.sell(self.pair, amount=-0.5, price=5)", "amount is -0.5; it must be above 0"),
        ("self.sell(self.pair, amount=1, price=5, stop_price=-2)", "stop_price is -2; it must be above 0"),
        ("self.market_buy(self.pair, spend=-5)", "spend is -5; it must be above 0"),
        ("self.market_buy(self.pair, amount=-5)", "amount is -5; it must be above 0"),
        ("self.market_sell(self.pair, amount='-5')", "amount is -5; it must be above 0"),
        ("self.replace(self.buy(self.pair, amount=1, price=9), amount=-5)", "amount is -5; it must be above 0"),
    ],
)
def test_a_negative_value_is_reported_with_its_name_and_value(
    tmp_path: Path, capsys: Printed, call: str, sentence: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format(call))
    assert bot.backtest() == 0
    assert sentence in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")


@pytest.mark.parametrize(
    "call",
    [
        'self.buy("xrp_twd", amount=100, price=20)',
        'self.market_buy("xrp_twd", spend=1000)',
        'self.quote("xrp_twd", bids=[(10, 100)])',
        'self.last_price("xrp_twd")',
        'self.protect("xrp_twd", stop_loss_pct=5)',
    ],
)
def test_a_pair_without_prices_is_refused_with_a_remedy_and_the_line_in_the_users_code(
    tmp_path: Path, capsys: Printed, call: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format(call))
    assert bot.backtest() == 2
    said = capsys.readouterr().err
    assert (
        f"{bot.line_of(call)}: ValueError: this run has no prices for xrp_twd: declare the pair as a parameter" in said
    )


@pytest.mark.parametrize("call", ['__import__("json").loads("{")', 'self.subscribe_bars(self.pair, "2m")'])
def test_the_headline_of_an_error_names_the_line_in_the_users_code_rather_than_a_library_line(
    tmp_path: Path, capsys: Printed, call: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format(call))
    assert bot.backtest() == 2
    said = capsys.readouterr().err
    assert f"raised in on_bar at {bot.line_of(call)}: " in said.splitlines()[0]
    assert "error:   " not in said, "the lines of a traceback are no errors of their own"
    assert "/botkit/model/" not in said


@pytest.mark.parametrize("name", ["close", "buy", "skip", "state", "_context", "rules"])
def test_a_method_that_shadows_an_api_name_is_refused_like_a_parameter(
    tmp_path: Path, capsys: Printed, name: str
) -> None:
    bot = FirstBot(tmp_path, f"def {name}(self):\n    pass")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert (
        f"{bot.line_of('def ' + name)}: `{name}` of the strategy `Mine` would hide an attribute that every strategy has"
        in said
    )


def test_an_attribute_or_mixin_method_that_shadows_an_api_name_is_refused(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "log = None")
    assert bot.check() == 2
    assert "`log` of the strategy `Mine` would hide" in capsys.readouterr().err
    text = bot.file.read_text(encoding="utf-8").replace("    log = None\n", "")
    mixin = "class Mixin:\n    def position(self):\n        pass\n\nclass Mine(Mixin, Strategy):"
    bot.file.write_text(text.replace("class Mine(Strategy):", mixin), encoding="utf-8")
    assert bot.check() == 2
    assert "`position` of the strategy `Mine` would hide" in capsys.readouterr().err


def test_other_method_names_and_event_callbacks_are_accepted(tmp_path: Path) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("self.close_all()") + "\ndef close_all(self):\n    pass\n\n_size = 3")
    assert bot.check() == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('name: str = "x"', "Mine.name: this parameter would hide an attribute that every Strategy has"),
        ("sizes: dict = 3", "Mine.sizes: dict is not a kind of parameter"),
    ],
)
def test_an_invalid_parameter_is_reported_with_file_and_line(
    tmp_path: Path, capsys: Printed, line: str, what: str
) -> None:
    bot = FirstBot(tmp_path, line)
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.line_of(line)}: {what}" in said
    assert "botkit_plugin_" not in said


def test_an_error_about_an_integer_quotes_the_value_as_the_user_wrote_it(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    assert bot.check("--set", "mine.n=20.5") == 2
    assert "must be a whole number such as 10, not 20.5" in capsys.readouterr().err


def test_a_strategy_class_that_is_not_registered_is_reported(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    text = bot.file.read_text(encoding="utf-8")
    bot.file.write_text(text[: text.index("@hookimpl")], encoding="utf-8")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.file} defines the class `Mine` but does not register it" in said
    assert 'register("mine", Mine)' in said


def test_a_missing_plugin_folder_is_reported_with_its_line(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    bot.write(plugins="[strategie]")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.config}:2: there is neither a folder `strategie` next to this file nor an installed module" in said
    assert "did you mean `strategies`?" in said


def test_an_error_explains_that_commas_are_not_allowed_in_numbers(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    bot.write(balances="{twd: 1,000,000}")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.config}:9: a comma within {{ }} ends a value, so `1,000` is not a number; write it without" in said


def test_check_and_backtest_report_the_same_error_for_capital_above_the_balances(
    tmp_path: Path, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, "pass")
    more = ("--set", "strategies.0.capital={twd: 2000000}")
    for command in (bot.check, bot.backtest):
        assert command(*more) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "capital of 'mine' is 2000000 twd" in lines[0]


@pytest.mark.parametrize("section", ["reserve: {twdd: 5}", "emulator: {balances: {twdd: 5}}"])
def test_a_balance_in_a_currency_that_the_exchange_does_not_trade_is_refused(
    tmp_path: Path, capsys: Printed, section: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"), extra=section + "\n")
    assert bot.check() == 2
    line = bot.config.read_text(encoding="utf-8").splitlines().index(section) + 1
    said = f"{bot.config}:{line}: the exchange has no currency 'twdd'; did you mean twd?"
    assert said in capsys.readouterr().err
    bot.write(balances="{xqz: 5}")
    assert bot.backtest() == 2
    assert "the exchange has no currency 'xqz'; it has ada, ape, bito" in capsys.readouterr().err


def test_a_pair_object_created_by_a_strategy_is_refused_with_a_remedy(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("self.last_price(Pair('btc_twd'))"))
    assert bot.backtest() == 2
    said = capsys.readouterr().err.splitlines()[0]
    assert "write the name alone, 'btc_twd', or declare a parameter, `pair: Pair`" in said


def test_a_quote_with_prices_but_without_amounts_is_refused_with_an_example(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("self.quote(self.pair, asks=[90000])"))
    assert bot.backtest() == 2
    said = capsys.readouterr().err.splitlines()[0]
    assert "asks is a list of (price, amount), such as asks=[(100, 0.5)], not of 90000" in said


@pytest.mark.parametrize(
    ("registered", "told"),
    [
        ('register("mine", Mine())', "derived from botkit.Strategy, not an object of the class Mine"),
        ('register("mine", Pair)', "derived from botkit.Strategy, not the class Pair"),
        ('register(Mine, "mine")', "offers a strategy under the class Mine; a name may contain letters"),
    ],
)
def test_errors_about_an_incorrect_registration_use_the_users_names(
    tmp_path: Path, capsys: Printed, registered: str, told: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"))
    text = bot.file.read_text(encoding="utf-8")
    bot.file.write_text(text.replace('register("mine", Mine)', registered), encoding="utf-8")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert told in said
    assert "botkit_plugin_" not in said


def test_files_left_behind_by_editors_are_not_loaded_as_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"))
    # Emacs creates this file while a file is being edited
    (tmp_path / "strategies" / ".#mine.py").symlink_to("me@here.1234")
    # macOS creates this file on file systems other than its native ones
    (tmp_path / "strategies" / "._mine.py").write_bytes(b"\x00\x05\x16\x07")
    assert bot.check() == 0, capsys.readouterr().err
    text = bot.config.read_text(encoding="utf-8")
    bot.config.write_text(text.replace("plugins: [strategies]\n", ""), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert bot.check() == 0, capsys.readouterr().err


def test_output_printed_by_a_strategy_is_not_mixed_with_json_output(tmp_path: Path, capsys: Printed) -> None:
    # on_start, since a second of an emulator need not contain the end of a whole bar
    bot = FirstBot(tmp_path, "def on_start(self):\n    self.subscribe_bars(self.pair, '1m')\n    print('hello')")
    assert bot.backtest("--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["fills"] == 0
    assert "hello" in told.err
    assert main(["run", str(bot.config), "--duration", "1s", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["ended"] == "duration"
    assert "hello" in told.err


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        ("fee_models", "emulator: {fees: {model: mine}}"),
        ("latency_models", "emulator: {latency: {model: mine}}"),
        ("fill_models", "emulator: {fills: {model: mine}}"),
        ("risk_rules", "risk: {mine: 1}"),
    ],
)
@pytest.mark.parametrize("how", ["raises", "nothing"])
def test_a_plugin_whose_factory_fails_or_returns_nothing_is_named_in_the_error(
    tmp_path: Path, capsys: Printed, kind: str, section: str, how: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"), extra=section + "\n")
    body = "1 / 0" if how == "raises" else "None"
    with bot.file.open("a", encoding="utf-8") as file:
        file.write(f"\ndef make(*_):\n    return {body}\n\n@hookimpl\n")
        file.write(f"def botkit_register_{kind}(register):\n    register('mine', make)\n")
    assert bot.check() == 2
    said = capsys.readouterr().err
    what = f"the {kind.replace('_', ' ').removesuffix('s')} `mine` of the plugin `mine`"
    if how == "raises":
        assert said == f"error: {bot.line_of('1 / 0')}: {what} failed: ZeroDivisionError: division by zero\n"
    else:
        assert said.startswith(f"error: {bot.file}: {what} needs a method `")
        assert said.endswith("`, but it is None\n")


def test_a_plugin_whose_report_section_has_the_wrong_type_is_named_in_the_error(
    tmp_path: Path, capsys: Printed
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"))
    with bot.file.open("a", encoding="utf-8") as file:
        file.write("\n@hookimpl\ndef botkit_report_sections(result):\n    return 5\n")
    assert bot.backtest() == 2
    assert "of the plugin `mine` must return a list of ReportSection, not 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("'soon'", "is 'soon'; it must be whole nanoseconds, 0 or more"),
        ("-5", "is -5; it must be whole nanoseconds, 0 or more"),
        ("[][key]", "failed: IndexError('list index out of range')"),
    ],
)
def test_an_invalid_latency_returned_by_a_latency_model_is_refused(
    tmp_path: Path, capsys: Printed, body: str, told: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"), extra="emulator: {latency: {model: mine}}\n")
    with bot.file.open("a", encoding="utf-8") as file:
        file.write(
            f"\nclass Late:\n    def order_ns(self, key):\n        return {body}\n    answer_ns = feed_ns = order_ns\n"
        )
        file.write("\n@hookimpl\ndef botkit_register_latency_models(register):\n")
        file.write("    register('mine', lambda options, seed: Late())\n")
    assert bot.check() == 2
    assert f"order_ns of the latency model `mine` {told}" in capsys.readouterr().err


def test_a_backtest_refuses_a_reserve_above_its_balances(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("pass"), extra="reserve: {twd: 1000001}\n")
    assert bot.backtest() == 2
    assert "the reserve of 1000001 twd is more than the 1000000 twd in `backtest.balances`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("self.protect(self.pair, stop_loss_pct=0.015)", "stop_loss_pct is 0.015, which means 0.015 %"),
        ('self.subscribe_bars(self.pair, "7m")', "'7m' is not a resolution"),
    ],
)
def test_a_run_reports_a_refused_argument_with_its_line_and_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, call: str, sentence: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bot = FirstBot(tmp_path, f'def on_start(self):\n    self.subscribe_bars(self.pair, "1m")\n    {call}\n')
    assert main(["run", str(bot.config), "--duration", "1s", "--plain"]) == 2
    said = capsys.readouterr().err
    assert f"strategy 'mine' cannot start: {bot.line_of(call)}: {sentence}" in said
    assert "Traceback" not in said
