"""The pytest fixtures for other projects, used the way those projects use them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from botkit.emulator.thread import EmulatorThread
    from botkit.exchange.bitopro.rest import BitoProClient


@pytest.mark.emulator(balance="twd=500")
def test_a_test_without_an_event_loop_can_use_the_emulator(emulator: EmulatorThread) -> None:
    with urllib.request.urlopen(emulator.rest + "/tickers/btc_twd") as answer:
        assert json.load(answer)["data"]["pair"] == "btc_twd"
    assert (
        emulator.call(lambda e: e.venue.kernel.account(emulator.account.email).balances().balances["twd"])
        == (500 * 10**8,) * 2
    )
    emulator.call(lambda e: e.add_fault({"kind": "error_before", "where": "ticker", "count": 1}))
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(emulator.rest + "/tickers/btc_twd")


async def test_a_client_created_by_the_fixture_can_be_opened(bitopro_client: BitoProClient) -> None:
    async with bitopro_client as client:
        reply = await client.create_order("btc_twd", "BUY", "MARKET", amount="1000")
        assert (await client.order("btc_twd", str(reply.order_id))).status == 2


@pytest.mark.emulator(switches={"unknown_order": "404"}, lockstep=True)
def test_a_marker_sets_emulator_switches(emulator: EmulatorThread) -> None:
    assert emulator.call(lambda e: e.options.switches["unknown_order"]) == "404"
    now, told = emulator.call(lambda e: e.step(e.clock.now() + 10**9))
    assert (now, told) == (emulator.clock.now(), [])


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ('balanc="twd=5"', "Unexpected keyword argument 'balanc'"),
        ('"twd=5"', "'twd=5' must be passed by name, such as balance="),
        ('balance="usd=5"', "balance usd: the exchange does not list this currency"),
        ('balance="twd"', "balance twd: write it as"),
        ('switches={"nope": "1"}', "switch nope: there is no such switch"),
        ("speed=-1", "speed -1: the factor must be above 0"),
    ],
)
def test_a_mistake_in_the_marker_is_reported_in_a_single_sentence(marker: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "test_mine.py"
    file.write_text(f"import pytest\n\n@pytest.mark.emulator({marker})\ndef test_mine(emulator):\n    pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"@pytest.mark.emulator: {told}" in done.stdout
    assert "Traceback" not in done.stdout
    assert "botkit/emulator" not in done.stdout
