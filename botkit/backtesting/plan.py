"""Decides which recorded streams a run reads, and which time span it covers.

In a run, each pair has one kind of source: candles if its strategies use only bars, otherwise books and trades. Pairs
needed only for valuation use whatever data is available.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Literal, TypeAlias

import msgspec

from botkit.engine.market.bars import can_build
from botkit.engine.money.valuation import Valuation
from botkit.engine.view_values import MarketView
from botkit.errors import ConfigError, DataError
from botkit.model.clock import NS_PER_MINUTE, Nanos, format_time
from botkit.model.extension import ExchangeFacts, FeeModel
from botkit.model.pairs import Pair
from botkit.model.resolutions import RESOLUTIONS, fixed_length
from botkit.tape.feed import Feed, StreamKey
from botkit.tape.manifest import StreamInfo

#: tolerance for streams in the same recording, whose starts and ends may differ by a few seconds, or by up to a minute
#: for candles
_WORTH_A_WORD: Nanos = 2 * NS_PER_MINUTE

Source: TypeAlias = Literal["candles", "market"]


class Plan(msgspec.Struct, frozen=True):
    """The data that a run reads. ``sources`` maps each of the bot's pairs to its source: candles, or books and
    trades.
    """

    sources: dict[str, Source]
    keys: tuple[StreamKey, ...]
    start: Nanos
    end: Nanos

    @property
    def candle_pairs(self) -> frozenset[str]:
        """Pairs whose bars come from candles."""
        return frozenset(pair for pair, source in self.sources.items() if source == "candles")

    @property
    def is_market(self) -> bool:
        """True if any pair runs on books and trades."""
        return "market" in self.sources.values()

    def described(self) -> dict[str, str]:
        """Return each pair's streams as text, such as ``candles 1m`` or ``books + trades``."""
        words: dict[str, list[str]] = {}
        for pair, kind, resolution in self.keys:
            words.setdefault(pair, []).append(f"{kind} {resolution}" if resolution else kind)
        return {pair: " + ".join(kinds) for pair, kinds in words.items()}


def wanted_sources(markets: Iterable[MarketView]) -> dict[str, Source]:
    """Return the kind of source required for each watched pair."""
    return {market.pair: "market" if market.is_listened_to else "candles" for market in markets}


def first_moment(feed: Feed, pairs: Iterable[str]) -> Nanos:
    """Return the start of the earliest stream of these pairs, which is the time of ``on_start`` if no ``from`` is
    given.
    """
    wanted = set(pairs)
    return min((_begin(info) for info in feed.streams if info.pair in wanted), default=0)


class FeeCurrencies(msgspec.Struct, frozen=True):
    """The currencies that affect fees: ``volume``, in which an account's volume is measured, and ``coin``, in which
    fees are paid ("" if there is no such coin).
    """

    volume: str
    coin: str = ""
    #: False if a plugin's fee model does not state whether it depends on volume
    is_certain: bool = True

    @classmethod
    def of(cls, fees: FeeModel, facts: ExchangeFacts, balances: Mapping[str, int]) -> FeeCurrencies | None:
        """Return the currencies that a fee model depends on, or None if it does not depend on prices."""
        pays_in_coin = fees.uses_discount and balances.get(facts.discount_currency)
        coin = facts.discount_currency if pays_in_coin else ""
        counts_volume: bool | None = getattr(fees, "counts_volume", None)
        if not coin and counts_volume is False:
            return None
        return cls(facts.volume_currency, coin, is_certain=bool(coin or counts_volume))

    def wanted(self, sources: Iterable[str], pairs: Mapping[str, Pair]) -> list[str]:
        """Return the pairs whose prices affect the fees of a run with these ``sources``."""
        currencies = dict.fromkeys(pairs[pair].quote for pair in sources)
        if self.coin:
            currencies[self.coin] = None
        return [f"{currency}_{self.volume}" for currency in currencies if currency != self.volume]


def make_plan(
    feed: Feed,
    sources: Mapping[str, Source],
    resolutions: Mapping[str, Sequence[str]],
    *,
    currency: str,
    held: Iterable[str],
    pairs: Mapping[str, Pair],
    start: Nanos | None,
    end: Nanos | None,
    fees: FeeCurrencies | None = None,
    zone: tzinfo = UTC,
) -> Plan:
    """Choose a run's streams and span. ``resolutions`` are the bar resolutions needed for each pair, and ``held`` are
    the currencies to value. Raises DataError or ConfigError naming the missing data, with times in ``zone``.
    """
    chosen: dict[str, Source] = {}
    keys: list[StreamKey] = []
    for pair, source in sources.items():
        actual, streams = _streams_of(feed, pair, source, resolutions.get(pair, ()))
        chosen[pair] = actual
        keys += streams
    priced = _valuation_pairs(chosen, currency, held, pairs)
    if fees is not None:
        priced += [name for name in fees.wanted(chosen, pairs) if name not in chosen and name not in priced]
    for pair in priced:
        streams = _prices_of(feed, pair, "market" if "market" in chosen.values() else "candles")
        keys += [key for key in streams if key not in keys]
    infos = [feed.stream(*key) for key in keys]
    spans = [info for info in infos if info is not None]
    assert len(spans) == len(keys), keys
    if not spans:
        raise ConfigError("no strategy subscribed to any pair in on_start, so there is no market data to run on")
    # the span covers all rows of traded pairs; pairs needed only for valuation do not extend it
    traded = [info for info in spans if info.pair in chosen]
    first = min(_begin(info) for info in traded) if start is None else start
    last = max(info.end for info in traded) + 1 if end is None else end
    for info in spans:
        if info.end < first or info.start >= last:
            raise DataError(
                f"the backtest covers {format_time(first, zone)} to {format_time(last, zone)}, but the data for "
                f"{info.label} covers {format_time(_begin(info), zone)} to {format_time(info.end, zone)}; "
                "change --from and --to, or the data"
            )
    assert first < last, (first, last)  # otherwise one of the streams would be outside the run
    return Plan(chosen, tuple(keys), first, last)


def tape_plan(pairs: Iterable[str], start: Nanos, end: Nanos) -> Plan:
    """Return the plan for a run on the recorded books and trades of each pair."""
    names = tuple(pairs)
    keys: list[StreamKey] = []
    for name in names:
        keys += [(name, "books", None), (name, "trades", None)]
    return Plan(dict.fromkeys(names, "market"), tuple(keys), start, end)


def partial_streams(feed: Feed, plan: Plan) -> list[str]:
    """Return a sentence for each stream that starts long after the run starts or ends long before the run ends."""
    sentences = []
    for key in plan.keys:
        info = feed.stream(*key)
        assert info is not None, key
        parts = []
        if _begin(info) - plan.start > _WORTH_A_WORD:
            parts.append(f"does not start until {format_time(_begin(info))}")
        if plan.end - info.end > _WORTH_A_WORD:
            parts.append(f"ends at {format_time(info.end)}")
        if parts:
            sentences.append(
                f"{info.label} {' and '.join(parts)}, but the run covers {format_time(plan.start)} to "
                f"{format_time(plan.end)}"
            )
    return sentences


def _begin(info: StreamInfo) -> Nanos:
    """Return the time at which a stream starts. For candles, this is the start of the first candle, because the
    candle's open is the price at that time. The candle itself is received only when it ends.
    """
    length = fixed_length(info.resolution) if info.resolution else None
    return info.start - (length or 0)


def _streams_of(feed: Feed, pair: str, source: Source, resolutions: Sequence[str]) -> tuple[Source, list[StreamKey]]:
    have = [info for info in feed.streams if info.pair == pair]
    if not have:
        labels = ", ".join(sorted({info.pair for info in feed.streams})) or "nothing"
        raise DataError(f"there is no data for {pair}; the data contains {labels}")
    market: list[StreamKey] = [info.key for info in have if info.kind in ("books", "trades")]
    candles = _candles_for(have, resolutions)
    if source == "candles" and candles is not None:
        return "candles", [candles]
    if any(kind == "trades" for _, kind, _ in market):
        return "market", market
    if source == "market":
        raise DataError(
            f"a strategy subscribed to trades or books of {pair}, but the data contains only "
            f"{', '.join(info.label for info in have)}; record or import trades, or run it on bars"
        )
    wanted = ", ".join(resolutions) or "any"
    raise DataError(
        f"bars of {wanted} cannot be built from the data for {pair} ({', '.join(info.label for info in have)}); use "
        f"candles of the same or a finer resolution"
    )


def _candles_for(have: Sequence[StreamInfo], resolutions: Sequence[str]) -> StreamKey | None:
    """Return the finest candles from which every needed resolution can be built. Finer candles leave less for the fill
    simulation to guess.
    """
    for resolution in RESOLUTIONS:
        for info in have:
            if info.resolution == resolution and all(can_build(wanted, resolution) for wanted in resolutions):
                return info.key
    return None


def _prices_of(feed: Feed, pair: str, source: Source) -> list[StreamKey]:
    """Return a stream for a pair that is needed only for valuation, preferring the kind of source that the run's own
    pairs use.
    """
    have = {info.kind: info.key for info in feed.streams if info.pair == pair}
    order = ("trades", "candles") if source == "market" else ("candles", "trades")
    return next(([have[kind]] for kind in order if kind in have), [])


def _valuation_pairs(
    sources: Mapping[str, Source], currency: str, held: Iterable[str], pairs: Mapping[str, Pair]
) -> list[str]:
    """Find pairs not traded by the bot that connect a held or traded currency to the valuation currency."""
    valuation = Valuation(pairs)
    currencies = dict.fromkeys(held)
    for pair in sources:
        currencies[pairs[pair].base] = None
        currencies[pairs[pair].quote] = None
    found: dict[str, None] = {}
    for name in currencies:
        path = valuation.find_path(name, currency) if name != currency else None
        if path is not None:
            for cell, _ in path.steps:
                if cell.pair not in sources:
                    found[str(cell.pair)] = None
        elif name != currency and name in {pairs[pair].quote for pair in sources}:
            valuation.check_path(name, currency)
    return list(found)
