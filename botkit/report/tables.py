"""The report's tables, computed from the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from botkit.model.clock import NS_PER_MS
from botkit.model.reasons import grouped
from botkit.model.results import BacktestResult, FillRow, OrderRow, StrategyRow, TradeFigures
from botkit.model.row_columns import row_values


class FeeLine(msgspec.Struct):
    """Fees for one pair as maker or as taker. ``value`` and ``fee`` are in the valuation currency."""

    pair: str
    liquidity: str
    fills: int = 0
    value: float = 0.0
    fee: float = 0.0

    @property
    def rate(self) -> float | None:
        """The fee as a fraction of the traded value."""
        return self.fee / self.value if self.value else None


def fee_lines(fills: Sequence[FillRow]) -> list[FeeLine]:
    """Add up the fees by pair; each pair's maker fees come before its taker fees."""
    lines: dict[tuple[str, bool], FeeLine] = {}
    for pair, is_maker, value, fee in row_values(fills, "pair", "is_maker", "value", "fee_value"):
        line = lines.get((pair, not is_maker))
        if line is None:
            line = lines[str(pair), not is_maker] = FeeLine(str(pair), "maker" if is_maker else "taker")
        line.fills += 1
        line.value += value
        line.fee += fee
    return [lines[key] for key in sorted(lines)]


def fee_currencies(fills: Sequence[FillRow]) -> dict[str, int]:
    """Add up the fees by the currency in which they were paid, in units."""
    paid: dict[str, int] = {}
    for currency, units in row_values(fills, "fee_currency", "fee_units"):
        if units:
            paid[currency] = paid.get(currency, 0) + units
    return dict(sorted(paid.items()))


#: the breakdowns of trades in the report: title, key
_GROUPS = (
    ("pair", "pair"),
    ("strategy", "strategy"),
    ("side", "kind"),
    ("exit", "exit_reason"),
    ("entry tag", "entry_tag"),
    ("exit tag", "exit_tag"),
    ("month", "month"),
)
#: the maximum number of groups per breakdown in the report (trades.csv has all trades)
GROUPS_MAX = 12


def trade_groups(result: BacktestResult) -> list[tuple[str, list[tuple[str, TradeFigures]]]]:
    """Return the trade metrics for each breakdown in `_GROUPS`. A breakdown with only one group is omitted, except for
    pairs.
    """
    found = [(title, list(result.groups.get(key, {}).items())) for title, key in _GROUPS]
    return [(title, groups[-GROUPS_MAX:]) for title, groups in found if len(groups) > (title != "pair")]


class Reason(msgspec.Struct):
    """A reason for not trading, and the number of times it occurred."""

    strategy: str
    kind: str
    text: str
    times: int


#: the outcome of an order without a fill, and the reason to show if the order does not state a reason
_FATES = {
    "refused": ("refused", "no reason given"),
    "rejected": ("rejected by the exchange", "no reason given"),
    "expired": ("expired", "waited too long in the queue"),
    "not_sent": ("not sent", "too old to be worth sending"),
    "absent": ("never arrived", "the exchange does not know it"),
    "post_only_cancelled": ("cancelled by the exchange", "post-only would have crossed"),
}


def reasons(strategies: Sequence[StrategyRow], orders: Sequence[OrderRow], most: int = 40) -> list[Reason]:
    """Group the skips and refusals that strategies counted, and the orders that reached a final state without a fill.
    Groups are by kind, most frequent first.
    """
    found = [Reason(row.name, "skipped", text, n) for row in strategies for text, n in grouped(row.skips).items()]
    found += [Reason(row.name, "refused", text, n) for row in strategies for text, n in grouped(row.refusals).items()]
    counted = {row.name for row in strategies if row.refusals}
    ends: dict[tuple[str, str], dict[str, int]] = {}
    for state, strategy, reason in row_values(orders, "state", "spec.strategy", "reason"):
        if state in _FATES and not (state == "refused" and strategy in counted):
            kind, why = _FATES[state]
            texts = ends.setdefault((strategy, kind), {})
            texts[reason or why] = texts.get(reason or why, 0) + 1
    found += [Reason(name, kind, text, n) for (name, kind), texts in ends.items() for text, n in grouped(texts).items()]
    return sorted(found, key=lambda r: (-r.times, r.strategy, r.kind, r.text))[:most]


def queue_ms(order: OrderRow) -> float | None:
    """Return how long an order waited in the router, in ms, or None if it was never sent."""
    return (order.sent - order.spec.created) / NS_PER_MS if order.sent else None


def latest_orders(result: BacktestResult, most: int) -> list[OrderRow]:
    """Return the latest orders, newest first."""
    return list(result.orders[-most:][::-1])


def latest_fills(result: BacktestResult, most: int) -> list[FillRow]:
    """Return the latest fills, newest first."""
    return list(result.fills[-most:][::-1])
