"""The pytest fixtures for other projects, used the way those projects use them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
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


MISTAKES = {
    'balanc="twd=5"': "Unexpected keyword argument 'balanc'",
    '"twd=5"': "'twd=5' must be passed by name, such as balance=",
    'balance="usd=5"': "balance usd: the exchange does not list this currency",
    'balance="twd"': "balance twd: write it as",
    'switches={"nope": "1"}': "switch nope: there is no such switch",
    "speed=-1": "speed -1: the factor must be above 0",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run a user's tests, one with each mistake, and return what pytest reports about each."""
    folder = tmp_path_factory.mktemp("user")
    tests = [
        f"@pytest.mark.emulator({marker})\ndef test_{number}(emulator):\n    pass\n"
        for number, marker in enumerate(MISTAKES)
    ]
    (folder / "test_mine.py").write_text("\n\n".join(["import pytest", *tests]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{len(MISTAKES)} errors" in done.stdout
    sections = re.split(r"^_+ ERROR at setup of test_\d _+$", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(MISTAKES, sections, strict=True))


@pytest.mark.parametrize("marker", MISTAKES)
def test_a_mistake_in_the_marker_is_reported_in_a_single_sentence(marker: str, told: dict[str, str]) -> None:
    assert f"@pytest.mark.emulator: {MISTAKES[marker]}" in told[marker]
    assert "Traceback" not in told[marker]
    assert "botkit/emulator" not in told[marker]
