"""The display of a running bot: a full screen in a terminal, and plain lines otherwise."""

from __future__ import annotations

import asyncio
import io
from datetime import timedelta, timezone
from typing import Any

import pytest
from rich.console import Console

from botkit.live.notifications.picture import BotState, Picture, picture_of
from botkit.live.notifications.summary import order_text
from botkit.live.notifications.view import Several, TerminalView, line_of, screen_of, shared_room
from botkit.live.stopping import stop
from tests.live.pictures import PICTURE, picture
from tests.live.world import World, far_buy, settled

pytestmark = pytest.mark.virtual_time

TAIPEI = timezone(timedelta(hours=8))


def standing(given: Picture | None, state: str = "running") -> BotState:
    return BotState(name="gone" if given is None else given.name, state=state, picture=given)


def drawn(given: Any, events: list[tuple[str, str]] | None = None, width: int = 100) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(screen_of(given, events or [], TAIPEI))
    return console.export_text()


def test_the_screen_shows_prices_positions_orders_profit_limits_and_events() -> None:
    text = drawn(PICTURE, [("info", "bought 0.01"), ("warning", "slow [red]link")])
    for expected in (
        "demo  paper  2025-01-01 10:53:20+08:00  up 1 h 02  1,234,567.50 twd  −432.10",
        "3,000,001",
        "0.3",
        "running",
        "391 spread < 40 [bold]bps",  # text from a strategy must not be interpreted as markup
        "+5,000.50",
        "−12.00",
        "2999000",
        "1 min",
        "create_order",
        "1,200",
        "bought 0.01",
        "warning: slow [red]link",
    ):
        assert expected in text, expected
    assert "halted" not in text


def test_problems_are_shown_at_the_top_of_the_screen() -> None:
    lines = drawn(
        picture(halted="a loss", faults=("the disk is full",), lost_streams=("order_book btc_twd",))
    ).splitlines()
    assert lines[1].startswith("the disk is full")
    assert lines[2].startswith("halted: a loss; `botkit resume` lifts it")
    assert lines[3].startswith("no connection: order_book btc_twd")


def test_a_hundred_orders_do_not_fill_the_screen_and_a_narrow_terminal_causes_no_error() -> None:
    many = PICTURE.orders * 100
    text = drawn(picture(orders=many))
    assert "and 88 more" in text
    assert len(text.splitlines()) < 40
    assert drawn(picture(orders=many), width=20)


def test_the_state_is_summarized_in_one_line() -> None:
    line = "2025-01-01 10:53:20+08:00  btc_twd 3,000,001  1 open order  3 fills  profit −432.10 twd"
    assert line_of(PICTURE, TAIPEI) == line
    assert line_of(picture(halted="a loss"), TAIPEI).endswith("halted: a loss")


async def test_without_a_terminal_events_and_periodic_status_lines_are_printed() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=80)
    async with TerminalView(lambda: [standing(PICTURE)], console=console, zone=TAIPEI, line_every_s=0.01) as view:
        view.tell("info", "bought [0.01] btc")
        view.tell("error", "it broke")
        async with asyncio.timeout(5):
            while "profit" not in out.getvalue():
                await asyncio.sleep(0.005)
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["bought [0.01] btc", "error: it broke"]
    assert "\x1b" not in out.getvalue()


async def test_an_error_in_the_view_does_not_stop_the_bot() -> None:
    def broken() -> Any:
        raise RuntimeError("a bug in the picture")

    console = Console(file=io.StringIO(), force_terminal=False)
    async with TerminalView(broken, console=console, line_every_s=0.0) as view:
        await asyncio.sleep(0.02)
        view.tell("info", "still told")


async def test_in_a_terminal_the_screen_is_drawn_until_the_view_closes() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=40)
    async with TerminalView(lambda: [standing(PICTURE)], console=console, zone=TAIPEI) as view:
        view.tell("info", "bought 0.01")
        async with asyncio.timeout(5):
            while "demo" not in out.getvalue():
                await asyncio.sleep(0.01)
        view.tell("info", "stopped")
    assert "bought 0.01" in out.getvalue()
    assert "stopped" in out.getvalue()
    assert out.getvalue().endswith("\x1b[?25h")  # the cursor is visible again


async def test_an_error_message_is_never_truncated_even_in_a_small_terminal() -> None:
    words = " ".join(f"word{number}" for number in range(200))
    for count in (1, 2):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=40, height=8)
        states = [standing(picture(name=f"b{number}")) for number in range(count)]
        async with TerminalView(lambda states=states: states, console=console, zone=TAIPEI) as view:  # type: ignore[misc]
            async with asyncio.timeout(5):
                while "10:53:20" not in out.getvalue():
                    await asyncio.sleep(0.01)
            view.tell("error", words)
            view.tell("breaker", "halted: " + words)
            for number in range(20):
                view.tell("info", f"later {number}")
        shown = out.getvalue()
        assert f"error: {words}" in shown
        assert f"breaker: halted: {words}" in shown


def drawn_together(standings: list[BotState], events: list[tuple[str, str]], height: int) -> list[str]:
    console = Console(width=100, height=height, record=True, file=io.StringIO())
    console.print(Several(standings, events, TAIPEI))
    return console.export_text().splitlines()


def test_multiple_bots_are_shown_as_a_table_followed_by_as_many_details_as_fit() -> None:
    other = picture(name="other", halted="a loss", orders=PICTURE.orders * 30)
    standings = [standing(PICTURE), standing(other), standing(None, "failed: no key")]
    events = [("info", f"demo: bought {n}") for n in range(8)]
    lines = drawn_together(standings, events, height=60)
    assert lines[0].startswith("paper  2025-01-01 10:53:20")
    assert lines[1].split() == ["bot", "state", "worth", "profit", "open", "orders", "fills"]
    assert lines[2].split()[:4] == ["demo", "running", "1,234,567.50", "twd"]
    assert lines[3].split()[:2] == ["other", "halted"]
    assert lines[4].startswith("gone   failed: no key")
    text = "\n".join(lines)
    assert "halted: a loss; `botkit resume` lifts it" in text
    assert "create_order" in text
    for height in (1, 3, 8, 14, 20, 25, 40):
        lines = drawn_together(standings, [*events, ("warning", "long " * 50)], height)
        assert len(lines) <= max(1, height - 1), height
        if height >= 8:
            assert "long" in lines[-1], "the last event must always be visible"
            assert lines[2].startswith("demo")
    many = [standing(picture(name=f"bot{n}")) for n in range(30)]
    assert len(drawn_together(many, events, height=25)) == 24


def test_screen_lines_are_allocated_to_the_sections_that_need_them() -> None:
    assert shared_room([10, 2, 10], 12) == [5, 2, 5]
    assert shared_room([3, 3], 100) == [3, 3]
    assert shared_room([3, 3], -1) == [0, 0]
    assert shared_room([], 10) == []


async def test_with_multiple_bots_each_line_starts_with_the_name_of_its_bot() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=80)
    both = [standing(PICTURE), standing(picture(name="other"))]
    async with TerminalView(lambda: both, console=console, zone=TAIPEI, line_every_s=0.01):
        async with asyncio.timeout(5):
            while "other: 2025" not in out.getvalue():
                await asyncio.sleep(0.005)
    assert out.getvalue().startswith("demo: 2025")


async def test_a_picture_contains_the_running_bots_state(world: World) -> None:
    bot = await world.start()
    try:
        order = far_buy(bot)
        await settled(order)
        taken = picture_of(bot.standing())
        assert (taken.name, taken.mode, taken.currency) == ("world", "emulator", "usdt")
        assert [row.name for row in taken.strategies] == ["p"]
        [row] = taken.orders
        assert (row.strategy, row.pair, row.side, row.amount, row.state) == ("p", "btc_usdt", "buy", "0.01", "open")
        # all digits, because a price of three million must not be displayed as 3e+06
        assert order_text(order) == f"buy 0.01 btc_usdt at {row.price}, open, executed 0"
        [price] = taken.prices
        assert price.last is not None
        assert taken.equity is not None
        assert any(limit.pool == "create_order" and limit.held for limit in taken.limits)
        assert taken.lost_streams == ()
        assert drawn(taken)
    finally:
        await stop(bot)
        await bot.close()
