"""What the reader of a result must know before believing it, and what a run on candles must be told."""

from __future__ import annotations

from collections.abc import Mapping

from botkit.backtesting.plan import FeeCurrencies, Plan
from botkit.model.pairs import Pair
from botkit.model.results import Caution
from botkit.tape.feed import Feed


def _without_books(plan: Plan) -> list[str]:
    has_books = {pair for pair, kind, _ in plan.keys if kind == "books"}
    return sorted(pair for pair in plan.sources if pair not in has_books)


def missing_slippage(plan: Plan, slippage: object) -> str | None:
    """Why a run cannot be without ``slippage``, where none is given: candles carry no spread."""
    bare = _without_books(plan)
    if not bare or slippage is not None:
        return None
    return (
        f"the data of {', '.join(bare)} carries no order book, so `slippage` must be given: what a market "
        'order pays beyond the price, as a fraction ("0.0005" is 0.05 %); `botkit data spread` measures it'
    )


def cautions(
    plan: Plan,
    feed: Feed,
    pairs: Mapping[str, Pair],
    *,
    fees: FeeCurrencies | None,
    lacks_coin: str | None,
    slips: bool,
    delays: bool,
) -> list[Caution]:
    """What makes a result too good to be true.

    ``fees``: what fees depend on, None where they depend on no price. ``lacks_coin`` says that the account does not
    hold the coin that shall pay them. ``slips``: market orders pay more than the price. ``delays``: orders take time to
    arrive.
    """
    found = []
    used = {(pair, kind) for pair, kind, _ in plan.keys}
    if any(entry["synthetic"] for entry in feed.describe() if (entry["pair"], entry["kind"]) in used):
        found.append(Caution("the data is a synthetic market: the result says nothing about any real one"))
    if _without_books(plan) and not slips:
        found.append(Caution("slippage is zero: market orders fill at the recorded price, which no market offers"))
    found += [Caution(note, grave=False) for note in feed.notes()]
    if lacks_coin is not None:
        found.append(Caution(lacks_coin))
    if fees is not None:
        priced = {pair for pair, _, _ in plan.keys}
        lacking = [name for name in fees.wanted(plan.sources, pairs) if name not in priced]
        if fees.coin and any(name.startswith(f"{fees.coin}_") for name in lacking):
            found.append(
                Caution(
                    f"fees: {{bito: true}} has no effect: the data has no prices of {', '.join(lacking)}, so every fee "
                    "is charged at the full rate; add them to the data, or leave bito out"
                )
            )
        elif lacking:
            found.append(
                Caution(
                    f"the data has no prices of {', '.join(lacking)}: fees that depend on a trade's worth in "
                    f"{fees.volume} (rank: auto, bito: true) stay at the full rate of the lower rank"
                )
            )
    if not delays:
        found.append(Caution("latency is zero: orders arrive the moment they are decided"))
    return found
