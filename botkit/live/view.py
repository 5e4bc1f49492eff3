"""The terminal while a bot runs: prices, positions, orders, profit, limits and the last events.

In a terminal one screen is drawn again and again; where the output goes into a file or another program, only events
are printed, a line each, and how things stand once in a while. Both keep to what the bot says in any case: the view
reads a `Picture` and has no say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import UTC, tzinfo
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from botkit.live.picture import Picture
from botkit.model.clock import Nanos, to_datetime

log = logging.getLogger("botkit.view")

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 60.0
_EVENTS_KEPT = 8
_ORDERS_SHOWN = 12
_LIMITS_SHOWN = 5
_STYLES = {"info": "", "warning": "yellow", "error": "red", "breaker": "bold white on red"}


class TerminalView:
    """Shows a bot until the block ends. ``look`` gives the picture; None while there is none yet."""

    def __init__(
        self,
        look: Callable[[], Picture | None],
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
        self._live: Live | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> TerminalView:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._task = asyncio.create_task(self._draw(), name="terminal view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tell(self, level: str, text: str) -> None:
        """Something happened: it stays among the last events, or is printed as a line."""
        self._events.append((level, text))
        if self._live is None:
            prefix = "" if level == "info" else f"{level}: "
            self._console.print(prefix + text, markup=False, highlight=False, soft_wrap=True)

    async def _draw(self) -> None:
        every_s = _DRAW_EVERY_S if self._live is not None else self._line_every_s
        while True:
            await asyncio.sleep(every_s)
            try:
                self._show()
            except Exception:  # a bot must not end because its picture could not be drawn
                log.exception("the view ended")
                return

    def _show(self) -> None:
        picture = self._look()
        if picture is None:
            return
        if self._live is not None:
            self._live.update(screen_of(picture, list(self._events), self._zone), refresh=True)
        else:
            self._console.print(line_of(picture, self._zone), markup=False, highlight=False, soft_wrap=True)


def line_of(picture: Picture, zone: tzinfo = UTC) -> str:
    """How things stand, in one line."""
    prices = ", ".join(f"{row.pair} {row.last:,.8g}" for row in picture.prices if row.last is not None)
    parts = [
        _clock(picture.time, zone),
        prices,
        f"{len(picture.orders)} open orders",
        f"{sum(row.fills for row in picture.strategies)} fills",
        "" if picture.profit is None else f"profit {picture.profit:+,.2f} {picture.currency}",
        "" if picture.halted is None else f"halted: {picture.halted}",
    ]
    return "  ".join(part for part in parts if part)


def screen_of(picture: Picture, events: list[tuple[str, str]], zone: tzinfo = UTC) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [_head(picture, zone)]
    parts += [Text(text, style="bold white on red") for text in picture.faults]
    if picture.halted is not None:
        parts.append(Text(f"halted: {picture.halted}; `botkit resume` lifts it", style="bold white on red"))
    if picture.lost_streams:
        parts.append(Text("no connection: " + ", ".join(picture.lost_streams), style="yellow"))
    parts += [_prices(picture), _strategies(picture)]
    for table in (_positions(picture), _orders(picture), _limits(picture)):
        if table is not None:
            parts.append(table)
    parts += [
        Text(f"{level}: {text}" if level != "info" else text, style=_STYLES.get(level, "")) for level, text in events
    ]
    return Group(*parts)


def _clock(time: Nanos, zone: tzinfo) -> str:
    return to_datetime(time, zone).strftime("%Y-%m-%d %H:%M:%S")


def _head(picture: Picture, zone: tzinfo) -> Text:
    head = Text.assemble((picture.name, "bold"), f"  {picture.mode}  {_clock(picture.time, zone)}  ")
    head.append(f"up {_length(picture.uptime_s)}  ")
    if picture.equity is not None:
        head.append(f"{picture.equity:,.2f} {picture.currency}  ")
    if picture.profit is not None:
        head.append(f"{picture.profit:+,.2f}", style="green" if picture.profit >= 0 else "red")
    return head


def _table(*columns: str, left: int = 1) -> Table:
    """A plain table; the first ``left`` columns are text, the others figures."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, title in enumerate(columns):
        table.add_column(title, justify="left" if number < left else "right", no_wrap=True)
    return table


def _figure(value: float | None, form: str = ",.8g") -> str:
    return "" if value is None else format(value, form)


def _signed(value: float, form: str = "+,.2f") -> Text:
    return Text(format(value, form), style="green" if value > 0 else "red" if value < 0 else "dim")


def _prices(picture: Picture) -> Table:
    table = _table("pair", "last", "bid", "ask", "spread bps", "book s")
    for row in picture.prices:
        table.add_row(
            row.pair,
            _figure(row.last),
            _figure(row.bid),
            _figure(row.ask),
            _figure(row.spread_bps, ".1f"),
            _figure(row.age_s, ".0f"),
        )
    return table


def _strategies(picture: Picture) -> Table:
    table = _table("strategy", "state", "orders", "fills", "skipped", "refused", left=2)
    table.expand = True
    # takes the width that is left, so that a long reason squeezes no figure
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
            _figure(row.amount),
            _figure(row.average_entry) if row.amount else "",
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
