"""A run in two sentences: what it earned, against what, at what risk, and how sure one can be."""

from __future__ import annotations

from botkit.model.results import BacktestResult
from botkit.report import wording

#: a normal distribution has 95 % of its mass within this many standard errors of its middle
Z_95 = 1.959964
#: below this many trades, a win rate says little
TRADES_FEW = 30


def sharpe_interval(result: BacktestResult) -> tuple[float, float] | None:
    """Return the 95 % interval of the run's Sharpe ratio, or None if it has no ratio."""
    ratio, error = result.summary.get("sharpe"), result.summary.get("sharpe_error")
    if not isinstance(ratio, (int, float)) or not isinstance(error, (int, float)):
        return None
    return ratio - Z_95 * error, ratio + Z_95 * error


def verdict(result: BacktestResult) -> list[str]:
    """Return the sentences, the first about the money, the second about its certainty."""
    s = result.summary
    earned = s.get("return")
    if not isinstance(earned, (int, float)):
        return ["The holdings had no price, so nothing can be said about the result."]
    return [_money(result, float(earned)), _certainty(result)]


def _money(result: BacktestResult, earned: float) -> str:
    s, lasted = result.summary, wording.span(result.end - result.start)
    pnl = s.get("pnl")
    size = f"{wording.money(abs(pnl)) if isinstance(pnl, (int, float)) else '–'} {result.currency.upper()}"
    if not s.get("fills"):
        return f"It did not trade in {lasted}."
    did = "Earned" if earned > 0 else "Lost" if earned < 0 else "Earned nothing:"
    text = f"{did} {size} ({wording.percent(earned, True)}) in {lasted}"
    hold = s.get("buy_and_hold_return")
    if isinstance(hold, (int, float)):
        text += f"; buy and hold {'made' if hold >= 0 else 'lost'} {wording.percent(abs(hold))}"
        if hold > 0 and earned < hold:
            text += " and did better" if earned > 0 else ""
    fall = s.get("max_drawdown")
    if isinstance(fall, (int, float)) and fall > 0:
        text += f". At its lowest it was {wording.percent(fall)} below its peak"
        recovered = result.drawdown.recovered
        text += ", from which it has recovered" if recovered else " and has not recovered"
    return text + "."


def _certainty(result: BacktestResult) -> str:
    s = result.summary
    trips = s.get("round_trips")
    trades = int(trips) if isinstance(trips, (int, float)) else 0
    counted = "no closed trade" if not trades else "1 trade" if trades == 1 else f"{wording.count(trades)} trades"
    interval = sharpe_interval(result)
    if interval is None:
        days = s.get("days") or 0
        whole = "no whole day" if not days else "1 whole day" if days == 1 else f"{days} whole days"
        few = f"{counted[0].upper()}{counted[1:]} and {whole}"
        if isinstance(days, int) and days >= 30:
            return f"{few}; the days' returns do not vary, so there is no Sharpe ratio."
        return f"{few}: under 30 days there is no Sharpe ratio, and most of the result may be luck."
    low, high = (wording.ratio(bound) for bound in interval)
    found = "so it may be luck" if interval[0] <= 0 <= interval[1] else "so luck alone is unlikely"
    text = (
        f"{counted[0].upper()}{counted[1:]} in {wording.count(s.get('days'))} days give a Sharpe ratio of "
        f"{wording.ratio(s.get('sharpe'))} with a 95 % interval from {low} to {high}, {found}"
    )
    return text + ("; with so few trades, any figure about them is uncertain." if trades < TRADES_FEW else ".")
