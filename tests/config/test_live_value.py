"""A live parameter's new value means what it means in a configuration file, for ``botkit set`` and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.cli.main import main
from botkit.config.live_value import live_value
from botkit.config.load import load_config
from botkit.errors import ConfigError
from botkit.live.state_folder import StateFolder
from botkit.page.bots import ShownBot
from botkit.page.control import SetCommand, carry_out

CONFIG = """
name: typed
strategies:
  - name: maker
    use: market_maker
    params:
      pair: btc_usdt
      spread_bps: {}
"""
AMBIGUOUS = ("010", "0100", "0x10", "yes", "1_0", "1e3", ".5", "[8, 010]")
WORDS = "which is ambiguous; "


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    path = tmp_path / "bot.yaml"
    path.write_text(CONFIG.format(8))
    return path


def in_a_file(config: Path, text: str) -> object:
    config.write_text(CONFIG.format(text))
    return load_config(config).config.strategies[0].params["spread_bps"]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_spelling_that_a_configuration_refuses_as_ambiguous_is_refused_in_the_same_words(
    config: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=WORDS) as in_file:
        in_a_file(config, text)
    advice = str(in_file.value).partition(WORDS)[2]
    config.write_text(CONFIG.format(8))

    assert main(["set", str(config), f"maker.spread_bps={text}"]) == 2
    assert WORDS + advice in capsys.readouterr().err

    bot = ShownBot(StateFolder(config.parent / "state" / "typed" / "emulator" / "inside"))
    bot.page = {"control": True}
    with pytest.raises(ConfigError) as on_page:
        carry_out(bot, SetCommand(bot="typed/emulator/inside", strategy="maker", name="spread_bps", value=text))
    assert str(on_page.value).endswith(WORDS + advice)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("8", 8), ("-5", -5), ("0.02", 0.02), ("true", True), ("null", None), ("", None), ("btc_twd", "btc_twd")),
        *(('"010"', "010"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("[1, 0.5, a]", [1, 0.5, "a"])),
        ("0.123456789012345678", "0.123456789012345678"),  # more digits than a float has
    ],
)
def test_any_other_value_is_that_of_a_configuration(config: Path, text: str, value: object) -> None:
    given = live_value("maker.spread_bps", text)
    assert (given, type(given)) == (value, type(value))
    found = in_a_file(config, text)
    assert spelled(found) == spelled(value)


def spelled(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def test_a_mapping_is_no_value() -> None:
    with pytest.raises(ConfigError, match=r"p\.x=\{a: 1\}: the value must be a number, text or list"):
        live_value("p.x", "{a: 1}")
