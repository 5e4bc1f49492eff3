"""A bot starts from a journal in which an older version of the bot left many unfinished orders, and resolves every
order.

``frozen_journal.py`` contains the actions of the older bot.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from botkit.emulator import DEFAULT_ACCOUNT
from botkit.exchange.bitopro import sign
from botkit.live.bot import Bot
from botkit.model.clock import NS_PER_S
from botkit.model.orders import RESTING_STATES, Order, OrderState
from tests.live.frozen_journal import FIXTURE, execute, frozen_world, started, strategy, venue_as_left
from tests.live.world import until


@pytest.fixture(autouse=True)
def fresh_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    # the emulator's clock starts at the time of the fixture, which is long past
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())


def by_amount(bot: Bot, name: str) -> dict[str, Order]:
    return {f"{order.amount:g}": order for order in strategy(bot, name).open_orders()}


async def test_all_unfinished_orders_and_balances_in_an_old_journal_are_resolved(tmp_path: Path) -> None:
    picture: dict[str, Any] = json.loads((FIXTURE / "venue.json").read_text())
    (tmp_path / "state").mkdir()
    shutil.copy(FIXTURE / "journal.sqlite", tmp_path / "state" / "journal.sqlite")
    async with frozen_world(tmp_path, picture["time"] + 60 * NS_PER_S) as world:
        await venue_as_left(world.emulator, picture)
        ids = {row["new"]["amount_lots"]: row["new"]["client_id"] for row in picture["orders"]}
        execute(world.emulator, ids[2_000_000], 400_000)  # a fill during the downtime
        bot = await started(world)
        p, q = strategy(bot, "p"), strategy(bot, "q")

        # open orders are adopted unchanged, with the fills that occurred while the bot was down
        own, other = by_amount(bot, "p"), by_amount(bot, "q")
        stands = {amount: (order.state.value, order.tag, f"{order.executed:g}") for amount, order in own.items()}
        assert {amount: stands[amount] for amount in ("0.011", "0.013", "0.02", "0.016")} == {
            "0.011": ("open", "plain", "0"),
            "0.013": ("untriggered", "stop", "0"),
            "0.02": ("partly_filled", "", "0.012"),
            "0.016": ("open", "", "0"),
        }
        assert (other["0.012"].state, other["0.012"].post_only) == (OrderState.OPEN, True)
        assert (other["0.014"].state, other["0.014"].tag) == (OrderState.OPEN, "ladder")

        # orders that were in flight or had an unknown outcome are found or proved absent
        fates = [own["0.021"], own["0.022"], other["0.023"], other["0.024"]]
        live = (OrderState.OPEN, OrderState.ABSENT)
        await until(lambda: all(order.state in live for order in fates), 30)
        assert [order.state.value for order in fates] == ["open", "absent", "open", "absent"]
        # an order whose cancel received no response is cancelled again
        await until(lambda: "0.017" not in by_amount(bot, "q"))
        assert (ids[1_700_000], "cancelled") in q.heard
        rows = world.emulator.venue.kernel.orders(DEFAULT_ACCOUNT.email)
        assert {row.order_id for row in rows} == {row["order_id"] for row in picture["orders"]}, "nothing sent again"
        open_at_venue = {row.order_id for row in rows if row.state in RESTING_STATES}
        assert {order.order_id for order in [*p.open_orders(), *q.open_orders()]} == open_at_venue

        # the bot's balances equal the account balances to the last unit
        bot.comparisons.at_once()
        totals = {currency: total for currency, (total, _) in balances(world.emulator).items() if total}
        await until(lambda: {c: units for c, units in bot.view.money.account.items() if units} == totals)
        bot.view.money.check()
        assert not any(bot.view.money.unassigned.values())
        assert p.position("btc_usdt").amount == pytest.approx(0.0299932 + 0.012, rel=0.003)
        assert [fill.lots for fill in bot.journal.fills() if fill.client_id == ids[2_000_000]] == [800_000, 400_000]

        # the strategies' saved state
        assert p.state == {"grid": {"levels": [1, 2.5, "three"]}, "text": "\u2713"}
        assert q.state["count"] == 7
        assert (p.size, q.size) == (0.025, 0.01)
        assert "often" in p.rung, "it was missed"
        assert "daily" not in p.rung
        assert max(order.client_id for order in by_amount(bot, "p").values()) < bot.view.next_client_id

        # the trailing stop still uses the earlier peak price
        p.protect("btc_usdt", trail_pct=30)
        bot.driver.wake()
        assert not any(order.side.value == "sell" and order.type.value != "stop_limit" for order in p.open_orders())
        p.protect("btc_usdt", trail_pct=15)
        bot.driver.wake()
        await until(lambda: p.position("btc_usdt").is_flat)
        bot.view.money.check()


def balances(emulator: Any) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = emulator.venue.kernel.account(DEFAULT_ACCOUNT.email).balances().balances
    return found
