"""Trading pair rows that the exchange might send in the future: an invalid row raises ValueError and never crashes the
program.
"""

from __future__ import annotations

from typing import Any

import pytest

from botkit.model.pairs import pairs_from_wire

ROW: dict[str, Any] = {
    "pair": "btc_twd",
    "basePrecision": "8",
    "quotePrecision": "0",
    "amountPrecision": "4",
    "minLimitBaseAmount": "0.0001",
    "maxLimitBaseAmount": "100000000",
    "minMarketBuyQuoteAmount": "190",
    "orderOpenLimit": "200",
    "maintain": False,
}


def test_a_row_from_the_wire_is_converted_to_a_pair() -> None:
    pair = pairs_from_wire([ROW | {"pair": "BTC_TWD"}])["btc_twd"]
    assert (pair.base, pair.quote, pair.rules.least_lots) == ("btc", "twd", 10_000)


@pytest.mark.parametrize("name", ["", "btc", "_twd", "btc_", "9" * 400])
def test_a_pair_name_without_two_currencies_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a pair name"):
        pairs_from_wire([ROW | {"pair": name}])


@pytest.mark.parametrize("field", ["basePrecision", "quotePrecision", "amountPrecision"])
@pytest.mark.parametrize("value", ["-1", "19", "9" * 400])
def test_an_invalid_precision_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="decimals"):
        pairs_from_wire([ROW | {field: value}])
