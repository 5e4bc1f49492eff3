"""The sections `backtest` and `emulator`: recorded data, opening balances and the simulated exchange."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from botkit.config.account import AccountConfig
from botkit.config.decode import Bound, FieldError, resolve_path
from botkit.config.section import Amount, Currency, PairName, Section, check_slippage
from botkit.config.simulated import FeesConfig, FillsConfig, LatencyConfig
from botkit.model.clock import NS_PER_DAY, Nanos, is_date_only, parse_time, to_datetime
from botkit.model.resolutions import check_resolution


def moment(text: str | None, zone: ZoneInfo, *, end: bool = False) -> Nanos | None:
    """Convert a ``from`` or ``to`` value to nanoseconds. With ``end``, a date is converted to the end of that day.
    Raises ValueError.
    """
    if text is None:
        return None
    try:
        time = parse_time(text, zone)
        if end and is_date_only(text):
            # use the next local midnight, because a day may have 23 or 25 hours
            noon_next = time + NS_PER_DAY + NS_PER_DAY // 2

            return parse_time(to_datetime(noon_next, zone).strftime("%Y-%m-%d"), zone)
    except OverflowError:
        raise ValueError(f"{text!r} is outside the supported range of years") from None
    return time


class DataSource(Section, frozen=True, kw_only=True):
    """A tape (a folder) or a single file. A bare path is used for all pairs."""

    path: Annotated[Path, Meta(description="A tape's folder, or a file; relative to this file.")]
    pair: Annotated[PairName | None, Meta(description="Use the data for this pair only; required for a CSV file.")] = (
        None
    )
    kind: Annotated[
        str | None, Meta(description="candles, trades, frames or another format. Default: by file name.")
    ] = None
    resolution: Annotated[str | None, Meta(description="Resolution of a file with candles, such as 1m.")] = None
    sort: Annotated[bool, Meta(description="Accept CSV rows in any order, such as newest first.")] = False
    timezone: Annotated[
        str | None, Meta(description="Time zone for CSV times without an offset, such as UTC or Asia/Taipei.")
    ] = None
    trades: Annotated[
        Literal["list", "single"] | None,
        Meta(description="Whether frames repeat recent trades (list) or contain one (single). Default: detected."),
    ] = None

    @classmethod
    def from_text(cls, text: str, base: Path) -> DataSource:
        """Parse ``data: ../backtest_data``."""
        return cls(path=resolve_path(text, base))

    def __post_init__(self) -> None:
        if self.resolution is not None:
            try:
                check_resolution(self.resolution)
            except ValueError as error:
                raise FieldError("resolution", str(error)) from None


class BacktestConfig(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Settings for `botkit backtest`."""

    data: Annotated[tuple[DataSource, ...], Meta(description="Recorded data: a path, or a list of sources.")] = ()
    from_: Annotated[str | None, Meta(description="Start, such as 2025-01-31 or 2025-01-31T09:00, in `timezone`.")] = (
        None
    )
    to: Annotated[str | None, Meta(description="End date or time; a date includes the whole day.")] = None
    balances: Annotated[
        dict[Currency, Amount] | None,
        Meta(description="Opening balances; `capital` assigns them to strategies. Default: capital plus reserve."),
    ] = None
    fees: Annotated[FeesConfig, Meta(description="Fees.")] = FeesConfig()
    slippage: Annotated[
        Decimal | None,
        Meta(description="How much worse than the candle's price a taker fills: 0.0002 is 2 bp. Required for candles."),
    ] = None
    latency: Annotated[LatencyConfig, Meta(description="Latency.")] = LatencyConfig()
    fills: Annotated[FillsConfig, Meta(description="Fill model.")] = FillsConfig()
    latest_accept_s: Annotated[
        int, Bound(least=0), Meta(description="Longest delay after which the exchange may still act on a request.")
    ] = 2

    def span(self, zone: ZoneInfo) -> tuple[Nanos | None, Nanos | None]:
        """Return the start and the exclusive end in nanoseconds. None means that the data determines that boundary."""
        return moment(self.from_, zone), moment(self.to, zone, end=True)

    def __post_init__(self) -> None:
        check_slippage(self.slippage)


class EmulatorConfig(Section, frozen=True, kw_only=True):
    """Settings for the local exchange emulator, and for connecting a bot to an emulator."""

    account: Annotated[AccountConfig | None, Meta(description="Account at an external emulator.")] = None
    market: Annotated[str, Meta(description="synthetic, or the path of a tape.")] = "synthetic"
    speed: Annotated[
        float,
        Bound(above=0, most=10_000),
        Meta(description="Speed of the emulator's clock as a multiple of real time."),
    ] = 1.0
    balances: Annotated[
        dict[Currency, Amount] | None,
        Meta(description="The account's opening balances. Default: as under backtest."),
    ] = None
    fees: Annotated[FeesConfig | None, Meta(description="Fees. Default: as under backtest.")] = None
    slippage: Annotated[Decimal | None, Meta(description="As under backtest.")] = None
    latency: Annotated[LatencyConfig, Meta(description="Latency added to the real latency.")] = LatencyConfig(
        order_ms=Decimal(0), answer_ms=Decimal(0)
    )
    fills: Annotated[FillsConfig, Meta(description="Fill model.")] = FillsConfig()
    latest_accept_s: Annotated[
        int, Bound(least=0), Meta(description="Longest delay after which the emulator may still act on a request.")
    ] = 2

    def __post_init__(self) -> None:
        check_slippage(self.slippage)
