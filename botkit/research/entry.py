"""The functions exported by `import botkit` for backtests in Python. Importing this module is fast, because other
modules are imported only on the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from botkit.research.result import Result
    from botkit.research.search.result import Progress, SearchResult
    from botkit.research.tapes import LoadedTape

#: the maximum number of strategy messages stored in a result
MESSAGES_KEPT = 1_000


def backtest(
    strategy: Any,
    *,
    data: Any = None,
    params: Mapping[str, Any] | None = None,
    balances: Mapping[str, Any] | None = None,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    seed: int | None = None,
    readings: bool = True,
    benchmark: Literal["buy-and-hold"] | None = None,
    progress: Callable[[str, float], None] | None = None,
    **overrides: Any,
) -> Result:
    """Backtest a strategy and return the result.

        result = botkit.backtest("configs/sma_cross.yaml", params={"fast": 12})
        result = botkit.backtest(
            MyStrategy, data="backtest_data", params={"pair": "btc_usdt"}, balances={"usdt": 1000}, slippage=0.0002
        )

    ``strategy`` is a class, the name of a strategy in a plugin or in ./strategies, the path of a configuration, or a
    configuration as a dict. ``data`` is a path, a DataFrame of candles or trades, a result of `load`, a list of these,
    or a dict of these by pair; the default is the data named in the configuration. ``params`` are the strategy's
    parameters. ``start`` and ``end`` bound the run (an end date is inclusive). With ``readings``, the optimistic and
    pessimistic queue models are run as well if orders rested in a book. ``progress`` is called with the queue
    assumption and the completed fraction, 0 to 1.

    Every other argument is ``capital``, or a key of the configuration's ``backtest:`` section (``slippage``, ``fees``,
    ``latency``, ``fills``) or of its top level (``risk``, ``currency``, ``timezone``, ``plugins``). The backtest runs
    on the calling thread and needs no event loop. Raises BotkitError, whose message is one sentence that describes the
    problem.
    """
    from botkit.assembly.backtest import parts_over
    from botkit.backtesting.session import run_backtest
    from botkit.model.clock import format_time
    from botkit.project.data import asked_span
    from botkit.research.projects import feed_of, project_of
    from botkit.research.result import Result

    values = {"balances": balances, "start": start, "end": end, "seed": seed, **overrides}
    project = project_of(strategy, params=params, values=values)
    begin, until = asked_span(project, None, None)
    parts = parts_over(project, feed_of(project, data), begin, until, benchmark=benchmark)
    messages: list[str] = []

    def keep(level: str, text: str, now: int) -> None:
        if len(messages) < MESSAGES_KEPT:
            messages.append(f"{format_time(now, project.config.zone)} {level}: {text}")

    run = run_backtest(parts, readings=readings, progress=progress, tell=keep)
    return Result(run, project.plugins.report_sections(run), messages)


def optimize(
    strategy: Any,
    ranges: Mapping[str, Any],
    *,
    data: Any = None,
    params: Mapping[str, Any] | None = None,
    balances: Mapping[str, Any] | None = None,
    where: str | None = None,
    objective: str | Callable[[dict[str, Any]], float | None] = "sharpe",
    sampler: Literal["grid", "random", "tpe"] = "grid",
    trials: int | None = None,
    min_trades: int = 30,
    prune: bool = False,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    **overrides: Any,
) -> SearchResult:
    """Search a strategy's parameters and return every trial, best first.

        found = botkit.optimize("configs/sma_cross.yaml", {"fast": "5:50:5", "slow": [20, 50]}, where="fast < slow")
        found.best.params, found.frame()

    ``ranges`` maps a parameter, or ``"sma.fast"`` with several strategies, to ``"LOW:HIGH:STEP"`` with both ends
    included, ``"LOW:HIGH"``, ``"LOW:HIGH:log"``, or a list of values. ``objective`` is a metric, or a function of the
    summary; higher is better. Trials run sequentially in this process; `botkit optimize` uses every core, or a cluster.
    The trials are stored in the folder ``out`` (default: ``out/NAME/searches/N``). The other arguments are those of
    `backtest`. Raises BotkitError.
    """
    from botkit.project.data import asked_span
    from botkit.research.bench import Bench
    from botkit.research.projects import feed_of, project_of
    from botkit.research.search.asked import SearchSettings, range_texts, where_text
    from botkit.research.search.objectives import Objective
    from botkit.research.search.optimize import search_here

    values = {"balances": balances, "start": start, "end": end, "seed": seed, **overrides}
    project = project_of(strategy, params=params, values=values)
    labels = [spec.label for spec in project.config.strategies]
    begin, until = asked_span(project, None, None)
    settings = SearchSettings(
        params=range_texts(ranges, labels),
        where=None if where is None else where_text(where, ranges, labels),
        objective=objective if isinstance(objective, str) else getattr(objective, "__name__", "objective"),
        sampler=sampler,
        trials=trials,
        min_trades=min_trades,
        prune=prune,
        out=None if out is None else Path(out),
    )
    bench = Bench(project, feed_of(project, data), start=begin, end=until)
    own = None if isinstance(objective, str) else Objective(settings.objective, objective)
    return search_here(bench, settings, progress or (lambda reached: None), own)


def load(
    path: str | Path,
    *,
    pair: str | None = None,
    kind: str | None = None,
    resolution: str | None = None,
    timezone: str | None = None,
) -> LoadedTape:
    """Open recorded data as DataFrames. The data is a tape folder, or a file of candles or trades.

        tape = botkit.load("backtest_data")
        tape.streams                                  # its contents
        tape.candles("btc_usdt", "1m")                # also .trades(pair), .books(pair)
        botkit.backtest(MyStrategy, data=tape, ...)   # loaded only once for any number of backtests

    For a CSV file, pass its ``pair``, and for a file of trades also pass ``kind="trades"``. Set ``resolution`` and
    ``timezone`` for files that do not contain them. Raises BotkitError.
    """
    from botkit.research.tapes import open_tape

    return open_tape(path, pair=pair, kind=kind, resolution=resolution, timezone=timezone)
