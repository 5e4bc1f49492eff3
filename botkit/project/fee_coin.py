"""Finds the pairs that value fees paid in the exchange's own coin, for a bot that trades no pair with it."""

from __future__ import annotations

from botkit.engine.money.fee_coin import FeeCoin
from botkit.engine.money.valuation import Valuation
from botkit.model.extension import FeeModel
from botkit.model.pairs import Pair
from botkit.project.project import Project


def fee_coin_of(project: Project) -> FeeCoin | None:
    """Return the exchange's coin for fees with the pairs that only its value needs; None if the exchange has no such
    coin, if the bot values it anyway, or if no pairs can.

    The coin is valued as the exchange converts a fee to it: through the currency in which it measures volume.
    """
    coin, volume = project.facts.discount_currency, project.facts.volume_currency
    named = project.bot_pairs()
    if not coin or not (named or project.config.currency):
        return None
    own, currency = project.priced_pairs(), project.currency
    if Valuation(own).find_path(coin, currency) is not None:
        return None
    wanted = [f"{one}_{volume}" for one in (coin, *(pair.quote for pair in named))]
    added = {name: project.pairs[name] for name in wanted if name in project.pairs and name not in own}
    if Valuation(own | added).find_path(coin, currency) is None:
        path = Valuation(project.pairs).find_path(coin, currency)
        if path is None:
            return None
        added = {str(cell.pair): cell.pair for cell, _ in path.steps if str(cell.pair) not in own}
    return FeeCoin(coin, tuple(added.values()))


def fee_pairs(project: Project, fees: FeeModel | None = None) -> dict[str, Pair]:
    """Return the pairs that only the value of fees needs. With ``fees``, none unless these are paid in the coin."""
    coin = fee_coin_of(project) if fees is None or fees.uses_discount else None
    return {} if coin is None else {str(pair): pair for pair in coin.pairs}


def configured_fee_pairs(project: Project) -> dict[str, Pair]:
    """Return the same if any section of the configuration says that fees are paid in the coin."""
    config = project.config
    sections = (config.backtest.fees, config.emulator.fees, config.live.fees)
    return fee_pairs(project) if any(fees is not None and fees.bito for fees in sections) else {}
