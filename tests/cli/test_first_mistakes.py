"""A user's mistake gives one message: what is wrong, where, and how to fix it."""

from __future__ import annotations

from pathlib import Path

import pytest

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
def test_a_negative_figure_is_reported_as_such(tmp_path: Path, capsys: Printed, call: str, sentence: str) -> None:
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
def test_a_pair_without_prices_is_refused_with_a_remedy_and_the_users_line(
    tmp_path: Path, capsys: Printed, call: str
) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format(call))
    assert bot.backtest() == 2
    said = capsys.readouterr().err
    assert f"{bot.line_of(call)}: ValueError: this run has no prices for xrp_twd: name it as a parameter" in said


@pytest.mark.parametrize("call", ['__import__("json").loads("{")', 'self.subscribe_bars(self.pair, "2m")'])
def test_a_failures_headline_names_the_users_line_not_a_librarys(tmp_path: Path, capsys: Printed, call: str) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format(call))
    assert bot.backtest() == 2
    said = capsys.readouterr().err
    assert f"raised in on_bar at {bot.line_of(call)}: " in said.splitlines()[0]
    assert "/botkit/model/" not in said


@pytest.mark.parametrize("name", ["close", "buy", "skip", "state", "_context", "rules"])
def test_a_method_that_hides_an_api_name_is_refused_like_a_parameter(
    tmp_path: Path, capsys: Printed, name: str
) -> None:
    bot = FirstBot(tmp_path, f"def {name}(self):\n    pass")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert (
        f"{bot.line_of('def ' + name)}: `{name}` of the strategy `Mine` would hide an attribute that every strategy has"
        in said
    )


def test_an_attribute_or_a_mixins_method_is_refused_too(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "log = None")
    assert bot.check() == 2
    assert "`log` of the strategy `Mine` would hide" in capsys.readouterr().err
    text = bot.file.read_text(encoding="utf-8").replace("    log = None\n", "")
    mixin = "class Mixin:\n    def position(self):\n        pass\n\nclass Mine(Mixin, Strategy):"
    bot.file.write_text(text.replace("class Mine(Strategy):", mixin), encoding="utf-8")
    assert bot.check() == 2
    assert "`position` of the strategy `Mine` would hide" in capsys.readouterr().err


def test_own_names_and_events_are_accepted(tmp_path: Path) -> None:
    bot = FirstBot(tmp_path, ON_BAR.format("self.close_all()") + "\ndef close_all(self):\n    pass\n\n_size = 3")
    assert bot.check() == 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('name: str = "x"', "Mine.name: this parameter would hide an attribute that every Strategy has"),
        ("sizes: dict = 3", "Mine.sizes: dict is not a kind of parameter"),
    ],
)
def test_an_invalid_parameter_is_named_with_file_and_line(
    tmp_path: Path, capsys: Printed, line: str, what: str
) -> None:
    bot = FirstBot(tmp_path, line)
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.line_of(line)}: {what}" in said
    assert "botkit_plugin_" not in said


def test_a_whole_number_error_quotes_the_users_spelling(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    assert bot.check("--set", "mine.n=20.5") == 2
    assert "must be a whole number such as 10, not 20.5" in capsys.readouterr().err


def test_a_class_that_is_not_registered_is_found(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    text = bot.file.read_text(encoding="utf-8")
    bot.file.write_text(text[: text.index("@hookimpl")], encoding="utf-8")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.file} defines the class `Mine` but does not register it" in said
    assert 'register("mine", Mine)' in said


def test_a_missing_plugin_folder_is_named_with_its_line(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    bot.write(plugins="[strategie]")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.config}:2: there is neither a folder `strategie` next to this file nor an installed module" in said
    assert "did you mean `strategies`?" in said


def test_commas_within_a_figure_are_explained(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    bot.write(balances="{twd: 1,000,000}")
    assert bot.check() == 2
    said = capsys.readouterr().err
    assert f"{bot.config}:9: a comma within {{ }} ends a value, so `1,000` is not a number; write it without" in said


def test_capital_above_the_balances_gives_the_same_error_in_check_and_backtest(tmp_path: Path, capsys: Printed) -> None:
    bot = FirstBot(tmp_path, "pass")
    more = ("--set", "strategies.0.capital={twd: 2000000}")
    for command in (bot.check, bot.backtest):
        assert command(*more) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "capital of 'mine' is 2000000 twd" in lines[0]
