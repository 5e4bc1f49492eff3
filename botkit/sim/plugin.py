"""Registers the built-in fee, latency and fill models."""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.extension import ExchangeFacts, FeeModel, LatencyModel, Options, QueueModel, hookimpl
from botkit.sim.fees import FixedFees, RankFees
from botkit.sim.fills import Optimistic, Pessimistic, Queue
from botkit.sim.latency import Constant, Lognormal, Measured


@hookimpl
def botkit_register_fee_models(register: Callable[[str, Callable[[Options, ExchangeFacts], FeeModel]], None]) -> None:
    """Register ``fixed`` and ``rank``."""
    register("fixed", FixedFees)
    register("rank", RankFees)


@hookimpl
def botkit_register_latency_models(register: Callable[[str, Callable[[Options, int], LatencyModel]], None]) -> None:
    """Register ``constant``, ``lognormal`` and ``measured``."""
    register("constant", Constant)
    register("lognormal", Lognormal)
    register("measured", Measured)


@hookimpl
def botkit_register_fill_models(register: Callable[[str, Callable[[Options], QueueModel]], None]) -> None:
    """Register ``queue``, ``optimistic`` and ``pessimistic``, which take no options."""
    register("queue", lambda options: Queue())
    register("optimistic", lambda options: Optimistic())
    register("pessimistic", lambda options: Pessimistic())
