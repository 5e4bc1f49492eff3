"""botkit: strategy bots for the BitoPro exchange, running the same code in backtest, emulator and live.

This package exports the API for strategy authors. The other parts:

    errors.py       errors, grouped by the appropriate reaction
    hookspecs.py    every hook, typed and documented in its docstring
    plugins/        finds, validates and registers plugins
    project/        a validated configuration, its plugins, and the facts about its exchange
    assembly/       the only place that picks concrete classes and wires them together
    model/          value types: pairs, exact money, time, events, orders, requests, limits
    engine/         the bot, without I/O: turn, strategies, portfolio, risk, router
    sim/            the exchange, without I/O: matching, ledger, fees, rules, rate limits, latency
    exchange/       the real exchange: bitopro/ {sign, wire, rest, stream, adapter}
    tape/           recorded data: formats, reader, writer, checks, the synthetic market
    backtesting/    the driver on simulated time; results and metrics
    live/           the driver on wall-clock time, its journal and recording; limits/, telling/
    emulator/       sim behind the exchange's HTTP and WebSocket interfaces
    research/       backtests from Python, and many backtests on one tape
    report/         the HTML report and the terminal summary
    config/         turns YAML into a typed, frozen configuration; errors with file:line
    cli/            the commands
    guide/          the guide's chapters, and the generator for its reference

    |                       | real        | simulated      |
    |-----------------------|-------------|----------------|
    | advances time         | `live/`     | `backtesting/` |
    | answers requests      | `exchange/` | `sim/`         |

`engine/` works with either column and does not depend on which column is in use.
"""

# ruff: noqa: F403, F405  the names below are those of `botkit.authors`

from typing import TYPE_CHECKING, Any

from botkit import compiled as _compiled  # noqa: F401  it comes first: it refuses outdated compiled modules
from botkit.version import __version__

if TYPE_CHECKING:
    from botkit.authors import *

__all__ = [
    "ATR",
    "EMA",
    "MACD",
    "RSI",
    "SMA",
    "VWAP",
    "WMA",
    "ArrayIndicator",
    "Attached",
    "Balance",
    "Bands",
    "Bar",
    "BarSeries",
    "Bollinger",
    "BookView",
    "BotkitError",
    "ConfigError",
    "Connection",
    "ConnectionState",
    "FeeRates",
    "Fill",
    "Indicator",
    "Level",
    "Macd",
    "NotReadyError",
    "Order",
    "OrderBook",
    "OrderState",
    "OrderType",
    "Pair",
    "PairRules",
    "Position",
    "Register",
    "RollingHigh",
    "RollingLow",
    "Side",
    "Strategy",
    "Ticker",
    "Timer",
    "Trade",
    "TradeSeries",
    "__version__",
    "backtest",
    "hookimpl",
    "load",
    "optimize",
    "param",
]


def __getattr__(name: str) -> Any:
    """Load what strategy authors use when it is first used.

    Whatever else this package runs, such as `botkit --help` or the limits broker, starts without numpy and the engine.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from botkit import authors

    found = globals()[name] = getattr(authors, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
