"""Cautions for readers of a backtest result, and a check for a setting that candle-based runs require."""

from __future__ import annotations

from collections.abc import Sequence

from botkit.backtesting.parts import BacktestParts
from botkit.backtesting.plan import Plan
from botkit.backtesting.statistics import missing_ratios
from botkit.engine.money.ownership_report import Ownership
from botkit.engine.view import EngineView
from botkit.errors import ConfigError
from botkit.model.results import SYNTHETIC, Caution
from botkit.sim.kernel import Kernel


def _without_books(plan: Plan) -> list[str]:
    has_books = {pair for pair, kind, _ in plan.keys if kind == "books"}
    return sorted(pair for pair in plan.sources if pair not in has_books)


def check_slippage(plan: Plan, parts: BacktestParts) -> None:
    """Raise ConfigError if a run on candles has no ``slippage``. Candles carry no spread, so the configuration must
    state how far from the candle's price a taker order fills.
    """
    bare = _without_books(plan)
    if bare and parts.slippage is None:
        raise ConfigError(
            f"{parts.section}: the data of {', '.join(bare)} has no order book, so `slippage` is required: the cost "
            'of a market order beyond the price, as a fraction ("0.0005" is 0.05 %); `botkit data spread` measures it'
        )


def cautions(plan: Plan, parts: BacktestParts) -> list[Caution]:
    """List the properties of the configuration and the data that make a result look too good to be true."""
    feed, found = parts.feed, []
    used = {(pair, kind) for pair, kind, _ in plan.keys}
    if any(entry["synthetic"] for entry in feed.describe() if (entry["pair"], entry["kind"]) in used):
        found.append(Caution(SYNTHETIC))
    if _without_books(plan) and not parts.slippage:
        found.append(Caution("slippage is zero: market orders fill at the recorded price, unlike in any real market"))
    found += [Caution(note, grave=False) for note in feed.notes()]
    found += cautions_of_fees(plan, parts)
    if parts.sealed is not None:
        found.append(Caution(parts.sealed, grave=False))
    if not parts.is_delayed:
        found.append(Caution("latency is zero: orders arrive the moment they are placed"))
    return found


def cautions_of_fees(plan: Plan, parts: BacktestParts) -> list[Caution]:
    """Return a caution if fees are charged at a higher rate than configured, for want of a coin or of prices."""
    fees, found = parts.fee_currencies, []
    if parts.lacks_coin is not None:
        found.append(Caution(parts.lacks_coin))
    if fees is not None and fees.is_certain:
        priced = {pair for pair, _, _ in plan.keys}
        lacking = [name for name in fees.wanted(plan.sources, parts.pairs) if name not in priced]
        if fees.coin and any(name.startswith(f"{fees.coin}_") for name in lacking):
            found.append(
                Caution(
                    f"fees: {{bito: true}} has no effect: the data has no prices for {', '.join(lacking)}, so every "
                    "fee is charged at the full rate; add these prices to the data, or leave bito out"
                )
            )
        elif lacking:
            found.append(
                Caution(
                    f"the data has no prices for {', '.join(lacking)}, so fees that depend on the traded value in "
                    f"{fees.volume} (rank: auto, bito: true) stay at the lower rank's full rate"
                )
            )
    return found


def cautions_of_coins(found: Ownership) -> list[Caution]:
    """Return a caution about coins in the account that are not assigned to any strategy. The caution explains how to
    hand the coins over.
    """
    if not found.left:
        return []
    remedy = found.remedy(None)
    return [Caution(found.sentence() + (f"; {remedy}" if remedy else ""), False)]


def cautions_of_exchange(kernel: Kernel, gaps_filled: int) -> list[Caution]:
    """Return cautions about events at the simulated exchange that would not happen, or would happen differently, at the
    real exchange. ``gaps_filled`` is the number of intervals without a candle on the tape.
    """
    found = []
    if kernel.limits.refused:
        found.append(
            Caution(f"the simulated exchange refused {kernel.limits.refused} requests for exceeding its rate limits")
        )
    large = kernel.matcher.large_fills
    if large:
        found.append(
            Caution(
                f"{large} market {'fill' if large == 1 else 'fills'} took more than 10 % of the bar's volume; real "
                f"fills that large would cost more"
            )
        )
    if gaps_filled:
        found.append(Caution(f"{gaps_filled} intervals without a candle were treated as having no trades", False))
    return found


def cautions_of_bot(view: EngineView, daily_returns: Sequence[float], halted_at: str | None = None) -> list[Caution]:
    """Return cautions about withheld market events, late trades, a halt of the bot, and metrics that require a longer
    run. ``halted_at`` is when the bot halted itself, if that is known.
    """
    found = []
    for pair, count in view.checks.withheld().items():
        found.append(
            Caution(
                f"{pair}: {count} market events were withheld from the bot because their prices were too far from "
                f"earlier prices; decisions.jsonl lists them (quarantine), and `botkit data check` checks the data"
            )
        )
    for market in view.markets():
        if market.late_trades:
            many = "1 trade" if market.late_trades == 1 else f"{market.late_trades} trades"
            why = (
                "arrived after their bar had closed and are missing from the bars; increase `bar_grace_ms` to wait "
                "for them"
            )
            found.append(Caution(f"{market.pair}: {many} {why}", False))
    missing = missing_ratios(daily_returns)
    if missing is not None:
        found.append(Caution(f"Sharpe and Sortino are omitted: {missing}", False))
    if view.halted is not None:
        at = "" if halted_at is None else f" at {halted_at}"
        found.append(Caution(f"the bot was halted{at}, and did not trade on: {view.halted}"))
    return found
