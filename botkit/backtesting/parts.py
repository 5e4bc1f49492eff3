"""The inputs of one backtest."""

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
    """A backtest's configured values, and factories for its bot and its exchange. Factories are used because each run
    creates a new bot and a new exchange.
    """

    name: str
    #: the location of the section in the configuration, such as ``bot.yaml:12``, for error messages
    section: str
    config_text: str
    versions: Mapping[str, str]
    seed: int
    zone: tzinfo
    #: the currency used for all valuations
    currency: str
    #: strategy -> the streams it uses, and its pair parameters
    strategy_uses: Mapping[str, str]
    strategy_pairs: Mapping[str, Sequence[Pair]]
    #: strategy -> its effective parameters, as plain JSON values
    strategy_params: Mapping[str, Mapping[str, Any]]
    #: the pairs used by the strategies or present in the data
    pairs: Mapping[str, Pair]
    feed: Feed
    #: the requested span; None if the data determines it
    start: Nanos | None
    end: Nanos | None
    #: the chosen queue assumption
    reading: str
    max_book_age_s: int
    #: a market order's slippage relative to the candle's price, as a fraction; None if not configured
    slippage: Decimal | None
    #: True if requests and responses are delayed
    is_delayed: bool
    #: the currencies on which fees depend; None if fees do not depend on prices
    fee_currencies: FeeCurrencies | None
    #: a caution if the account does not hold the coin in which fees are to be paid; otherwise None
    lacks_coin: str | None
    #: a note if part of the data is sealed; otherwise None
    sealed: str | None
    balances: Mapping[str, int]
    #: the name of the account at the exchange
    account: str
    #: creates a fee model; the model tracks its account's volume, so a run's bot and exchange share one instance
    fees: Callable[[], FeeModel]
    #: creates the bot; the third argument is the client id of its first order
    engine: Callable[[DecisionLog, FeeModel, int], Engine]
    #: creates the exchange, using the given queue assumption
    kernel: Callable[[str, FeeModel], Kernel]
    #: the benchmark for the run: `BUY_AND_HOLD`, or None
    benchmark: str | None = None
    #: the maximum number of candles per pair to keep for the report
    candles_max: int = 1_500


def first_client_id(seed: int) -> int:
    """Derive a backtest's first client id from the seed. Random draws are keyed by client ids, so they also depend on
    the seed.
    """
    return 1 + seed % 1_000_000 * 1_000
