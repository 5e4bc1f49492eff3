"""The summary that is printed in the terminal."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from botkit.report.terminal import print_summary
from tests.report.sample_result import bare_result, sample_result


def printed(result: object, width: int = 100) -> str:
    out = io.StringIO()
    print_summary(Console(file=out, width=width, color_system=None), result)  # type: ignore[arg-type]
    return out.getvalue()


def test_the_summary_shows_the_key_metrics_and_warnings() -> None:
    text = printed(sample_result(days=3, orders=60))
    for piece in (
        "majors",
        "SYNTHETIC DATA",
        "! slippage is 0",
        "Return",
        "Max drawdown",
        "Sharpe",
        "sma_btc",
        "maker_eth",
        "12 orders",
    ):
        assert piece in text, piece


def test_the_summary_fits_an_80_column_terminal() -> None:
    assert max(len(line) for line in printed(sample_result(days=3, orders=60), 80).splitlines()) <= 80


def test_without_fills_the_summary_lists_the_skip_reasons() -> None:
    result = sample_result(days=1, orders=40)
    result = msgspec.structs.replace(result, summary=result.summary | {"fills": 0})
    text = printed(result)
    assert "Why it did not trade" in text
    assert "312  maker_eth skipped: spread of 2.1 bps" in text


def test_names_are_not_interpreted_as_markup() -> None:
    result = msgspec.structs.replace(sample_result(days=1, orders=4), name="[red]x[/red] [/")
    assert "[red]x[/red] [/" in printed(result)


def test_a_run_without_events_still_has_a_summary() -> None:
    assert "idle" in printed(bare_result())
