"""Starts emulators for the tests in this folder, in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest_asyncio

from botkit.assembly.emulator import emulator_options, make_emulator
from botkit.emulator import Emulator
from tests.shared_market import _emulators_share_their_markets

__all__ = ["_emulators_share_their_markets"]

Starter = Callable[..., Any]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Starter]:
    """Return a function that starts an emulator for the test: ``emulator = await start(switches=[...])``."""
    async with AsyncExitStack() as stack:

        async def starter(**options: Any) -> Emulator:
            options.setdefault("history_days", 0.05)
            return await stack.enter_async_context(make_emulator(emulator_options(**options)))

        yield starter


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
