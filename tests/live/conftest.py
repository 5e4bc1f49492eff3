from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from botkit.exchange.bitopro import sign
from botkit.live.notifications import order_news
from tests.live.world import World, make_world
from tests.shared_market import _emulators_share_their_markets

__all__ = ["_emulators_share_their_markets"]


@pytest.fixture(autouse=True)
def fresh_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    # reset the nonces, because they never decrease within a process, while each world starts at the current time and
    # then runs faster than real time
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())


@pytest.fixture(autouse=True)
def every_doubt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # report every unknown outcome immediately, because a minute at the exchange takes a second here; test_news.py
    # covers outcomes that are resolved without a message
    monkeypatch.setattr(order_news, "PATIENCE_S", 0.0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as found:
        yield found
