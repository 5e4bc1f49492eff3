"""Runs a bot over HTTP and WebSocket against an emulator that replays its backtest's tape, and compares the
decisions.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

from botkit.assembly.backtest import backtest_parts
from botkit.backtesting.history import history_before
from botkit.backtesting.parts import BacktestParts, first_client_id
from botkit.backtesting.plan import tape_plan
from botkit.backtesting.session import begin_of, run_backtest
from botkit.config.secrets import AccountKeys
from botkit.emulator import Emulator, EmulatorAccount, EmulatorOptions
from botkit.engine.decisions import DecisionLog
from botkit.errors import ConfigError
from botkit.exchange.bitopro.adapter import BitoProAdapter
from botkit.live.lockstep import HeldClock, Lockstep, LockstepResult
from botkit.live.replay import DecisionDifference, compare
from botkit.model.clock import Nanos
from botkit.project.connect import connect
from botkit.project.data import one_tape
from botkit.project.project import Project

#: the decision files of the run over the wire (with the usual file name) and of the backtest
DECISIONS, BACKTEST_DECISIONS = "decisions.jsonl", "backtest.jsonl"
#: a factor for all timeouts, which are in machine time
_PATIENCE = 60.0
_EMAIL = "lockstep@botkit.local"


async def run_lockstep(
    project: Project,
    parts: BacktestParts,
    start: Nanos,
    end: Nanos,
    priced: Iterable[str],
    decisions_to: Callable[[bytes], object],
) -> LockstepResult:
    """Run a backtest's bot from ``start`` to ``end`` over real HTTP and WebSocket, against an emulator that replays the
    backtest's tape.

    ``priced`` lists the pairs that the backtest read, including those needed only for valuation.

    Raises ConfigError if the data is not a single tape, and LockstepError.
    """
    section = project.config.backtest
    # the bot and the exchange share a fee model, as in a backtest, so that the bot uses the correct rank if ranks
    # depend on volume
    fees = parts.fees()
    # a key's nonces never decrease within a process, so each run from the same start time needs its own key
    account = EmulatorAccount(email=_EMAIL, key=secrets.token_hex(8), secret=secrets.token_hex(16))
    options = EmulatorOptions(
        accounts=(account,),
        balances=parts.balances,
        market=one_tape(project),
        market_span=(start, end),
        lockstep=True,
        start=start - 2,
        seed=parts.seed,
        fees=fees,
        latency=project.latency_model(section.latency, "backtest.latency", parts.seed),
        queue=project.queue_model(section.fills, "backtest.fills"),
        max_book_age_s=parts.max_book_age_s,
    )
    decisions = DecisionLog(decisions_to)
    async with Emulator(project.facts, options) as emulator:
        clock = HeldClock(start - 1)
        engine = parts.engine(decisions, fees, first_client_id(parts.seed))
        key = AccountKeys(email=account.email, key=account.key, secret=account.secret)
        # the clock is paused, so a slow machine must not cause timeouts
        adapter = connect(
            project, key, emulator.rest, emulator.ws, clock, random=Random(parts.seed), patience=_PATIENCE
        )
        assert isinstance(adapter, BitoProAdapter)  # the emulator uses BitoPro's protocol; lockstep counts its frames
        plan = tape_plan(priced, start, end)
        lockstep = Lockstep(
            engine,
            adapter,
            emulator.rest.removesuffix("/v3"),
            clock,
            lambda wanted, now: history_before(parts.feed, wanted, now, plan),
        )
        await lockstep.open()
        try:
            await lockstep.run(parts.balances, begin_of(parts), start, end, priced)
        finally:
            await lockstep.close()
        emulator.venue.kernel.check()
    engine.view.money.check()
    sha256 = decisions.sha256()
    return LockstepResult(
        start=start,
        end=end,
        decisions=decisions.count,
        sha256=sha256,
        answers=lockstep.answers,
        frames=lockstep.frames,
        split_bursts=lockstep.split_bursts,
    )


async def compare_in_lockstep(project: Project, out: Path) -> tuple[LockstepResult, DecisionDifference | None]:
    """Run a configuration's backtest, then run the same bot over the wire. Return the result of the run over the wire
    and the first difference.

    The decisions of both runs are written to ``out``. Raises BotkitError.
    """
    one_tape(project)
    parts = backtest_parts(project)
    out.mkdir(parents=True, exist_ok=True)
    expected = run_backtest(parts, decisions_to=out / BACKTEST_DECISIONS, readings=False)
    on_candles = [pair for pair in project.bot_pairs() if "candles" in expected.data.kinds.get(pair, "")]
    if on_candles:
        raise ConfigError(
            f"--lockstep: {', '.join(on_candles)} runs on candles, which the exchange does not stream; use a tape "
            f"with trades, "
            "such as `data: [{path: ..., kind: trades}]`"
        )
    with (out / DECISIONS).open("wb") as file:
        result = await run_lockstep(
            project, backtest_parts(project), expected.start, expected.end, expected.data.kinds, file.write
        )
    recorded, replayed = ((out / name).read_text("ascii").splitlines() for name in (BACKTEST_DECISIONS, DECISIONS))
    return result, compare(recorded, replayed, len(recorded), is_whole=True).difference
