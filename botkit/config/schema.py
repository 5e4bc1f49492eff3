"""Defines the configuration's schema, which is typed and frozen and refuses unknown keys. One file configures
backtests, the emulator and live trading. Each group of sections has a module of its own beside this one; their
descriptions are the documentation: ``botkit config schema`` exports them as JSON Schema, and editors show them. Numbers
are exact (`decimal.Decimal`). Relative paths are resolved against the folder of the file that contains them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta

from botkit.config.account import AccountConfig, ExchangeConfig
from botkit.config.backtest import BacktestConfig, EmulatorConfig, moment
from botkit.config.decode import Bound, FieldError, suggestion
from botkit.config.limits import LimitsConfig
from botkit.config.running import LiveConfig, LogConfig, NotifyConfig, PageConfig
from botkit.config.section import Amount, Currency, Name, PairName, Section
from botkit.config.simulated import FeesConfig
from botkit.config.strategy import PluginPlace, StrategyConfig
from botkit.model.clock import NS_PER_MS, Nanos
from botkit.model.events import MAX_BOOK_AGE_S

Seed: TypeAlias = Annotated[int, Bound(least=0, most=2**63 - 1)]

_BAR_GRACE_MS, _LATE_TRADE_MS = 2_000, 200
#: Windows does not allow folders with these names, and a bot's name is used as a folder name
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def _zone_suggestion(text: str) -> str:
    zones = available_timezones()
    by_city = [zone for zone in sorted(zones) if text.lower() and text.lower().replace(" ", "_") in zone.lower()]
    if by_city:
        return f"did you mean `{by_city[0]}`?"
    hint = suggestion(text, zones)
    return hint if hint.startswith("did") else "write one such as Asia/Taipei or UTC"


class BotConfig(Section, frozen=True, kw_only=True):
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
