"""Checks the regular expressions that a fault may use to search responses.

Python's `re` backtracks, so a pattern such as ``(a+)+$`` can take practically forever on a short text and block the
emulator. A pattern is accepted only if the length of the text bounds the work: the pattern repeats single characters,
not groups, and rarely has more than one unbounded repeat.
"""

from __future__ import annotations

import math
import re
from typing import Final

#: the maximum number of ways in which a pattern's repeats can split the text at one position; patterns with more are
#: refused
_WAYS_MAX: Final = 20_000
#: the number of repetitions assumed for an unbounded repeat
_OPEN: Final = 1_000

_TOKEN = re.compile(
    r"""
      \\ (?P<back> [1-9] ) | \\ .                       # an earlier group again; another escape
    | \[ \^? \]? (?: \\. | [^\]\\] )* \]                # a class, in which no character repeats another
    | \(\? (?P<flags> [aiLmsux-]+ ) [:)]
    | \(\?P= (?P<named> )
    | \(\?                                              # another kind of group
    | (?P<group> \) )? (?P<repeat> [*+?] | \{ \d* (?: , \d* )? \} ) [?+]?
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


def endless(pattern: str) -> str | None:
    """Return the reason why a search for this pattern might take forever, phrased to follow the pattern in a message,
    or None if it cannot.
    """
    ways, has_open, refers_back = 1, False, False
    for token in _TOKEN.finditer(pattern):
        refers_back |= token["back"] is not None or token["named"] is not None
        if "x" in (token["flags"] or ""):
            return "uses the flag x, which is not supported"
        repeat = token["repeat"]
        if repeat is None or repeat in ("{}", "{,}"):
            continue
        least, most = _bounds(repeat)
        if token["group"] and most > 1:
            return 'repeats a group, which may take forever on a long answer; repeat a character, such as [^"]*'
        has_open |= most == math.inf
        ways *= _OPEN if most == math.inf else int(most) - least + 1
        if ways > _WAYS_MAX:
            return (
                "has too many repeats, which may take forever on a long answer; keep one such as * or +, and bound "
                "the others, such as {0,10}"
            )
    if refers_back and has_open:
        return "combines a backreference with an unbounded repeat; bound the repeat, such as {0,100}"
    return None


def _bounds(repeat: str) -> tuple[int, float]:
    """Return the minimum and maximum number of repetitions."""
    if repeat == "?":
        return 0, 1
    if repeat in ("*", "+"):
        return 0, math.inf
    first, comma, last = repeat[1:-1].partition(",")
    least = int(first or 0)
    return least, (int(last) if last else math.inf) if comma else least
