"""The names that `botkit` exports to strategy authors, each from the module that defines it.

`botkit` imports this module when one of the names is first used.
"""

from botkit.engine.indicators.array_indicator import ArrayIndicator as ArrayIndicator
from botkit.engine.indicators.extremes import RollingHigh as RollingHigh
from botkit.engine.indicators.extremes import RollingLow as RollingLow
from botkit.engine.indicators.indicator import Indicator as Indicator
from botkit.engine.indicators.moving_averages import EMA as EMA
from botkit.engine.indicators.moving_averages import SMA as SMA
from botkit.engine.indicators.moving_averages import WMA as WMA
from botkit.engine.indicators.oscillators import MACD as MACD
from botkit.engine.indicators.oscillators import RSI as RSI
from botkit.engine.indicators.oscillators import Macd as Macd
from botkit.engine.indicators.volatility import ATR as ATR
from botkit.engine.indicators.volatility import Bands as Bands
from botkit.engine.indicators.volatility import Bollinger as Bollinger
from botkit.engine.indicators.volume import VWAP as VWAP
from botkit.engine.market.book import BookView as BookView
from botkit.engine.money.positions import Position as Position
from botkit.engine.strategy.attached import Attached as Attached
from botkit.engine.strategy.bar_series import BarSeries as BarSeries
from botkit.engine.strategy.base import Strategy as Strategy
from botkit.engine.strategy.parameter import param as param
from botkit.engine.strategy.trade_series import TradeSeries as TradeSeries
from botkit.errors import BotkitError as BotkitError
from botkit.errors import ConfigError as ConfigError
from botkit.errors import NotReadyError as NotReadyError
from botkit.hookspecs import Register as Register
from botkit.model.events import Balance as Balance
from botkit.model.events import Bar as Bar
from botkit.model.events import Connection as Connection
from botkit.model.events import ConnectionState as ConnectionState
from botkit.model.events import Fill as Fill
from botkit.model.events import Level as Level
from botkit.model.events import OrderBook as OrderBook
from botkit.model.events import Ticker as Ticker
from botkit.model.events import Timer as Timer
from botkit.model.events import Trade as Trade
from botkit.model.extension import FeeRates as FeeRates
from botkit.model.extension import hookimpl as hookimpl
from botkit.model.orders import Order as Order
from botkit.model.orders import OrderState as OrderState
from botkit.model.orders import OrderType as OrderType
from botkit.model.orders import Side as Side
from botkit.model.pairs import Pair as Pair
from botkit.model.pairs import PairRules as PairRules
from botkit.research.entry import backtest as backtest
from botkit.research.entry import load as load
from botkit.research.entry import optimize as optimize
