"""Fixtures for testing code that uses BitoPro's protocol; pytest finds them if botkit is installed.

    def test_buys(bitopro_client):
        async def buy():
            async with bitopro_client as client:
                return await client.create_order("btc_twd", "BUY", "MARKET", amount="1000")

        assert asyncio.run(buy()).order_id  # with pytest-asyncio the test itself may be async

    @pytest.mark.emulator(balance="twd=500", switches={"keepalive": "observed"})
    def test_my_own_client(emulator):
        emulator.call(lambda e: e.add_fault({"kind": "lost_answer", "where": "create_order", "count": 1}))
        MyClient(emulator.rest, emulator.account.key, emulator.account.secret).buy()

`botkit.testing.strategy_cases` and `botkit.testing.adapter_cases` create test classes for strategies and adapters.

The emulator runs in its own thread, so it works in tests with and without an event loop. The marker takes the arguments
of `botkit.assembly.emulator.emulator_options`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from botkit.emulator.thread import EmulatorThread
    from botkit.exchange.bitopro.rest import BitoProClient

__all__ = [
    "bitopro_client",
    "emulator",
]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "emulator(**options): set the behaviour of the `emulator` fixture's exchange")


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorThread]:
    """Start a new BitoPro emulator on this machine, on its own port."""
    # imported here because pytest loads this module in every project that has botkit installed
    from botkit.assembly.emulator import emulator_options, make_emulator
    from botkit.emulator.thread import EmulatorThread
    from botkit.errors import ConfigError

    marker = request.node.get_closest_marker("emulator")
    chosen: dict[str, Any] = {"history_days": 0.05} | (dict(marker.kwargs) if marker is not None else {})
    if marker is not None and marker.args:
        _refuse(f'{marker.args[0]!r} must be passed by name, such as balance="twd=500"')
    with ExitStack() as stack:
        try:
            options = emulator_options(**chosen)
            running = stack.enter_context(EmulatorThread(lambda: make_emulator(options)))
        except TypeError as error:  # an option that does not exist, or a value of the wrong type
            _refuse(str(error))
        except ConfigError as error:
            _refuse(str(error).removeprefix("--"))  # error messages use the options' command-line names
        yield running


def _refuse(why: str) -> NoReturn:
    pytest.fail(f"@pytest.mark.emulator: {why}", pytrace=False)


@pytest.fixture
def bitopro_client(emulator: EmulatorThread) -> BitoProClient:
    """Return an unopened client for the emulator's first account: ``async with bitopro_client as client``."""
    from botkit.exchange.bitopro.rest import BitoProClient

    account = emulator.account
    return BitoProClient(
        account.email,
        account.key,
        account.secret,
        rest_url=emulator.rest,
        ws_url=emulator.ws,
        clock=emulator.clock,
        allow_withdrawals=True,
    )
