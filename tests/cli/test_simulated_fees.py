"""A bot on the emulator or in paper trading pays the fees configured under `backtest`, unless `emulator:` overrides
them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.assembly.embedded import embedded_emulator
from botkit.assembly.live import live_parts
from botkit.project.project import Project
from tests.cli.first_week import FirstBot

RATES = "fees: {maker: 0.000125, taker: 0.0005}"


def project(folder: Path, backtest: str = RATES, emulator: str = "") -> Project:
    bot = FirstBot(folder, "pass")
    text = bot.config.read_text(encoding="utf-8")
    bot.config.write_text(
        text + f"  {backtest}\n" + (f"emulator: {{{emulator}}}\n" if emulator else ""), encoding="utf-8"
    )
    return Project.load(bot.config)


async def rates_of(found: Project, mode: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[float, float]:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    async with live_parts(found, mode, speed=1) as parts:  # type: ignore[arg-type]
        rates = parts.fees.rates(0)
        return rates.maker, rates.taker


async def test_the_embedded_emulator_uses_the_fees_from_the_backtest_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = project(tmp_path)
    [account] = embedded_emulator([found], None).options.accounts
    assert account.fees is not None
    assert (account.fees.rates(0).maker, account.fees.rates(0).taker) == (0.000125, 0.0005)
    assert await rates_of(found, "emulator", monkeypatch, tmp_path) == (0.000125, 0.0005)


async def test_fees_in_the_emulator_section_take_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = project(tmp_path, emulator="fees: {maker: 0, taker: 0.003}")
    assert await rates_of(found, "emulator", monkeypatch, tmp_path) == (0.0, 0.003)


async def test_other_keys_in_the_emulator_section_do_not_override_the_fees_of_the_backtest_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = project(tmp_path, emulator="latest_accept_s: 3")
    assert await rates_of(found, "emulator", monkeypatch, tmp_path) == (0.000125, 0.0005)
