"""Trading pair rows that the exchange might send in the future: an invalid row raises ValueError and never crashes the
program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from botkit.errors import ConfigError
from botkit.model.listed_pairs import ListedPairs
from botkit.model.pairs import Pair, pairs_from_wire
from botkit.project.project import Project

ROOT = Path(__file__).parents[2]

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


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("basePrecision", "-1"),
        ("quotePrecision", "-1"),
        ("amountPrecision", "-1"),
        ("amountPrecision", "19"),
        ("amountPrecision", "9" * 400),
    ],
)
def test_an_invalid_precision_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="decimals"):
        pairs_from_wire([ROW | {field: value}])


@pytest.mark.parametrize("field", ["basePrecision", "quotePrecision"])
@pytest.mark.parametrize("value", ["9", "10", "18", "19", "9" * 400])
def test_a_pair_whose_steps_are_finer_than_money_is_left_out_by_name_and_the_others_are_kept(
    field: str, value: str
) -> None:
    left_out: dict[str, str] = {}
    pairs = pairs_from_wire([ROW | {"pair": "ODD_TWD", field: value}, ROW], left_out=left_out)
    assert list(pairs) == ["btc_twd"]
    assert list(left_out) == ["odd_twd"]
    assert field in left_out["odd_twd"]
    assert len(left_out["odd_twd"]) < 100


def test_a_pair_cannot_be_made_with_steps_finer_than_money() -> None:
    rules = pairs_from_wire([ROW])["btc_twd"].rules
    for finer in ({"amount_decimals": 9}, {"price_decimals": 10}):
        with pytest.raises(ValueError, match="odd_twd cannot be traded: its"):
            Pair("odd_twd", msgspec.structs.replace(rules, **finer))  # type: ignore[arg-type]


@pytest.mark.parametrize("decimals", range(9))
def test_a_spend_is_exact_at_every_precision_that_is_traded(decimals: int) -> None:
    pair = pairs_from_wire([ROW | {"quotePrecision": str(decimals)}])["btc_twd"]
    assert pair.rules.spend_units(200) == 200 * 10**8


@pytest.mark.parametrize("field", ["basePrecision", "quotePrecision"])
def test_a_strategy_whose_pair_can_no_longer_be_traded_gets_the_reason(tmp_path: Path, field: str) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text(
        f"plugins: [{ROOT / 'strategies'}]\nstrategies: [{{use: market_maker, params: {{pair: btc_usdt}}}}]\n"
    )
    project = Project.load(path)

    def listed(row: dict[str, Any]) -> ListedPairs:
        left_out: dict[str, str] = {}
        return ListedPairs(pairs_from_wire([ROW, row], left_out=left_out), left_out)

    row = ROW | {"pair": "btc_usdt"}
    project.take_pairs(listed(row))
    with pytest.raises(ConfigError, match=f"btc_usdt cannot be traded: its {field} is 9"):
        project.take_pairs(listed(row | {field: "9"}))
