"""Tests that a strategy is fit for live trading, to run under pytest.

    from botkit.testing.strategy_cases import strategy_cases
    from dip import Dip

    TestDip = strategy_cases(Dip, {"pair": "btc_usdt", "spend": 1000})

This creates a test class that checks these requirements:

* equal inputs lead to equal decisions, including in another process;
* decisions stay the same if only the future changes;
* a restart changes no decision, and the strategy's state can be saved;
* refused orders do no harm;
* the strategy does not send more orders than the exchange accepts;
* its log calls work live;
* its decisions over HTTP and WebSocket match those in a backtest.

Each case needs orders. If the strategy places no orders, the case fails with "proved nothing".
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import msgspec
import pytest

from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.session import run_decisions
from botkit.errors import BotkitError, ConfigError
from botkit.live.notifications.logs import JsonLines, Redactor
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.extension import hookimpl
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderState
from botkit.model.results import BacktestResult
from botkit.project.project import Project
from botkit.research.bench import Bench
from botkit.research.decision_lines import decided
from botkit.research.doctor.future import seen_ahead
from botkit.research.projects import feed_of, project_of
from botkit.research.search.worker import span_of
from botkit.testing.restarted import run_restarted
from botkit.testing.trial_market import lively_prices, write_market

__all__ = ["StrategyCases", "StrategyTrial", "strategy_cases"]

_CUTS = 12
_RESTARTS = 3
#: seconds between an order and a restart, so that all answers about the order have arrived
_SETTLED_S = 2
#: the settings that the cases need, unless overridden by the caller or the configuration
_COSTS = {"slippage": 0.0005, "latency": {"order_ms": 100, "answer_ms": 100}}
_RULE = "refused_by_the_test"
#: if refusals increase the number of orders by more than this factor, the strategy keeps retrying without success
_ASKS_MOST = 20
_HASH_SEEDS = ("1", "2")
#: the kinds of decisions that a restart must not change
_ASKED = ("intent", "cancel")
#: the maximum fraction of a rate limit that one strategy may use
_USE_MOST = 0.5
#: rate-limit waits shorter than this are ignored, such as short waits behind the bot's own cancels
_WAIT_MS = 1_000


def strategy_cases(
    strategy: Any,
    params: Mapping[str, Any] | None = None,
    *,
    data: Any = None,
    prices: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    every_s: int = 60,
    balances: Mapping[str, Any] | None = None,
    same_after_restart: bool = True,
    **overrides: Any,
) -> type[StrategyCases]:
    """Return a test class for a strategy class, or for the path of a configuration.

    The strategy runs on a synthetic market that reaches one of ``prices`` every ``every_s`` seconds. For several pairs,
    ``prices`` is a dict such as ``{"btc_usdt": [...]}``; by default the prices are lively. ``data`` replaces this
    market, as in `botkit.backtest`; without a tape of trades, the case over the wire is skipped. ``overrides`` are
    additional arguments for `botkit.backtest`. ``same_after_restart=False`` is for a strategy that is intended to
    decide differently after a restart. In that case, the test checks only that the strategy keeps running.
    """
    name = getattr(strategy, "__name__", None) or Path(str(strategy)).stem
    asked = _Asked(
        strategy=strategy,
        params=dict(params or {}),
        data=data,
        prices=prices,
        every_s=every_s,
        values={"balances": balances, **overrides},
        same_after_restart=same_after_restart,
    )
    return type(f"Test{name}", (StrategyCases,), {"asked": asked, "__doc__": f"The cases for {name}."})


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `strategy_cases`."""

    strategy: Any
    params: dict[str, Any]
    data: Any
    prices: Any
    every_s: int
    values: dict[str, Any]
    same_after_restart: bool


class StrategyCases:
    """The test cases. `strategy_cases` creates subclasses."""

    asked: ClassVar[_Asked]

    @pytest.fixture
    def trial(self, tmp_path: Path) -> StrategyTrial:
        """Return the strategy together with its market."""
        with _one_sentence():
            return StrategyTrial(self.asked, tmp_path)

    def test_equal_inputs_give_equal_decisions(self, trial: StrategyTrial) -> None:
        """Run the strategy twice in this process."""
        first = trial.decided()
        if trial.run().summary["journal_sha256"] != first.summary["journal_sha256"]:
            _fail(
                "two runs with the same inputs make different decisions: the strategy keeps state outside its "
                "instance, or uses its own clock or random numbers; use self.now and self.random"
            )

    def test_another_process_gives_equal_decisions(self, trial: StrategyTrial) -> None:
        """Run the strategy in processes with different set iteration orders."""
        expected = trial.decided().summary["journal_sha256"]
        if any(found != expected for found in trial.decided_elsewhere(_HASH_SEEDS)):
            _fail(
                "another process makes different decisions with the same inputs: the strategy may iterate over a set, "
                "whose order differs "
                "from process to process (use a list, a dict or sorted()), or read files or the clock"
            )

    def test_the_future_changes_no_decision(self, trial: StrategyTrial) -> None:
        """For each of several points in time, replace all later rows and compare the decisions up to that point."""
        trial.decided()
        start, end = span_of(trial.bench)
        found = seen_ahead(trial.bench, trial.bench.decisions(), start, end, _CUTS)
        if found is not None:
            what = f"it fails: {found.error}" if found.error else "earlier decisions change"
            _fail(
                f"if only the prices after {trial.text(found.cut)} change, {what}; the strategy reads rows from the "
                f"future"
            )

    def test_a_restart_changes_no_decision(self, trial: StrategyTrial) -> None:
        """Restart the bot at several times, with the contents of its journal."""
        orders = trial.specs(trial.decided())
        is_proved = False
        for at in trial.moments(orders):
            with _one_sentence():
                found = run_restarted(trial.parts(), at)
            if isinstance(found, str):
                _fail(found)
            if found is None:
                continue
            is_proved = True
            for key, (before, after) in found.overwritten.items():
                _fail(
                    f"on_start resets self.state[{key.partition('.')[2]!r}] from {before!r} to {after!r} at a "
                    "restart; use self.state.setdefault"
                )
            difference = _difference(trial.decisions, found.decisions, found.at)
            if difference and self.asked.same_after_restart:
                _fail(
                    f"after a restart at {trial.text(found.at)} its decisions differ: {difference}. Keep everything "
                    f"it must remember in self.state, or pass same_after_restart=False if this is intended"
                )
        if not is_proved:
            _fail("proved nothing: orders were always in flight, so the bot could never be restarted")

    @pytest.mark.parametrize("every", [1, 2], ids=["all", "every second one"])
    def test_refused_orders_do_no_harm(self, trial: StrategyTrial, every: int) -> None:
        """Refuse the strategy's orders, as a risk rule or an account without funds would."""
        most = _ASKS_MOST * (len(trial.decided().orders) + 10)
        result = trial.run(trial.project({f"risk.{_RULE}": every}))
        refused = [row for row in result.orders if row.state == OrderState.REFUSED.value and _RULE in row.reason]
        if not refused:
            _fail("proved nothing: no order was refused")
        for row in result.strategies:
            if row.stopped:
                _fail(f"it is stopped when its orders are refused: {row.stopped}")
        if len(result.orders) > most:
            _fail(
                f"it places {len(result.orders):,} orders if they are refused, and {len(trial.decided().orders):,} "
                "otherwise: it retries immediately; wait for the next bar or a timer"
            )

    def test_orders_stay_within_the_exchanges_limits(self, trial: StrategyTrial) -> None:
        """Check that the strategy's orders stay within the exchange's rate limits and its maximum number of open
        orders.
        """
        result = trial.decided()
        for use in result.router.endpoints:
            if (use.wait_max_ms or 0) >= _WAIT_MS:
                _fail(
                    f"{use.delayed:,} requests ({use.endpoint}) waited for the exchange's rate limit, {use.limit}, for "
                    f"up to {(use.wait_max_ms or 0) / 1000:,.1f} s, while the market moves on; place fewer orders"
                )
            if (use.peak_use or 0) > _USE_MOST:
                _fail(
                    f"in its busiest moments its orders need {use.peak_use:.0%} of the exchange's limit "
                    f"({use.endpoint}: {use.limit}), which all bots of the account share; place fewer orders"
                )
        for reason, count in _refusals(result).items():
            if "the exchange's maximum" in reason:
                _fail(f"{count} orders were refused: {reason}; cancel old orders before placing new ones")

    def test_log_calls_work_live(self, trial: StrategyTrial) -> None:
        """Format all log records at every level, as a live bot with a log file does."""
        trial.decided()
        handler = _Records()
        logger = logging.getLogger("botkit.strategy")
        level, spreads = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        try:
            trial.run()
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = spreads
        for place, why in handler.failures.items():
            _fail(f"in live mode the log call at {place} loses its message: {why}")

    def test_the_wire_gives_equal_decisions(self, trial: StrategyTrial) -> None:
        """Run the strategy over HTTP and WebSocket against an emulator whose clock the test controls."""
        # imported here because the web client and server take as long to load as all the rest, which the processes of
        # another case would wait for as well
        from botkit.assembly.lockstep import compare_in_lockstep

        trial.decided()
        with _one_sentence():
            result, difference = asyncio.run(compare_in_lockstep(trial.wired(), trial.folder / "lockstep"))
        if difference is not None:
            _fail(f"over the wire its decisions differ from the backtest: {difference}")
        assert result.decisions, "the run over the wire logged no decisions"


class StrategyTrial:
    """A strategy, the market for its cases, and its run on that market."""

    def __init__(self, asked: _Asked, folder: Path) -> None:
        self.asked = asked
        self.folder = folder
        self._tape = folder / "market"
        self._project = self.project()
        if asked.data is None:
            write_market(self._tape, self._prices(), asked.every_s)
        self.bench = Bench(self._project, feed_of(self._project, self._data))

    @property
    def _data(self) -> Any:
        return self._tape if self.asked.data is None else self.asked.data

    def project(self, keys: Mapping[str, Any] | None = None) -> Project:
        """Return the strategy's project, with further settings by key."""
        asked = self.asked
        values = {**asked.values}
        if not (isinstance(asked.strategy, (str, Path)) and Path(asked.strategy).suffix in (".yaml", ".yml")):
            values = {**_COSTS, **values}
        also = [("strategy cases", _Refusing)]
        if values.get("balances") is None and asked.values.get("capital") is None:
            pairs = project_of(asked.strategy, params=asked.params, values=values, also=also).bot_pairs()
            values["balances"] = {pair.quote: _plenty(pair.quote) for pair in pairs}
        return project_of(asked.strategy, params=asked.params, values=values, keys=keys, also=also)

    def run(self, project: Project | None = None) -> BacktestResult:
        """Run a backtest."""
        bench = self.bench if project is None else Bench(project, self.bench.feed)
        with _one_sentence():
            return bench.result()

    def decided(self) -> BacktestResult:
        """Return the strategy's run. Fails if no order was placed."""
        if not self._base.orders:
            _fail(
                "proved nothing: the strategy placed no orders on this market. Pass parameters or prices=[...] that "
                "make it trade, or data="
            )
        return self._base

    @cached_property
    def _base(self) -> BacktestResult:
        return self.run()

    def parts(self) -> BacktestParts:
        """Return the parts for a new backtest."""
        return self.bench.parts()

    def specs(self, result: BacktestResult) -> list[OrderSpec]:
        """Return the orders that the strategy requested before the data ended."""
        return [row.spec for row in result.orders if row.spec.created < result.end]

    @cached_property
    def decisions(self) -> list[bytes]:
        """The lines of the decision log of the strategy's run."""
        lines: list[bytes] = []
        run_decisions(self.parts(), lambda block: lines.extend(block.splitlines()))
        return lines

    def moments(self, orders: Sequence[OrderSpec]) -> list[Nanos]:
        """Return several times for a restart, spread over the run, each just before a market row."""
        times = sorted({spec.created for spec in orders})
        chosen = [times[len(times) * (2 * number + 1) // (2 * _RESTARTS)] for number in range(_RESTARTS)]
        return [self._row_after(time + _SETTLED_S * NS_PER_S) for time in dict.fromkeys(chosen)]

    def _row_after(self, time: Nanos) -> Nanos:
        """Return the time at which the next book arrives, or ``time`` if there are no books. A bot receives the book
        when it starts.
        """
        for stream in self.bench.feed.streams:
            if stream.kind == "books":
                for piece in self.bench.feed.slices([stream.key], time, stream.end + 1):
                    for columns in piece.columns:
                        return int(columns.received[0])
        return time

    def wired(self) -> Project:
        """Return the project with data that an emulator can serve. Skips the case if there is no such data."""
        data = self._data
        if not (isinstance(data, (str, Path)) and Path(data).is_dir()):
            pytest.skip("the emulator plays a tape with trades, but data= is not such a tape")
        return self.project({"backtest.data": [{"path": str(Path(data).absolute())}]})

    def decided_elsewhere(self, hash_seeds: Sequence[str]) -> list[str]:
        """Run the strategy in one process per hash seed, in parallel, and return the hashes of the decisions. Skips the
        case for a class that exists only in this process.
        """
        strategy, file = self.asked.strategy, ""
        if isinstance(strategy, type):
            file = getattr(sys.modules.get(strategy.__module__), "__file__", None) or ""
            if not file or "<locals>" in strategy.__qualname__:
                pytest.skip(
                    f"{strategy.__qualname__} is not defined at the top level of a file, so no other process can "
                    "load it"
                )
        name = strategy.__qualname__ if isinstance(strategy, type) else str(strategy)
        asked = msgspec.structs.replace(self.asked, strategy=None)
        given = [pickle.dumps((list(sys.path), file, name, asked, str(self.folder / seed))) for seed in hash_seeds]
        with ThreadPoolExecutor() as threads:
            return list(threads.map(_decided_in_a_process, given, hash_seeds))

    def text(self, time: Nanos) -> str:
        """Return a time as text."""
        return format_time(time, self._project.config.zone)

    def _prices(self) -> dict[Any, Sequence[float]]:
        prices, pairs = self.asked.prices, self._project.bot_pairs()
        if not pairs:
            raise ConfigError("the strategy has no parameter with a pair, so no market can be generated; pass data=")
        if prices is None:
            return {pair: lively_prices(pair) for pair in pairs}
        if not isinstance(prices, Mapping):
            return dict.fromkeys(pairs, prices)
        missing = [str(pair) for pair in pairs if pair not in prices]
        if missing:
            raise ConfigError(f"prices: none given for {missing[0]}")
        return {pair: prices[pair] for pair in pairs}


class _Refuses:
    """A risk rule that refuses every ``every``-th order."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._count = 0

    def review(self, order: Order, view: object) -> str | None:
        self._count += 1
        return _RULE if self._count % self._every == 0 else None


class _Refusing:
    """A plugin that registers the refusing risk rule."""

    @staticmethod
    @hookimpl
    def botkit_register_risk_rules(register: Any) -> None:
        register(_RULE, _Refuses)


class _Records(logging.Handler):
    """Formats log records as the log file does, and collects those that cannot be formatted."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines(Redactor()))
        self.failures: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.format(record)
        except Exception as error:
            place = f"{Path(record.pathname).name}:{record.lineno}"
            self.failures.setdefault(place, f"{type(error).__name__}: {error} (in {record.msg.partition(': ')[2]!r})")


def _decided_in_a_process(given: bytes, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from botkit.testing.elsewhere import main; main()"],
        input=given,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        _fail(f"it fails in a separate process:\n{done.stderr.decode(errors='replace').strip()}")
    return str(json.loads(done.stdout)["journal_sha256"])


def _difference(expected: Sequence[bytes], found: Sequence[bytes], since: Nanos) -> str:
    """Describe the first order or cancel after ``since`` that differs between two runs, or return "" if none differs.

    Other decisions may differ: a bot that restarts judges prices by fewer of them.
    """
    one, other = ([row for row in map(decided, lines) if row and row["k"] in _ASKED] for lines in (expected, found))
    last = max((row["t"] for row in one), default=0)
    one, other = ([row for row in rows if since < row["t"] <= last] for rows in (one, other))
    for number in range(max(len(one), len(other))):
        before = one[number] if number < len(one) else None
        after = other[number] if number < len(other) else None
        if before != after:
            return f"without the restart {_decision_text(before)}, with it {_decision_text(after)}"
    return ""


def _decision_text(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "it decides nothing more"
    at = f"at {format_time(row['t'])} UTC"
    if row["k"] == "cancel":
        return f"it cancels order {row['c']} {at}"
    return f"it places a {row['type']} order to {row['side']} {row['pair']} {at}"


def _refusals(result: BacktestResult) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in result.strategies:
        for reason, count in row.refusals.items():
            found[reason] = found.get(reason, 0) + count
    return found


def _plenty(currency: str) -> int:
    return 3_000_000 if currency == "twd" else 100_000


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn botkit's errors into failures without pytest's traceback, because the message is enough."""
    try:
        yield
    except BotkitError as error:
        _fail(str(error))


def _fail(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)
