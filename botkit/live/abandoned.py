"""Finds what strategies still hold, or have resting, in pairs that they no longer trade because their parameters have
changed since the last run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from botkit.engine.strategy.parameters import pairs_of
from botkit.engine.view import EngineView
from botkit.model.counts import counted
from botkit.model.money import format_units


def abandoned(view: EngineView) -> list[str]:
    """Return a sentence for each strategy and pair in which it holds coins or has open orders, although neither its
    parameters nor any subscription name the pair.
    """
    subscribed = {str(market.pair) for market in view.markets() if market.resolutions or market.is_listened_to}
    books = view.money.document()["positions"]
    sentences = []
    for strategy in view.strategies():
        used = {*subscribed, *map(str, pairs_of(strategy.parameters))}
        orders = Counter(str(order.pair) for order in view.open_orders() if order.strategy == strategy.name)
        held = _held(view, strategy.name, books.get(strategy.name, {}))
        for pair in dict.fromkeys([*held, *orders]):
            if pair in used:
                continue
            coin = pair.partition("_")[0]
            parts = [f"holds {format_units(held[pair])} {coin}"] if pair in held else []
            parts += [f"has {counted(orders[pair], 'open order')}"] if orders[pair] else []
            sentences.append(
                f"{strategy.name} {' and '.join(parts)} in {pair}, but neither its parameters nor its subscriptions "
                f"name that pair any more, so perhaps nothing manages them: put the pair back, or cancel and sell at "
                f"the exchange"
            )
    return sentences


def _held(view: EngineView, strategy: str, books: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the units that a strategy holds by pair, without dust. Positions that this run has no use for are in its
    ``books`` alone.
    """
    positions = {str(position.pair): position for position in view.money.positions(strategy)}
    held = {pair: position.amount_units for pair, position in positions.items() if not position.is_flat}
    return held | {pair: figures[0] for pair, figures in books.items() if pair not in positions and figures[0]}
