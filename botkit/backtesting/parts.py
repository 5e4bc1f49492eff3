"""What one backtest is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal

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
    """The values of a backtest's configuration, and what makes its bot and its exchange: new ones for each run."""

    name: str
    #: the configuration's section, such as ``bot.yaml:12``, for errors
    section: str
    config_text: str
    versions: Mapping[str, str]
    seed: int
    zone: tzinfo
    #: what everything is valued in
    currency: str
    #: strategy -> what it uses, and the pairs among its parameters
    strategy_uses: Mapping[str, str]
    strategy_pairs: Mapping[str, Sequence[Pair]]
    #: the strategies' pairs and those of the data
    pairs: Mapping[str, Pair]
    feed: Feed
    #: the span that was asked for; None where the data decides
    start: Nanos | None
    end: Nanos | None
    #: the reading of the queue
    reading: str
    max_book_age_s: int
    #: what a market order pays beyond a candle's price; None if nobody said
    slippage: Decimal | None
    #: orders and answers take time
    is_delayed: bool
    #: what fees depend on; None if they depend on no price
    fee_currencies: FeeCurrencies | None
    #: the caution that the account lacks the coin that shall pay its fees
    lacks_coin: str | None
    balances: Mapping[str, int]
    #: the exchange's account
    account: str
    #: a fee model follows its account's volume, so bot and exchange of a run share one
    fees: Callable[[], FeeModel]
    engine: Callable[[DecisionLog, FeeModel], Engine]
    #: the exchange under a reading of the queue
    kernel: Callable[[str, FeeModel], Kernel]


def first_client_id(seed: int) -> int:
    """In a backtest client ids start from the seed, so that random draws keyed by them depend on it too."""
    return 1 + seed % 1_000_000 * 1_000
