"""Loading the printed form of a resolved configuration yields an equal configuration, and the JSON Schema accepts the
same values as the reader.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botkit.config.json_schema import json_schema
from botkit.config.load import load_config
from botkit.config.show import origin_rows, resolved_yaml

TEXT = """\
name: x
exchange: {name: bitopro, extra: [1, 2.50]}
strategies:
  - {use: sma, capital: 40%, params: {pair: btc_usdt, when: "22:22", word: "yes", none: null, deep: [[1], {a: "# no"}]}}
  - {use: rsi, capital: {twd: "50000.10"}, on_stop: flatten}
plugins: [pathlib]
backtest: {data: tape, from: 2025-01-01, fees: {rank: auto, bito: true}, latency: {order_ms: 0.5}, slippage: 0.0002}
limits: {create_order: skills}
notify: [bell]
log: debug
"""


def test_loading_the_resolved_configuration_yields_an_equal_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    first = load_config(tmp_path / "a.yaml")
    for with_origins in (False, True):
        (tmp_path / "b.yaml").write_text(resolved_yaml(first, with_origins=with_origins))
        assert load_config(tmp_path / "b.yaml").config == first.config


#: characters that a file may contain unescaped; `$` might start a reference to a secret
WORDS = st.characters(codec="utf-8", exclude_characters="$", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    word=st.text(WORDS, max_size=12),
    number=st.decimals(-(10**9), 10**9, places=8),
)
def test_texts_and_numbers_are_unchanged_after_a_show_and_load_round_trip(
    tmp_path: Path, word: str, number: object
) -> None:
    (tmp_path / "a.yaml").write_text(
        json.dumps({"strategies": [{"use": "a", "params": {"word": word, "n": str(number)}}]}, ensure_ascii=False),
        encoding="utf-8",
    )
    first = load_config(tmp_path / "a.yaml")
    assert first.config.strategies[0].params == {"word": word, "n": str(number)}
    (tmp_path / "b.yaml").write_text(resolved_yaml(first), encoding="utf-8")
    assert load_config(tmp_path / "b.yaml").config.strategies == first.config.strategies


def test_machine_readable_rows_contain_exact_values(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    rows = {row["key"]: row for row in origin_rows(load_config(tmp_path / "a.yaml"))}
    assert rows["strategies.1.capital.twd"]["value"] == "50000.10"
    assert rows["exchange.extra.1"]["value"] == "2.50"
    assert rows["timezone"]["origin"] == "default"
    json.dumps(list(rows.values()))


def check(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Validate a value against the JSON Schema keywords that our schema uses. This validator is small enough to be
    verified by reading.
    """
    if "$ref" in schema:
        return check(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "anyOf" in schema:
        return any(check(value, branch, root) for branch in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    names = schema.get("type", [])
    names = names if isinstance(names, list) else [names]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
             "null": type(None)}  # fmt: skip
    if names and not any(
        isinstance(value, kinds[n]) and not (isinstance(value, bool) and n != "boolean") for n in names
    ):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return all(check(item, schema.get("items", {}), root) for item in value)
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        if any(key not in value for key in schema.get("required", [])):
            return False
        for key, item in value.items():
            if key in known:
                if not check(item, known[key], root):
                    return False
            elif more is False or (isinstance(more, dict) and not check(item, more, root)):
                return False
    return True


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"exchange": "bitopro"}, True),
        ({"exchange": {"name": "bitopro", "other": 1}}, True),
        ({"backtest": {"data": "tape", "fees": {"maker": "0.001", "taker": 0.002}, "slippage": "0.0002"}}, True),
        ({"backtest": {"data": [{"path": "x", "pair": "btc_twd"}], "from": "2025-01-01"}}, True),
        ({"limits": "strict", "log": "debug", "plugins": ["a", "../b"]}, True),
        ({"backtest": None}, True),
        ({"stratgies": []}, False),
        ({"seed": "x"}, False),
        ({"backtest": {"slippage": "much"}}, False),
        ({"live": {"on_stop": "never"}}, False),
        ({"account": {"email": "m"}}, False),
    ],
)
def test_the_schema_accepts_exactly_the_values_that_the_reader_accepts(
    tmp_path: Path, change: dict[str, Any], good: bool
) -> None:
    schema = json_schema()
    value = {"strategies": [{"use": "sma", "capital": "40%"}], **change}
    assert check(value, schema, schema) is good


def test_the_schema_describes_every_key() -> None:
    schema = json.loads(json.dumps(json_schema()))
    bot = schema["$defs"]["BotConfig"]
    assert all(field.get("description") for field in bot["properties"].values())
