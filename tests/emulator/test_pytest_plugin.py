"""The pytest fixtures for other projects, used the way those projects use them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from botkit.emulator.thread import EmulatorThread
    from botkit.exchange.bitopro.rest import BitoProClient


@pytest.mark.emulator(balance="twd=500")
def test_a_test_without_an_event_loop_can_use_the_emulator(emulator: EmulatorThread) -> None:
    with urllib.request.urlopen(emulator.rest + "/tickers/btc_twd") as answer:
        assert json.load(answer)["data"]["pair"] == "btc_twd"
    assert emulator.call(lambda e: e.venue.kernel.ledger(emulator.account.email)["twd"]) == (500 * 10**8,) * 2
    emulator.call(lambda e: e.add_fault({"kind": "error_before", "where": "ticker", "count": 1}))
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(emulator.rest + "/tickers/btc_twd")


async def test_the_client_fixture_can_be_opened(bitopro_client: BitoProClient) -> None:
    async with bitopro_client as client:
        reply = await client.create_order("btc_twd", "BUY", "MARKET", amount="1000")
        assert (await client.order("btc_twd", str(reply.order_id))).status == 2


@pytest.mark.emulator(switches={"unknown_order": "404"}, lockstep=True)
def test_a_marker_sets_switches(emulator: EmulatorThread) -> None:
    assert emulator.call(lambda e: e.options.switches["unknown_order"]) == "404"
    now, told = emulator.call(lambda e: e.step(e.clock.now() + 10**9))
    assert (now, told) == (emulator.clock.now(), [])
