"""Describes a run in two sentences: its profit compared with buy and hold, its risk, and how certain the result is."""

from __future__ import annotations

from botkit.model.results import BacktestResult
from botkit.report import wording
from botkit.report.language import say

#: 95 % of a normal distribution lies within this many standard errors of its mean
Z_95 = 1.959964
#: below this number of trades, a win rate means little
TRADES_FEW = 30


def sharpe_interval(result: BacktestResult) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the run's Sharpe ratio, or None if the run has no Sharpe ratio."""
    ratio, error = result.summary.get("sharpe"), result.summary.get("sharpe_error")
    if not isinstance(ratio, (int, float)) or not isinstance(error, (int, float)):
        return None
    return ratio - Z_95 * error, ratio + Z_95 * error


def verdict(result: BacktestResult) -> list[str]:
    """Return two sentences, the first about the profit, the second about its certainty."""
    s = result.summary
    earned = s.get("return")
    if not isinstance(earned, (int, float)):
        return [say("The holdings had no price, so the result cannot be judged.")]
    return [_money(result, float(earned)), _certainty(result)]


def _money(result: BacktestResult, earned: float) -> str:
    s, lasted = result.summary, wording.span(result.end - result.start)
    pnl = s.get("pnl")
    size = f"{wording.money(abs(pnl)) if isinstance(pnl, (int, float)) else '–'} {result.currency.upper()}"
    if not s.get("fills"):
        return say("It did not trade in {}.", lasted)
    figures = size, wording.percent(earned, True), lasted
    if earned > 0:
        text = say("Earned {} ({}) in {}", *figures)
    elif earned < 0:
        text = say("Lost {} ({}) in {}", *figures)
    else:
        text = say("Earned nothing: {} ({}) in {}", *figures)
    hold = s.get("buy_and_hold_return")
    if isinstance(hold, (int, float)):
        text += _beside_holding(earned, hold)
    fall = s.get("max_drawdown")
    if isinstance(fall, (int, float)) and fall > 0:
        if result.drawdown.recovered:
            lowest = ". At its lowest it was {} below its peak, from which it has recovered"
        else:
            lowest = ". At its lowest it was {} below its peak and has not recovered"
        text += say(lowest, wording.percent(fall))
    return text + say(".")


def _beside_holding(earned: float, hold: float) -> str:
    size = wording.percent(abs(hold))
    if hold < 0:
        return say("; buy and hold lost {}", size)
    if 0 < earned < hold:
        return say("; buy and hold made {} and did better", size)
    return say("; buy and hold made {}", size)


def _certainty(result: BacktestResult) -> str:
    s = result.summary
    trips = s.get("round_trips")
    trades = int(trips) if isinstance(trips, (int, float)) else 0
    if not trades:
        counted = say("No closed trade")
    else:
        counted = say("1 trade") if trades == 1 else say("{} trades", wording.count(trades))
    interval = sharpe_interval(result)
    if interval is None:
        return _without_ratio(counted, s.get("days"))
    figures = counted, wording.count(s.get("days")), wording.ratio(s.get("sharpe")), *map(wording.ratio, interval)
    if interval[0] <= 0 <= interval[1]:
        found = "{} in {} full days give a Sharpe ratio of {} with a 95 % interval from {} to {}, so it may be luck"
    else:
        found = (
            "{} in {} full days give a Sharpe ratio of {} with a 95 % interval from {} to {}, so luck alone is unlikely"
        )
    few = "; with so few trades, all figures based on them are uncertain."
    return say(found, *figures) + say(few if trades < TRADES_FEW else ".")


def _without_ratio(counted: str, given: object) -> str:
    days = given if isinstance(given, int) else 0
    whole = say("no full day") if not days else say("1 full day") if days == 1 else say("{} full days", days)
    if days >= 30:
        return say("{} and {}; daily returns do not vary, so there is no Sharpe ratio.", counted, whole)
    return say("{} and {}: under 30 days there is no Sharpe ratio, and most of the result may be luck.", counted, whole)
