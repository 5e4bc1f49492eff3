"""The parts of one backtest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from botkit.backtesting.plan import FeeCurrencies
from botkit.engine.decisions import DecisionLog
from botkit.engine.engine import Engine
from botkit.model.clock import Nanos
from botkit.model.extension import FeeModel
from botkit.model.pairs import Pair
from botkit.sim.kernel import Kernel
from botkit.tape.feed import Feed


class BacktestParts(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest's configured values, and factories for its bot and its exchange, since each run creates new ones."""

    name: str
    #: the configuration's section, such as ``bot.yaml:12``, for errors
    section: str
    config_text: str
    versions: Mapping[str, str]
    seed: int
    zone: tzinfo
    #: the currency of all valuations
    currency: str
    #: strategy -> the streams it uses, and its pair parameters
    strategy_uses: Mapping[str, str]
    strategy_pairs: Mapping[str, Sequence[Pair]]
    #: strategy -> its parameters in force, as plain JSON values
    strategy_params: Mapping[str, Mapping[str, Any]]
    #: the pairs of the strategies and of the data
    pairs: Mapping[str, Pair]
    feed: Feed
    #: the requested span; None if the data decides
    start: Nanos | None
    end: Nanos | None
    #: the queue assumption
    reading: str
    max_book_age_s: int
    #: the cost of a market order beyond a candle's price, as a fraction; None if not configured
    slippage: Decimal | None
    #: True if orders and answers take time
    is_delayed: bool
    #: the currencies on which fees depend; None if they depend on no price
    fee_currencies: FeeCurrencies | None
    #: a caution if the account lacks the coin in which its fees are to be paid
    lacks_coin: str | None
    #: a note if a part of the data is sealed
    sealed: str | None
    balances: Mapping[str, int]
    #: the exchange's account
    account: str
    #: creates a fee model; it follows its account's volume, so the bot and the exchange of a run share one
    fees: Callable[[], FeeModel]
    #: creates the bot, whose orders get client ids from the given one on
    engine: Callable[[DecisionLog, FeeModel, int], Engine]
    #: creates the exchange with a queue assumption
    kernel: Callable[[str, FeeModel], Kernel]
    #: the benchmark to compare the run with: `BUY_AND_HOLD`, or None
    benchmark: str | None = None
    #: at most this many candles of each pair are kept for the report
    candles_max: int = 1_500


def first_client_id(seed: int) -> int:
    """Derive a backtest's first client id from the seed, so that random draws keyed by client ids depend on the seed
    too.
    """
    return 1 + seed % 1_000_000 * 1_000
