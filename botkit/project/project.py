"""Builds the objects described by a configuration: strategies, risk rules, models, and the exchange."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import msgspec

from botkit.config.backtest import BacktestConfig
from botkit.config.load import LoadedConfig, load_config, with_parameters
from botkit.config.money import check_reserve
from botkit.config.simulated import FeesConfig, FillsConfig, LatencyConfig
from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.money.valuation import pairs_on_the_way
from botkit.engine.risk.rules import MaxPosition
from botkit.engine.settings import StrategySpec
from botkit.engine.strategy.parameter import ParameterError
from botkit.engine.strategy.parameters import check_parameters, pairs_of
from botkit.errors import ConfigError, PluginError
from botkit.model.extension import ExchangeFacts, FeeModel, LatencyModel, QueueModel, RiskRule
from botkit.model.limits import NEEDED_ENDPOINTS
from botkit.model.listed_pairs import ListedPairs
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.plugins import Plugins, Registration, made
from botkit.project.limited import check_capital, check_known_currency, check_positions, check_valued
from botkit.project.plugins import assemble_plugins
from botkit.project.writable import try_to_write

#: the options of a ``notify:`` entry that are not the notifier's own, apart from those in the schema
_OF_EVERY_NOTIFIER = ("digest_s", "daily_cap")


class Project:
    """A configuration, its plugins and its exchange's facts, from which a bot can be created."""

    def __init__(self, loaded: LoadedConfig, plugins: Plugins, facts: ExchangeFacts) -> None:
        self.loaded = loaded
        self.config = loaded.config
        self.plugins = plugins
        self.facts = facts
        self.pairs: Mapping[str, Pair] = facts.pairs
        #: the pairs named by strategies, with the exchange's pairs from which they were selected
        self._named: tuple[Mapping[str, Pair], tuple[Pair, ...]] | None = None

    @classmethod
    def load(cls, path: str | Path, *, overrides: Sequence[str] = ()) -> Project:
        """Read a configuration, load its plugins and validate every setting that needs no data. Raises ConfigError."""
        return cls.of(load_config(path, overrides=overrides))

    @classmethod
    def of(cls, loaded: LoadedConfig, *, also: Sequence[tuple[str, Any]] = ()) -> Project:
        """Load a configuration's plugins and those in ``also``, given as (name, object), and validate every setting
        that needs no data. Raises ConfigError.
        """
        plugins = assemble_plugins(loaded, also=also)
        facts = exchange_facts(loaded, plugins)
        project = cls(loaded, plugins, facts)
        project.check_currencies(project.specs())
        return project

    def with_parameters(self, parameters: Mapping[str, Mapping[str, Any]]) -> Project:
        """Return the same project with different parameters: strategy -> name -> value. Raises ConfigError.

        Both projects share the plugins, so their bots must not be assembled at the same time.
        """
        project = Project(with_parameters(self.loaded, parameters), self.plugins, self.facts)
        project.pairs = self.pairs
        project.specs()
        return project

    def with_backtest(self, section: BacktestConfig) -> Project:
        """Return the same project with a different ``backtest:`` section. Both projects share the plugins, as in
        `with_parameters`.
        """
        config = msgspec.structs.replace(self.config, backtest=section)
        project = Project(msgspec.structs.replace(self.loaded, config=config), self.plugins, self.facts)
        project.pairs = self.pairs
        return project

    def take_pairs(self, pairs: Mapping[str, Pair]) -> None:
        """Use the pairs currently listed by the exchange, with the configuration's amount steps. Raises ConfigError if
        a strategy's pair is no longer listed, or cannot be traded.
        """
        stepped = {name: _stepped(pair, self.config.amount_step_of(name)) for name, pair in pairs.items()}
        self.pairs = ListedPairs(stepped, pairs.left_out) if isinstance(pairs, ListedPairs) else stepped
        self.specs()

    def check_currencies(self, specs: Sequence[StrategySpec]) -> None:
        """Check that the exchange has every currency and pair for which the configuration sets an amount or a limit,
        and the valuation currency, because a reserve under a misspelled name would protect nothing. Raises ConfigError.
        """
        if isinstance(self.config.amount_step, dict):
            for name in self.config.amount_step:
                if name not in self.pairs:
                    raise self.loaded.error(f"amount_step.{name}", f"the exchange has no pair {name!r}")
        if self.config.currency is not None:
            self._check_currency("currency", self.config.currency)
        for place, amounts in (
            ("reserve", self.config.reserve),
            ("backtest.balances", self.config.backtest.balances),
            ("emulator.balances", self.config.emulator.balances),
        ):
            for currency in amounts or ():
                self._check_currency(f"{place}.{currency}", currency)
        bot, own = self.bot_rules()
        traded = {spec.name: pairs_of(spec.parameters) for spec in specs}
        # a strategy without a pair among its parameters chooses its pairs in code, so nothing is known of them
        everywhere = [pair for pairs in traded.values() for pair in pairs] if all(traded.values()) else []
        self._check_limits("risk", self.config.risk, bot, everywhere)
        for index, strategy in enumerate(self.config.strategies):
            name = strategy.label
            self._check_limits(f"strategies.{index}.risk", strategy.risk, own[name], traded[name])

    def check_limits_of_run(self) -> None:
        """Check that the pairs of the bot give a value to each of its limits. A backtest may have more pairs with
        prices: those of the capital's currencies, and those that a strategy chooses in code. Raises ConfigError.
        """
        if not self._names_all_pairs():
            return
        priced, config = self.priced_pairs(), self.config
        bot, own = self.bot_rules()
        levels = [("risk", config.risk, bot)]
        levels += [(f"strategies.{i}.risk", s.risk, own[s.label]) for i, s in enumerate(config.strategies)]
        for place, section, rules in levels:
            for name, rule in zip(section, rules, strict=True):
                for currency in getattr(rule, "currencies", ()):
                    where = f"{place}.{name}.{currency}"
                    check_valued(self.loaded, where, currency, into=self.currency, pairs=self.pairs, priced=priced)

    def check_capital_of_run(self, also: Iterable[Pair] = ()) -> None:
        """Check that each currency of the capital is in a pair of the bot, or in those that it ``also`` follows, as a
        bot's first start does. A later start goes by its books. Raises ConfigError.
        """
        if not self._names_all_pairs():
            return
        priced = self.priced_pairs() | {str(pair): pair for pair in also}
        for index, strategy in enumerate(self.config.strategies):
            for currency in strategy.capital if isinstance(strategy.capital, dict) else ():
                where = f"strategies.{index}.capital.{currency}"
                check_capital(self.loaded, where, currency, pairs=self.pairs, priced=priced)

    def _names_all_pairs(self) -> bool:
        """Return False if a strategy has no pair among its parameters, and so chooses its pairs in code."""
        return all(pairs_of(spec.parameters) for spec in self.specs())

    def _check_limits(
        self, place: str, section: Mapping[str, Any], rules: Sequence[RiskRule], traded: Sequence[Pair]
    ) -> None:
        """Check the rules of the bot or of a strategy, which trades these pairs."""
        for name, rule in zip(section, rules, strict=True):
            for currency in getattr(rule, "currencies", ()):
                self._check_currency(f"{place}.{name}.{currency}", currency)
            if isinstance(rule, MaxPosition):
                priced = self.priced_pairs() if traded else {}
                check_positions(self.loaded, f"{place}.{name}", rule, pairs=self.pairs, traded=traded, priced=priced)

    def _check_currency(self, place: str, currency: str) -> None:
        check_known_currency(self.loaded, place, currency, self.pairs)

    def check_choices(self) -> None:
        """Check that every model exists and accepts its options, that every notifier exists and has the options it
        needs, and that the log can be written, regardless of which mode uses them. Raises ConfigError.
        """
        config = self.config
        fees = (("backtest", config.backtest.fees), ("emulator", config.emulator.fees), ("live", config.live.fees))
        for section, chosen in fees:
            if chosen is not None:
                self.fee_model(chosen, f"{section}.fees")
        for section, simulated in (("backtest", config.backtest), ("emulator", config.emulator)):
            self.latency_model(simulated.latency, f"{section}.latency", config.seed)
            self.queue_model(simulated.fills, f"{section}.fills")
        for index in range(len(config.notify)):
            self.notifier(index)
        if config.log.file is not None:
            try:
                try_to_write(config.log.file)
            except OSError as error:
                raise self.loaded.error(
                    "log.file", f"{config.log.file} cannot be written: {error.strerror or error}"
                ) from None

    def notifier(self, index: int) -> Registration:
        """Return the notifier of an entry in ``notify:``, which must have the options that it cannot do without, and
        no others than it takes. Raises ConfigError.
        """
        section, place = self.config.notify[index], f"notify.{index}"
        found = self.plugins.pick("notifiers", section.use, self.loaded.where(f"{place}.use"))
        for key, complaint in getattr(found.thing, "required", {}).items():
            if key not in section.options:
                raise self.loaded.error(place, f"{section.use}: {key}: {complaint}")
        own = getattr(found.thing, "takes", None)
        if own is None:  # a plugin's notifier may check its options by itself
            return found
        known = [*own, *_OF_EVERY_NOTIFIER]
        for key in section.options:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(known)}"
                raise self.loaded.error(f"{place}.{key}", f"{section.use}: {key}: unknown key; {hint}")
        return found

    def check_money(self) -> None:
        """Check that simulated balances cover the reserve, and that ``backtest: balances:`` also covers the strategies'
        capital. Raises ConfigError.
        """
        check_reserve(self.loaded)
        balances = self.config.backtest.balances
        if balances is not None:
            books = make_portfolio(self, self.pairs)
            try:
                books.open({currency: int(amount * UNIT) for currency, amount in balances.items()})
            except ValueError as error:
                raise self.loaded.error("backtest.balances", str(error)) from None

    # -- strategies -----------------------------------------------------------------------------------------------

    def specs(self) -> list[StrategySpec]:
        """Return new instances of the configuration's strategies, in order, with their validated parameters."""
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
                    f"{registration.file}: the strategy `{strategy.use}` cannot be created: {error!r}; "
                    "its __init__ must take no arguments, since parameters are set afterwards"
                ) from error
            specs.append(StrategySpec(strategy.label, instance, values))
        return specs

    def bot_pairs(self) -> list[Pair]:
        """Return the pairs that strategies name in their parameters, in configuration order."""
        if self._named is None or self._named[0] is not self.pairs:
            found: dict[str, Pair] = {}
            for spec in self.specs():
                for pair in pairs_of(spec.parameters):
                    found.setdefault(pair, pair)
            self._named = self.pairs, tuple(found.values())
        return list(self._named[1])

    def priced_pairs(self) -> dict[str, Pair]:
        """Return the pairs that the bot trades, and the pairs needed for valuation."""
        return {str(pair): pair for pair in (*self.bot_pairs(), *self.valuation_pairs())}

    def valuation_pairs(self) -> tuple[Pair, ...]:
        """Return the pairs that the bot does not trade but needs to convert its currencies to the valuation
        currency.
        """
        return pairs_on_the_way(self.pairs, self.bot_pairs(), self.currency)

    @property
    def currency(self) -> str:
        """The currency used for all valuations: ``currency:`` if set, otherwise the first pair's quote currency."""
        if self.config.currency is not None:
            return self.config.currency
        pairs = self.bot_pairs()
        if not pairs:
            raise ConfigError(
                f"{self.loaded.path}: no strategy names a pair, so set `currency:` to the valuation currency"
            )
        return pairs[0].quote

    # -- risk -----------------------------------------------------------------------------------------------------

    def bot_rules(self) -> tuple[list[RiskRule], dict[str, list[RiskRule]]]:
        """Return the rules for the bot and the rules for each strategy."""
        bot = self._rules("risk", self.config.risk)
        own = {
            strategy.label: self._rules(f"strategies.{index}.risk", strategy.risk)
            for index, strategy in enumerate(self.config.strategies)
        }
        return bot, own

    def _rules(self, place: str, section: Mapping[str, Any]) -> list[RiskRule]:
        rules = []
        for name, value in section.items():
            found = self.plugins.pick("risk_rules", name, self.loaded.where(f"{place}.{name}"))
            try:
                rules.append(made("risk_rules", found, value))
            except PluginError:
                raise
            except (ValueError, TypeError) as error:
                raise self.loaded.error(f"{place}.{name}", str(error)) from None
        return rules

    # -- models of the simulated exchange -------------------------------------------------------------------------

    def _model(self, kind: str, section: str, choice: tuple[str, dict[str, Any]], *arguments: Any) -> Any:
        name, options = choice
        found = self.plugins.pick(kind, name, self.loaded.where(section))
        try:
            return made(kind, found, options, *arguments)
        except PluginError:
            raise
        except (ValueError, TypeError, ConfigError) as error:
            raise self.loaded.error(section, str(error)) from None

    def fee_model(self, fees: FeesConfig, section: str) -> FeeModel:
        """Return a new fee model of the kind selected in a section of the configuration. Each account needs its own
        model, because the model tracks the account's volume.
        """
        model: FeeModel = self._model("fee_models", section, fees.choice(), self.facts)
        return model

    def latency_model(self, latency: LatencyConfig, section: str, seed: int) -> LatencyModel:
        """Return the latency model selected in a section of the configuration."""
        choice = latency.choice()
        model: LatencyModel = self._model("latency_models", section, choice, seed)
        for name in ("order_ns", "answer_ns", "feed_ns"):
            try:
                delay = getattr(model, name)(0)
            except Exception as error:
                raise self.loaded.error(
                    section, f"{name} of the latency model `{choice[0]}` failed: {error!r}"
                ) from error
            if not isinstance(delay, Integral) or delay < 0:
                raise self.loaded.error(
                    section,
                    f"{name} of the latency model `{choice[0]}` is {delay!r}; it must be whole nanoseconds, 0 or more",
                )
        return model

    def queue_model(self, fills: FillsConfig, section: str) -> QueueModel:
        """Return the queue model selected in a section of the configuration."""
        model: QueueModel = self._model("fill_models", section, fills.choice())
        return model


def make_portfolio(
    project: Project,
    pairs: Mapping[str, Pair],
    specs: Sequence[StrategySpec] | None = None,
    fee_coin: FeeCoin | None = None,
) -> Portfolio:
    """Return a bot's books for the pairs that have prices. The books have not yet been opened or restored. Raises
    ConfigError.
    """
    traded = {spec.name: pairs_of(spec.parameters) for spec in specs or project.specs()}
    return books_over(project, pairs, traded, project.currency, fee_coin)


def books_over(
    project: Project,
    pairs: Mapping[str, Pair],
    traded: Mapping[str, Sequence[Pair]],
    currency: str,
    fee_coin: FeeCoin | None = None,
) -> Portfolio:
    """Return books for ``pairs``, valued in ``currency``. ``traded`` maps each strategy to its pairs. Raises
    ConfigError.
    """
    config = project.config
    shares = [
        CapitalShare(strategy=strategy.label, pairs=tuple(traded.get(strategy.label, ())), capital=_capital(strategy))
        for strategy in config.strategies
    ]
    try:
        return Portfolio(
            pairs=pairs,
            shares=shares,
            reserve={currency: int(amount * UNIT) for currency, amount in config.reserve.items()},
            currency=currency,
            fee_coin=fee_coin,
        )
    except ValueError as error:
        raise ConfigError(f"{project.loaded.path}: {error}") from None


def _capital(strategy: Any) -> dict[str, int] | int | None:
    if isinstance(strategy.capital, dict):
        return {currency: int(amount * UNIT) for currency, amount in strategy.capital.items()}
    percent: int | None = strategy.capital_percent  # always an integer: the configuration refuses other values
    return percent


def exchange_facts(loaded: LoadedConfig, plugins: Plugins) -> ExchangeFacts:
    """Return the facts of the configuration's exchange, with the configuration's limits and amount steps applied."""
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
        is_of_limits = "limits" in options and not str(error).startswith("exchange:")
        raise loaded.error("limits" if is_of_limits else "exchange", str(error).removeprefix("exchange: ")) from None
    missing = [name for name in NEEDED_ENDPOINTS if name not in facts.limits.endpoints]
    if missing:  # report a missing limit now, not when the router needs it: the exchange may be a plugin
        raise loaded.error(
            "exchange", f"the exchange `{config.exchange.name}` has no rate limit for {', '.join(missing)}"
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
    """Return the pair, with amount steps from amountPrecision if the configuration selects them (Q11)."""
    return pair.with_rules(pair.rules.in_display_steps()) if choice == "amount" else pair
