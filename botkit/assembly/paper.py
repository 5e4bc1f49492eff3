"""The wiring of paper trading: the exchange's own market data, and the simulated exchange in this process."""

from __future__ import annotations

from botkit.assembly.kernel import ACCOUNT, make_kernel
from botkit.assembly.live_parts import LiveParts, priced_pairs
from botkit.assembly.shared_bots import SharedBots
from botkit.config.money import paper_balances
from botkit.exchange.paper import MARKET_READS, PaperAdapter
from botkit.live.clock import SteadyClock
from botkit.live.limits.sharing import venue_name
from botkit.live.state_folder import StateFolder
from botkit.project.connect import connect
from botkit.project.project import Project


def paper_parts(project: Project, rest: str | None, ws: str | None, shared: SharedBots) -> LiveParts:
    """The parts of a bot on paper. The market needs no account."""
    config, section = project.config, project.config.emulator
    venue = venue_name(project.facts, rest)
    clock = shared.clocks.setdefault(venue, SteadyClock.of(shared.machine.clock))
    market = shared.adapter(
        project,
        lambda: connect(project, None, rest, ws, clock, public=True, random=shared.machine.random),
        address=(rest, ws),
        account="",
    )
    kernel = make_kernel(
        project,
        pairs={str(pair): pair for pair in priced_pairs(project)},
        balances=paper_balances(config, project.currency),
        fees=project.fee_model(*config.simulated_fees),
        latency=project.latency_model(config.backtest.latency, "backtest.latency", config.seed),
        queue=project.queue_model(section.fills, "emulator.fills"),
        slippage=section.slippage,
        seed=config.seed,
    )
    return LiveParts(
        project,
        "paper",
        adapter=PaperAdapter(market, kernel, clock, account=ACCOUNT, speed=clock.speed),
        clock=clock,
        folder=StateFolder.of(config.name, "paper", "paper", shared.machine.disk),
        fees=config.simulated_fees[0],
        latest_accept_s=section.latest_accept_s,
        address=(rest, ws),
        is_new_world=True,
        # market reads are real and count against this address; everything else stays in this process
        ledger=shared.ledger(project, venue, clock),
        endpoints=MARKET_READS,
        machine=shared.machine,
    )
