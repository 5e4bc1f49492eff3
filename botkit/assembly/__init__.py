"""The only place that picks concrete classes and wires them into a bot.

`Project` is a configuration with its plugins and the facts of its exchange. From it `make_engine` makes the bot, the
same for every driver, and `make_kernel` the simulated exchange that answers it in a backtest.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import tzinfo
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from botkit.backtesting.outputs import DECISIONS, NumberedRun, RunFolder, summary_json, write_outputs
from botkit.backtesting.plan import FeeCurrencies, Plan
from botkit.backtesting.session import run_backtest
from botkit.backtesting.slow_callbacks import SlowCallbacks
from botkit.config.load import LoadedConfig, load_config
from botkit.config.schema import DataSource, FeesConfig, FillsConfig, LatencyConfig, moment
from botkit.config.show import resolved_yaml
from botkit.engine import plugin as engine_plugin
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.risk.review import RiskDesk
from botkit.engine.rooms import EngineSettings, StrategySpec
from botkit.engine.router.leased import LeasedPools
from botkit.engine.router.router import Router
from botkit.engine.strategy.parameters import ParameterError, check_parameters
from botkit.errors import ConfigError, DataError, PluginError
from botkit.exchange.bitopro import plugin as bitopro_plugin
from botkit.live import plugin as live_plugin
from botkit.live.telling.logs import LogFile
from botkit.model.clock import NS_PER_MS, NS_PER_S, Nanos, format_time, from_datetime, to_datetime
from botkit.model.columns import MarketColumns
from botkit.model.extension import ExchangeFacts, FeeModel, FeeRates, LatencyModel, QueueModel, RiskRule, TapeFormat
from botkit.model.limits import NEEDED_ENDPOINTS
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, Caution
from botkit.plugins import Plugins, load_plugins
from botkit.plugins.discovery import did_you_mean
from botkit.report import render
from botkit.sim import plugin as sim_plugin
from botkit.sim.kernel import Kernel
from botkit.sim.order import AccountSetup
from botkit.tape import plugin as tape_plugin
from botkit.tape.feed import Feed, FeedSource, FileSource, StreamKey, TapeSource
from botkit.tape.manifest import StreamInfo
from botkit.version import __version__

#: plugins that ship with botkit, in the order in which they are asked. Never strategies.
BUILT_IN: tuple[tuple[str, Any], ...] = (
    ("botkit.risk", engine_plugin),
    ("botkit.sim", sim_plugin),
    ("botkit.tape", tape_plugin),
    ("botkit.bitopro", bitopro_plugin),
    ("botkit.live", live_plugin),
)

ACCOUNT = "main"


def built_in_plugins() -> tuple[tuple[str, Any], ...]:
    """Names and modules of the plugins that ship with botkit."""
    return BUILT_IN


def assemble_plugins(loaded: LoadedConfig | None = None, *, installed_only: bool = False) -> Plugins:
    """The plugins of a configuration; without one, the built-in and installed ones and those of ./strategies.

    ``installed_only`` leaves ./strategies out: asking for help should not run files that nobody named.
    """
    environ_load = os.environ.get("BOTKIT_LOAD_PLUGINS")
    if loaded is None:
        default = Path("strategies")
        folders: Sequence[Path] = (default,) if default.is_dir() and not installed_only else ()
        return load_plugins(folders=folders, environ_load=environ_load, builtin=BUILT_IN)
    _check_modules(loaded)
    return load_plugins(
        folders=loaded.plugin_folders,
        modules=loaded.plugin_modules,
        block=loaded.config.block,
        environ_load=environ_load,
        builtin=BUILT_IN,
    )


def _check_modules(loaded: LoadedConfig) -> None:
    """A bare word under ``plugins:`` is a folder or an installed module. Raises ConfigError where it is neither."""
    for index, place in enumerate(loaded.config.plugins or ()):
        top = (place.module or "").partition(".")[0]
        if not top or find_spec(top) is not None:
            continue
        node = loaded.path.absolute().parent
        folders = [entry.name for entry in node.iterdir() if entry.is_dir() and not entry.name.startswith((".", "_"))]
        hint = did_you_mean(place.text, folders) if folders else "name a folder of plugins"
        raise loaded.error(
            f"plugins.{index}",
            f"there is neither a folder `{place.text}` beside this file nor an installed module of that name; {hint}",
        )


def tape_formats(plugins: Plugins) -> dict[str, TapeFormat]:
    """The formats of recorded data by name."""
    return {name: registration.thing for name, registration in plugins.tape_formats.items()}


class Project:
    """A configuration, its plugins, and what is known of its exchange: all that a bot is made from."""

    def __init__(self, loaded: LoadedConfig, plugins: Plugins, facts: ExchangeFacts) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.plugins = plugins
        self.facts = facts
        self.pairs: Mapping[str, Pair] = facts.pairs

    @classmethod
    def load(cls, path: str | Path, *, overrides: Sequence[str] = ()) -> Project:
        """Read a configuration, load its plugins and check everything that needs no data. Raises ConfigError."""
        loaded = load_config(path, overrides=overrides)
        plugins = assemble_plugins(loaded)
        facts = exchange_facts(loaded, plugins)
        project = cls(loaded, plugins, facts)
        project.specs()
        project.bot_rules()
        return project

    def take_pairs(self, pairs: Mapping[str, Pair]) -> None:
        """Use the exchange's pairs as it lists them now, in the configuration's amount steps. Raises ConfigError where
        a strategy's pair is gone."""
        self.pairs = {name: _stepped(pair, self.config.amount_step_of(name)) for name, pair in pairs.items()}
        self.specs()

    def check_money(self) -> None:
        """See that ``backtest: balances:`` covers what strategies and the reserve get. Raises ConfigError."""
        balances = self.config.backtest.balances
        if balances is not None:
            books = make_portfolio(self, self.pairs)
            try:
                books.open({currency: int(amount * UNIT) for currency, amount in balances.items()})
            except ValueError as error:
                raise self.loaded.error("backtest.balances", str(error)) from None

    # -- strategies -----------------------------------------------------------------------------------------------

    def specs(self) -> list[StrategySpec]:
        """New instances of the configuration's strategies with their checked parameters, in its order."""
        specs = []
        for index, strategy in enumerate(self.config.strategies):
            place = f"strategies.{index}"
            registration = self.plugins.pick("strategies", strategy.use, self.loaded.where(f"{place}.use"))
            try:
                values = check_parameters(registration.thing, strategy.params, self.pairs)
            except ParameterError as error:
                raise self.loaded.error(f"{place}.params.{error.name}", f"{error.name}: {error.message}") from None
            try:
                instance = registration.thing()
            except Exception as error:
                raise PluginError(
                    f"{registration.file}: the strategy `{strategy.use}` cannot be made: {error!r}; "
                    "a strategy needs no __init__ arguments, its parameters are set afterwards"
                ) from error
            specs.append(StrategySpec(strategy.label, instance, values))
        return specs

    def bot_pairs(self) -> list[Pair]:
        """The pairs that strategies name in their parameters, in the order of the configuration."""
        found: dict[str, Pair] = {}
        for spec in self.specs():
            for pair in pairs_of(spec):
                found.setdefault(pair, pair)
        return list(found.values())

    @property
    def currency(self) -> str:
        """What everything is valued in: ``currency:``, or else the quote of the first pair."""
        if self.config.currency is not None:
            return self.config.currency
        pairs = self.bot_pairs()
        if not pairs:
            raise ConfigError(
                f"{self.loaded.path}: no strategy names a pair, so `currency:` must say what values everything"
            )
        return pairs[0].quote

    # -- risk -----------------------------------------------------------------------------------------------------

    def bot_rules(self) -> tuple[list[RiskRule], dict[str, list[RiskRule]]]:
        """(rules of the whole bot, rules of each strategy)."""
        bot = self._rules("risk", self.config.risk)
        own = {
            strategy.label: self._rules(f"strategies.{index}.risk", strategy.risk)
            for index, strategy in enumerate(self.config.strategies)
        }
        return bot, own

    def _rules(self, place: str, section: Mapping[str, Any]) -> list[RiskRule]:
        rules = []
        for name, value in section.items():
            factory = self.plugins.pick("risk_rules", name, self.loaded.where(f"{place}.{name}")).thing
            try:
                rules.append(factory(value))
            except (ValueError, TypeError) as error:
                raise self.loaded.error(f"{place}.{name}", str(error)) from None
        return rules

    # -- models of the simulated exchange -------------------------------------------------------------------------

    def _model(self, kind: str, section: str, choice: tuple[str, dict[str, Any]], *arguments: Any) -> Any:
        name, options = choice
        factory = self.plugins.pick(kind, name, self.loaded.where(section)).thing
        try:
            return factory(options, *arguments)
        except (ValueError, TypeError, ConfigError) as error:
            raise self.loaded.error(section, str(error)) from None

    def fee_model(self, fees: FeesConfig, section: str) -> FeeModel:
        """The fee model that a section chooses; a new one, since it follows an account's volume."""
        model: FeeModel = self._model("fee_models", section, fees.choice(), self.facts)
        return model

    def latency_model(self, latency: LatencyConfig, section: str, seed: int) -> LatencyModel:
        """The latency model that a section chooses."""
        model: LatencyModel = self._model("latency_models", section, latency.choice(), seed)
        return model

    def queue_model(self, fills: FillsConfig, section: str) -> QueueModel:
        """The reading of the queue that a section chooses."""
        model: QueueModel = self._model("fill_models", section, fills.choice())
        return model


def pairs_of(spec: StrategySpec) -> list[Pair]:
    """The pairs among a strategy's parameters, in the order of their declaration."""
    found: list[Pair] = []
    for value in spec.parameters.values():
        if isinstance(value, Pair):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [item for item in value if isinstance(item, Pair)]
    return found


def exchange_facts(loaded: LoadedConfig, plugins: Plugins) -> ExchangeFacts:
    """The facts of the configuration's exchange, with its choice of limits and amount steps."""
    config = loaded.config
    exchange = plugins.pick("exchanges", config.exchange.name, loaded.where("exchange")).thing
    options = dict(config.exchange.options)
    if config.limits.strict:
        options["limits"] = "strict"
    elif config.limits.rows:
        options["limits"] = config.limits.rows
    try:
        facts: ExchangeFacts = exchange.facts(options)
    except ConfigError as error:
        raise loaded.error("limits" if "limits" in options else "exchange", str(error)) from None
    missing = [name for name in NEEDED_ENDPOINTS if name not in facts.limits.endpoints]
    if missing:  # an exchange of a plugin: say it before the router misses one
        raise loaded.error(
            "exchange", f"the exchange `{config.exchange.name}` gives no rate limit for {', '.join(missing)}"
        )
    pairs = {name: _stepped(pair, config.amount_step_of(name)) for name, pair in facts.pairs.items()}
    return ExchangeFacts(
        name=facts.name,
        pairs=pairs,
        limits=facts.limits,
        fee_ranks=facts.fee_ranks,
        volume_currency=facts.volume_currency,
        discount_currency=facts.discount_currency,
        address=facts.address,
    )


def _stepped(pair: Pair, choice: str) -> Pair:
    """The pair, with amounts in steps of amountPrecision where the configuration asks for that (Q11)."""
    return pair.with_rules(pair.rules.in_display_steps()) if choice == "amount" else pair


def make_engine(
    project: Project,
    *,
    pairs: Mapping[str, Pair],
    decisions: DecisionLog,
    seed: int,
    latest_accept_ns: Nanos,
    fee_rates: Callable[[Pair, Nanos], FeeRates],
    bar_grace_ns: Nanos,
    first_client_id: int = 1,
    watch_speed: float | None = None,
    draws_indicators: bool = False,
    leased: LeasedPools | None = None,
) -> Engine:
    """The bot, not started. ``pairs`` are those with prices; the same wiring serves every driver."""
    config = project.config
    specs = project.specs()
    portfolio = make_portfolio(project, pairs, specs)
    try:
        bot_rules, strategy_rules = project.bot_rules()
        risk = RiskDesk(bot_rules, strategy_rules, portfolio, partial(day_start, zone=config.zone))
    except ValueError as error:
        raise ConfigError(f"{project.loaded.path}: {error}") from None
    router = Router(
        project.facts.limits,
        latest_accept_ns=latest_accept_ns,
        batching=config.limits.batching,
        seed=seed,
        leased=leased,
    )
    plugins = project.plugins
    plugins.release_strategies()
    for spec in specs:
        plugins.register_strategy(spec.strategy, spec.name)
    return Engine(
        pairs=project.pairs,
        strategies=specs,
        portfolio=portfolio,
        risk=risk,
        router=router,
        fee_rates=fee_rates,
        decisions=decisions,
        settings=EngineSettings(
            zone=config.zone,
            seed=seed,
            first_client_id=first_client_id,
            bar_grace_ns=bar_grace_ns,
            max_book_age_ns=config.max_book_age_s * NS_PER_S,
            latest_accept_ns=latest_accept_ns,
            watch_speed=watch_speed,
            draws_indicators=draws_indicators,
        ),
        find_callback=plugins.callbacks,
    )


def make_portfolio(
    project: Project, pairs: Mapping[str, Pair], specs: Sequence[StrategySpec] | None = None
) -> Portfolio:
    """The books of a bot over pairs that have prices, neither opened nor restored. Raises ConfigError."""
    config = project.config
    shares = [
        CapitalShare(strategy=strategy.label, pairs=tuple(pairs_of(spec)), capital=_capital(strategy))
        for strategy, spec in zip(config.strategies, specs or project.specs(), strict=True)
    ]
    try:
        return Portfolio(
            pairs=pairs,
            shares=shares,
            reserve={currency: int(amount * UNIT) for currency, amount in config.reserve.items()},
            currency=project.currency,
        )
    except ValueError as error:
        raise ConfigError(f"{project.loaded.path}: {error}") from None


def _capital(strategy: Any) -> dict[str, int] | int | None:
    if isinstance(strategy.capital, dict):
        return {currency: int(amount * UNIT) for currency, amount in strategy.capital.items()}
    percent: int | None = strategy.capital_percent  # whole percents: the configuration refuses others
    return percent


def day_start(now: Nanos, zone: Any) -> Nanos:
    """Midnight in ``zone`` that begins the trading day of ``now``."""
    midnight = to_datetime(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return from_datetime(midnight)


def default_bar_grace_ns(project: Project) -> Nanos:
    """How long a bar built from trades waits for late ones."""
    grace = project.config.bar_grace_ms
    return (2_000 if grace is None else grace) * NS_PER_MS


def make_kernel(
    project: Project,
    *,
    pairs: Mapping[str, Pair],
    balances: Mapping[str, int],
    fees: FeeModel,
    latency: LatencyModel,
    queue: QueueModel,
    slippage_e8: int,
    seed: int,
    max_book_age_s: int | None = None,
) -> Kernel:
    """The simulated exchange with one account."""
    return Kernel(
        pairs=pairs,
        accounts={ACCOUNT: AccountSetup(balances=dict(balances), fees=fees)},
        queue=queue,
        latency=latency,
        limits=project.facts.limits,
        slippage_e8=slippage_e8,
        max_book_age_s=max_book_age_s,
        seed=seed,
        volume_currency=project.facts.volume_currency,
        discount_currency=project.facts.discount_currency,
    )


def no_discount(fees: FeeModel, facts: ExchangeFacts, balances: Mapping[str, int]) -> str | None:
    """What to say where fees shall be paid in a coin that the account does not hold; None where it does."""
    coin = facts.discount_currency
    if not fees.uses_discount or balances.get(coin):
        return None
    return (
        f"fees: {{bito: true}} has no effect: the account holds no {coin.upper()}, so every fee is charged at the full "
        f"rate; add some to `balances`, such as {coin}: 1000, or leave bito out"
    )


# -- backtests --------------------------------------------------------------------------------------------------------


def open_feed(project: Project, sources: Sequence[DataSource], *, feed_ms: float = 0) -> Feed:
    """The recorded data of a configuration as one feed. Raises DataError or ConfigError."""
    formats = tape_formats(project.plugins)
    opened: list[FeedSource] = []
    wanted = [str(pair) for pair in project.bot_pairs()]
    for index, source in enumerate(sources):
        if source.path.is_dir():
            tape = TapeSource(source.path, project.pairs, only=(source.pair,) if source.pair else ())
            opened.append(OneKind(tape, source.kind) if source.kind else tape)
            continue
        if not source.path.exists():
            raise project.loaded.error(f"backtest.data.{index}", f"there is no file or folder {source.path}")
        name = source.kind or _format_of(source.path, formats)
        reader = formats.get(name)
        if reader is None:
            known = ", ".join(formats)
            raise project.loaded.error(f"backtest.data.{index}", f"{name!r} is no format; there are {known}")
        options: dict[str, Any] = {"pair": source.pair or (wanted[0] if len(wanted) == 1 else None)}
        if source.resolution is not None:
            options["resolution"] = source.resolution
        if source.trades is not None:
            options["trades"] = source.trades
        if source.sort:
            options["sort"] = True
        if source.timezone is not None:
            options["timezone"] = source.timezone
        if name == "frames" and source.pair is None:
            options.pop("pair")
        opened.append(FileSource(source.path, reader, project.pairs, options))
    return Feed(opened, feed_ms=feed_ms)


class OneKind:
    """A tape of which a configuration wants one kind alone: ``kind: candles``, or ``kind: trades`` with its books."""

    def __init__(self, tape: TapeSource, kind: str) -> None:
        self.name, self.path, self.synthetic = tape.name, tape.path, tape.synthetic
        self._tape = tape
        self._kinds = ("candles",) if kind == "candles" else ("books", "trades")

    @property
    def streams(self) -> Sequence[StreamInfo]:
        """The tape's streams of that kind."""
        return [stream for stream in self._tape.streams if stream.kind in self._kinds]

    def read(self, key: StreamKey, start: Nanos | None, end: Nanos | None, rows_max: int) -> Iterator[MarketColumns]:
        """Rows of one stream."""
        return self._tape.read(key, start, end, rows_max)


def _format_of(path: Path, formats: Mapping[str, TapeFormat]) -> str:
    """The format for a file's ending; the longest ending that fits wins."""
    fitting = [
        (len(ending), name)
        for name, reader in formats.items()
        for ending in reader.endings
        if path.name.endswith(ending)
    ]
    # of two formats with one ending the first registered is meant: candles before trades
    longest = max((length for length, _ in fitting), default=0)
    return next((name for length, name in fitting if length == longest), path.suffix)


def asked_moment(option: str, text: str, zone: ZoneInfo, *, end: bool = False) -> Nanos | None:
    """A time given on the command line. Raises ConfigError naming the option."""
    try:
        return moment(text, zone, end=end)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


class BacktestParts:
    """The parts of a backtest of one configuration (`botkit.backtesting.session.Parts`)."""

    account = ACCOUNT

    def __init__(
        self,
        project: Project,
        *,
        data: Path | None = None,
        start: str | None = None,
        end: str | None = None,
        seed: int | None = None,
    ) -> None:
        config = project.config
        section = config.backtest
        if data is not None:
            if not data.exists():
                raise ConfigError(f"--data {data}: there is no such file or folder; check the path")
            sources: Sequence[DataSource] = (DataSource(path=data),)
        else:
            sources = section.data
        if not sources:
            raise project.loaded.error("backtest", "there is no data to run on; add `data: PATH`, or give --data PATH")
        self.project = project
        self.name = config.name
        self.zone: tzinfo = config.zone
        self.currency = project.currency
        self.seed = config.seed if seed is None else seed
        self.max_book_age_s = config.max_book_age_s
        self.feed = open_feed(project, sources, feed_ms=float(section.latency.feed_ms))
        at_hand = [name for name in project.pairs if any(stream.pair == name for stream in self.feed.streams)]
        named = [str(pair) for pair in project.bot_pairs()]
        self.pairs: Mapping[str, Pair] = {name: project.pairs[name] for name in dict.fromkeys(named + at_hand)}
        given_start, given_end = section.span(config.zone)
        self.start = given_start if start is None else asked_moment("--from", start, config.zone)
        self.end = given_end if end is None else asked_moment("--to", end, config.zone, end=True)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ConfigError(f"the end of the backtest, {end or section.to}, does not lie after its start")
        self._check_span(named)
        self.balances: Mapping[str, int] = self._balances()
        self.reading = section.fills.model
        self.config_text = resolved_yaml(project.loaded)
        self.strategy_uses: Mapping[str, str] = {strategy.label: strategy.use for strategy in config.strategies}
        self.versions: Mapping[str, str] = {
            "botkit": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "msgspec", "pandas", "pyarrow")},
        }
        self._fees = project.fee_model(section.fees, "backtest.fees")
        coin = (
            project.facts.discount_currency
            if self._fees.uses_discount and self.balances.get(project.facts.discount_currency)
            else ""
        )
        follows = bool(coin) or getattr(self._fees, "counts_volume", True)
        self.fee_currencies = FeeCurrencies(project.facts.volume_currency, coin) if follows else None

    def _check_span(self, named: Sequence[str]) -> None:
        """The span that was asked for must meet the data; said in the zone in which it was typed."""
        zone = self.project.config.zone
        for name in named:
            streams = [stream for stream in self.feed.streams if stream.pair == name]
            if not streams:
                continue
            begin, end = min(stream.start for stream in streams), max(stream.end for stream in streams)
            if (self.start is not None and self.start > end) or (self.end is not None and self.end <= begin):
                start_text = "its start" if self.start is None else format_time(self.start, zone)
                end_text = "its end" if self.end is None else format_time(self.end, zone)
                raise DataError(
                    f"the backtest goes from {start_text} to {end_text}, but the data of {name} from "
                    f"{format_time(begin, zone)} to {format_time(end, zone)}; change --from and --to, or the data"
                )

    def _balances(self) -> dict[str, int]:
        """Opening balances in units: those given, or else the sum of capital and reserve."""
        config = self.project.config
        given = config.backtest.balances
        if given is not None:
            return {currency: int(amount * UNIT) for currency, amount in given.items()}
        total: dict[str, int] = {currency: int(amount * UNIT) for currency, amount in config.reserve.items()}
        for strategy in config.strategies:
            if isinstance(strategy.capital, dict):
                for currency, amount in strategy.capital.items():
                    total[currency] = total.get(currency, 0) + int(amount * UNIT)
        if not total:
            raise self.project.loaded.error(
                "backtest", f'there is no money to trade with; add `balances: {{{self.currency}: "1000000"}}`'
            )
        return total

    @property
    def first_client_id(self) -> int:
        """In a backtest the base of client ids derives from the seed, so that draws keyed by them do too."""
        return 1 + self.seed % 1_000_000 * 1_000

    def strategy_pairs(self) -> Mapping[str, Sequence[Pair]]:
        """The pairs among each strategy's parameters."""
        return {spec.name: pairs_of(spec) for spec in self.project.specs()}

    def check(self, plan: Plan) -> None:
        """Candles carry no spread, so a run on them must say what a taker pays beyond the price."""
        has_books = {pair for pair, kind, _ in plan.keys if kind == "books"}
        bare = sorted(pair for pair in plan.sources if pair not in has_books)
        if bare and self.project.config.backtest.slippage is None:
            raise self.project.loaded.error(
                "backtest",
                f"the data of {', '.join(bare)} carries no order book, so `slippage` must be given: what a market "
                'order pays beyond the price, as a fraction ("0.0005" is 0.05 %); `botkit data spread` measures it',
            )

    def engine(self, decisions: DecisionLog) -> Engine:
        """A new bot."""
        return make_engine(
            self.project,
            pairs=self.pairs,
            decisions=decisions,
            seed=self.seed,
            latest_accept_ns=self.project.config.backtest.latest_accept_s * NS_PER_S,
            fee_rates=lambda pair, now: self._fees.rates(now),
            bar_grace_ns=default_bar_grace_ns(self.project),
            first_client_id=self.first_client_id,
            draws_indicators=True,
        )

    def kernel(self, reading: str) -> Kernel:
        """A new exchange under a reading of the queue; it begins with fees of its own, since they may follow volume."""
        section = self.project.config.backtest
        self._fees = self.project.fee_model(section.fees, "backtest.fees")
        fills = section.fills if reading == section.fills.model else FillsConfig(model=reading)
        return make_kernel(
            self.project,
            pairs=self.pairs,
            balances=self.balances,
            fees=self._fees,
            latency=self.project.latency_model(section.latency, "backtest.latency", self.seed),
            queue=self.project.queue_model(fills, "backtest.fills"),
            slippage_e8=int((section.slippage or 0) * UNIT),
            seed=self.seed,
            max_book_age_s=self.project.config.max_book_age_s,
        )

    def cautions(self, plan: Plan) -> list[Caution]:
        """What makes the result too good to be true."""
        section = self.project.config.backtest
        cautions = []
        used = {(pair, kind) for pair, kind, _ in plan.keys}
        priced = {pair for pair, _, _ in plan.keys}
        if any(entry["synthetic"] for entry in self.feed.describe() if (entry["pair"], entry["kind"]) in used):
            cautions.append(Caution("the data is a synthetic market: the result says nothing about any real one"))
        has_books = {pair for pair, kind in used if kind == "books"}
        if any(pair not in has_books for pair in plan.sources) and not section.slippage:
            cautions.append(
                Caution("slippage is zero: market orders fill at the recorded price, which no market offers")
            )
        cautions += [Caution(note, grave=False) for note in self.feed.notes()]
        lacks_coin = no_discount(self._fees, self.project.facts, self.balances)
        if lacks_coin is not None:
            cautions.append(Caution(lacks_coin))
        if self.fee_currencies is not None and (
            self.fee_currencies.coin or getattr(self._fees, "counts_volume", False)
        ):
            lacking = [name for name in self.fee_currencies.wanted(plan.sources, self.pairs) if name not in priced]
            coin = self.fee_currencies.coin
            if coin and any(name.startswith(f"{coin}_") for name in lacking):
                cautions.append(
                    Caution(
                        f"fees: {{bito: true}} has no effect: the data has no prices of {', '.join(lacking)}, so every "
                        "fee is charged at the full rate; add them to the data, or leave bito out"
                    )
                )
            elif lacking:
                cautions.append(
                    Caution(
                        f"the data has no prices of {', '.join(lacking)}: fees that depend on a trade's worth in "
                        f"{self.fee_currencies.volume} (rank: auto, bito: true) stay at the full rate of the lower rank"
                    )
                )
        latency = section.latency
        if latency.model is None and not latency.order_ms and not latency.answer_ms:
            cautions.append(Caution("latency is zero: orders arrive the moment they are decided"))
        return cautions

    def assumptions(self, kernel: Kernel) -> list[str]:
        """The sentences of the models."""
        return kernel.assumptions()


def backtest_into(
    config: Path,
    *,
    out: Path | None = None,
    data: Path | None = None,
    start: str | None = None,
    end: str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    readings: bool = True,
    progress: Callable[[str, float], None] | None = None,
    tell: Callable[[str, str, str], None] = lambda level, text, when: None,
) -> tuple[BacktestResult, Path, str]:
    """Run a configuration's backtest and write its folder: (result, folder, summary as JSON).

    Without ``out`` it is ``out/NAME/N``, the next number, and also ``out/NAME/latest``. The folder is there whole or
    not at all. ``tell`` hears (level, text, when) of warnings and errors of strategies, and of callbacks that would
    block a live bot; ``log: file`` is written. Raises BotkitError.
    """
    project = Project.load(config, overrides=overrides)
    parts = BacktestParts(project, data=data, start=start, end=end, seed=seed)
    keeping = NumberedRun(Path("out") / project.config.name) if out is None else RunFolder(out)

    def in_the_run(level: str, text: str, now: Nanos) -> None:
        tell(level, text, format_time(now, project.config.zone))

    with keeping as run, _log_of(project), SlowCallbacks(lambda slow: tell("warning", str(slow), "")):
        result = run_backtest(
            parts, decisions_to=run.path / DECISIONS, progress=progress, readings=readings, tell=in_the_run
        )
        sections = project.plugins.report_sections(result)
        write_outputs(run.path, result, report_html=render(result, sections), config_yaml=parts.config_text)
    return result, keeping.out, summary_json(result)


def _log_of(project: Project) -> AbstractContextManager[Any]:
    """The log file that the configuration asks for; of the level alone nothing is to be seen without one."""
    section = project.config.log
    return nullcontext() if section.file is None else LogFile(section.file, level=section.level)
