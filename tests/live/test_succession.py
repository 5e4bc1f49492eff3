"""Tests the request slot information that a run leaves for its successor."""

from __future__ import annotations

from pathlib import Path
from random import Random

from botkit.live.journal import Journal
from botkit.live.limits.succession import keep_identity, predecessor
from botkit.model.requests import Ending
from tests.live.killed_bot import NOT_ANSWERED
from tests.live.kills import Forks, kill_world, own_machine
from tests.live.world import World, far_buy, settled, until


def sends(path: Path) -> dict[str, list[bool]]:
    """Return, for each endpoint, whether each request received a response."""
    journal = Journal.open(path, read_only=True)
    found: dict[str, list[bool]] = {}
    for sent in journal.sends_since(0):
        found.setdefault(sent.endpoint, []).append(sent.answered is not None)
    journal.close()
    return found


async def test_with_a_shared_ledger_a_killed_bots_sent_requests_are_known_to_its_successor(tmp_path: Path) -> None:
    with own_machine(tmp_path):
        async with Forks.open() as forks, kill_world(tmp_path) as world:
            # never answered: on a busy machine, the answer might otherwise arrive before the bot dies
            for where in ("create_order", "create_batch"):
                world.emulator.add_fault({"kind": "lost_answer", "where": where})
            await world.kill(forks, NOT_ANSWERED, Random(1))
            journal = Journal.open(world._state_folder().journal)
            before = predecessor(journal, 0)
            assert before is not None
            assert before.ledger
            assert {"create_order", "balance", "open_orders"} <= {sent.endpoint for sent in before.sent}
            assert any(sent.answered is None for sent in before.sent if sent.endpoint == "create_order")
            # a run that does not share its limits with other processes leaves no information for its successor
            keep_identity(journal, None)
            assert predecessor(journal, 0) is None
            journal.close()


async def test_a_request_with_an_unknown_outcome_is_stored_as_unanswered(world: World) -> None:
    bot = await world.start()
    first = far_buy(bot)
    await settled(first)
    world.emulator.add_fault({"kind": "error_after", "where": "create_order", "count": 1})
    far_buy(bot)
    await until(lambda: bot.outcomes.get(Ending.UNKNOWN), 60)
    await world.crash(bot)
    assert sends(bot.parts.folder.journal)["create_order"] == [True, False]
