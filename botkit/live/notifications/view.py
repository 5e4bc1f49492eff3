"""Shows a running bot in the terminal: prices, positions, orders, profit, limits and the latest events.

A terminal shows a screen that is redrawn. A file or a pipe gets only events, one per line, and a periodic status line.
The view only reads a `Picture` and never affects the bot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from botkit.live.notifications.picture import BotState, Picture
from botkit.model.clock import Nanos, to_datetime
from botkit.model.counts import counted
from botkit.model.figures import fixed, money_figure, separated

log = logging.getLogger("botkit.view")

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 60.0
_EVENTS_KEPT = 8
_ORDERS_SHOWN = 12
_LIMITS_SHOWN = 5
#: with fewer lines than this per bot, only the table of all bots is shown
_SECTION_LINES_MIN = 3
#: message levels that must be readable in full, however small the terminal is
_PRINTED = ("error", "breaker")
_STYLES = {"info": "", "message": "bold", "warning": "yellow", "error": "red", "breaker": "bold white on red"}


class TerminalView:
    """Shows the bots of a process until the block ends. ``look`` returns the state of each bot."""

    def __init__(
        self,
        look: Callable[[], Sequence[BotState]],
        *,
        console: Console | None = None,
        zone: tzinfo = UTC,
        line_every_s: float = _LINE_EVERY_S,
    ) -> None:
        self._look = look
        self._console = console or Console()
        self._zone = zone
        self._line_every_s = line_every_s
        self._events: deque[tuple[str, str]] = deque(maxlen=_EVENTS_KEPT)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._live: Live | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> TerminalView:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            # a terminal may be closed at any time, and the bot must continue without it
            with contextlib.suppress(OSError):
                self._live.start()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._draw(), name="terminal view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._live is not None:
            with contextlib.suppress(Exception):
                self._show()  # keep the final state on the terminal
            with contextlib.suppress(OSError):
                self._live.stop()
            self._live = None

    def tell(self, level: str, text: str) -> None:
        """Show an event, either among the latest events on the screen or as a printed line.

        Errors are also printed above the screen, where there is room for the full text. Events from another thread are
        printed there as well, because the loop that draws the screen may be blocked permanently.
        """
        self._events.append((level, text))
        if self._live is None or level in _PRINTED or not self._is_on_loop():
            prefix = "" if level == "info" else f"{level}: "
            with contextlib.suppress(OSError):
                self._console.print(prefix + text, markup=False, highlight=False, soft_wrap=True)

    def _is_on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # called from another thread, which has no loop
            return False

    async def _draw(self) -> None:
        every_s = _DRAW_EVERY_S if self._live is not None else self._line_every_s
        while True:
            await asyncio.sleep(every_s)
            try:
                self._show()
            except Exception:  # a drawing error must not stop the bot
                log.exception("the view ended")
                return

    def _show(self) -> None:
        standings = self._look()
        pictures = [standing.picture for standing in standings if standing.picture is not None]
        if not pictures:
            return
        events = list(self._events)
        if self._live is not None and len(standings) == 1:
            self._live.update(screen_of(pictures[0], events, self._zone), refresh=True)
        elif self._live is not None:
            self._live.update(Several(standings, events, self._zone), refresh=True)
        else:
            for picture in pictures:
                name = f"{picture.name}: " if len(standings) > 1 else ""
                line = name + line_of(picture, self._zone)
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def line_of(picture: Picture, zone: tzinfo = UTC) -> str:
    """Format the bot's state as one line."""
    prices = ", ".join(f"{row.pair} {fixed(row.last, row.decimals)}" for row in picture.prices if row.last is not None)
    stopped = [f"STOPPED: {row.name}: {row.stopped}" for row in picture.strategies if row.state == "stopped"]
    parts = [
        *stopped,
        _clock(picture.time, zone),
        prices,
        counted(len(picture.orders), "open order"),
        counted(sum(row.fills for row in picture.strategies), "fill"),
        "" if picture.profit is None else f"profit {money_figure(picture.profit, signed=True)} {picture.currency}",
        picture.fees_sentence,
        "" if picture.halted is None else f"halted: {picture.halted}",
    ]
    return "  ".join(part for part in parts if part)


def screen_of(picture: Picture, events: list[tuple[str, str]], zone: tzinfo = UTC) -> RenderableType:
    """Build the complete screen for one bot."""
    return Group(*_section(picture, zone), *(_event(level, text) for level, text in events))


class Several:
    """The screen for several bots: a table of all bots, details of each bot if there is room, and the latest events. It
    is never taller than the terminal, because lines that have scrolled off the screen cannot be redrawn.
    """

    def __init__(self, standings: Sequence[BotState], events: list[tuple[str, str]], zone: tzinfo = UTC) -> None:
        self._standings = standings
        self._events = events
        self._zone = zone

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines that fit."""
        free = options.update(height=None)

        def lines_of(*parts: RenderableType) -> list[list[Segment]]:
            return console.render_lines(Group(*parts), free, pad=False)

        height = max(1, console.height - 1)
        lines = lines_of(_bots(self._standings, self._zone))[:height]
        events = [_event(level, text) for level, text in self._events]
        for event in events:
            event.no_wrap, event.overflow = True, "ellipsis"
        most = min(height - len(lines), max(3, height // 5))
        last = lines_of(*events)[-most:] if events and most > 0 else []
        pictures = [standing.picture for standing in self._standings if standing.picture is not None]
        sections = [lines_of(Text(), *_section(picture, self._zone)) for picture in pictures]
        rooms = shared_room([len(section) for section in sections], height - len(lines) - len(last))
        for section, room in zip(sections, rooms, strict=True):
            if room >= min(len(section), _SECTION_LINES_MIN):
                lines += section[:room]
        for number, line in enumerate([*lines, *last]):
            if number:
                yield Segment.line()
            yield from line


def shared_room(wanted: Sequence[int], room: int) -> list[int]:
    """Return the number of lines for each bot. Small sections get all the lines that they need, and the other sections
    share the remaining lines evenly.
    """
    given = [0] * len(wanted)
    left = max(0, room)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for place, index in enumerate(order):
        given[index] = min(wanted[index], left // (len(order) - place))
        left -= given[index]
    return given


def _bots(standings: Sequence[BotState], zone: tzinfo) -> Table:
    pictures = [standing.picture for standing in standings if standing.picture is not None]
    # shown once, because all bots have the same mode and time
    title = f"{pictures[0].mode}  {_clock(pictures[0].time, zone)}" if pictures else ""
    table = _table("bot", "state", "worth", "", "profit", "open", "orders", "fills", left=2)
    table.title, table.title_justify, table.title_style = title, "left", "dim"
    for standing in standings:
        picture = standing.picture
        halted = picture is not None and (picture.halted is not None or bool(picture.faults))
        stopped = picture is not None and any(row.state == "stopped" for row in picture.strategies)
        wrong = "strategy stopped" if stopped else "halted" if halted else ""
        state = Text(wrong if wrong and standing.state == "running" else standing.state)
        state.style = "red" if stopped else "" if standing.state == "running" and not halted else "yellow"
        if picture is None:
            table.add_row(standing.name, state)
            continue
        table.add_row(
            Text(standing.name, style="bold"),
            state,
            "" if picture.equity is None else money_figure(picture.equity),
            picture.currency,
            _signed(picture.profit) if picture.profit is not None else "",
            str(len(picture.orders)),
            f"{sum(row.orders for row in picture.strategies):,}",
            f"{sum(row.fills for row in picture.strategies):,}",
        )
    return table


def _event(level: str, text: str) -> Text:
    return Text(f"{level}: {text}" if level != "info" else text, style=_STYLES.get(level, ""))


def _section(picture: Picture, zone: tzinfo) -> list[RenderableType]:
    """Build one bot's section, with the most important lines first."""
    parts: list[RenderableType] = [_head(picture, zone)]  # the bot's name first, then its problems
    parts += [
        Text(f"STOPPED: {row.name}: {row.stopped}", style="bold white on red")
        for row in picture.strategies
        if row.state == "stopped"
    ]
    parts += [Text(text, style="bold white on red") for text in picture.faults]
    if picture.halted is not None:
        parts.append(Text(f"halted: {picture.halted}; `botkit resume` lifts it", style="bold white on red"))
    if picture.unvalued_fees:
        parts.append(Text(picture.fees_sentence, style="yellow"))
    if picture.lost_streams:
        parts.append(Text("no connection: " + ", ".join(picture.lost_streams), style="yellow"))
    parts += [_prices(picture), _strategies(picture)]
    parts += [table for table in (_positions(picture), _orders(picture), _limits(picture)) if table is not None]
    return parts


def _clock(time: Nanos, zone: tzinfo) -> str:
    return to_datetime(time, zone).isoformat(sep=" ", timespec="seconds")


def _head(picture: Picture, zone: tzinfo) -> Text:
    head = Text.assemble((picture.name, "bold"), f"  {picture.mode}  {_clock(picture.time, zone)}  ")
    head.append(f"up {_length(picture.uptime_s)}  ")
    if picture.equity is not None:
        head.append(f"{money_figure(picture.equity)} {picture.currency}  ")
    if picture.profit is not None:
        head.append_text(_signed(picture.profit))
    return head


def _table(*columns: str, left: int = 1) -> Table:
    """Create a plain table whose first ``left`` columns are text. All other columns are figures."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, title in enumerate(columns):
        table.add_column(title, justify="left" if number < left else "right", no_wrap=True)
    return table


def _figure(value: float | None, decimals: int) -> str:
    return "" if value is None else fixed(value, decimals)


def _signed(value: float) -> Text:
    text = money_figure(value, signed=True)
    return Text(text, style="green" if text[0] == "+" else "red" if value < 0 else "dim")


def _prices(picture: Picture) -> Table:
    table = _table("pair", "last", "bid", "ask", "spread bps", "book s")
    for row in picture.prices:
        table.add_row(
            row.pair,
            _figure(row.last, row.decimals),
            _figure(row.bid, row.decimals),
            _figure(row.ask, row.decimals),
            _figure(row.spread_bps, 1),
            _figure(row.age_s, 0),
        )
    return table


def _strategies(picture: Picture) -> Table:
    table = _table("strategy", "state", "orders", "fills", "skipped", "refused", left=2)
    table.expand = True
    # this column takes the remaining width, so that a long reason does not squeeze the figures
    table.add_column("mostly", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in picture.strategies:
        table.add_row(
            row.name,
            Text(row.state, style="" if row.state == "running" else "red"),
            f"{row.orders:,}",
            f"{row.fills:,}",
            f"{row.skips:,}",
            f"{row.refusals:,}",
            Text(row.why_not),
        )
    return table


def _positions(picture: Picture) -> Table | None:
    held = [row for row in picture.positions if row.amount or row.realised]
    if not held:
        return None
    table = _table("position", "pair", "amount", "entry", "unrealised", "realised", left=2)
    for row in held:
        table.add_row(
            row.strategy,
            row.pair,
            separated(f"{row.amount:.8f}".rstrip("0").rstrip(".")),
            _figure(row.average_entry, row.decimals) if row.amount else "",
            _signed(row.unrealised),
            _signed(row.realised),
        )
    return table


def _orders(picture: Picture) -> Table | None:
    if not picture.orders:
        return None
    table = _table("order", "pair", "side", "amount", "price", "executed", "state", "age", left=3)
    for row in picture.orders[:_ORDERS_SHOWN]:
        side = Text(row.side, style="green" if row.side == "buy" else "red")
        state = Text(row.state, style="yellow" if row.state in ("unknown", "sending", "queued") else "")
        table.add_row(
            row.strategy, row.pair, side, row.amount, row.price, row.executed, state, _length(max(0.0, row.age_s))
        )
    if len(picture.orders) > _ORDERS_SHOWN:
        table.add_row(f"and {len(picture.orders) - _ORDERS_SHOWN} more")
    return table


def _limits(picture: Picture) -> Table | None:
    if not picture.limits:
        return None
    table = _table("rate limit", "per", "held", "of", "in s", "peak %", left=2)
    fullest = sorted(picture.limits, key=lambda row: (-row.held / row.limit, -row.peak_percent))
    for row in fullest[:_LIMITS_SHOWN]:
        full = row.held >= row.limit
        table.add_row(
            row.pool,
            row.scope,
            Text(f"{row.held:,}", style="yellow" if full else ""),
            f"{row.limit:,}",
            str(row.per_s),
            f"{row.peak_percent:.0f}",
        )
    return table


def _length(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02d}"
