"""Tests for the smaller methods of the strategy interface."""

from __future__ import annotations

import logging
from zoneinfo import ZoneInfo

import pytest

from tests.engine_world import BTC, RICH, T0, Bot, Listener, S


def test_random_numbers_are_identical_in_repeated_runs_and_differ_between_strategies() -> None:
    def draw(seed: int) -> list[float]:
        b = Bot(Listener(), Listener(), seed=seed)
        return [s.random.random() for s in b.strategies]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) == 2


def test_skips_are_counted_by_reason_and_the_latest_values_are_kept() -> None:
    b = Bot(Listener())
    b.s.skip("spread", bps=3)
    b.s.skip("spread", bps=4)
    b.s.skip("other")
    seen = b.seen()
    assert seen.skips == {"spread": 2, "other": 1}
    assert seen.last_skip["spread"] == {"bps": 4}


def test_each_strategy_has_its_own_state() -> None:
    b = Bot(Listener(), Listener())
    b.s.state["n"] = 1
    assert b.strategies[1].state == {}
    assert b.engine.view.kept("s0")["state"] == {"n": 1}


def test_now_is_the_event_time_and_local_time_is_in_the_configured_zone() -> None:
    b = Bot(Listener(), zone=ZoneInfo("Asia/Taipei"))
    b.now += 5 * S
    b.trade(1_000)
    assert b.s.now == T0 + 5 * S
    assert (b.s.local_time.hour, b.s.local_time.second) == (8, 5)
    assert b.s.name == "s0"


def test_rules_fees_prices_and_money_can_be_looked_up_by_pair_or_by_name() -> None:
    b = Bot(Listener())
    assert b.s.last_price("btc_twd") is None
    b.trade(1_000)
    assert b.s.last_price(BTC) == b.s.last_price("btc_twd") == 1_000.0
    assert b.s.rules("btc_twd").least_lots == 10
    assert b.s.fees("btc_twd").taker == 0.002
    assert b.s.balance("TWD").available == RICH["twd"] / 10**8
    assert b.s.balance("xyz").total == 0.0
    assert b.s.position("btc_twd").amount == 100.0
    with pytest.raises(ValueError, match="is not traded on this exchange"):
        b.s.position("xyz_twd")


def test_log_lines_contain_the_strategys_name_and_the_bots_time(caplog: pytest.LogCaptureFixture) -> None:
    b = Bot(Listener())
    b.now += S
    b.trade(1_000)
    with caplog.at_level(logging.INFO, logger="botkit"):
        b.s.log.info("hello %s", "there")
    (record,) = caplog.records
    assert record.name == "botkit.strategy.s0"
    assert record.bot_time == T0 + S  # type: ignore[attr-defined]
    assert "s0: hello there" in record.getMessage()


def test_open_orders_returns_only_the_strategys_orders_oldest_first_and_can_filter_by_pair() -> None:
    b = Bot(Listener(), Listener())
    b.trade(1_000)
    first, second = b.s.buy(BTC, amount=1, price=900), b.s.buy("eth_twd", amount=1, price=900)
    assert b.s.open_orders() == [first, second]
    assert b.s.open_orders("eth_twd") == [second]
    assert b.strategies[1].open_orders() == []


def test_client_ids_are_ascending_and_never_reach_the_id_used_by_the_exchange() -> None:
    b = Bot(Listener(), first_client_id=2_147_483_645)
    assert [b.s.buy(BTC, amount=1, price=900).client_id for _ in range(3)] == [2_147_483_645, 2_147_483_646, 1]
    assert b.engine.view.next_client_id == 2


def test_an_order_keeps_its_tag() -> None:
    b = Bot(Listener())
    b.trade(1_000)
    old = b.s.buy(BTC, amount=1, price=900, tag="dip")
    assert b.s.replace(old, price=910).tag == "dip"
    assert b.s.close(BTC).tag == "close"
