"""The bundled table of limits, and the overrides for limits on which the sources disagree."""

from __future__ import annotations

import pytest

from botkit.engine.router.router import Router
from botkit.errors import ConfigError
from botkit.exchange.bitopro.limit_table import load_limit_table
from botkit.model import requests
from botkit.model.limits import LimitTable, Scope


def windows(table: LimitTable, endpoint: str) -> list[tuple[int, int, str]]:
    return [(w.requests, w.per_s, w.scope.value) for w in table[endpoint].windows]


def both(count: int, per_s: int) -> list[tuple[int, int, str]]:
    return [(count, per_s, "ip"), (count, per_s, "account")]


@pytest.mark.parametrize(
    ("endpoint", "kept"),
    [
        ("create_order", both(1200, 60)),
        ("create_batch", both(90, 60)),
        ("cancel_order", both(900, 60)),
        ("cancel_batch", [(2, 1, "ip")]),
        ("cancel_all", both(1, 1)),
        ("cancel_all_pair", both(1, 1)),
        ("open_orders", both(5, 1)),
        ("balance", both(600, 60)),
        ("order_book", [(600, 60, "ip")]),
    ],
)
def test_each_endpoint_has_the_expected_limits(endpoint: str, kept: list[tuple[int, int, str]]) -> None:
    assert windows(load_limit_table(), endpoint) == kept


def test_endpoints_without_a_specific_limit_share_a_counter() -> None:
    table = load_limit_table()
    assert table["balance"].pool == table["all_orders"].pool == table["my_trades"].pool == "private"
    assert table["tickers"].pool == table["trading_history"].pool == "public"
    assert table["cancel_all_pair"].pool == table["cancel_all"].pool == "cancel_all"
    assert table["create_order"].pool == "create_order"


def test_every_limit_has_a_source_and_every_source_is_described() -> None:
    for row in load_limit_table().endpoints.values():
        assert row.documented, row.endpoint
        assert all(figure.source and figure.about for figure in row.documented)
        if row.is_disputed:
            assert row.note, row.endpoint


def test_the_endpoint_of_every_request_is_in_the_limits_table() -> None:
    table = load_limit_table()
    kinds = [kind for kind in vars(requests).values() if hasattr(kind, "endpoint")]
    assert len(kinds) > 10
    assert {kind.endpoint for kind in kinds} <= set(table.endpoints)


def test_documented_limits_are_listed_strictest_first() -> None:
    for row in load_limit_table().endpoints.values():
        rates = [figure.requests / figure.per_s for figure in row.documented]
        assert rates == sorted(rates), row.endpoint


def test_strict_limits_satisfy_the_limits_stated_by_every_source() -> None:
    strict = load_limit_table(strict=True)
    assert windows(strict, "create_order") == [
        (20, 1, "ip"),
        (1200, 60, "ip"),
        (20, 1, "account"),
        (1200, 60, "account"),
    ]
    assert windows(strict, "create_batch") == [(60, 60, "ip"), (90, 60, "account")]
    assert windows(strict, "cancel_batch") == [(1, 1, "ip")]
    for row in strict.endpoints.values():
        for figure in row.documented:
            keeps = [w for w in row.windows if w.per_s >= figure.per_s and w.requests <= figure.requests]
            assert keeps, (row.endpoint, figure)


@pytest.mark.parametrize("strict", [False, True])
def test_a_router_can_be_built_from_the_limits_table(strict: bool) -> None:
    Router(load_limit_table(strict=strict), latest_accept_ns=1)


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        (60, both(60, 60)),
        ("60", both(60, 60)),
        ("archive", [(60, 60, "ip")]),
        ("page", both(90, 60)),
        ("strict", [(60, 60, "ip"), (90, 60, "account")]),
        ("3/2s", both(3, 2)),
        ("70/1m", both(70, 60)),
        ("1/s", both(1, 1)),
    ],
)
def test_a_single_row_of_the_limits_table_can_be_overridden(
    choice: int | str, kept: list[tuple[int, int, str]]
) -> None:
    assert windows(load_limit_table(overrides={"create_batch": choice}), "create_batch") == kept


def test_an_override_for_a_shared_counter_applies_to_all_of_its_endpoints() -> None:
    table = load_limit_table(overrides={"private": "summary", "cancel_all": "ccxt"})
    assert windows(table, "balance") == windows(table, "my_trades") == both(1200, 60)
    assert windows(table, "cancel_all_pair") == both(2, 1)
    assert load_limit_table(overrides={"public": 1200})["tickers"].windows[0].scope is Scope.IP


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"creat_order": 5}, "did you mean create_order"),
        ({"xyzzy": 5}, "use one of public"),
        ({"balance": 5}, "write private: instead"),
        ({"cancel_all_pair": 5}, "write cancel_all: instead"),
        ({"create_order": "blog"}, "its sources: ccxt, page, skills"),
        ({"create_order": 0}, "neither a number"),
        ({"create_order": -3}, "neither a number"),
        ({"create_order": True}, "neither a number"),
        ({"create_order": 10**9}, "neither a number"),
        ({"create_order": "٣"}, "neither a number"),
        ({"create_order": "5/0s"}, "neither a number"),
    ],
)
def test_an_invalid_override_is_refused_with_a_remedy(overrides: dict[str, int | str], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_limit_table(overrides=overrides)
    assert says in str(error.value)
