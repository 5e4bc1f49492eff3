"""The wiring of a bot in lockstep with an emulator: everything as in a backtest but for who answers."""

from __future__ import annotations

from botkit.assembly import BacktestParts, Project, default_bar_grace_ns, make_engine
from botkit.engine.decisions import DecisionLog
from botkit.engine.turn import Engine
from botkit.model.clock import NS_PER_S, Nanos


def lockstep_engine(project: Project, decisions: DecisionLog, start: Nanos) -> Engine:
    """The bot of a configuration's backtest, its account opened, not started: the same pairs, seed and client ids."""
    parts = BacktestParts(project)
    fees = project.fee_model(project.config.backtest.fees, "backtest.fees")
    engine = make_engine(
        project,
        pairs=parts.pairs,
        decisions=decisions,
        seed=parts.seed,
        latest_accept_ns=project.config.backtest.latest_accept_s * NS_PER_S,
        fee_rates=lambda pair: fees.rates(engine.now),
        history=lambda pair, resolution, count: (),
        bar_grace_ns=default_bar_grace_ns(project),
        first_client_id=parts.first_client_id,
    )
    engine.portfolio.open(parts.balances)
    return engine
