"""Order checks: the fast path and the full list of checks return the same result."""

from __future__ import annotations

from random import Random

import pytest

from botkit.engine.decisions import DecisionLog
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.orders.checks import Gate
from botkit.engine.orders.rejections import Hold
from botkit.engine.risk.review import RiskDesk
from botkit.engine.risk.rules import BUILT_IN
from botkit.engine.rooms import BotRooms, EngineSettings, StrategySpec
from botkit.engine.router.router import Router
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.model.clock import NS_PER_DAY
from botkit.model.orders import Condition, Order, OrderSpec, OrderType, Side
from tests.engine_world import BTC, PAIRS, RATES, RICH, T0, Listener

#: conditions that may block multiple orders
BARS = ("starting", "stopping", "shortage", "halted", "strategy halted", "unknown", "held", "stopped", "journal")
#: the subset of these conditions that is rechecked when a slot is granted
GRANTED_BARS = {"shortage", "halted", "unknown", "held", "journal"}


def some_rooms(with_rules: bool) -> BotRooms:
    share = CapitalShare(strategy="s0", pairs=tuple(PAIRS.values()))
    portfolio = Portfolio(pairs=PAIRS, shares=[share], reserve={}, currency="twd")
    portfolio.open(RICH)
    rules = [BUILT_IN["max_order_value"]({"twd": 5_000})] if with_rules else []
    risk = RiskDesk(rules, {}, portfolio, lambda now: now - now % NS_PER_DAY)
    rooms = BotRooms(
        pairs=PAIRS,
        strategies=[StrategySpec("s0", Listener(), {})],
        portfolio=portfolio,
        risk=risk,
        router=Router(load_limit_table(), latest_accept_ns=2_000_000_000),
        fee_rates=lambda pair, now: RATES,
        decisions=DecisionLog(),
        settings=EngineSettings(),
        find_callback=None,
    )
    rooms.clock.now = T0
    for pair in PAIRS.values():
        portfolio.mark(pair, 1_000.0)
    return rooms


def put_up(rooms: BotRooms, bars: set[str]) -> Gate:
    gate = rooms.gate
    gate.is_starting = "starting" in bars
    gate.is_stopping = "stopping" in bars
    gate.shortage = "btc" if "shortage" in bars else None
    gate.journal_fault = "the disk is full" if "journal" in bars else None
    if "halted" in bars:
        rooms.risk.halt(None, "by hand")
    if "strategy halted" in bars:
        rooms.risk.halt("s0", "by hand")
    if "unknown" in bars:
        rooms.desk.resolution.blocked[BTC] = 1
    if "held" in bars:
        rooms.rejections.held[BTC] = Hold(T0, "under maintenance")
    rooms.records["s0"].active = "stopped" not in bars
    return gate


def some_order(dice: Random) -> Order:
    kind = dice.choice([OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LIMIT])
    side = dice.choice([Side.BUY, Side.SELL])
    spends = kind is OrderType.MARKET and side is Side.BUY
    rules = BTC.rules
    lots = dice.choice([0, rules.least_lots - 1, rules.least_lots, 100 * rules.least_lots, rules.most_lots + 1])
    return Order(
        OrderSpec(
            client_id=dice.randrange(1, 10**6),
            strategy="s0",
            pair=BTC,
            side=side,
            type=kind,
            created=T0,
            price_ticks=0 if kind is OrderType.MARKET else dice.choice([0, 900, 1_000]),
            amount_lots=0 if spends else lots,
            spend_units=dice.choice([0, rules.least_spend_units, 10_000 * 10**8]) if spends else 0,
            stop_ticks=dice.choice([0, 990, 1_010]) if kind is OrderType.STOP_LIMIT else 0,
            condition=dice.choice(list(Condition)) if kind is OrderType.STOP_LIMIT else None,
            max_slippage_pct=1 if kind is OrderType.MARKET else None,
            post_only=dice.random() < 0.3,
            reduces=dice.random() < 0.3,
        )
    )


@pytest.mark.parametrize("seed", range(150))
def test_the_fast_path_and_the_full_checks_return_identical_refusal_reasons(seed: int) -> None:
    dice = Random(seed)
    bars = {bar for bar in BARS if dice.random() < dice.choice([0.0, 0.0, 0.2, 0.5])}
    rooms = some_rooms(with_rules=dice.random() < 0.5)
    gate = put_up(rooms, bars)
    if dice.random() < 0.2:
        rooms.risk.open_by_pair[BTC] = BTC.rules.open_orders_max
    for _ in range(30):
        order = some_order(dice)
        assert gate.when_placed(order) == (gate.when_asked(order) or gate.when_admitted(order)), (bars, order)
        if order.type is not OrderType.MARKET and order.side is Side.BUY and not order.reduces:
            assert (gate.when_granted(order) is None) == (not bars & GRANTED_BARS), (bars, order)


def test_orders_that_reduce_a_position_pass_a_hold() -> None:
    gate = put_up(some_rooms(with_rules=False), {"held"})
    dice, seen = Random(1), set()
    for _ in range(300):
        order = some_order(dice)
        held = "is held" in (gate.when_placed(order) or "")
        assert not (held and order.reduces)
        seen.add((held, order.reduces))
    assert {(True, False), (False, True)} <= seen
