"""``botkit record``: record the exchange's public streams into a tape, until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from botkit.cli.durations import duration_s
from botkit.model.clock import NS_PER_S
from botkit.model.counts import counted
from botkit.model.events import Connection, ConnectionState
from botkit.model.figures import fixed

if TYPE_CHECKING:
    from botkit.assembly.market_access import MarketAccess
    from botkit.tape.raw_frames import RawFrames
    from botkit.tape.recorder import Recorder

DEPTHS = ("1", "5", "10", "20", "30", "50")  # the book depths that the exchange offers
#: short enough that a killed recorder loses less than a second of rows, even if the duration of a sync is included
_SYNC_EVERY_S = 0.5
_PLAIN_STATUS_EVERY_S = 60
#: warn if the clock is adjusted by more than this
_DRIFT_TOLD_S = 5


@click.command()
@click.option("--pairs", required=True, metavar="PAIR,PAIR", help="The pairs to record, such as btc_twd,eth_twd.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The tape to create or continue.")
@click.option(
    "--duration",
    callback=duration_s,
    metavar="TIME",
    help="Stop after this duration, such as 90s, 30m, 2h or 7d.  [default: until Ctrl-C]",
)
@click.option(
    "--depth", type=click.Choice(DEPTHS), default="20", show_default=True, help="Number of book levels per side."
)
@click.option("--raw", is_flag=True, help="Also save every frame as received, in OUT/raw.")
@click.option("--rest", help="Override the REST address, for example to use an emulator.")
@click.option("--ws", help="Override the WebSocket address, for example to use an emulator.")
@click.option("--exchange", default="bitopro", show_default=True, help="The exchange.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def record(
    pairs: str,
    out: Path,
    duration: float | None,
    depth: str,
    raw: bool,
    rest: str | None,
    ws: str | None,
    exchange: str,
    as_json: bool,
) -> int:
    """Record books and trades of PAIRS into the tape OUT. No account is needed.

    Every row is written to disk within a second. Periods in which rows may be missing are marked as gaps. The tape can
    be backtested immediately, even while recording. Running the command again continues the same tape. The exit code is
    1 if nothing was received.
    """
    from botkit.assembly.market_access import market_access
    from botkit.tape.raw_frames import RawFrames
    from botkit.tape.recorder import Recorder

    frames = RawFrames(out) if raw else None
    access = market_access(exchange, rest=rest, ws=ws, frame_tap=frames.take if frames else None)
    wanted = list(dict.fromkeys(access.pair(name) for name in pairs.split(",") if name.strip()))
    if not wanted:
        raise click.UsageError("--pairs is empty; specify pairs, such as --pairs btc_twd,eth_twd")
    where = ws or rest
    recorder = Recorder(
        out,
        wanted,
        known=access.facts.pairs,
        depth=int(depth),
        source=f"{exchange}'s public streams" + (f" via {where}" if where else ""),
        exchange=exchange,
        synthetic=access.is_synthetic,
        command=shlex.join(["botkit", "record", "--pairs", ",".join(wanted), "--depth", depth]),
        notes=(f"recorded from {where}, not from {exchange} itself",) if where else (),
    )
    tell = _teller(quiet=as_json)
    for sentence in recorder.open(access.clock.now()):
        tell(f"left by an earlier run: {sentence}")
    session = _Session(access, recorder, frames, tell)
    try:
        if frames is not None:
            frames.open()
        with _status(quiet=as_json) as show:
            asyncio.run(session.run(wanted, int(depth), duration, show))
    finally:
        # convert the recorded rows even after a failure; rows that cannot be written stay in the journal
        told = recorder.close()
        if frames is not None:
            frames.close()
    if as_json:
        rows = {f"{pair} {kind}": count for (pair, kind), count in sorted(recorder.rows.items())}
        click.echo(json.dumps({"out": str(out), "rows": rows, "gaps": recorder.gaps}))
    else:
        for sentence in told:
            tell(sentence)
        hint = f"; inspect it with `botkit data info {out}`" if recorder.rows else ""
        click.echo(f"{out}: {_counted(recorder)}{hint}")
    return 0 if recorder.rows else 1


class _Session:
    """A recording session on one connection."""

    def __init__(
        self, access: MarketAccess, recorder: Recorder, frames: RawFrames | None, tell: Callable[[str], None]
    ) -> None:
        self._access, self._recorder, self._frames, self._tell = access, recorder, frames, tell
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        self._drift_told = False
        self._writing: asyncio.Task[None] | None = None

    async def run(self, pairs: Sequence[Any], depth: int, length_s: float | None, show: Callable[[str], None]) -> None:
        """Record until the time is up or a signal arrives. Raises the error, if any, that stopped the recording."""
        clock, adapter = self._access.clock, self._access.adapter
        end = None if length_s is None else clock.now() + round(length_s * NS_PER_S)
        with _signals(self._stop.set):
            async with adapter:
                adapter.watch(self._sink, books=dict.fromkeys(pairs, depth), trades=pairs, account=False)
                while not self._stop.is_set() and (end is None or clock.now() < end):
                    left_s = _SYNC_EVERY_S if end is None else (end - clock.now()) / NS_PER_S
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), max(0.0, min(_SYNC_EVERY_S, left_s)))
                    await asyncio.to_thread(self._sync)
                    self._write_finished_days()
                    self._look_at_clock()
                    show(_counted(self._recorder))
        if self._writing is not None:
            await self._writing
        if self._failure is not None:
            raise self._failure

    def _sink(self, event: Any) -> None:
        try:
            self._recorder.take(event, self._access.clock.now())
        except Exception as error:  # without this, a full disk would silently end the stream and the recording
            self._failure = self._failure or error
            self._stop.set()
            return
        if isinstance(event, Connection):
            self._tell_connection(event)

    def _sync(self) -> None:
        """Sync in a separate thread, because pings must be answered even when the disk is slow."""
        self._recorder.sync()
        if self._frames is not None:
            self._frames.sync()

    def _write_finished_days(self) -> None:
        """Write finished days in the background, because writing may take seconds and must not delay new rows."""
        if self._writing is not None and self._writing.done():
            self._writing.result()  # re-raises the task's exception, if any
            self._writing = None
        if self._writing is None and self._recorder.has_finished_days:
            self._writing = asyncio.create_task(self._write_aside())

    async def _write_aside(self) -> None:
        for sentence in await asyncio.to_thread(self._recorder.write_finished_days):
            self._tell(sentence)

    def _tell_connection(self, event: Connection) -> None:
        if event.state is ConnectionState.CONNECTED and not event.detail:
            self._tell(f"{event.stream} {event.pair}: connected")
        else:
            self._tell(f"{event.stream} {event.pair}: {event.state.value}, {event.detail or 'no reason given'}")

    def _look_at_clock(self) -> None:
        drift_s = self._access.clock.drift_ns() / NS_PER_S
        if abs(drift_s) > _DRIFT_TOLD_S and not self._drift_told:
            self._drift_told = True
            self._tell(
                f"this machine's clock was changed by {fixed(drift_s, 0, signed=True)} s; receive times "
                "will not reflect this until a restart"
            )


def _counted(recorder: Recorder) -> str:
    rows: dict[str, int] = {}
    for (_, kind), count in sorted(recorder.rows.items()):
        rows[kind] = rows.get(kind, 0) + count
    so_far = ", ".join(counted(count, kind.removesuffix("s")) for kind, count in rows.items()) or "nothing yet"
    return so_far + (f", {counted(recorder.gaps, 'gap')}" if recorder.gaps else "")


def _teller(*, quiet: bool) -> Callable[[str], None]:
    """Return a function that prints events to standard error, one per line."""
    return (lambda sentence: None) if quiet else (lambda sentence: click.echo(sentence, err=True))


@contextmanager
def _status(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the status: a single refreshed line in a terminal, or one line per minute in a
    file.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda text: None
        return
    if not console.is_terminal:
        looks = 0

        def line(text: str) -> None:
            nonlocal looks
            looks += 1
            if looks % round(_PLAIN_STATUS_EVERY_S / _SYNC_EVERY_S) == 0:
                click.echo(f"recorded {text}", err=True)

        yield line
        return
    with console.status("connecting") as status:
        yield lambda text: status.update(f"recorded {text} (Ctrl-C stops)")


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Stop the recording cleanly on Ctrl-C or SIGTERM. A second Ctrl-C quits immediately, which is safe because the
    journal contains every row.
    """
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)

    def once(number: int) -> None:
        stop()
        loop.remove_signal_handler(number)

    try:
        for number in caught:
            loop.add_signal_handler(number, once, number)
    # signal handlers are unavailable on Windows and outside the main thread; in these cases, KeyboardInterrupt ends the
    # loop
    except (NotImplementedError, RuntimeError):
        yield
        return
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
