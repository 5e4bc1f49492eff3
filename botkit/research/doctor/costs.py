"""Variants of a run: with doubled costs, and under other queue assumptions."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from botkit.config.simulated import FeesConfig, FillsConfig
from botkit.model.clock import Nanos
from botkit.project.project import Project

__all__ = ["SLIPPAGE_LEAST", "doubled_costs", "readings"]

#: the smallest realistic half spread; used by the test if the configuration has no slippage
SLIPPAGE_LEAST = Decimal("0.0005")
_LATENCY_LEAST_MS = Decimal(200)
_RATE_MOST = Decimal("0.05")


def doubled_costs(project: Project, now: Nanos) -> Iterator[tuple[str, Project]]:
    """Yield (name of the doubled cost, project with this cost doubled) for fees, slippage, latency, and all costs
    combined.
    """
    section = project.config.backtest
    rates = project.fee_model(section.fees, "backtest.fees").rates(now)
    maker, taker = (Decimal(max(rate, 0)) * 2 / 10**8 for rate in (rates.maker_e8, rates.taker_e8))
    fees = FeesConfig(maker=min(maker, _RATE_MOST), taker=min(taker, _RATE_MOST))
    changes = {"fees": msgspec.structs.replace(section, fees=fees)}
    if section.slippage is not None:
        slippage = min(max(section.slippage * 2, SLIPPAGE_LEAST), Decimal("0.1"))
        changes["slippage"] = msgspec.structs.replace(section, slippage=slippage)
    latency = section.latency
    if latency.model is None and latency.from_ is None:
        later = msgspec.structs.replace(
            latency,
            order_ms=max(latency.order_ms * 2, _LATENCY_LEAST_MS),
            answer_ms=max(latency.answer_ms * 2, _LATENCY_LEAST_MS),
        )
        changes["latency"] = msgspec.structs.replace(section, latency=later)
    for name, changed in changes.items():
        yield name, project.with_backtest(changed)
    whole = section
    for changed in changes.values():
        for field in ("fees", "slippage", "latency"):
            if getattr(changed, field) != getattr(section, field):
                whole = msgspec.structs.replace(whole, **{field: getattr(changed, field)})
    yield "all costs", project.with_backtest(whole)


def readings(project: Project) -> Iterator[tuple[str, Project]]:
    """Yield (queue assumption, project with this assumption) for each queue assumption not used by the
    configuration.
    """
    section = project.config.backtest
    for reading in ("queue", "optimistic", "pessimistic"):
        if reading != section.fills.model:
            yield reading, project.with_backtest(msgspec.structs.replace(section, fills=FillsConfig(model=reading)))
