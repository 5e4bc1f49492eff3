"""Builds the simulated exchange for backtests and paper trading."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from botkit.model.extension import FeeModel, LatencyModel, QueueModel
from botkit.model.money import UNIT
from botkit.model.pairs import Pair
from botkit.project.project import Project
from botkit.sim.account_setup import AccountSetup
from botkit.sim.kernel import Kernel

ACCOUNT = "main"


def make_kernel(
    project: Project,
    *,
    pairs: Mapping[str, Pair],
    balances: Mapping[str, int],
    fees: FeeModel,
    latency: LatencyModel,
    queue: QueueModel,
    slippage: Decimal | None,
    seed: int,
) -> Kernel:
    """Return the simulated exchange with one account. ``slippage`` is a fraction, for tapes without books."""
    return Kernel(
        pairs=pairs,
        accounts={ACCOUNT: AccountSetup(balances=dict(balances), fees=fees)},
        queue=queue,
        latency=latency,
        limits=project.facts.limits,
        slippage_e8=int((slippage or 0) * UNIT),
        max_book_age_s=project.config.max_book_age_s,
        seed=seed,
        volume_currency=project.facts.volume_currency,
        discount_currency=project.facts.discount_currency,
    )
