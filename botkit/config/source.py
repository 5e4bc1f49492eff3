"""Parses YAML into plain nodes that record their line numbers, without YAML's surprising conversions.

For duplicate keys, PyYAML's loaders keep the last value. They read ``no`` as False, ``010`` as 8 and ``22:22`` as 1342,
and expand 300 bytes of aliases into millions of leaves. Therefore only PyYAML's parser is used, and this module
interprets the parser's events. Plain ``null``, ``true``, ``false``, integers and decimals have their usual meaning, and
all other text stays text. Numbers stay exact (`decimal.Decimal`, never float). Aliases, anchors, tags and additional
documents are refused. Size and depth are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml

from botkit.errors import ConfigError
from botkit.model.money import parse_decimal

SIZE_MAX = 1_000_000
DEPTH_MAX = 20
#: placeholder for a hidden secret
HIDDEN = "(hidden)"


_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,19})\Z", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,19})\.[0-9]{1,18}\Z", re.ASCII)

_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+\Z", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0+([0-9]+(\.[0-9]+)?)\Z", re.ASCII)
_BARE_POINT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.)\Z", re.ASCII)
_GROUPED = re.compile(r"[-+]?[0-9][0-9_,' ]*(\.[0-9]+)?\Z", re.ASCII)
_BASED = re.compile(r"[-+]?0[xXoObB][0-9a-fA-F]+\Z", re.ASCII)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?\Z", re.ASCII)


class Source(msgspec.Struct, frozen=True):
    """The origin of a text: a file, or one ``--set`` argument. Relative paths in the text are relative to ``base``."""

    name: str
    base: Path
    is_file: bool = True


class Node(msgspec.Struct, frozen=True):
    """A value with its line number: a scalar, a list of nodes or a mapping of nodes.

    ``quoted`` means that the text was in quotes, so it is never interpreted as a number, true or false.
    """

    value: str | list[Node] | dict[str, Node]
    source: Source
    line: int
    quoted: bool = False
    #: the line number of each key in a mapping, for errors about a key
    key_lines: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Node({self.where})"  # the value is not shown, because it may be a secret

    @property
    def where(self) -> str:
        """The location of the node: ``configs/sma.yaml:7``, or the complete ``--set`` argument."""
        return place(self.source, self.line)

    def key_where(self, key: str) -> str:
        """Return the location of a key in this mapping."""
        if key in self.key_lines:
            return place(self.source, self.key_lines[key])
        # if --set added this key, the mapping comes from the file but the value does not
        return self.value[key].where if isinstance(self.value, dict) and key in self.value else self.where


def place(source: Source, line: int) -> str:
    """Format a location for errors and origins."""
    return f"{source.name}:{line}" if source.is_file else source.name


def read_source(path: Path) -> Node:
    """Read a configuration file. Raises ConfigError if it cannot be read or is not a plain YAML mapping."""
    try:
        if path.stat().st_size > SIZE_MAX:
            raise ConfigError(
                f"{path}: the file is larger than {SIZE_MAX:,} bytes, too large for a configuration; "
                "put recorded data into separate files and list them under `backtest: data:`"
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; name a YAML file in it") from None
    except (OSError, ValueError) as error:
        if path.is_dir():  # reading a folder raises PermissionError on Windows
            raise ConfigError(f"{path}: this is a folder; name a YAML file in it") from None
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: the file cannot be read ({reason}); check its permissions") from None
    source = Source(str(path), path.absolute().parent)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{place(source, line)}: the file is not UTF-8 text; save it as UTF-8") from None
    node = parse_text(text, source)
    if not isinstance(node.value, dict):
        what = "empty" if node.value == "" else "not a mapping"
        raise ConfigError(f"{node.where}: the file is {what}; it must contain lines such as `name: my-bot`")
    return node


def parse_text(text: str, source: Source) -> Node:
    """Parse one YAML document. Raises ConfigError with the location of any text that is not allowed."""
    if len(text) > SIZE_MAX:
        raise ConfigError(f"{source.name}: the text is longer than {SIZE_MAX:,} characters; shorten it")
    try:
        return _Builder(source, yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        what = ", ".join(part for part in (error.context, error.problem) if part)
        lines = text.splitlines()
        # within { }, the closing brace of an unquoted ${NAME} would end the mapping, so ${NAME} works only on its own
        # line
        bare = "${" in lines[line - 1] if line <= len(lines) else False
        mend = "put ${NAME} in quotes within { }" if bare else "check indentation, colons and quotes"
        raise ConfigError(f"{place(source, line)}: this is not valid YAML ({what}); {mend}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position if isinstance(error.position, int) else 0) + 1
        raise ConfigError(
            f"{place(source, line)}: the text contains a control character that YAML does not allow; remove it"
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # for example, an escape beyond the Unicode range
        raise ConfigError(f"{source.name}: this is not valid YAML ({error}); check escapes and quotes") from None


class _Builder:
    """Converts the parser's events to nodes. DEPTH_MAX limits the recursion."""

    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self.source = source
        self.events = events

    def document(self) -> Node:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self.error(
                        event, "a second document starts here", "a file can only contain one bot; remove the `---`"
                    )
                root = self.node(next(self.events), 0)
        return root if root is not None else Node("", self.source, 1)

    def node(self, event: Any, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self.error(event, f"nested deeper than {DEPTH_MAX} levels", "flatten it")
        if isinstance(event, yaml.AliasEvent):
            raise self.error(event, f"the alias *{event.anchor} is not allowed", "write the value out")
        if event.anchor is not None:
            raise self.error(event, f"the anchor &{event.anchor} is not allowed", "remove it and write values out")
        if event.tag is not None:
            raise self.error(event, f"the tag {event.tag} is not allowed", "remove it; text may be in quotes")
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            if any("\ud800" <= character <= "\udfff" for character in event.value):
                raise self.error(event, "this escapes half a character (a surrogate)", "write the character itself")
            return Node(event.value, self.source, line, quoted=event.style is not None)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(item, depth + 1))
            return Node(items, self.source, line)
        assert isinstance(event, yaml.MappingStartEvent), event
        return self.mapping(line, depth)

    def mapping(self, line: int, depth: int) -> Node:
        fields: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(key_event := next(self.events), yaml.MappingEndEvent):
            key = self.node(key_event, depth + 1)
            if not isinstance(key.value, str):
                raise self.error(key_event, "a key must be plain text, not a list or mapping", "write `key: value`")
            if key.value == "" and not key.quoted:
                raise self.error(key_event, "a key is missing before the colon", "write `key: value`")
            if _is_cut_figure(key, fields):
                raise self.error(
                    key_event,
                    f"a comma within {{ }} ends a value, so `{_last_text(fields)},{key.value}` is not a number",
                    "write it without commas, such as 1000000",
                )
            if key.value in fields:
                raise self.error(
                    key_event,
                    f"the key `{key.value}` appears twice; the first is on line {lines[key.value]}",
                    "keep one of them",
                )
            lines[key.value] = key.line
            fields[key.value] = self.node(next(self.events), depth + 1)
        return Node(fields, self.source, line, key_lines=lines)

    def error(self, event: Any, what: str, mend: str) -> ConfigError:
        return ConfigError(f"{place(self.source, event.start_mark.line + 1)}: {what}; {mend}")


def _last_text(fields: dict[str, Node]) -> str:
    last = next(reversed(fields.values()), None)
    return last.value if last is not None and isinstance(last.value, str) else ""


def _is_cut_figure(key: Node, fields: dict[str, Node]) -> bool:
    """Return True if a key is the remainder of a number such as 1,000,000, that is, three digits following a value that
    ends in digits.
    """
    if key.quoted or not isinstance(key.value, str) or not re.fullmatch(r"[0-9]{3}(\.[0-9]+)?", key.value):
        return False
    return re.fullmatch(r"[-+]?[0-9]{1,3}", _last_text(fields)) is not None


def plain_value(node: Node) -> Any:
    """Return the node as plain data for a field without a declared type: None, bool, int, Decimal, str, list or dict.

    Quoted text stays text. An unquoted decimal becomes an exact Decimal.
    """
    value = node.value
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    return value if node.quoted else resolve_plain(value)


def resolve_plain(text: str) -> bool | int | Decimal | str | None:
    """Return the value of a bare word: null (also for an empty word), true, false, an integer, or a plain decimal. Any
    other word is text.
    """
    if text in ("", "null"):
        return None
    if text == "true":
        return True
    if text == "false":
        return False
    if _INTEGER.match(text):
        return int(text)
    if _DECIMAL.match(text):
        return parse_decimal(text)
    return text


def exact_figure(text: str) -> int | Decimal | None:
    """Return the exact number that a text represents, with or without quotes, or None if the text is not a plain
    number.
    """
    value = resolve_plain(text)
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def spelling_hint(text: str) -> str | None:
    """Return advice for a spelling that other YAML readers would interpret as a bool or number, or None for any other
    text.

    ``yes`` -> "write true", ``010`` -> "write 10 ...", ``1_000`` -> "write 1000"; likewise for ``22:22`` and ``1e3``.
    """
    if exact_figure(text) is not None:
        return None
    lower = text.lower()
    if lower in _YES_NO:
        return f"write {_YES_NO[lower]}"
    if lower in ("true", "false", "null") and text != lower:
        return f"write {lower}"
    if text == "~":
        return "write null, or omit the line"
    if match := _LEADING_ZERO.match(text):
        return f"write {match[1]} (some YAML parsers read a leading zero as octal)"
    if _BASED.match(text):
        return "write the number in decimal digits"
    if _EXPONENT.match(text):
        mantissa, _, exponent = lower.partition("e")
        if exact_figure(mantissa) is not None and len(exponent) <= 3 and abs(int(exponent)) <= 18:
            return f"write it out: {Decimal(text):f}"
        return "write the number out without an exponent"
    if _BARE_POINT.match(text):
        return "write a digit on both sides of the point"
    if _SEXAGESIMAL.match(text):
        return 'put it in quotes if it is a time ("22:22"); some YAML parsers read it as a base-60 number'
    if _GROUPED.match(text) and not text.isdigit():
        return f"write {re.sub(r'[^0-9.+-]', '', text)}"
    return None
