"""Reading YAML: positions, refused constructs, and notations that other YAML readers interpret differently."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

from botkit.config.source import Source, parse_text, plain_value, read_source, resolve_plain, spelling_hint
from botkit.errors import ConfigError

SOURCE = Source("x.yaml", Path("/tmp"))


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, SOURCE)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("0.10", Decimal("0.10")),
        ("-1.5", Decimal("-1.5")),
        # some YAML readers interpret each of these differently; here each one is text
        ("no", "no"),
        ("True", "True"),
        ("~", "~"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("22:22", "22:22"),
        ("1e3", "1e3"),
        (".5", ".5"),
        ("5.", "5."),
        (".nan", ".nan"),
        ("2022-01-01", "2022-01-01"),
        ("١٢", "١٢"),
        ("1" * 30, "1" * 30),
    ],
)
def test_unquoted_values_are_not_converted_to_surprising_types(text: str, value: object) -> None:
    result = resolve_plain(text)
    assert result == value
    assert type(result) is type(value)


def test_quoted_text_stays_text_and_numbers_stay_exact() -> None:
    node = parse_text('{a: "true", b: "12", c: 0.1, d: [1, x]}', SOURCE)
    assert plain_value(node) == {"a": "true", "b": "12", "c": Decimal("0.1"), "d": [1, "x"]}


def test_the_line_number_of_every_value_is_known() -> None:
    node = parse_text("a: 1\nb:\n  - x\n  - {c: 2}\n", SOURCE)
    assert isinstance(node.value, dict)
    items = node.value["b"].value
    assert isinstance(items, list)
    assert [item.where for item in items] == ["x.yaml:3", "x.yaml:4"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "`a` appears twice; the first is on line 1"),
        ("a: &x 1\n", 1, "anchor &x"),
        ("a: 1\nb: *x\n", 2, "alias *x"),
        ("a: !!python/object:os.system x\n", 1, "tag tag:yaml.org,2002:python/object:os.system"),
        ("a: !secret x\n", 1, "tag !secret"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: " + "[" * 30 + "]" * 30, 1, "nested deeper than 20"),
        ("{[1]: 2}", 1, "a key must be plain text"),
        ("?\n: 2\n", 1, "a key is missing"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a:\n\t- 1\n", 2, "not valid YAML"),
        ('a: "\\UFFFFFFFF"\n', 1, "not valid YAML"),
        ("a: 1\nb: \x07\n", 2, "control character"),
        ('a: "\\uD800"\n', 1, "surrogate"),
    ],
)
def test_constructs_beyond_plain_yaml_are_refused_with_their_line(text: str, line: int, words: str) -> None:
    message = refused(text)
    assert words in message
    assert message.startswith((f"x.yaml:{line}: ", "x.yaml: this is not valid YAML"))
    assert ";" in message, "each error says how to fix it"


def test_an_alias_bomb_is_refused_without_expanding_it() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    tracemalloc.start()
    try:
        refused(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10_000_000, "nothing of it was expanded: it would be 43 million values"


def test_deep_nesting_does_not_overflow_the_stack() -> None:
    assert "nested deeper" in refused("[" * 100_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"- a\n", "not a mapping"),
        (b"just text", "not a mapping"),
        (b"a: 1\nb: \xff\n", "not UTF-8"),
        (b"x" * 1_000_001, "larger than"),
    ],
)
def test_files_other_than_plain_yaml_mappings_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_source(file)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    assert plain_value(read_source(file)) == {"a": 1}


def test_missing_files_and_folders_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_source(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        read_source(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_source(Path("a\0b"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yes", "write true"),
        ("Off", "write false"),
        ("TRUE", "write true"),
        ("010", "write 10"),
        ("1_000", "write 1000"),
        ("1,000", "write 1000"),
        ("1e3", "write it out: 1000"),
        ("2.5E-3", "write it out: 0.0025"),
        ("1e999999999", "without an exponent"),
        ("22:22", "quotes"),
        ("0x1F", "decimal digits"),
        (".5", "both sides of the point"),
        ("~", "write null"),
    ],
)
def test_ambiguous_notations_get_a_suggestion(text: str, words: str) -> None:
    hint = spelling_hint(text)
    assert hint is not None
    assert words in hint


@pytest.mark.parametrize("text", ["btc_twd", "1m", "2022-01-01", "12", "0.5", "hello", "40%", "a:b", "1" * 30])
def test_unambiguous_notations_get_no_suggestion(text: str) -> None:
    assert spelling_hint(text) is None
