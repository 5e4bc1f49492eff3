"""What a panic reports, whichever of its requests fail."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from botkit.live.panic import OwnOrders, PanicResult, hold_back, outcome_of, panic
from botkit.live.state_folder import StateFolder
from botkit.model.events import OrderReport
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.requests import Answer, CancelAck, CancelAll, Ending, ListOpenOrders, Request
from tests.live.test_ports import MemoryDisk
from tests.report.sample_result import pair

BTC = pair("btc_usdt", 2, least_lots=10_000)
OWN = OwnOrders([{"order_id": "1", "client_id": 7, "pair": "btc_usdt", "side": "buy", "price_ticks": 100}])
FOREIGN = "(not this bot's order): 2 "


def row(order_id: str) -> OrderReport:
    return OrderReport(
        pair=BTC,
        order_id=order_id,
        client_id=None,
        side=Side.BUY,
        type=OrderType.LIMIT,
        state=OrderState.OPEN,
        price_ticks=100,
        original_lots=10**8,
        executed_lots=0,
        executed_units=0,
    )


class Account:
    """An account with one order of the bot and one foreign order. ``listings`` are the outcomes of the first
    listings; an UNKNOWN listing carries the rows that could be read, if ``is_readable``.
    """

    def __init__(self, *listings: Ending, is_readable: bool = False) -> None:
        self.open = [row("1"), row("2")]
        self._listings = list(listings)
        self._is_readable = is_readable
        self.refuses_cancels = False

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        if isinstance(request, ListOpenOrders):
            outcome = self._listings.pop(0) if self._listings else Ending.OK
            body = tuple(self.open) if outcome is Ending.OK or self._is_readable else None
            return Answer(request_id=request.id, outcome=outcome, text="busy", body=body)
        if self.refuses_cancels:
            return Answer(request_id=request.id, outcome=Ending.REFUSED, text="busy")
        ids = [r.order_id for r in self.open]
        if not isinstance(request, CancelAll):
            ids = [order_id for _, order_id in request.orders]  # type: ignore[union-attr]
        self.open = [r for r in self.open if r.order_id not in ids]
        ack = CancelAck(tuple(("btc_usdt", order_id) for order_id in ids))
        return Answer(request_id=request.id, outcome=Ending.OK, body=ack)


async def panicked(account: Account, *, own_only: bool, cancel_all: bool) -> tuple[PanicResult, list[str]]:
    said: list[str] = []
    can: Any = SimpleNamespace(cancel_all=cancel_all, batch_cancel_max=10)
    result = await panic(account, OWN, own_only=own_only, can=can, say=said.append, pause_s=0)
    return result, said


@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize("cancel_all", [True, False])
async def test_all_cancelled_orders_are_counted_and_foreign_ones_named_if_listings_fail(
    failures: int, cancel_all: bool
) -> None:
    account = Account(*[Ending.REFUSED] * failures)
    result, said = await panicked(account, own_only=False, cancel_all=cancel_all)
    assert (result.cancelled, result.foreign, result.left) == (2, 1, ())
    assert outcome_of(result) == "2 orders cancelled, none still open"
    assert [FOREIGN in text for text in said if text.startswith("cancelled too ")] == [True]


@pytest.mark.parametrize("failures", [0, 1])
async def test_a_spared_order_is_named_once_whichever_listing_shows_it_first(failures: int) -> None:
    account = Account(*[Ending.UNKNOWN] * failures)
    result, said = await panicked(account, own_only=True, cancel_all=True)
    assert (result.cancelled, result.foreign, result.left) == (1, 1, ())
    assert [FOREIGN in text for text in said if text.startswith("spared ")] == [True]
    assert [r.order_id for r in account.open] == ["2"]


async def test_an_order_that_stays_open_is_not_counted_as_cancelled() -> None:
    account = Account()
    account.refuses_cancels = True
    result, _ = await panicked(account, own_only=True, cancel_all=False)
    assert (result.cancelled, len(result.left or ())) == (0, 1)


async def test_orders_in_incomplete_listings_are_cancelled_but_nothing_is_claimed_of_the_others() -> None:
    account = Account(*[Ending.UNKNOWN] * 5, is_readable=True)
    result, _ = await panicked(account, own_only=True, cancel_all=False)
    assert [r.order_id for r in account.open] == ["2"]
    assert result.left is None
    assert "check its website" in outcome_of(result)


async def test_a_panic_whose_halt_cannot_be_written_does_not_say_that_the_bot_is_halted(tmp_path: Path) -> None:
    disk = MemoryDisk()
    said: list[str] = []
    folder = StateFolder(tmp_path, disk)
    folder.lock()
    disk.memory.full = True
    is_held = hold_back(folder, 1, said.append)
    assert not is_held
    assert f"end the bot (`kill {folder.holder()}`), free some space, then run `botkit panic` again" in said[0]
    empty = Account()
    empty.open = []
    result, _ = await panicked(empty, own_only=False, cancel_all=True)
    assert outcome_of(result, is_held=is_held) == (
        "0 orders cancelled, none still open. THE BOT IS NOT HALTED and may place new orders at any moment"
    )
    assert outcome_of(result) == "none still open; the running bot cancels its own orders when it is halted"
    assert "NOT HALTED" not in outcome_of(result, is_running=False, is_held=False)
