"""Shortens a broken run's plan by dropping parts, as long as the run still ends with a violation of the original
kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.simulation.plan import Layer, Plan, draw
from tests.simulation.world import Result

REGRESSIONS = Path(__file__).parent / "regressions"
_LISTS = ("acts", "faults", "crashes", "cancels")


def kind_of(broken: str) -> str:
    """Return the kind of a violation: an invariant, liveness, a replay, or the name of an exception."""
    return broken.partition(":")[0]


def shrink(plan: Plan, breaks: Callable[[Plan], str], *, tries: int = 400) -> Plan:
    """Return the plan with as many parts dropped as possible. ``breaks`` runs a plan and returns the violation, or
    "".
    """
    wanted = kind_of(breaks(plan))
    assert wanted, "the plan does not break"
    left = [tries]

    def still(smaller: Plan) -> bool:
        left[0] -= 1
        return left[0] >= 0 and kind_of(breaks(smaller)) == wanted

    has_changed = True
    while has_changed and left[0] > 0:
        has_changed = False
        for smaller in _smaller(plan):
            if still(smaller):
                plan, has_changed = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield plans that each lack a part of this plan: first plans without large parts, finally plans without single
    elements.
    """
    for name in _LISTS:
        parts: tuple[Any, ...] = getattr(plan, name)
        size = len(parts)
        while size >= 1:
            for begin in range(0, len(parts), size):
                yield msgspec.structs.replace(plan, **{name: parts[:begin] + parts[begin + size :]})
            size //= 2
    for switch in plan.switches:
        yield msgspec.structs.replace(plan, switches={k: v for k, v in plan.switches.items() if k != switch})
    if plan.second is not None:
        yield msgspec.structs.replace(plan, second=None)
    if plan.guard_s:
        yield msgspec.structs.replace(plan, guard_s=0.0)
    if plan.has_broker and plan.second is None:
        yield msgspec.structs.replace(plan, has_broker=False)
    if plan.shares_limits:
        yield msgspec.structs.replace(plan, shares_limits=False)
    latest = max([part.at_ms for name in _LISTS for part in getattr(plan, name)], default=0)
    if latest + 500 < plan.active_ms:
        yield msgspec.structs.replace(plan, active_ms=latest + 500)


def story(plan: Plan, result: Result) -> Iterator[str]:
    """Yield a plain-language description of a short plan and its result."""
    kinds = ", ".join(f"{act.kind} {act.pair} at {act.at_ms / 1000:g} s" for act in plan.acts) or "nothing"
    yield f"The strategy: {kinds}."
    if plan.switches:
        yield "The exchange: " + ", ".join(f"{name} {value}" for name, value in plan.switches.items()) + "."
    yield from result.story


def shrink_seed(seed: int, layer: Layer, keep: Path | None) -> int:
    """Execute the --shrink command: shorten a seed's plan, describe the result, and save the plan."""
    from tests.simulation.runner import run_plan

    plan = draw(seed, layer)
    if not run_plan(plan).broken:
        print(f"seed {seed} of layer {layer} does not break")
        return 0
    short = shrink(plan, lambda smaller: run_plan(smaller).broken)
    result = run_plan(short)
    parts = {name: f"{len(getattr(short, name))} of {len(getattr(plan, name))}" for name in _LISTS}
    print("\n".join(story(short, result)))
    print(f"left: {parts}")
    path = keep or REGRESSIONS / f"{layer}_{seed}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(short), indent=1))
    print(f"kept as {path}; it is run by tests/simulation/test_runs.py, and by\n"
          f"  python -m tests.simulation --replay {path} --story")  # fmt: skip
    return 1
