"""Currency conversion at the last price of each pair."""

from __future__ import annotations

import pytest

from botkit.engine.money.valuation import Valuation
from tests.portfolio_cases import BTC_TWD, BTC_USDT, COIN, ETH_BTC, ETH_TWD, USDT_TWD


def valuation(*pairs: object, **prices: float) -> Valuation:
    made = Valuation({str(p): p for p in pairs})  # type: ignore[misc]
    for name, price in prices.items():
        made.prices[name].price = price
    return made


def test_a_pair_converts_in_both_directions() -> None:
    made = valuation(BTC_TWD, btc_twd=3_000_000.0)
    assert made.convert(COIN // 2, "btc", "twd") == 1_500_000 * COIN
    assert made.convert(1_500_000 * COIN, "twd", "btc") == COIN // 2


def test_btc_is_converted_to_twd_through_usdt_if_no_other_path_exists() -> None:
    made = valuation(BTC_USDT, USDT_TWD, btc_usdt=60_000.5, usdt_twd=32.039)
    assert made.convert(COIN, "btc", "twd") == 6_000_050 * 32_039 * COIN // 100_000


def test_the_shortest_path_is_used_and_among_equally_short_paths_the_first_listed() -> None:
    made = valuation(BTC_USDT, USDT_TWD, BTC_TWD, btc_usdt=1.0, usdt_twd=1.0, btc_twd=7.0)
    assert made.convert(COIN, "btc", "twd") == 7 * COIN
    both = valuation(ETH_TWD, ETH_BTC, BTC_USDT, USDT_TWD, eth_twd=2.0, usdt_twd=1.0, eth_btc=9.0, btc_usdt=1.0)
    assert [str(cell.pair) for cell, _ in both.check_path("eth", "usdt").steps] == ["eth_twd", "usdt_twd"]


def test_conversion_without_a_price_returns_none_unless_the_amount_is_zero() -> None:
    made = valuation(BTC_USDT, USDT_TWD, btc_usdt=60_000.0)
    assert made.convert(COIN, "btc", "twd") is None
    assert made.convert(0, "btc", "twd") == 0
    assert made.convert(COIN, "twd", "twd") == COIN


def test_a_missing_path_raises_an_error_that_lists_the_pairs() -> None:
    made = valuation(BTC_TWD)
    with pytest.raises(ValueError, match=r"eth cannot be valued in twd.*pairs of this bot: btc_twd\)\. Add a pair"):
        made.check_path("eth", "twd")
    assert made.find_path("eth", "twd") is None
    assert made.convert(COIN, "eth", "twd") is None


def test_a_pair_added_later_adds_conversion_paths() -> None:
    made = valuation(BTC_TWD, btc_twd=100.0)
    assert made.find_path("eth", "twd") is None
    made.add(ETH_TWD).price = 5.0
    assert made.convert(COIN, "eth", "twd") == 5 * COIN
