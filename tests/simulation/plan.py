"""Plans a run from its seed before it starts: the strategy's actions, the faults, and the bot's crashes.

A `Plan` is plain data. It is drawn once, printed when a run breaks an invariant, shortened by dropping parts, and saved
as a regression test. All random choices in a run are either part of its plan or derived from its seed.
"""

from __future__ import annotations

from random import Random
from typing import Final, Literal

import msgspec

from tests.simulation import damage

Layer = Literal["core", "whole"]

PAIRS: Final = ("btc_usdt", "eth_usdt")

#: the strategy's possible actions, with their relative frequencies
ACTS: Final = {
    "buy_far": 14,
    "sell_far": 12,
    "buy_touch": 8,
    "sell_touch": 8,
    "post_only": 6,
    "stop": 5,
    "market_buy": 5,
    "market_sell": 5,
    "expiring": 4,
    "many": 4,
    "cancel": 14,
    "cancel_all": 2,
    "replace": 10,
    "quote": 8,
    "unquote": 2,
    "protect": 3,
    "unprotect": 1,
    "close": 2,
    "target": 3,
}


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One action of the strategy, ``at_ms`` after its first start. ``x`` and ``y`` are between 0 and 1."""

    at_ms: int
    kind: str
    pair: str
    x: float
    y: float


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault. Its kind is one of the emulator's fault kinds (`botkit.emulator.faults`) or a network, clock, disk or
    process fault.
    """

    at_ms: int
    for_ms: int
    kind: str
    where: str = "*"
    share: float = 1.0
    count: int | None = None
    value: float | None = None
    jitter: float = 0.0


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Damage to the journal between two lives of the bot (`tests.simulation.damage`)."""

    kind: str
    x: float
    y: float


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """The bot's process dies as if killed with kill -9, ``rounds`` loop iterations after the trigger. With
    ``is_cancel``, its task is instead cancelled at that point and cleans up.

    The trigger is ``at_ms`` into the run, or the ``nth`` occurrence from then on of the action ``on``: "send" (a
    request is passed to the adapter), "create", "cancel", "answer", or "write" (the disk is written; the bot then dies
    before the write if ``rounds`` is odd, and after it if even). With ``silently``, the machine is unplugged and
    unsynced data is lost.
    """

    at_ms: int
    on: str = ""
    nth: int = 1
    rounds: int = 0
    silently: bool = False
    down_ms: int = 500
    is_cancel: bool = False
    damage: Damage | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Cancels the task of one request ``rounds`` loop iterations after the request was sent, wherever the task is
    waiting.

    The request is the ``nth`` request of kind ``on`` ("create", "cancel" or "read") sent at or after ``at_ms``.
    """

    at_ms: int
    on: str
    nth: int
    rounds: int


class SecondPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The actions of a second bot on the account, and the times of its deaths."""

    acts: tuple[Act, ...]
    deaths_ms: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of an entire run."""

    seed: int
    layer: Layer
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]
    crashes: tuple[Crash, ...]
    switches: dict[str, str]
    #: True if the bot shares its limits through an in-process ledger
    shares_limits: bool = False
    #: when faults and actions end, in milliseconds
    active_ms: int = 20_000
    second: SecondPlan | None = None
    cancels: tuple[Cancel, ...] = ()
    #: True if rate-limit windows are kept full for a while
    fills_windows: bool = False
    #: the guard's patience in seconds; 0 for no guard
    guard_s: float = 0.0
    #: True if limits are shared through the machine's broker
    has_broker: bool = False
    #: True if the exchange allows so few creates a second that their windows are full for a while
    has_few_creates: bool = False


def features(plan: Plan) -> frozenset[str]:
    """Return the fault classes in a plan, plus "power_cut" for a crash with a power cut, and names that start with
    "full_windows_" for faults while windows are full.
    """
    found = {fault.kind for fault in plan.faults}
    found |= {crash.damage.kind for crash in plan.crashes if crash.damage is not None}
    found |= {"power_cut" for crash in plan.crashes if crash.silently and not crash.is_cancel}
    if plan.cancels:
        found.add("request_cancelled")
    if plan.second is not None:
        found.add("second_dies")
    if plan.guard_s:
        found.add("guard_strikes")
    if plan.shares_limits or plan.has_broker:
        found.add("ledger")
    elif plan.has_few_creates:
        found.add("few_creates")
    for fault in plan.faults:
        if fault.kind == "error_after" and fault.value == REFUSED_THOUGH_DONE:
            found.add("refused_though_done")
        elif fault.kind == "delay_answer" and fault.for_ms >= _LONG_SLEEP_MS:
            found.add("asleep_while_comparing")
        elif fault.kind == "forbidden" and fault.where == "get_order":
            found.add("read_refused")
    if any(act.kind == "replace_inside" for act in plan.acts):
        found.add("filled_while_replaced")
    if plan.fills_windows:
        if any(fault.where == "cancel_batch" and fault.for_ms == _FULL_MS for fault in plan.faults):
            found.add("full_windows_late")
        ends = {fault.at_ms + fault.for_ms for fault in plan.faults if fault.where == "cancel_batch"}
        if any(crash.at_ms in ends for crash in plan.crashes):
            found.add("full_windows_late_death")
        if any(crash.on == "cancel" and crash.down_ms == 50 for crash in plan.crashes):
            found.add("full_windows_death")
        if plan.second is not None:
            found.add("full_windows_shared")
    return frozenset(found)


#: the bounds of each fault's value, by kind
_REQUEST_FAULTS: Final = {
    "delay_request": (50, 1500),
    "delay_answer": (50, 6000),
    "lost_request": None,
    "lost_answer": None,
    "late_arrival": (10, 1500),
    "error_before": None,
    "error_after": None,
    "forbidden": None,
    "storm_429": None,
    "garbage": None,
    "truncated": None,
    "slow_body": (100, 6000),
    "reset": None,
    "reset_after": None,
    "lagging": (100, 1500),
    "shuffled": None,
    "unfiltered": None,
}
_ORDER_PLACES: Final = ("create_order", "create_order", "create_order", "create_batch", "cancel_order", "cancel_batch")
_READ_PLACES: Final = ("all_orders", "open_orders", "my_trades", "balance", "get_order")
_LISTING_KINDS: Final = ("lagging", "shuffled", "unfiltered")
_STREAM_FAULTS: Final = (
    *("ws_silence", "ws_close", "ws_abort", "ws_drop", "ws_duplicate", "ws_reorder", "ws_garbage", "ws_refuse"),
)
_STREAM_PLACES: Final = (
    *("*", "active_orders", "order_history", "account_balance", "user_trades", "order_book", "trades"),
)
#: faults that strike while any message is exchanged
_SURE_FAULTS: Final = ("delay_request", "delay_answer", "ws_drop", "ws_duplicate", "ws_reorder")
NETWORK_FAULTS: Final = ("net_reset", "net_stall", "net_half_open", "net_slow", "net_cut")
#: the bot's process is stopped and later continued, or its machine sleeps, which stops the monotonic clock
_SUSPENSIONS: Final = ("suspend_process", "suspend_machine")
#: temporary disk faults
_DISK_FAULTS: Final = ("disk_full", "disk_tight", "disk_read_only", "disk_failing")
#: faults caused by a power cut
_POWER_CUT: Final = ("disk_torn", "disk_lost_sqlite", "disk_lost_file")
#: events caused by other processes
_OTHERS: Final = ("panic", "panic_own", "broker_killed", "second_dies", "guard_strikes")
#: all fault classes, in the order in which a long run reports their counts
FAULT_CLASSES: Final = (
    *(*_REQUEST_FAULTS, *_STREAM_FAULTS, *NETWORK_FAULTS, "clock_jump"),
    *(*_SUSPENSIONS, *_OTHERS, "request_cancelled"),
    *(*_DISK_FAULTS, *_POWER_CUT, *damage.KINDS),
)
#: how long the cancel windows are kept full
_FULL_MS: Final = 3_500
#: the status of an answer that calls an order refused which the exchange has accepted (layer core)
REFUSED_THOUGH_DONE: Final = 400
#: a suspension of this length must be followed by a comparison with the exchange; no other fault lasts as long
_LONG_SLEEP_MS: Final = 16_000
_SWITCHES: Final = {
    "active_final": ("on", "off"),
    "whole_seconds": ("on", "off"),
    "open_orders_seconds": ("on", "off"),
    "null_lists": ("on", "off"),
    "unknown_order": ("422", "404", "blank"),
    "repeat_books": ("on", "off"),
    "batch": ("all_or_nothing", "best_effort"),
    "user_trade_fee_scaled": ("on", "off"),
    "keepalive": ("documented", "observed"),
    "nonce": ("any", "increasing"),
}


class _Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much happens in a plan. The bounds are those of ``Random.randrange``."""

    active_ms: tuple[int, int]
    acts: tuple[int, int]
    #: actions at one moment
    burst: tuple[int, int]
    faults: tuple[int, int]
    #: the maximum duration of a fault
    fault_ms: int
    #: the probability of a single crash, and the number of crashes otherwise
    one_crash: float
    crashes: tuple[int, int]
    #: how often many orders are placed and all cancelled
    rushes: int
    #: determines the number of orders that fill the windows each time (``Act.x``)
    filling: float
    second_acts: tuple[int, int]
    #: the patience of guards; a bot must be well for longer before its guard is judged
    guards_s: tuple[float, ...]
    #: the part of the active time that is over before a panic or a suspension, after which few orders are placed
    before_halts: float
    #: True if ten orders and a fault of many messages are at the start, so that nearly every run counts
    is_sure: bool


#: most plans are only as long as a run that counts needs to be: what is found per second of CPU depends on how many
#: different plans are run, not on how long each is
_SHORT: Final = _Size(
    active_ms=(8_000, 13_000),
    acts=(18, 30),
    burst=(8, 16),
    faults=(3, 6),
    fault_ms=4_000,
    one_crash=0.75,
    crashes=(2, 4),
    rushes=1,
    filling=0.05,
    second_acts=(10, 24),
    guards_s=(2.0, 2.0, 4.0),
    before_halts=0.5,
    is_sure=True,
)
#: some branches are reached only after a while
_LONG: Final = _Size(
    active_ms=(15_000, 30_000),
    acts=(40, 80),
    burst=(10, 30),
    faults=(3, 9),
    fault_ms=8_000,
    one_crash=0.6,
    crashes=(2, 5),
    rushes=2,
    filling=0.3,
    second_acts=(20, 50),
    guards_s=(2.0, 4.0, 8.0),
    before_halts=0.0,
    is_sure=False,
)
#: the share of short plans: a long one costs 1.7 times as much, and finds little that a short one does not
_SHORT_SHARE: Final = 0.9


def draw(seed: int, layer: Layer, *, is_long: bool | None = None) -> Plan:
    """Return the plan for a seed. ``is_long`` overrides the plan's size, which the seed determines too."""
    if is_long is None:
        is_long = Random(f"size {layer} {seed}").random() >= _SHORT_SHARE
    size = _LONG if is_long else _SHORT
    chance = Random(f"plan {layer} {seed}")
    active_ms = chance.randrange(*size.active_ms)
    acts = [_act(chance, active_ms) for _ in range(chance.randrange(*size.acts))]
    if chance.random() < 0.3:  # bursts reach the limits and cause batching
        at_ms = chance.randrange(1_000, active_ms)
        burst = range(chance.randrange(*size.burst))
        acts += [msgspec.structs.replace(_act(chance, active_ms), at_ms=at_ms) for _ in burst]
    faults = [_fault(chance, active_ms, size) for _ in range(chance.randrange(*size.faults))]
    crashes = [
        _crash(chance, active_ms)
        for _ in range(1 if chance.random() < size.one_crash else chance.randrange(*size.crashes))
    ]
    switches = {name: chance.choice(values) for name, values in _SWITCHES.items() if chance.random() < 0.3}
    # Each read whose connection is lost holds a slot for a minute, and the window for this read has five slots. After
    # five losses, the bot cannot retry the read until that minute is over, and the minute is longer than the calm
    # phase.
    faults = [
        msgspec.structs.replace(fault, count=min(fault.count or 3, 3))
        if fault.where == "open_orders" and fault.kind in ("reset", "reset_after", "late_arrival")
        else fault
        for fault in faults
    ]
    chance = Random(f"bursts {layer} {seed}")
    if chance.random() < 0.15:  # many orders that are all cancelled repeatedly: more cancels than a window allows
        begin = chance.randrange(500, active_ms - (12_000 if is_long else 5_000))
        for at_ms in range(begin, begin + 4_000 * size.rushes, 4_000):
            acts += [Act(at_ms=at_ms + 300 * i, kind="many", pair=PAIRS[0], x=0.6, y=0.0) for i in range(4)]
            acts.append(Act(at_ms=at_ms + 2_000, kind="cancel_all", pair=PAIRS[0], x=0.0, y=0.0))
    if size.is_sure:
        chance = Random(f"sure {layer} {seed}")
        x = round(chance.uniform(0.5, 1.0), 6)
        acts.append(Act(at_ms=chance.randrange(1_000), kind="many", pair=PAIRS[0], x=x, y=0.0))
        kind = chance.choice(_SURE_FAULTS)
        bounds = _REQUEST_FAULTS.get(kind)
        faults.append(
            Fault(
                at_ms=chance.randrange(500, 3_000),
                for_ms=chance.randrange(4_000, 8_000),
                kind=kind,
                share=0.5,
                count=chance.randrange(3, 6),
                value=None if bounds is None else chance.randrange(*bounds),
            )
        )
        chance = Random(f"cancels lost {layer} {seed}")
        if chance.random() < 0.3:  # a short plan has few cancels, so that its other faults seldom strike one
            faults.append(
                Fault(
                    at_ms=chance.randrange(500, active_ms // 2),
                    for_ms=chance.randrange(2_000, 5_000),
                    kind=chance.choice(("lost_request", "lost_answer", "reset_after")),
                    where=chance.choice(("cancel_order", "cancel_batch")),
                    count=chance.choice((1, 2)),
                )
            )
    windows = Random(f"windows {layer} {seed}")
    begin = windows.randrange(1_000, active_ms - (8_000 if is_long else 5_000)) if windows.random() < 0.12 else None
    if begin is not None:
        acts += _full_windows(begin, size)
        _add_to_full_windows(windows, begin, faults, crashes)
    # drawn from separate generators, so that the rest of a seed's plan does not change
    _add_disk(Random(f"disk {layer} {seed}"), active_ms, faults, crashes)
    _add_suspension(Random(f"suspension {layer} {seed}"), active_ms, size, faults)
    second, guard_s = _add_others(Random(f"others {layer} {seed}"), active_ms, size, faults, crashes)
    if begin is not None and (second is not None or windows.random() < 0.4):
        both = [*_full_windows(begin, size), *(() if second is None else second.acts)]
        deaths = () if second is None else second.deaths_ms
        second = SecondPlan(acts=tuple(sorted(both, key=lambda act: act.at_ms)), deaths_ms=deaths)
    has_panic = any(fault.kind.startswith("panic") for fault in faults)
    chance = Random(f"rare {layer} {seed}")
    has_few_creates = layer == "core" and chance.random() < 0.06
    if has_few_creates:
        _fill_creates(chance, active_ms, acts, faults)
    if layer == "core" and chance.random() < 0.1:
        _refuse_though_done(chance, active_ms, acts, faults)
    if chance.random() < 0.1:
        _refuse_reads(chance, active_ms, acts, faults)
    _sleep_while_comparing(chance, acts, faults)
    if begin is not None and chance.random() < 0.6:
        _die_before_cancels_arrive(chance, begin, faults, crashes)
    chance = Random(f"replaced {layer} {seed}")
    if chance.random() < 0.15:
        _fill_while_replaced(chance, active_ms, acts, faults)
    chance = Random(f"slow {layer} {seed}")
    if chance.random() < 0.25:  # some streams lag seconds behind the other streams and the listings
        faults.append(
            Fault(
                at_ms=chance.randrange(0, active_ms),
                for_ms=chance.randrange(700, 1_800),
                kind="net_slow",
                share=chance.choice((0.5, 0.3)),
            )
        )
    chance = Random(f"cancels {layer} {seed}")
    cancels = [_cancel(chance, active_ms) for _ in range(chance.randrange(1, 5))] if chance.random() < 0.3 else []
    return Plan(
        cancels=tuple(sorted(cancels, key=lambda cancel: cancel.at_ms)),
        second=second,
        guard_s=guard_s,
        fills_windows=begin is not None,
        has_broker=second is not None or guard_s > 0 or has_panic,
        seed=seed,
        layer=layer,
        acts=tuple(sorted(acts, key=lambda act: act.at_ms)),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_ms)),
        crashes=tuple(sorted(crashes, key=lambda crash: crash.at_ms)),
        switches=switches,
        shares_limits=chance.random() < 0.3,
        has_few_creates=has_few_creates,
        active_ms=active_ms,
    )


def _full_windows(begin: int, size: _Size) -> list[Act]:
    """Return actions that, over several seconds, cancel more batches than the one-second window for batch cancels
    allows.
    """
    acts = []
    for at_ms in range(begin, begin + _FULL_MS, 250):  # each time the strategy checks its list
        acts.append(Act(at_ms=at_ms, kind="cancel_all", pair=PAIRS[0], x=0.9, y=0.0))
        acts.append(Act(at_ms=at_ms, kind="many", pair=PAIRS[0], x=size.filling, y=0.0))
    return acts


def _add_to_full_windows(chance: Random, begin: int, faults: list[Fault], crashes: list[Crash]) -> None:
    """Add faults while windows are full: late or lost batch cancels, or the death of the bot."""
    if chance.random() < 0.6:
        kind = chance.choice(("late_arrival", "reset_after", "delay_request"))
        value = None if kind == "reset_after" else chance.randrange(200, 900)
        share = chance.choice((1.0, 0.5))
        faults.append(Fault(at_ms=begin, for_ms=_FULL_MS, kind=kind, where="cancel_batch", share=share, value=value))
    if chance.random() < 0.6:
        crashes.append(
            Crash(
                # at the second batch or a later one
                at_ms=begin + chance.choice((200, 260, chance.randrange(_FULL_MS))),
                on="cancel",
                nth=chance.choice((1, 1, 2)),
                rounds=chance.choice((1, 2, 3, chance.randrange(4, 20))),
                down_ms=50,
            )
        )


def _fill_creates(chance: Random, active_ms: int, acts: list[Act], faults: list[Fault]) -> None:
    """Place more orders than the windows for creates allow, in both pairs in turn, while some lose their answers: a
    look-up then finds them.
    """
    begin = chance.randrange(1_000, active_ms - 6_000)
    for i, at_ms in enumerate(range(begin, begin + _FULL_MS, 250)):
        acts.append(Act(at_ms=at_ms, kind="many", pair=PAIRS[i % 2], x=0.6, y=0.0))
        if i % 3 == 2:
            acts.append(Act(at_ms=at_ms, kind="cancel_all", pair=PAIRS[0], x=0.9, y=0.0))
    kind = chance.choice(("reset_after", "late_arrival"))
    value = None if kind == "reset_after" else chance.randrange(10, 300)
    where = chance.choice(("create_order", "create_order", "create_batch"))
    faults.append(Fault(at_ms=begin, for_ms=_FULL_MS, kind=kind, where=where, share=0.2, value=value))


def _refuse_though_done(chance: Random, active_ms: int, acts: list[Act], faults: list[Fault]) -> None:
    """Accept orders far from the market and call them refused. Half of the time the listing does not show them yet and
    their stream is down, so that they turn up once the bot holds them for refused.
    """
    begin = chance.randrange(1_000, active_ms - 6_000)
    acts += [Act(at_ms=begin + 500 * i, kind="buy_far", pair=PAIRS[i % 2], x=0.1, y=0.0) for i in range(4)]
    kind, where, value = "error_after", "create_order", REFUSED_THOUGH_DONE
    faults.append(Fault(at_ms=begin, for_ms=2_000, kind=kind, where=where, count=2, value=value))
    if chance.random() < 0.5:
        faults.append(Fault(at_ms=begin - 300, for_ms=3_000, kind="ws_refuse", where="active_orders"))
        faults.append(Fault(at_ms=begin, for_ms=2_500, kind="lagging", where="all_orders", value=1_400))


def _refuse_reads(chance: Random, active_ms: int, acts: list[Act], faults: list[Fault]) -> None:
    """Cancel all orders and lose the reports of it, so that each order is read, and refuse the first reads."""
    at_ms = chance.randrange(1_000, active_ms - 4_000)
    acts.append(Act(at_ms=at_ms, kind="cancel_all", pair=PAIRS[0], x=0.9, y=0.0))
    faults.append(Fault(at_ms=at_ms, for_ms=4_000, kind="forbidden", where="get_order", count=2))
    where = chance.choice(("*", "order_history"))
    faults.append(Fault(at_ms=at_ms - 500, for_ms=2_000, kind="ws_drop", where=where))


def _sleep_while_comparing(chance: Random, acts: list[Act], faults: list[Fault]) -> None:
    """Let a long suspension fall into a comparison with the exchange, and place orders after it."""
    asleep = next((fault for fault in faults if fault.kind in _SUSPENSIONS and fault.for_ms >= _LONG_SLEEP_MS), None)
    if asleep is None or chance.random() < 0.5:
        return
    at_ms, woke_ms = max(0, asleep.at_ms - 800), asleep.at_ms + asleep.for_ms
    faults.append(Fault(at_ms=at_ms, for_ms=100, kind="ws_refuse", where="account_balance"))
    for_ms, value = woke_ms + 5_000 - at_ms, chance.randrange(1_500, 3_000)
    faults.append(Fault(at_ms=at_ms, for_ms=for_ms, kind="delay_answer", where="balance", value=value))
    for i in range(20):
        acts.append(Act(at_ms=woke_ms + 250 * i, kind="buy_far", pair=PAIRS[i % 2], x=0.5, y=0.0))


def _fill_while_replaced(chance: Random, active_ms: int, acts: list[Act], faults: list[Fault]) -> None:
    """Sell into the account's own best bid, which is being replaced, while the cancel is on its way."""
    at_ms, pair = chance.randrange(1_000, active_ms - 4_000), chance.choice(PAIRS)
    x = round(chance.random(), 6)
    acts.append(Act(at_ms=at_ms, kind="buy_inside", pair=pair, x=x, y=1.0))
    acts.append(Act(at_ms=at_ms + 500, kind="replace_inside", pair=pair, x=x, y=0.0))
    acts.append(Act(at_ms=at_ms + 750, kind="market_sell", pair=pair, x=x, y=0.0))
    value = chance.randrange(500, 1_500)
    faults.append(Fault(at_ms=at_ms, for_ms=2_000, kind="delay_request", where="cancel_order", value=value))


def _die_before_cancels_arrive(chance: Random, begin: int, faults: list[Fault], crashes: list[Crash]) -> None:
    """Let batched cancels seem lost, and the bot die before they arrive: it is back while the windows count them."""
    for_ms, value = chance.randrange(600, 1_500), chance.randrange(600, 900)
    faults.append(Fault(at_ms=begin, for_ms=for_ms, kind="late_arrival", where="cancel_batch", value=value))
    crashes.append(Crash(at_ms=begin + for_ms, down_ms=50))


def _add_disk(chance: Random, active_ms: int, faults: list[Fault], crashes: list[Crash]) -> None:
    if chance.random() < 0.35:
        kind = chance.choice(_DISK_FAULTS)
        faults.append(
            Fault(
                at_ms=chance.randrange(0, active_ms),
                for_ms=chance.randrange(300, 6_000),
                kind=kind,
                value=chance.choice((2_000, 10_000, 100_000)) if kind == "disk_tight" else None,
            )
        )
    if chance.random() < 0.4:
        at = chance.randrange(len(crashes))
        found = Damage(kind=chance.choice(damage.KINDS), x=round(chance.random(), 6), y=round(chance.random(), 6))
        crashes[at] = msgspec.structs.replace(crashes[at], damage=found, is_cancel=False)
    if chance.random() < 0.4:  # a power cut during a write
        crashes.append(
            Crash(
                at_ms=chance.randrange(500, active_ms),
                on="write",
                nth=chance.randrange(1, 40),
                rounds=chance.choice((0, 1, 1, 1)),
                silently=True,
            )
        )


def _add_suspension(chance: Random, active_ms: int, size: _Size, faults: list[Fault]) -> None:
    if chance.random() < 0.2:
        low, high = chance.choices(((500, 14_000), (16_000, 40_000), (60_000, 150_000)), (4, 4, 1))[0]
        faults.append(
            Fault(
                at_ms=chance.randrange(int(size.before_halts * active_ms), active_ms),
                for_ms=chance.randrange(low, high),
                kind=chance.choice(_SUSPENSIONS),
                share=chance.choice((0.0, 0.5, 1.0)),
            )
        )


def _add_others(
    chance: Random, active_ms: int, size: _Size, faults: list[Fault], crashes: list[Crash]
) -> tuple[SecondPlan | None, float]:
    second, guard_s = None, 0.0
    if chance.random() < 0.2:
        count = chance.randrange(*size.second_acts)
        acts = sorted((_act(chance, active_ms) for _ in range(count)), key=lambda act: act.at_ms)
        deaths = sorted(chance.randrange(1_000, active_ms) for _ in range(chance.randrange(1, 3)))
        second = SecondPlan(acts=tuple(acts), deaths_ms=tuple(deaths))
    if chance.random() < 0.2:
        guard_s = chance.choice(size.guards_s)
        at = chance.randrange(len(crashes))
        crashes[at] = msgspec.structs.replace(crashes[at], down_ms=int(guard_s * 1000) + 6_000)
    if chance.random() < 0.12:
        kind = chance.choice(("panic", "panic_own"))
        at_ms = chance.randrange(max(1_000, int(size.before_halts * active_ms)), active_ms)
        faults.append(Fault(at_ms=at_ms, for_ms=1, kind=kind))
        # the halt from a panic would mask the halt for a damaged journal, so plan no damage
        crashes[:] = [msgspec.structs.replace(crash, damage=None) for crash in crashes]
    if chance.random() < 0.12:
        faults.append(
            Fault(at_ms=chance.randrange(0, active_ms), for_ms=chance.choice((50, 2_000, 8_000)), kind="broker_killed")
        )
    return second, guard_s


def _cancel(chance: Random, active_ms: int) -> Cancel:
    return Cancel(
        at_ms=chance.randrange(500, active_ms),
        on=chance.choice(("create", "create", "cancel", "read")),
        nth=chance.randrange(1, 4),
        rounds=chance.choice((0, 1, 2, 3, chance.randrange(4, 60))),
    )


def _act(chance: Random, active_ms: int) -> Act:
    return Act(
        at_ms=chance.randrange(0, active_ms),
        kind=chance.choices(list(ACTS), list(ACTS.values()))[0],
        pair=PAIRS[0] if chance.random() < 0.7 else PAIRS[1],
        x=round(chance.random(), 6),
        y=round(chance.random(), 6),
    )


def _fault(chance: Random, active_ms: int, size: _Size) -> Fault:
    at_ms = chance.randrange(0, active_ms)
    draw = chance.random()
    if draw < 0.55:
        kind = chance.choice(list(_REQUEST_FAULTS))
        if kind in _LISTING_KINDS or chance.random() < 0.25:
            where = chance.choice(_READ_PLACES)
        else:
            where = chance.choice(_ORDER_PLACES)
        bounds = _REQUEST_FAULTS[kind]
        return Fault(
            at_ms=at_ms,
            for_ms=chance.randrange(500, size.fault_ms),
            kind=kind,
            where=where,
            share=chance.choice((1.0, 1.0, 0.5, 0.2)),
            count=chance.choice((1, 2, 3, None)),
            value=None if bounds is None else chance.randrange(*bounds),
        )
    if draw < 0.8:
        kind = chance.choice(_STREAM_FAULTS)
        return Fault(
            at_ms=at_ms,
            for_ms=chance.randrange(500, size.fault_ms),
            kind=kind,
            where=chance.choice(_STREAM_PLACES),
            share=1.0 if kind in ("ws_silence", "ws_refuse") else chance.choice((1.0, 0.3, 0.1)),
            count=chance.choice((1, 2, None)) if kind not in ("ws_close", "ws_abort") else chance.choice((1, 2)),
        )
    if draw < 0.84:  # shifts the clock of the bot's machine by milliseconds until the shift is corrected
        jump_ms = chance.choice((-3_600_000, -5_000, -50, 50, 5_000, 3_600_000))
        return Fault(at_ms=at_ms, for_ms=chance.randrange(500, size.fault_ms), kind="clock_jump", value=jump_ms)
    kind = chance.choice(NETWORK_FAULTS)
    # data that a connection delays must arrive within two seconds, because the exchange acts on a request within at
    # most two seconds
    most_ms = 1_800 if kind in ("net_stall", "net_slow", "net_cut") else size.fault_ms
    return Fault(
        at_ms=at_ms,
        for_ms=chance.randrange(100, most_ms),
        kind=kind,
        share=chance.choice((1.0, 0.5, 0.3)),
    )


def _crash(chance: Random, active_ms: int) -> Crash:
    on = chance.choice(("", "send", "create", "create", "cancel", "answer", "write"))
    return Crash(
        at_ms=chance.randrange(500, active_ms),
        on=on,
        nth=chance.randrange(1, 4),
        rounds=chance.choice((0, 1, 2, 3, chance.randrange(4, 60))),
        silently=chance.random() < 0.3,
        is_cancel=chance.random() < 0.15,
        down_ms=chance.choice((50, 500, 3_000)),
    )
