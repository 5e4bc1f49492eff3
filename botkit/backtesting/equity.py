"""Computes a run's equity, slice by slice: the value of all holdings, at every price and after every change.

Holdings are exact integers and change at fills; prices change at recorded rows. Holdings are multiplied by prices in
numpy instead of row by row in Python, and only for pairs used to value a holding. Memory is bounded: the curve keeps
the running peak, the deepest drawdowns, one close per day, and a sampled curve.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from botkit.backtesting.downsample import CurveSampler, FloatArray, TimeArray
from botkit.backtesting.falls import Falls
from botkit.engine.money.valuation import Valuation
from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_S, Nanos, from_datetime, to_datetime
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.model.results import Curve, DayRow, Drawdown

#: (time, currency, units added); a fill causes one change each for the base, the quote and the fee currency
Change: TypeAlias = tuple[Nanos, str, int]
Prices: TypeAlias = dict[str, tuple[TimeArray, FloatArray]]
#: a conversion path: the pairs along it, each with a flag for dividing by its price instead of multiplying
Path: TypeAlias = tuple[tuple[str, bool], ...]

#: How long after midnight coins may get their first price if the day is to have a return. The first trade of a day and
#: the end of its first candle come a little after midnight. No longer than a book may be old to be traded on.
_FIRST_PRICE_LATEST: Nanos = 300 * NS_PER_S


class EquityCurve:
    """The equity of all strategies combined, or of one strategy.

    ``pairs`` are all pairs with prices. ``traded`` are the pairs whose base is treated as a position (default: all).
    ``opening`` maps each currency to the units held at the start. ``first_prices`` are used before a pair's first row.
    Without them, times at which a holding has no price are skipped, so the equity curve starts when every currency in
    ``opening`` has a price. ``begin`` is the run's start (default: its first row); ``finish`` sets its end.
    """

    def __init__(
        self,
        *,
        pairs: Sequence[Pair],
        currency: str,
        zone: tzinfo,
        opening: Mapping[str, int],
        traded: Iterable[str] | None = None,
        first_prices: Mapping[str, float] | None = None,
        begin: Nanos | None = None,
    ) -> None:
        pairs = tuple(pairs)
        self._valuation = Valuation({str(pair): pair for pair in pairs})
        self._currency = currency
        self._zone = zone
        self._opening_units = {c: u for c, u in opening.items() if u}
        self._held = dict(self._opening_units)
        self._paths: dict[str, Path] = {}
        self._left_out: set[str] = set()
        for held in self._held:
            self._path(held)
        self._last_price: dict[str, float] = dict(first_prices or {})
        self._before: dict[str, float] = dict(self._last_price)  # prices before the latest slice
        self._slice: Prices = {}

        wanted = {str(p) for p in pairs} if traded is None else set(traded)
        self._traded = tuple(p for p in pairs if str(p) in wanted)
        # the minimum number of base units to be treated as a position rather than as dust
        self._least: dict[str, int] = {}
        for pair in self._traded:
            least = pair.rules.base_units(pair.rules.least_lots)
            self._least[pair.base] = min(least, self._least.get(pair.base, least))
        self._positions = {c for c, least in self._least.items() if self._held.get(c, 0) >= least}
        #: the start of the run, or its first row; None if neither is known yet
        self.start = begin
        self._last: Nanos | None = None  # the last row or change, which may come after the run's end
        self._run_end: Nanos | None = None
        self._position_since = begin if self._positions else None
        self._exposed = 0

        self._opening: float | None = None
        self._final: float | None = None
        self._sampler = CurveSampler()
        self._equity_memory: FloatArray = np.empty(0)
        self._time_memory: TimeArray = np.empty(0, np.int64)
        self._falls: Falls | None = None
        self._midnight: Nanos | None = None
        self._daily: list[tuple[Nanos, float]] = []
        self._first_day_is_whole = False
        #: for each traded base currency: (the time of its first price, that price in the valuation currency)
        self.first_worths: dict[str, tuple[Nanos, float]] = {}
        if begin is not None and set(self._opening_units) == {currency}:
            # cash alone needs no price, so if a run starts with only cash, its equity curve starts on the first day
            self._set_opening(begin, self._opening_units[currency] / UNIT)

    def values(self, currency: str) -> bool:
        """Return True if a currency can be valued through the run's pairs."""
        if currency in self._left_out:
            return False
        return currency == self._currency or self._valuation.find_path(currency, self._currency) is not None

    def is_priced(self, currency: str, names: Collection[str]) -> bool:
        """Return True if a currency can be valued, given the names of the pairs that have prices."""
        return self.values(currency) and all(name in names for name, _ in self._path(currency))

    def leave_out(self, currency: str) -> None:
        """Count a currency for nothing, because it has no price. Call this before the first slice."""
        self._left_out.add(currency)
        self._held.pop(currency, None)
        self._opening_units.pop(currency, None)

    # -- input ------------------------------------------------------------------------------------------------------

    def add_slice(self, prices: Prices, changes: Sequence[Change] = ()) -> None:
        """Process the rows of ``prices`` (pair -> times and prices) and the ``changes``, both in chronological order.

        When timestamps are equal, a change comes after the rows, so a fill is valued at the price that caused it.
        Changes with equal timestamps are applied together. No row or change may be earlier than the previous slice.
        """
        prices = {name: columns for name, columns in prices.items() if len(columns[0])}
        self._before, self._slice = dict(self._last_price), prices
        self._advance_clock(prices, changes)
        held_before = dict(self._held)
        change_times, steps = self._take(changes)

        currencies = {c for c, units in held_before.items() if units} | set(steps)
        if self._opening is None:
            currencies |= set(self._opening_units)
        needed = sorted({name for currency in currencies for name, _ in self._path(currency)} & set(prices))
        if not self._evaluate_line(prices, needed, change_times, held_before, steps, currencies):
            times, columns, rows = self._merge({name: prices[name] for name in needed}, change_times)
            if len(times):
                rates = {c: self._rate(c, columns) for c in sorted(currencies)}
                equity = np.zeros(len(times))
                for currency, rate in rates.items():
                    equity += _worth(held_before.get(currency, 0), steps.get(currency), rows, len(times), rate)
                self._evaluate(times, equity, rates)
        for name, (_, column) in prices.items():
            self._last_price[name] = float(column[-1])
        self._note_hold_prices()

    def _advance_clock(self, prices: Prices, changes: Sequence[Change]) -> None:
        """Note the first and the last row or change. All rows are considered, even those that do not affect the
        equity.
        """
        firsts = [int(times[0]) for times, _ in prices.values()] + [change[0] for change in changes[:1]]
        lasts = [int(times[-1]) for times, _ in prices.values()] + [change[0] for change in changes[-1:]]
        if not firsts:
            return
        if self.start is None:
            self.start = min(firsts)
            if self._positions:
                self._position_since = self.start
        self._last = max(lasts) if self._last is None else max(self._last, *lasts)

    def _take(self, changes: Sequence[Change]) -> tuple[list[Nanos], dict[str, tuple[list[int], list[int]]]]:
        """Apply the changes. Returns their distinct times and, for each currency, the indices of the times at which it
        changed and the units held from then on.
        """
        times: list[Nanos] = []
        steps: dict[str, tuple[list[int], list[int]]] = {}
        held, least, last = self._held, self._least, -1
        for moment, currency, delta in changes:
            if moment != last:
                assert moment > last, (moment, last)
                times.append(moment)
                last = moment
            units = held[currency] = held.get(currency, 0) + delta
            step = steps.get(currency)
            if step is None:
                step = steps[currency] = ([], [])
            if step[0] and step[0][-1] == len(times) - 1:
                step[1][-1] = units
            else:
                step[0].append(len(times) - 1)
                step[1].append(units)
            if currency in least and (units >= least[currency]) is not (currency in self._positions):
                self._toggle(currency, moment)
        return times, steps

    def _toggle(self, currency: str, moment: Nanos) -> None:
        was = bool(self._positions)
        self._positions ^= {currency}
        if self._positions and not was:
            self._position_since = moment
        elif was and not self._positions and self._position_since is not None:
            self._exposed += moment - self._position_since
            self._position_since = None

    def _evaluate_line(
        self,
        prices: Prices,
        needed: Sequence[str],
        change_times: list[Nanos],
        held_before: Mapping[str, int],
        steps: Mapping[str, tuple[list[int], list[int]]],
        currencies: Iterable[str],
    ) -> bool:
        """Compute the equity using the fast path for a typical slice, in which one pair moves and few holdings change.
        Equity is then cash + coins x price, which is three times as fast to compute.

        The arrays are reused, because allocating fresh pages costs more here than the arithmetic. Returns False for any
        other slice. The general code yields the same results.
        """
        if self._opening is None or len(needed) != 1 or len(change_times) * 256 > len(prices[needed[0]][0]):
            return False
        times, column = prices[needed[0]]
        cash, coins = np.zeros(len(change_times) + 1), np.zeros(len(change_times) + 1)
        for currency in sorted(currencies):
            factor, moves = 1.0, False
            for name, divides in self._path(currency):
                if name == needed[0]:
                    if divides or moves:
                        return False
                    moves = True
                else:
                    price = self._before.get(name, np.nan)
                    factor = factor / price if divides else factor * price
            if np.isnan(factor):
                return False
            indices, units = steps.get(currency, ([], []))
            amounts = np.array([u / UNIT for u in (held_before.get(currency, 0), *units)])
            counts = np.diff([0, *(i + 1 for i in indices), len(change_times) + 1])
            (coins if moves else cash)[:] += np.repeat(amounts * factor, counts)
        known = self._before.get(needed[0], np.nan)
        if np.isnan(known):
            return False
        size = len(times) + len(change_times)
        if len(self._equity_memory) < size:
            self._equity_memory, self._time_memory = np.empty(size), np.empty(size, np.int64)
        equity, axis, start = self._equity_memory[:size], self._time_memory[:size], 0
        for i, stop in enumerate([*np.searchsorted(times, change_times, side="right").tolist(), len(times)]):
            part = equity[start + i : stop + i]
            np.multiply(column[start:stop], coins[i], out=part)
            part += cash[i]
            axis[start + i : stop + i] = times[start:stop]
            if i < len(change_times):
                equity[stop + i] = cash[i + 1] + coins[i + 1] * (column[stop - 1] if stop else known)
                axis[stop + i] = change_times[i]
            start = stop
        self._evaluate(axis, equity, {})
        return True

    def _merge(
        self, prices: Prices, change_times: list[Nanos]
    ) -> tuple[TimeArray, dict[str, FloatArray], npt.NDArray[np.intp]]:
        """Merge price rows and changes into a single time axis. Returns the axis, each pair's price along it, and the
        row of each change.
        """
        changed = np.asarray(change_times, dtype=np.int64)
        if not prices:
            return changed, {}, np.arange(len(changed))
        if len(prices) == 1:
            ((name, (times, column)),) = prices.items()
            if not change_times:
                return times, {name: column}, np.zeros(0, np.intp)
            at = np.searchsorted(times, changed, side="right")
            known = np.concatenate(([self._before.get(name, np.nan)], column))[at]
            return np.insert(times, at, changed), {name: np.insert(column, at, known)}, at + np.arange(len(at))
        sources = [times for times, _ in prices.values()] + [changed]
        joined = np.concatenate(sources)
        # rows with equal timestamps keep the order of their sources, so changes come last
        order = np.argsort(joined, kind="stable")
        source = np.repeat(np.arange(len(sources), dtype=np.int16), [len(s) for s in sources])[order]
        columns = {}
        for number, (name, (_, column)) in enumerate(prices.items()):
            known = np.concatenate(([self._before.get(name, np.nan)], column))
            columns[name] = known[np.cumsum(source == number)]
        return joined[order], columns, np.flatnonzero(source == len(prices))

    def _rate(self, currency: str, columns: Mapping[str, FloatArray]) -> FloatArray | float:
        """Return the value of one coin along the merged axis. The value is NaN while a price on the conversion path is
        still unknown.
        """
        rate: FloatArray | float = 1.0
        for name, divides in self._path(currency):
            price = columns[name] if name in columns else self._before.get(name, np.nan)
            rate = rate / price if divides else rate * price
        return rate

    def _path(self, currency: str) -> Path:
        path = self._paths.get(currency)
        if path is None:
            found = self._valuation.find_path(currency, self._currency)
            if found is None:
                raise ConfigError(
                    f"{currency} cannot be valued in {self._currency}: no pair of this run connects the two. Add data "
                    f"for a pair such as {currency}_{self._currency}, or choose another currency."
                )
            path = self._paths[currency] = tuple((str(cell.pair), not forward) for cell, forward in found.steps)
        return path

    def _evaluate(self, times: TimeArray, equity: FloatArray, rates: Mapping[str, FloatArray | float]) -> None:
        if self._opening is None and not self._open(times, rates):
            return
        if np.isnan(equity.min()):
            known = ~np.isnan(equity)
            times, equity = times[known], equity[known]
            if not len(times):
                return
        self._close_days(times, equity)
        assert self._falls is not None
        self._falls.add(times, equity)
        self._sampler.add(times, equity)
        self._final = float(equity[-1])

    def _open(self, times: TimeArray, rates: Mapping[str, FloatArray | float]) -> bool:
        """Value the opening balances at the first time at which every currency in them has a price."""
        worth = np.zeros(len(times))
        for currency, units in self._opening_units.items():
            worth += units / UNIT * rates[currency]
        known = np.flatnonzero(~np.isnan(worth))
        if not len(known):
            return False
        first = int(known[0])
        self._set_opening(int(times[first]), float(worth[first]))
        return True

    def _set_opening(self, moment: Nanos, worth: float) -> None:
        self._opening = worth
        self._falls = Falls(moment, worth)
        self._midnight = self._midnight_after(moment, 1)
        # a run may begin long before its coins have a price, and equity is only known from then on
        midnight = self._midnight_after(moment, 0)
        begins_at_midnight = moment == midnight or self.start == midnight
        self._first_day_is_whole = begins_at_midnight and moment - midnight <= _FIRST_PRICE_LATEST
        self._sampler.add(np.array([moment], np.int64), np.array([worth]))

    def _midnight_after(self, moment: Nanos, days: int) -> Nanos:
        """Return the local midnight ``days`` calendar days after the start of the day that contains ``moment``."""
        # add calendar days, not 24 hours, because a day with a clock change has 23 or 25 hours
        day = to_datetime(moment, self._zone).date() + timedelta(days=days)
        return from_datetime(datetime.combine(day, time(), self._zone))

    def _close_days(self, times: TimeArray, equity: FloatArray) -> None:
        assert self._midnight is not None
        assert self._opening is not None
        last = int(times[-1])
        while last >= self._midnight:
            row = int(np.searchsorted(times, self._midnight))
            before = self._opening if self._final is None else self._final
            self._daily.append((self._midnight, float(equity[row - 1]) if row else before))
            self._midnight = self._midnight_after(self._midnight, 1)

    def _note_hold_prices(self) -> None:
        for pair in self._traded:
            if pair.base not in self.first_worths and pair.base != self._currency and str(pair) in self._slice:
                first = self._slice[str(pair)][0][:1]
                worth = float(self.value_at(pair.base, first)[0])
                if not np.isnan(worth):
                    self.first_worths[pair.base] = (int(first[0]), worth)

    def finish(self, end: Nanos) -> None:
        """Finish the run: close the days up to ``end``, including days without any change."""
        self._run_end = end
        if self._opening is None or self._midnight is None:
            return
        value = self._opening if self._final is None else self._final
        while self._midnight <= end:
            self._daily.append((self._midnight, value))
            self._midnight = self._midnight_after(self._midnight, 1)

    # -- results ------------------------------------------------------------------------------------------------------

    def value_at(self, currency: str, times: Sequence[Nanos] | TimeArray) -> FloatArray:
        """Return the value of one coin at ``times`` within the latest slice. Times before the coin's first price use
        its first price.

        The value is NaN if a pair on the conversion path has had no rows.
        """
        moments = np.asarray(times, dtype=np.int64)
        worth = np.ones(len(moments))
        for name, divides in self._path(currency):
            if name in self._slice:
                rows, column = self._slice[name]
                known = np.concatenate(([self._before.get(name, column[0])], column))
                price = known[np.searchsorted(rows, moments, side="right")]
            else:
                price = np.full(len(moments), self._before.get(name, np.nan))
            worth = worth / price if divides else worth * price
        return worth

    @property
    def end(self) -> Nanos | None:
        """The end of the run or, until it has finished, the last row or change."""
        return self._last if self._run_end is None else self._run_end

    @property
    def opening(self) -> float | None:
        """Value of the opening balances at the first prices, or None if there have been no prices yet."""
        if self._opening is None and self._last is not None and set(self._opening_units) == {self._currency}:
            # the account held only cash from the first row to the last, so no price was needed
            return self._opening_units[self._currency] / UNIT
        return self._opening

    @property
    def final(self) -> float | None:
        """Equity at the last row or change."""
        return self.opening if self._final is None else self._final

    @property
    def falls(self) -> list[Drawdown]:
        """The deepest drawdowns so far, computed over every row, deepest first."""
        return [] if self._falls is None else self._falls.deepest()

    @property
    def drawdown(self) -> Drawdown:
        """The maximum drawdown so far, computed over every row."""
        return next(iter(self.falls), Drawdown())

    @property
    def longest_fall_s(self) -> float | None:
        """The longest time spent below a peak, in seconds, or None if there has been no equity yet."""
        return None if self._falls is None else self._falls.longest_s(self._run_end)

    @property
    def exposure(self) -> float | None:
        """The fraction of the run during which a position was held: at least the minimum order amount of a traded base
        currency. Orders that are still answered after the end count to their last change.
        """
        if self.start is None or self._last is None:
            return None
        end = self._last if self._run_end is None else max(self._last, self._run_end)
        if end == self.start:
            return None
        exposed = self._exposed + (end - self._position_since if self._position_since is not None else 0)
        return exposed / (end - self.start)

    @property
    def buy_and_hold_return(self) -> float | None:
        """The return from holding every traded base currency from its first to its last price, in equal parts, without
        fees.

        The return is computed in the valuation currency. It is None if there were no prices. A base that *is* the
        valuation currency is excluded.
        """
        returns = []
        for currency, (_, first) in self.first_worths.items():
            last = 1.0
            for name, divides in self._path(currency):
                price = self._last_price[name]
                last = last / price if divides else last * price
            returns.append(last / first - 1)
        return sum(returns) / len(returns) if returns else None

    def curve(self) -> Curve:
        """Return the curve for a chart, with at most 4,000 points and all extremes."""
        return self._sampler.curve()

    def days(self) -> list[DayRow]:
        """Return every calendar day since the opening, including the run's last day. A partial first or last day has no
        return.
        """
        if self._opening is None:
            return []
        rows: list[DayRow] = []
        before = self._opening if self._first_day_is_whole else None
        for midnight, close in self._daily:
            rows.append(DayRow(self._date_before(midnight), midnight, close, close / before - 1 if before else None))
            before = close if close > 0 else None
        end = self.end
        if end is not None and end > (self._daily[-1][0] if self._daily else -1):
            rows.append(DayRow(self._date_before(end), end, self._opening if self._final is None else self._final))
        return rows

    def _date_before(self, moment: Nanos) -> str:
        return to_datetime(moment - 1, self._zone).date().isoformat()

    def daily_returns(self) -> list[float]:
        """Return the daily returns of the run's full calendar days, including days without any change."""
        return [row.return_ for row in self.days() if row.return_ is not None]


def _worth(
    held: int,
    steps: tuple[list[int], list[int]] | None,
    rows: npt.NDArray[np.intp],
    length: int,
    rate: FloatArray | float,
) -> FloatArray | float:
    """Compute the value of one currency along an axis of ``length`` rows. ``held`` is the number of units held before
    the first of the ``steps``.
    """
    if steps is None:
        return held / UNIT * rate if held else 0.0
    indices, units = steps
    amounts = np.array([u / UNIT for u in (held, *units)])
    bounds = np.concatenate(([0], rows[indices], [length]))
    amount = np.repeat(amounts, np.diff(bounds))
    worth: FloatArray = amount * rate
    if np.isnan(worth[0]):
        worth = np.where(amount == 0, 0.0, worth)  # a currency without holdings needs no price
    return worth
