"""Generates markets for the pairs that the synthetic market lacks, each modeled on a pair that it has.

A companion's rows are its model's rows with prices multiplied and amounts divided by a factor. If the quote currencies
of the companion and its model differ, prices are also divided by the current price of the companion's quote currency,
so that there is no arbitrage.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from botkit.model.columns import BookColumns, CandleColumns, IntArray, MarketColumns, TradeColumns
from botkit.model.pairs import Pair


class Model(msgspec.Struct, frozen=True):
    """The pair on which a companion is modeled. The companion's price is the model's price multiplied by ``factor``
    and, if ``by`` is set, divided by the price of that pair.
    """

    pair: str
    factor: float
    by: str = ""


#: factors relative to ether's price in 2025; only the order of magnitude matters
MODELS: Mapping[str, Model] = {
    "usdc_twd": Model("usdt_twd", 0.9998),
    "sol_twd": Model("eth_twd", 0.052),
    "xrp_twd": Model("eth_twd", 0.0007),
    "doge_twd": Model("eth_twd", 0.00006),
    "ada_twd": Model("eth_twd", 0.0002),
    "bnb_twd": Model("eth_twd", 0.26),
    "ltc_twd": Model("eth_twd", 0.03),
    "bito_twd": Model("usdt_twd", 0.06),
    "shib_twd": Model("eth_twd", 0.000000004),
    "kaia_twd": Model("eth_twd", 0.00005),
    "eth_usdt": Model("eth_twd", 1.0, "usdt_twd"),
    "ltc_usdt": Model("eth_twd", 0.03, "usdt_twd"),
    "ada_usdt": Model("eth_twd", 0.0002, "usdt_twd"),
    "sol_usdt": Model("eth_twd", 0.052, "usdt_twd"),
    "ape_usdt": Model("eth_twd", 0.0002, "usdt_twd"),
    "bito_usdt": Model("usdt_twd", 0.06, "usdt_twd"),
    "eth_btc": Model("eth_twd", 1.0, "btc_twd"),
}

_Floats = npt.NDArray[np.float64]


class Companions:
    """Derives the companions' rows from the synthetic market's rows, chunk by chunk."""

    def __init__(self, pairs: Mapping[str, Pair]) -> None:
        self._pairs = {name: pair for name, pair in pairs.items() if name in MODELS}
        self._mids: dict[str, float] = {}  # the last price of each pair used as a divisor

    def rows(self, columns: list[MarketColumns]) -> list[MarketColumns]:
        """Return the companions' rows for a chunk of the synthetic market."""
        books = {str(part.pair): part for part in columns if isinstance(part, BookColumns)}
        candles = {str(part.pair): part for part in columns if isinstance(part, CandleColumns)}
        found: list[MarketColumns] = []
        for name, pair in self._pairs.items():
            model = MODELS[name]
            for part in columns:
                if part.pair != model.pair:
                    continue
                if isinstance(part, CandleColumns):
                    found.append(self._candles(pair, model, part, candles.get(model.by)))
                    continue
                factor = self._factor(pair, model, part, books.get(model.by))
                found.append(
                    _trades(pair, part, factor, model)
                    if isinstance(part, TradeColumns)
                    else _books(pair, part, factor, model)
                )
        for name in {model.by for model in MODELS.values()} & books.keys():
            part = books[name]
            self._mids[name] = float(_mid(part)[-1])
        return found

    def _factor(self, pair: Pair, model: Model, part: TradeColumns | BookColumns, by: BookColumns | None) -> _Floats:
        """Return, for each row, the factor by which the model's ticks are multiplied."""
        shift = 10.0 ** (pair.rules.price_decimals - part.pair.rules.price_decimals)
        factor = np.full(len(part), model.factor * shift)
        if not model.by:
            return factor
        last = self._mids.get(model.by)
        if by is None:
            assert last is not None, "candles or books for the divisor pair must come first"
            return factor / last
        mids = _mid(by)
        rows = np.searchsorted(by.received, part.received, side="right") - 1
        before = float(mids[0]) if last is None else last
        return factor / np.where(rows >= 0, mids[np.maximum(rows, 0)], before)

    def _candles(self, pair: Pair, model: Model, part: CandleColumns, by: CandleColumns | None) -> CandleColumns:
        shift = 10.0 ** (pair.rules.price_decimals - part.pair.rules.price_decimals)
        factor = np.full(len(part), model.factor * shift)
        if by is not None:
            closes = by.close / 10.0**by.pair.rules.price_decimals
            self._mids[model.by] = float(closes[-1])
            factor = factor / closes
        open_, high, low, close = (
            np.maximum(1, np.floor(side * factor)).astype(np.int64)
            for side in (part.open, part.high, part.low, part.close)
        )
        lots = np.where(part.lots > 0, _lots(pair, part.pair, part.lots, model), 0)
        return CandleColumns(pair, part.resolution, part.received, part.time, open_, high, low, close, lots)


def _mid(books: BookColumns) -> _Floats:
    scale = 2.0 * 10.0**books.pair.rules.price_decimals
    mid: _Floats = (books.bid_ticks[:, 0] + books.ask_ticks[:, 0]) / scale
    return mid


def _lots(pair: Pair, model_pair: Pair, lots: IntArray, model: Model) -> IntArray:
    """Return amounts of equal value, as multiples of the display step and at least one step."""
    step = int(10 ** (pair.rules.amount_decimals - pair.rules.display_decimals))
    shift = 10.0 ** (pair.rules.amount_decimals - model_pair.rules.amount_decimals)
    scaled: IntArray = (lots * (shift / model.factor) / step).astype(np.int64)
    result: IntArray = np.maximum(1, scaled) * step
    return result


def _trades(pair: Pair, part: TradeColumns, factor: _Floats, model: Model) -> TradeColumns:
    ticks = np.maximum(1, np.floor(part.ticks * factor)).astype(np.int64)
    # with large ticks, buys and sells must not share a price; asks are moved up, so buyers' trades must be moved up too
    ticks = ticks + (part.side > 0)
    return TradeColumns(pair, part.received, part.time, ticks, _lots(pair, part.pair, part.lots, model), part.side)


def _books(pair: Pair, part: BookColumns, factor: _Floats, model: Model) -> BookColumns:
    step = np.arange(part.depth)
    column = factor[:, None]
    bids = np.floor(part.bid_ticks * column).astype(np.int64)
    asks = np.floor(part.ask_ticks * column).astype(np.int64) + 1
    # levels that round to the same tick are moved to the next free ticks
    bids = np.minimum.accumulate(bids + step, axis=1) - step
    asks = np.maximum.accumulate(asks - step, axis=1) + step
    there_bid, there_ask = (part.bid_lots > 0) & (bids > 0), part.ask_lots > 0
    return BookColumns(
        pair,
        part.received,
        part.time,
        np.where(there_bid, bids, 0),
        np.where(there_bid, _lots(pair, part.pair, part.bid_lots, model), 0),
        np.where(there_ask, asks, 0),
        np.where(there_ask, _lots(pair, part.pair, part.ask_lots, model), 0),
    )
