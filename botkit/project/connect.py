"""Connects to the exchange named in a configuration."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random
from typing import Any

from botkit.live.clock import DriverClock
from botkit.model.adapter import Adapter
from botkit.model.extension import Exchange
from botkit.project.project import Project


def market_key(project: Project, address: object) -> Hashable:
    """Return a key that is equal for bots that may share a connection. Adapters express amounts in lots, so the key
    includes lot sizes.
    """
    config = project.config
    return address, config.exchange.name, repr(config.exchange.options), repr(config.amount_step)


def connect(
    project: Project,
    account: Any,
    rest: str | None,
    ws: str | None,
    clock: DriverClock,
    *,
    random: Random,
    **more: Any,
) -> Adapter:
    """Return an unopened adapter for the configuration's exchange. ``random`` and ``clock`` default to the machine's
    random source and clock; ``more`` are further options for the exchange's plugin.
    """
    found = project.plugins.pick("exchanges", project.config.exchange.name, project.loaded.where("exchange"))
    exchange: Exchange = found.thing
    return exchange.connect(
        {
            **project.config.exchange.options,
            "account": {"email": account.email, "key": account.key, "secret": account.secret} if account else {},
            "rest": rest,
            "ws": ws,
            "clock": clock,
            "speed": clock.speed,
            "random": random,
            "pairs": project.pairs,
            **more,
        }
    )
