"""``botkit download``: download candles over REST into a tape, within the exchange's rate limits."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from botkit.cli.zones import TYPED_ZONE
from botkit.config.backtest import moment
from botkit.errors import DataError
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, Nanos, format_time
from botkit.model.counts import counted
from botkit.model.events import Candle
from botkit.model.pairs import Pair
from botkit.model.requests import GetCandles, Request
from botkit.model.resolutions import RESOLUTIONS, bucket_end, bucket_start, fixed_length

if TYPE_CHECKING:
    from botkit.assembly.market_access import MarketAccess, RateLimitedReads
    from botkit.model.columns import CandleColumns, IntArray

#: candles per request; the response is about 1 MB
_CANDLES_A_REQUEST = 8_000
_CANDLES = GetCandles.endpoint
_UTC = ZoneInfo("UTC")
_MONTH: Nanos = 28 * NS_PER_DAY
#: how long after its end a candle is stored at the earliest
_MARGIN: Nanos = 5 * NS_PER_S

ShowShare = Callable[[float], None]


class Downloaded(msgspec.Struct):
    """The result of downloading one pair. ``missing`` is the number of buckets in the span that the exchange
    omitted.
    """

    pair: str
    resolution: str
    start: Nanos
    end: Nanos
    candles: int = 0
    requests: int = 0
    missing: int = 0


@click.command()
@click.argument("pairs", nargs=-1, required=True, metavar="PAIR...")
@click.option(
    "--resolution", type=click.Choice(RESOLUTIONS), default="1m", show_default=True, help="Candle resolution."
)
@click.option(
    "--from", "start", help="First date or time, in the time zone given by --timezone.  [default: the end of the tape]"
)
@click.option("--to", "end", help="End date or time; a date includes the whole day.  [default: now]")
@TYPED_ZONE
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The tape to create or continue.")
@click.option("--rest", help="Override the REST address, for example to use an emulator.")
@click.option(
    "--ledger",
    metavar="URL",
    help="Shared rate limits: redis://HOST:PORT/0 (with a password 'redis://:${NAME}@HOST:PORT/0'), or none.  "
    "[default: shared with the bots on this machine]",
)
@click.option("--exchange", default="bitopro", show_default=True, help="The exchange.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def download(
    pairs: tuple[str, ...],
    resolution: str,
    start: str | None,
    end: str | None,
    timezone: ZoneInfo,
    out: Path,
    rest: str | None,
    ledger: str | None,
    exchange: str,
    as_json: bool,
) -> None:
    """Download candles for each PAIR into the tape OUT. No account is needed.

    The download continues from the end of the tape, so you can stop it at any time and run it every day. The exchange
    omits intervals without trades; these are recorded as gaps, and a backtest shows them as empty bars.
    """
    from botkit.assembly.market_access import market_access
    from botkit.config.secrets import ledger_of_option

    access = market_access(exchange, rest=rest, ledger=ledger_of_option(ledger, os.environ))
    wanted = list(dict.fromkeys(access.pair(name) for part in pairs for name in part.split(",") if name.strip()))
    now = access.clock.now()
    until = min(_moment(end, "--to", timezone), now) if end else now
    given = _moment(start, "--from", timezone) if start else None
    job = _Job(access, out, resolution, rest, timezone)
    spans = [(pair, job.first(pair, given), until) for pair in wanted]
    with _progress(quiet=as_json) as progress:
        results = asyncio.run(job.run(spans, progress))
    if as_json:
        click.echo(json.dumps({"out": str(out), "streams": msgspec.to_builtins(results)}))
        return
    for result in results:
        click.echo(_told(result, out, timezone))


def _moment(text: str, option: str, zone: ZoneInfo) -> Nanos:
    try:
        # an end date is inclusive
        time = moment(text, zone, end=option == "--to")
    except ValueError as error:
        raise DataError(f"{option}: {error}") from None
    assert time is not None, text
    return time


class _Job:
    """Downloads into one tape."""

    def __init__(
        self, access: MarketAccess, out: Path, resolution: str, rest: str | None, zone: ZoneInfo = _UTC
    ) -> None:
        self._access, self._out, self._resolution, self._rest, self._zone = access, out, resolution, rest, zone

    def first(self, pair: Pair, given: Nanos | None) -> Nanos:
        """Return the start of the first bucket to request: the end of the tape, or ``given``. Raises DataError."""
        from botkit.tape.manifest import MANIFEST_NAME
        from botkit.tape.tape import Tape

        known = None
        if (self._out / MANIFEST_NAME).exists():
            known = Tape.open(self._out, self._access.facts.pairs).stream(pair, "candles", self._resolution)
        if known is None:
            if given is None:
                raise DataError(f"{self._out} has no {pair} candles {self._resolution} yet; set a start with --from")
            begin = bucket_start(given, self._resolution)
            return begin if begin == given else bucket_end(begin, self._resolution)
        held_from = bucket_start(known.start - 1, self._resolution)
        if given is not None and given < held_from:
            raise DataError(
                f"{self._out} starts at {format_time(held_from, self._zone)} for {known.label}; a tape can only be "
                f"extended at its end: omit --from to continue at {format_time(known.end, self._zone)}, or choose "
                f"another folder"
            )
        return known.end

    async def run(
        self, spans: Sequence[tuple[Pair, Nanos, Nanos]], progress: Callable[[str], ShowShare]
    ) -> list[Downloaded]:
        """Download all spans, one pair at a time, because the pairs share one rate limit and a tape can have only one
        writer.
        """
        async with self._access.adapter, self._access.reads(_CANDLES) as reads:
            return [
                await self._pair(reads, pair, start, end, progress(f"{pair} {self._resolution}"))
                for pair, start, end in spans
            ]

    async def _pair(self, reads: RateLimitedReads, pair: Pair, start: Nanos, end: Nanos, show: ShowShare) -> Downloaded:
        result = Downloaded(str(pair), self._resolution, start, max(start, end))
        last_end = start  # the end of the last candle or, initially, the start of the span
        for lower, upper in _ranges(self._resolution, start, end):
            asked_at = self._access.clock.now()
            received = await self._ask(reads, pair, lower, upper)
            candles = self._finished(received, asked_at)
            result.requests += 1
            if candles:
                # each response is committed immediately, so that an interruption loses no received data
                self._write(pair, candles)
                result.candles += len(candles)
                last_end = bucket_end(candles[-1].time, self._resolution)
            show((upper - start) / (end - start))
            if len(candles) < len(received):
                break
        # the exchange may still add candles later than the last candle received, so do not count those as missing
        result.end = last_end
        result.missing = _buckets(self._resolution, start, last_end) - result.candles
        return result

    def _finished(self, candles: tuple[Candle, ...], asked_at: Nanos) -> tuple[Candle, ...]:
        """Return the candles that had ended by the exchange's own time. A tape keeps each candle as it was stored, so a
        candle that this machine's clock takes for finished too early would be wrong for ever.
        """
        now = self._access.clock.now()
        ahead = max(0, self._access.adapter.clock_skew_ms or 0) * NS_PER_MS
        # the offset is exact only to the time that the request took, and to a second
        ended = asked_at - ahead - (now - asked_at) - _MARGIN
        return tuple(candle for candle in candles if bucket_end(candle.time, self._resolution) <= ended)

    async def _ask(self, reads: RateLimitedReads, pair: Pair, start: Nanos, end: Nanos) -> tuple[Candle, ...]:
        def make(request_id: int) -> Request:
            return GetCandles(id=request_id, pair=pair, resolution=self._resolution, start=start, end=end)

        answer = await reads.ask(make, _CANDLES)
        assert isinstance(answer.body, tuple)
        return answer.body  # type: ignore[return-value]  # the answer type that belongs to the request

    def _write(self, pair: Pair, candles: Sequence[Candle]) -> None:
        from botkit.tape.manifest import DOWNLOADED
        from botkit.tape.writer import TapeWriter

        where = self._rest or f"{self._access.facts.name}'s REST API"
        with TapeWriter(
            self._out,
            exchange=self._access.facts.name,
            source=where,
            synthetic=self._access.is_synthetic,
            recorded=DOWNLOADED,
            command=shlex.join(["botkit", "download", pair, "--resolution", self._resolution]),
            notes=(f"downloaded from {where}, not from {self._access.facts.name} itself",) if self._rest else (),
        ) as writer:
            writer.write(_columns(pair, self._resolution, candles))


def _ranges(resolution: str, start: Nanos, end: Nanos) -> Iterator[tuple[Nanos, Nanos]]:
    span = _CANDLES_A_REQUEST * (fixed_length(resolution) or _MONTH)
    while start < end:
        upper = min(start + span, end)
        yield start, upper
        start = upper


def _buckets(resolution: str, start: Nanos, end: Nanos) -> int:
    """Return the number of complete buckets between two times. ``start`` must be the start of a bucket."""
    length = fixed_length(resolution)
    if length is not None:
        return max(0, (end - start) // length)
    count = 0
    while (start := bucket_end(start, resolution)) <= end:
        count += 1
    return count


def _columns(pair: Pair, resolution: str, candles: Sequence[Candle]) -> CandleColumns:
    import numpy as np

    from botkit.model.columns import CandleColumns

    rules = pair.rules

    def steps(figures: Iterable[float], decimals: int) -> IntArray:
        # each float was computed by a single division of an integer, so rounding recovers the integer
        return np.array([round(figure * 10**decimals) for figure in figures], dtype=np.int64)

    return CandleColumns(
        pair,
        resolution,
        received=np.array([bucket_end(c.time, resolution) for c in candles], dtype=np.int64),
        time=np.array([c.time for c in candles], dtype=np.int64),
        open=steps((c.open for c in candles), rules.price_decimals),
        high=steps((c.high for c in candles), rules.price_decimals),
        low=steps((c.low for c in candles), rules.price_decimals),
        close=steps((c.close for c in candles), rules.price_decimals),
        lots=steps((c.volume for c in candles), rules.amount_decimals),
    )


def _minute(time: Nanos, zone: ZoneInfo) -> str:
    text = format_time(time, zone)
    return text[:16] + text[23:]


def _told(result: Downloaded, out: Path, zone: ZoneInfo) -> str:
    label = f"{result.pair} candles {result.resolution}"
    if not result.candles:
        return f"{label}: nothing new since {_minute(result.start, zone)}"
    span = f"from {_minute(result.start, zone)} to {_minute(result.end, zone)}"
    text = f"{label}: {result.candles:,} {span} in {out}"
    if result.missing:
        text += f"; the exchange omitted {counted(result.missing, 'interval')} without trades"
    return text


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], ShowShare]]:
    """Show a progress bar for each pair on standard error if it is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda label: lambda share: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
    ) as bar:

        def begin(label: str) -> ShowShare:
            task: Any = bar.add_task(label, total=1.0)
            return lambda share: bar.update(task, completed=share)

        yield begin
