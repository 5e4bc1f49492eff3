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

from botkit import compiled as _compiled  # noqa: F401  it comes first: it refuses outdated compiled modules
from botkit.engine.indicators.array_indicator import ArrayIndicator
from botkit.engine.indicators.extremes import RollingHigh, RollingLow
from botkit.engine.indicators.indicator import Indicator
from botkit.engine.indicators.moving_averages import EMA, SMA, WMA
from botkit.engine.indicators.oscillators import MACD, RSI, Macd
from botkit.engine.indicators.volatility import ATR, Bands, Bollinger
from botkit.engine.indicators.volume import VWAP
from botkit.engine.market.book import BookView
from botkit.engine.money.positions import Position
from botkit.engine.strategy.attached import Attached
from botkit.engine.strategy.bar_series import BarSeries
from botkit.engine.strategy.base import Strategy
from botkit.engine.strategy.parameter import param
from botkit.engine.strategy.trade_series import TradeSeries
from botkit.errors import BotkitError, ConfigError, NotReadyError
from botkit.hookspecs import Register
from botkit.model.events import (
    Balance,
    Bar,
    Connection,
    ConnectionState,
    Fill,
    Level,
    OrderBook,
    Ticker,
    Timer,
    Trade,
)
from botkit.model.extension import FeeRates, hookimpl
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.pairs import Pair, PairRules
from botkit.research.entry import backtest, load, optimize
from botkit.version import __version__

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
