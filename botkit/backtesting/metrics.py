"""A backtest's figures and their definitions. What cannot be computed is None: never NaN, never infinity.

* ``pnl``: final equity less opening equity, in the valuation currency, unrealised gains included, fees paid.
* ``return``: pnl / opening equity.
* ``max_drawdown``: the deepest fall of equity below an earlier peak as a fraction of that peak, over every price row.
* ``sharpe``: mean / standard deviation (n - 1) of daily returns x sqrt(365), risk-free rate 0. Days are calendar days
  of the configured time zone, every one of the run, flat ones too; a partial first or last day has no return. None
  below 30 returns (``ratios_missing`` says so) or if all returns are equal.
* ``sortino``: the same over the downside deviation: the root of the mean square of the negative returns, all days
  counted. None below 30 returns or without a losing day.
* ``days``: number of daily returns behind these ratios.
* ``fees``: all fees, each valued at the moment of its fill.
* ``turnover``: the value of all fills, each valued at its moment, in the valuation currency.
* ``exposure``: share of the time that at least the smallest order of a traded base currency was held.
* ``win_rate``: share of round trips with a profit after the fees of both sides.
* ``profit_factor``: what the winning round trips earned / what the losing ones lost. None without a losing one.
* ``buy_and_hold_return``: holding the traded base currencies from first price to last, in equal parts, without fees.

A *round trip* is one order that reduces a position of its strategy in its pair, with all of its fills, against the
average cost of that position (not FIFO: the portfolio counts by average cost too, so realised gains agree with it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from botkit.backtesting.equity import EquityCurve
from botkit.model.events import Fill
from botkit.model.money import UNIT
from botkit.model.results import Figure, FillRow, RouterUse, StrategyRow

DAYS_A_YEAR = 365  # the market never closes
RETURNS_LEAST = 30  # with fewer daily returns, the ratios are mostly chance


def fill_rows(fills: Sequence[Fill], curve: EquityCurve) -> list[FillRow]:
    """Fills within the latest slice of ``curve``, valued at their moments."""
    if not fills:
        return []
    times = [fill.time for fill in fills]
    currencies = {fill.pair.quote for fill in fills} | {fill.fee_currency for fill in fills if fill.fee_units}
    rates = {currency: curve.value_at(currency, times).tolist() for currency in sorted(currencies)}
    make = FillRow.of
    rows = []
    for i, fill in enumerate(fills):
        value = fill.value_units / UNIT * rates[fill.pair.quote][i]
        fee = fill.fee_units / UNIT * rates[fill.fee_currency][i] if fill.fee_units else 0.0
        rows.append(make(fill, value, fee))
    return rows


class RoundTrips(msgspec.Struct):
    """Profits of the orders that reduced a position, after the fees of both sides, in the valuation currency.

    ``realised`` is the sum by (strategy, pair), also in the valuation currency.
    """

    count: int = 0
    wins: int = 0
    gross_profit: float = 0.0
    gross_loss: float = 0.0
    realised: dict[tuple[str, str], float] = msgspec.field(default_factory=dict)

    @property
    def win_rate(self) -> float | None:
        """Share of round trips with a profit."""
        return self.wins / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """Gross profit / gross loss; None without a losing round trip."""
        return self.gross_profit / self.gross_loss if self.gross_loss > 0 else None


class _Holding:
    """A signed position at average cost: units of base, and what they cost in quote currency."""

    __slots__ = ("cost", "units")

    def __init__(self, units: int, cost: float) -> None:
        self.units = units
        self.cost = cost


def round_trips(
    fills: Iterable[FillRow], opening: Mapping[tuple[str, str], tuple[int, float]] | None = None
) -> RoundTrips:
    """Match fills into round trips at average cost, in order of time.

    ``opening`` gives, by (strategy, pair), base units held at the start and their first price in quote currency. A
    position may be negative (a coin bought through one pair and sold through another), and is then reduced by buys.
    """
    holdings = {key: _Holding(units, units / UNIT * price) for key, (units, price) in (opening or {}).items()}
    earned: dict[tuple[str, int], float] = {}
    trips = RoundTrips()
    realised = trips.realised
    for fill in fills:
        key = (fill.strategy, str(fill.pair))
        holding = holdings.get(key)
        if holding is None:
            holding = holdings[key] = _Holding(0, 0.0)
        units = fill.pair.rules.base_units(fill.lots)
        quote = fill.value_units / UNIT
        if fill.fee_currency == fill.pair.base:
            units += -fill.fee_units if fill.side == "buy" else fill.fee_units
        elif fill.value_units and fill.value:
            # a fee in quote or in the exchange's own coin, converted to quote at this fill's rates
            fee = fill.fee_value * quote / fill.value
            quote += fee if fill.side == "buy" else -fee
        if units <= 0:
            continue
        delta = units if fill.side == "buy" else -units
        if holding.units * delta >= 0:
            holding.units += delta
            holding.cost += quote if delta > 0 else -quote
            continue
        closed = min(units, abs(holding.units))
        cost = holding.cost * closed / abs(holding.units)
        proceeds = quote * closed / units
        gain = (proceeds - cost) if delta < 0 else (-cost - proceeds)
        gain *= fill.value * UNIT / fill.value_units if fill.value_units else 0.0
        holding.cost -= cost
        holding.units += closed if delta > 0 else -closed
        if closed < units:  # the order reverses the position: the rest opens the other side
            rest = quote - proceeds
            holding.units, holding.cost = (units - closed, rest) if delta > 0 else (closed - units, -rest)
        order = (fill.strategy, fill.client_id)
        earned[order] = earned.get(order, 0.0) + gain
        realised[key] = realised.get(key, 0.0) + gain
    trips.count = len(earned)
    trips.wins = sum(gain > 0 for gain in earned.values())
    trips.gross_profit = math.fsum(gain for gain in earned.values() if gain > 0)
    trips.gross_loss = -math.fsum(gain for gain in earned.values() if gain < 0)
    return trips


def sharpe(returns: Sequence[float]) -> float | None:
    """Mean / standard deviation (n - 1) of daily returns x sqrt(365); None below 30 of them or without deviation."""
    if len(returns) < RETURNS_LEAST:
        return None
    mean = math.fsum(returns) / len(returns)
    deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    # equal returns deviate only by rounding errors, so the ratio would be meaningless
    return _finite(mean / deviation * math.sqrt(DAYS_A_YEAR)) if deviation > 1e-12 else None


def sortino(returns: Sequence[float]) -> float | None:
    """Mean / downside deviation of daily returns x sqrt(365); None below 30 of them or without a losing day."""
    if len(returns) < RETURNS_LEAST:
        return None
    mean = math.fsum(returns) / len(returns)
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    return _finite(mean / downside * math.sqrt(DAYS_A_YEAR)) if downside > 1e-12 else None


def missing_ratios(returns: Sequence[float]) -> str | None:
    """Return why a run has no ratios, or None if it has them."""
    count = len(returns)
    if count >= RETURNS_LEAST:
        return None
    return f"{count} daily {'return' if count == 1 else 'returns'}; a ratio needs {RETURNS_LEAST}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def summarise(
    *,
    strategies: Sequence[str],
    currency: str,
    curve: EquityCurve,
    orders: int,
    refused: int,
    fills: Sequence[FillRow],
    trips: RoundTrips,
    router: RouterUse,
    events: int,
    wall_s: float,
    journal_sha256: str,
) -> dict[str, Figure]:
    """Return the summary of a run, with the keys of `SUMMARY_KEYS` in their order.

    ``orders`` counts all orders that strategies placed, ``refused`` those that rules or risk refused.
    """
    opening, final = curve.opening, curve.final
    pnl = final - opening if final is not None and opening is not None else None
    returns = curve.daily_returns()
    turnover = math.fsum(fill.value for fill in fills)
    figures: dict[str, Figure] = {
        "strategy": ", ".join(strategies),
        "currency": currency,
        "orders": orders,
        "fills": len(fills),
        "refused": refused,
        "opening_equity": opening,
        "final_equity": final,
        "pnl": pnl,
        "return": pnl / opening if pnl is not None and opening else None,
        "max_drawdown": curve.drawdown.fraction if opening is not None else None,
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "fees": math.fsum(fill.fee_value for fill in fills),
        "turnover": turnover,
        "exposure": curve.exposure,
        "win_rate": trips.win_rate,
        "profit_factor": trips.profit_factor,
        "buy_and_hold_return": curve.buy_and_hold_return,
        "events": events,
        "events_per_second": round(events / wall_s) if wall_s > 0 else None,
        "wall_s": round(wall_s, 6),
        "orders_delayed": router.orders_delayed,
        "max_queue_ms": router.max_queue_ms,
        "journal_sha256": journal_sha256,
        "turnover_ratio": turnover / opening if opening else None,
        "round_trips": trips.count,
        "days": len(returns),
        "ratios_missing": missing_ratios(returns),
    }
    return {key: _finite(value) if isinstance(value, float) else value for key, value in figures.items()}


def complete_strategy(row: StrategyRow, curve: EquityCurve, fills: Sequence[FillRow], trips: RoundTrips) -> None:
    """Fill in a strategy's figures from its own curve, its own fills, and the round trips among them."""
    opening, final = curve.opening, curve.final
    row.fills = len(fills)
    row.fees = math.fsum(fill.fee_value for fill in fills)
    row.turnover = math.fsum(fill.value for fill in fills)
    row.round_trips = trips.count
    row.win_rate = trips.win_rate
    row.realised = math.fsum(trips.realised.values())
    if opening is not None and final is not None:
        row.pnl = final - opening
        row.return_ = row.pnl / opening if opening else None
        row.max_drawdown = curve.drawdown.fraction
        row.unrealised = row.pnl - row.realised
