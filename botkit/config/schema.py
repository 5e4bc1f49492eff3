"""Defines the configuration's schema, which is typed and frozen and refuses unknown keys. One file configures
backtests, the emulator and live trading. The descriptions here are the documentation: ``botkit config schema`` exports
them as JSON Schema, and editors show them. Numbers are exact (`decimal.Decimal`). Relative paths are resolved against
the folder of the file that contains them.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta

from botkit.config.decode import Bound, FieldError, resolve_path, suggestion
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos, is_date_only, parse_time, to_datetime
from botkit.model.events import MAX_BOOK_AGE_S
from botkit.model.resolutions import check_resolution

_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_NAME_WANTED = "a name is 1 to 64 letters, digits, - and _ (it is also used for folders and journal rows)"
#: Windows does not allow folders with these names, and a bot's name is used as a folder name
_BAR_GRACE_MS, _LATE_TRADE_MS = 2_000, 200
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}

Name: TypeAlias = Annotated[str, Meta(pattern=_NAME_PATTERN, extra={"wanted": _NAME_WANTED})]
Currency: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9]{1,20}$", extra={"wanted": "a currency is written like twd or btc"})
]
PairName: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9]{1,20}_[a-z0-9]{1,20}$", extra={"wanted": "a pair is written like btc_twd"})
]
Amount: TypeAlias = Annotated[Decimal, Bound(least=0)]
Fraction: TypeAlias = Annotated[Decimal, Bound(least=0, most=1)]
Seed: TypeAlias = Annotated[int, Bound(least=0, most=2**63 - 1)]
Milliseconds: TypeAlias = Annotated[Decimal, Bound(least=0, most=3_600_000)]
OnStop: TypeAlias = Literal["keep", "cancel", "flatten"]

#: the defaults of order_ms, answer_ms and feed_ms
_LATENCY_DEFAULT = (Decimal(100), Decimal(100), Decimal(0))
_PERCENT = re.compile(r"([0-9]{1,3})\s*%\Z", re.ASCII)


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


def _zone_suggestion(text: str) -> str:
    zones = available_timezones()
    by_city = [zone for zone in sorted(zones) if text.lower() and text.lower().replace(" ", "_") in zone.lower()]
    if by_city:
        return f"did you mean `{by_city[0]}`?"
    hint = suggestion(text, zones)
    return hint if hint.startswith("did") else "write one such as Asia/Taipei or UTC"


def _check_slippage(slippage: Decimal | None) -> None:
    if slippage is not None and not 0 <= slippage <= Decimal("0.1"):
        if slippage < 0:
            raise FieldError("slippage", f"{slippage} is below 0; slippage makes prices worse, so write 0 or more")
        raise FieldError(
            "slippage", f"{slippage} would be {slippage * 100:f} %; slippage is a fraction: 0.0002 is 0.02 %"
        )


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class for all sections."""


# -- exchange and account -----------------------------------------------------------------------------------------


class ExchangeConfig(_Section, frozen=True, kw_only=True):
    """The exchange, by its registered name. A bare word sets the name."""

    rest_field: ClassVar[str] = "options"

    name: Annotated[Name, Meta(description="The exchange's name, such as bitopro.")] = "bitopro"
    rest: Annotated[str | None, Meta(description="REST base URL, if not the exchange's own.")] = None
    ws: Annotated[str | None, Meta(description="WebSocket base URL, if not the exchange's own.")] = None
    options: Annotated[dict[str, Any], Meta(description="Any other option for the exchange's plugin.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> ExchangeConfig:
        """Parse ``exchange: bitopro``."""
        if not re.match(_NAME_PATTERN, text):
            raise ValueError(f"{text!r} is not an exchange name; write one such as bitopro")
        return cls(name=text)

    def __post_init__(self) -> None:
        for field, url, schemes in (("rest", self.rest, ("http", "https")), ("ws", self.ws, ("ws", "wss"))):
            if url is not None and not re.match(rf"({'|'.join(schemes)})://[^\s/@]+(/\S*)?\Z", url):
                raise FieldError(field, f"{url!r} is not an address; write one such as {schemes[1]}://host:port")


class PluginPlace(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``plugins:``: a folder, a ``.py`` file, or the dotted name of an installed module."""

    only_text: ClassVar[bool] = True

    text: str
    path: Path | None = None
    module: str | None = None

    @classmethod
    def from_text(cls, text: str, base: Path) -> PluginPlace:
        """Parse a bare word. A dotted name is a module, unless a folder has that name. Any other word is a path."""
        path = resolve_path(text, base)
        dotted = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text) is not None and not text.endswith(".py")
        if dotted and not path.is_dir():
            return cls(text=text, module=text)
        if not path.exists():
            raise ValueError(f"there is no folder {path}; a path is relative to the file that contains it")
        return cls(text=text, path=path)


class AccountConfig(_Section, frozen=True, kw_only=True):
    """The account at the exchange. ``${NAME}`` is read from the environment or from ``secrets_file`` when a mode needs
    the secret.
    """

    email: Annotated[str, Meta(description="The account's e-mail address.")]
    key: Annotated[str, Meta(description="API key; write ${NAME}.")]
    secret: Annotated[str, Meta(description="API secret; write ${NAME}.")]
    secrets_file: Annotated[
        Path | None, Meta(description="File of NAME=value lines, readable only by you (mode 0600).")
    ] = None
    created: Annotated[
        str | None,
        Meta(
            description="Date on which the key was created. A key that is not bound to IP addresses expires after "
            "365 days."
        ),
    ] = None

    @property
    def key_day(self) -> date | None:
        """The date on which the API key was created."""
        return None if self.created is None else date.fromisoformat(self.created)

    def __post_init__(self) -> None:
        try:
            self.key_day  # noqa: B018 - read only for its ValueError
        except ValueError:
            raise FieldError("created", f"{self.created!r} is not a date; write one such as 2026-01-31") from None

    def __repr__(self) -> str:
        return "AccountConfig(hidden)"

    __str__ = __repr__


# -- strategies -----------------------------------------------------------------------------------------------------


class StrategyConfig(_Section, frozen=True, kw_only=True):
    """One of the bot's strategies."""

    name: Annotated[
        Name | None, Meta(description="Name within this bot, in reports and for `--set`. Default: the same as `use`.")
    ] = None
    use: Annotated[str, Meta(description="Registered name of the strategy, such as sma_cross.")]
    params: Annotated[dict[str, Any], Meta(description="Parameters, as the strategy's class declares them.")] = {}
    capital: Annotated[
        dict[Currency, Annotated[Decimal, Bound(above=0)]] | str | None,
        Meta(
            description='Its own sub-account: {twd: "50000", btc: "0.05"}, or 40% of its quote currencies. '
            "Default: it shares the rest of its first pair's quote currency with other strategies. Coins must be "
            "listed by name."
        ),
    ] = None
    risk: Annotated[
        dict[str, Any], Meta(description="Risk rules for this strategy; the stricter of bot and strategy wins.")
    ] = {}
    on_stop: Annotated[
        OnStop | None,
        Meta(description="What happens to this strategy's orders when the bot stops. Default: live.on_stop."),
    ] = None

    @property
    def label(self) -> str:
        """The strategy's name within the bot: ``name``, or otherwise ``use``."""
        return self.name or self.use

    @property
    def capital_percent(self) -> int | None:
        """The percentage in ``capital: 40%``, or None if the capital is not a percentage."""
        if not isinstance(self.capital, str):
            return None
        match = _PERCENT.match(self.capital)
        return int(match[1]) if match else None

    def __post_init__(self) -> None:
        if not re.match(_NAME_PATTERN, self.label):
            raise FieldError("name" if self.name else "use", _NAME_WANTED)
        if isinstance(self.capital, str):
            percent = self.capital_percent
            if percent is None or not 0 < percent <= 100:
                raise FieldError(
                    "capital",
                    f'{self.capital!r} is not valid; write {{twd: "50000"}} or a whole percentage such as 40%',
                )


# -- models of the simulated exchange ---------------------------------------------------------------------------------


class FeesConfig(_Section, frozen=True, kw_only=True):
    """Fees on the simulated exchange: custom rates, a rank in the exchange's fee table, or a plugin's model."""

    rest_field: ClassVar[str] = "options"

    model: Annotated[
        str | None, Meta(description="A plugin's fee model. Default: `fixed` if rates are set, otherwise `rank`.")
    ] = None
    maker: Annotated[Decimal | None, Meta(description="Maker rate as a fraction: 0.001 is 0.1 %.")] = None
    taker: Annotated[Decimal | None, Meta(description="Taker rate as a fraction: 0.002 is 0.2 %.")] = None
    rank: Annotated[
        int | Literal["auto"] | None, Meta(description="Rank in the exchange's fee table; auto follows the volume.")
    ] = None
    bito: Annotated[bool | None, Meta(description="Pay fees in BITO at a discount while the account has some.")] = None
    options: Annotated[dict[str, Any], Meta(description="Any other option for the fee model.")] = {}

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the fee model and its options. The default is rank 0 in the exchange's fee table."""
        given = {"maker": self.maker, "taker": self.taker, "rank": self.rank, "bito": self.bito}
        options = {key: value for key, value in given.items() if value is not None} | self.options
        if self.model is not None:
            return self.model, options
        if self.maker is not None:
            return "fixed", options
        return "rank", {"rank": 0, "bito": False} | options

    def __post_init__(self) -> None:
        for field, rate in (("maker", self.maker), ("taker", self.taker)):
            if rate is not None and rate < 0:
                raise FieldError(field, f"{rate} is below 0; negative fees (rebates) are not supported")
            if rate is not None and not 0 <= rate <= Decimal("0.05"):
                raise FieldError(field, f"{rate} would be {rate * 100:f} %; fees are fractions: 0.002 is 0.2 %")
        if self.model is not None:
            return
        if (self.maker is None) != (self.taker is None):
            absent = "maker" if self.maker is None else "taker"
            raise FieldError((), f"`{absent}` is missing; set maker and taker, or a rank")
        if self.maker is not None and self.rank is not None:
            raise FieldError("rank", "give either your own rates or a rank, not both")
        if self.options:
            key = next(iter(self.options))
            raise FieldError(
                key, f"unknown unless `model` is set; {suggestion(key, ('maker', 'taker', 'rank', 'bito', 'model'))}"
            )
        if isinstance(self.rank, int) and not 0 <= self.rank <= 99:
            raise FieldError("rank", f"{self.rank} is not a rank; write 0 (the lowest) or higher, or auto")


class LatencyConfig(_Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The latencies of requests, responses and market data, either in milliseconds or as measured in a run
    (``from``).
    """

    rest_field: ClassVar[str] = "options"

    from_: Annotated[
        Path | None,
        Meta(
            description="A run's folder or its latency.json: draw latencies from that bot's measurements instead of "
            "setting the other options."
        ),
    ] = None
    model: Annotated[str | None, Meta(description="A plugin's latency model. Default: constant.")] = None
    order_ms: Annotated[Milliseconds, Meta(description="Delay from sending a request to its arrival.")] = (
        _LATENCY_DEFAULT[0]
    )
    answer_ms: Annotated[Milliseconds, Meta(description="Delay from the exchange's response to its arrival.")] = (
        Decimal(100)
    )
    feed_ms: Annotated[
        Milliseconds, Meta(description="Delay from a market event to its arrival, for tapes without receive times.")
    ] = Decimal(0)
    options: Annotated[dict[str, Any], Meta(description="Any further options for the latency model.")] = {}

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the latency model and its options. Whole numbers of milliseconds are ints; other values are floats."""
        if self.from_ is not None:
            return "measured", {"from": str(self.from_)}
        given = {"order_ms": self.order_ms, "answer_ms": self.answer_ms, "feed_ms": self.feed_ms}
        times = {key: int(value) if value == int(value) else float(value) for key, value in given.items()}
        return self.model or "constant", times | self.options

    @property
    def is_delayed(self) -> bool:
        """True if requests and responses are delayed."""
        return self.from_ is not None or self.model is not None or bool(self.order_ms) or bool(self.answer_ms)

    @property
    def feed_ns(self) -> Nanos:
        """``feed_ms`` in nanoseconds."""
        return int(self.feed_ms * 1_000_000)

    def __post_init__(self) -> None:
        if self.from_ is not None and (
            self.model is not None
            or self.options
            or (self.order_ms, self.answer_ms, self.feed_ms) not in (_LATENCY_DEFAULT, (0, 0, 0))
        ):
            raise FieldError("from", "give either measured latencies (`from`) or your own figures, not both")
        if self.model is None and self.options:
            key = next(iter(self.options))
            known = ("order_ms", "answer_ms", "feed_ms", "model", "from")
            raise FieldError(key, f"unknown unless `model` is set; {suggestion(key, known)}")


class FillsConfig(_Section, frozen=True, kw_only=True):
    """The model that estimates a resting order's queue position. A bare word sets the model."""

    rest_field: ClassVar[str] = "options"

    model: Annotated[str, Meta(description="Fill model: queue, optimistic, pessimistic, or a plugin's.")] = "queue"
    options: Annotated[dict[str, Any], Meta(description="Any other option for the fill model.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> FillsConfig:
        """Parse ``fills: pessimistic``."""
        return cls(model=text)

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the fill model and its options."""
        return self.model, dict(self.options)

    def under(self, reading: str) -> FillsConfig:
        """Return this section with another queue assumption. If that assumption is already chosen, the section is
        returned unchanged. Otherwise the options are dropped.
        """
        return self if reading == self.model else FillsConfig(model=reading)


class LimitsConfig(_Section, frozen=True, kw_only=True):
    """The choice between rate limits where the exchange's documents disagree. ``strict`` selects the lowest limits."""

    rest_field: ClassVar[str] = "rows"

    strict: Annotated[bool, Meta(description="Use the strictest documented limit for every endpoint.")] = False
    ledger: Annotated[
        str | None,
        Meta(
            description="redis://HOST:PORT/0 to share request slots with other machines, with a password"
            " redis://:${NAME}@HOST:PORT/0; `none` disables sharing. Default: one broker per machine and user."
        ),
    ] = None
    batching: Annotated[bool, Meta(description="Send waiting orders in batches.")] = True
    rows: Annotated[
        dict[str, Any], Meta(description="Endpoint id: the source to follow, or a number of requests per window.")
    ] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> LimitsConfig:
        """Parse ``limits: strict``."""
        if text != "strict":
            raise ValueError(f"{text!r} is not valid; write strict, or a mapping of endpoints")
        return cls(strict=True)


# -- modes ------------------------------------------------------------------------------------------------------------


class DataSource(_Section, frozen=True, kw_only=True):
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


class BacktestConfig(_Section, frozen=True, kw_only=True, rename={"from_": "from"}):
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
        _check_slippage(self.slippage)


class EmulatorConfig(_Section, frozen=True, kw_only=True):
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
        _check_slippage(self.slippage)


class LiveConfig(_Section, frozen=True, kw_only=True):
    """Settings for trading with real money."""

    confirm: Annotated[bool, Meta(description="Must be true before real orders are sent.")] = False
    guard_s: Annotated[
        Annotated[int, Bound(least=5)] | None,
        Meta(description="A second process cancels all of the bot's orders if the bot is silent for this long."),
    ] = None
    on_stop: Annotated[OnStop, Meta(description="What happens to open orders when the bot stops.")] = "cancel"
    latest_accept_s: Annotated[
        int, Bound(least=1), Meta(description="Longest delay after which the exchange may still act on a request.")
    ] = 900
    fees: Annotated[
        FeesConfig,
        Meta(description="Your account's fees, including promotions: {maker: 0, taker: 0.002}. Default: rank 0."),
    ] = FeesConfig()


class NotifyConfig(_Section, frozen=True, kw_only=True):
    """A channel for notifications outside the terminal. A bare word sets the notifier."""

    rest_field: ClassVar[str] = "options"

    use: Annotated[str, Meta(description="The notifier's registered name.")]
    level: Annotated[Literal["info", "warning", "error", "breaker"], Meta(description="Lowest level to send.")] = "info"
    options: Annotated[dict[str, Any], Meta(description="Any other option; write secrets as ${NAME}.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> NotifyConfig:
        """Parse ``notify: [bell]``."""
        return cls(use=text)

    def __repr__(self) -> str:
        return f"NotifyConfig(use={self.use!r}, hidden)"  # hidden, because its options contain tokens

    __str__ = __repr__


class LogConfig(_Section, frozen=True, kw_only=True):
    """The log settings. A bare word sets the level."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest level to log.")] = "info"
    file: Annotated[Path | None, Meta(description="Also write the log to this file.")] = None
    record_mb: Annotated[
        int,
        Bound(least=1),
        Meta(
            description="Space for a bot's runs (`botkit replay`) in MB. When it is full, old runs are deleted; if "
            "that is not enough, recording stops."
        ),
    ] = 1024
    journal_days: Annotated[
        int,
        Bound(least=1),
        Meta(description="Number of days to keep final orders without fills in the journal. Fills are kept forever."),
    ] = 7

    @classmethod
    def from_text(cls, text: str, base: Path) -> LogConfig:
        """Parse ``log: debug``."""
        if text not in ("debug", "info", "warning", "error"):
            raise ValueError(f"{text!r} is not a level; write one of debug, info, warning, error")
        return cls(level=text)  # type: ignore[arg-type]


class PageConfig(_Section, frozen=True, kw_only=True):
    """Settings for the live page (`botkit run --page`, `botkit page`). The page is served only on this machine's
    loopback address.
    """

    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Additional host names for the page, such as that of a tunnel."),
    ] = ()
    control: Annotated[
        bool, Meta(description="Whether the page may pause, resume, change live parameters, cancel, stop and panic.")
    ] = False

    def __post_init__(self) -> None:
        for index, host in enumerate(self.hosts):
            if not re.fullmatch(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", host):
                raise FieldError(
                    ("hosts", index),
                    f"{host!r} is not a host name; write one in lower case without http:// and port, such as "
                    "bots.example.com",
                )


# -- the whole file -----------------------------------------------------------------------------------------------


class BotConfig(_Section, frozen=True, kw_only=True):
    """A bot: its strategies, its rules, and its settings for each mode."""

    name: Annotated[
        Name, Meta(description="The bot's name, under which its state is stored. Default: the file's name.")
    ] = ""
    exchange: Annotated[ExchangeConfig, Meta(description="The exchange, by name.")] = ExchangeConfig()
    plugins: Annotated[
        tuple[PluginPlace, ...] | None,
        Meta(description="Folders, files or modules with plugins. Default: ./strategies in the current directory."),
    ] = None
    block: Annotated[tuple[str, ...], Meta(description="Plugins not to load.")] = ()
    account: Annotated[AccountConfig | None, Meta(description="The account; needed only in paper and live mode.")] = (
        None
    )
    strategies: Annotated[tuple[StrategyConfig, ...], Meta(description="The bot's strategies, run in this order.")]
    risk: Annotated[dict[str, Any], Meta(description="Risk rules for the whole bot, by name.")] = {}
    currency: Annotated[
        Currency | None, Meta(description="Valuation currency. Default: the first pair's quote currency.")
    ] = None
    timezone: Annotated[str, Meta(description="Time zone for trading days, timers and times in this file.")] = (
        "Asia/Taipei"
    )
    reserve: Annotated[dict[Currency, Amount], Meta(description='Money that is never traded, such as {btc: "1"}.')] = {}
    amount_step: Annotated[
        Literal["amountPrecision", "basePrecision"] | dict[PairName, Literal["amountPrecision", "basePrecision"]],
        Meta(description="The step for order amounts, for all pairs or for each pair."),
    ] = "basePrecision"
    bar_grace_ms: Annotated[
        Annotated[int, Bound(least=0, most=3_600_000)] | None,
        Meta(description="How long to keep a bar open for late trades. Default: 2000, or 0 on a tape of candles."),
    ] = None
    max_book_age_s: Annotated[
        Annotated[int, Bound(least=1, most=86_400)],
        Meta(description="Refuse market orders while the latest book is older than this."),
    ] = MAX_BOOK_AGE_S
    seed: Annotated[Seed, Meta(description="Seed for all random numbers.")] = 0
    limits: Annotated[LimitsConfig, Meta(description="Rate limits: strict, or settings by endpoint.")] = LimitsConfig()
    backtest: Annotated[BacktestConfig, Meta(description="How to backtest the bot.")] = BacktestConfig()
    emulator: Annotated[EmulatorConfig, Meta(description="The local emulator of the exchange.")] = EmulatorConfig()
    live: Annotated[LiveConfig, Meta(description="Trading with real money.")] = LiveConfig()
    notify: Annotated[tuple[NotifyConfig, ...], Meta(description="How to notify you.")] = ()
    log: Annotated[LogConfig, Meta(description="The log.")] = LogConfig()
    page: Annotated[PageConfig, Meta(description="The live page.")] = PageConfig()

    @property
    def zone(self) -> ZoneInfo:
        """The configured time zone."""
        return ZoneInfo(self.timezone)

    @property
    def simulated_fees(self) -> tuple[FeesConfig, str]:
        """The fees for paper trading and for the emulator that botkit starts, and the name of the section that sets
        them: `emulator`, or otherwise `backtest`.
        """
        if self.emulator.fees is not None:
            return self.emulator.fees, "emulator.fees"
        return self.backtest.fees, "backtest.fees"

    def bar_grace_ns(self, speed: float = 1.0) -> Nanos:
        """Return how long a bar built from trades waits for late trades, on a clock that runs at ``speed``. Trade
        delays are measured in real time, even if an emulator's clock runs faster.
        """
        if self.bar_grace_ms is not None:
            return self.bar_grace_ms * NS_PER_MS
        return max(_BAR_GRACE_MS * NS_PER_MS, int(_LATE_TRADE_MS * NS_PER_MS * speed))

    def amount_step_of(self, pair: str) -> Literal["base", "amount"]:
        """Return a pair's amount step, in the form accepted by `botkit.model.pairs.pairs_from_wire`."""
        choice = self.amount_step.get(pair) if isinstance(self.amount_step, dict) else self.amount_step
        return "amount" if choice == "amountPrecision" else "base"

    def strategy(self, label: str) -> StrategyConfig:
        """Return the strategy with this label. Raises KeyError if there is none."""
        for strategy in self.strategies:
            if strategy.label == label:
                return strategy
        raise KeyError(label)

    def __post_init__(self) -> None:
        if self.name.lower() in _RESERVED:
            raise FieldError("name", f"a folder on Windows cannot be named {self.name!r}; choose another name")
        if not self.strategies:
            raise FieldError("strategies", "a bot needs a strategy; add `- {use: ..., params: {...}}`")
        self._check_strategies()
        self._check_zone()
        for section, field in (("backtest", "from"), ("backtest", "to")):
            text = self.backtest.from_ if field == "from" else self.backtest.to
            try:
                moment(text, self.zone)
            except ValueError as error:
                raise FieldError((section, field), str(error)) from None
        start, end = self.backtest.span(self.zone)
        if start is not None and end is not None and end <= start:
            raise FieldError(("backtest", "to"), f"the end {self.backtest.to} is not after the start")

    def _check_strategies(self) -> None:
        seen: dict[str, int] = {}
        percent = 0
        for index, strategy in enumerate(self.strategies):
            if strategy.label.lower() in seen:
                raise FieldError(
                    ("strategies", index, "name"),
                    f"two strategies are named {strategy.label!r}; give each its own `name`",
                )
            if strategy.label.lower() in _RESERVED:
                raise FieldError(
                    ("strategies", index, "name"), "a folder on Windows cannot have this name; choose another"
                )
            seen[strategy.label.lower()] = index
            percent += strategy.capital_percent or 0
            if percent > 100:
                raise FieldError(
                    ("strategies", index, "capital"),
                    f"the shares add up to {percent} %; lower them to at most 100 % in total",
                )

    def _check_zone(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):  # also catch OSError, because "Asia" is a folder in the zone database
            raise FieldError(
                "timezone", f"{self.timezone!r} is not a time zone; {_zone_suggestion(self.timezone)}"
            ) from None
