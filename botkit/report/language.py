"""The language of reports, pages and summaries: English, or traditional Chinese as written in Taiwan.

The English text is the key, as in gettext: ``say("{} fills", 3)``. A result contains finished sentences, such as
cautions and assumptions. ``told`` recognizes them by matching them against the same keys, in which each ``{}`` matches
any text. Text without a translation, such as a plugin's sentences or names chosen by a user, is left unchanged.
"""

from __future__ import annotations

import json
import locale
import os
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib import resources

from botkit.errors import ConfigError

#: overrides the system's language
VARIABLE = "BOTKIT_LANG"

ENGLISH, CHINESE = "en", "zh-TW"
LANGUAGES = (ENGLISH, CHINESE)

#: overrides which color means a gain: red or green
COLOUR_VARIABLE = "BOTKIT_UP"

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def preferred() -> str:
    """Return the user's language: BOTKIT_LANG, or else the system's language if botkit supports it, else English."""
    given = os.environ.get(VARIABLE)
    if given:
        return _chosen(VARIABLE, given, LANGUAGES)
    # POSIX uses these in this order; Windows uses none of them, but has a locale with a name such as zh_TW
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    first = next((name for name in names if name), None) or _system() or ""
    language = first.replace("-", "_").lower()
    # readers of simplified Chinese get English, because it suits them better than traditional characters
    return CHINESE if language.startswith(("zh_tw", "zh_hk", "zh_hant")) else ENGLISH


def _system() -> str | None:
    try:
        name = locale.getlocale()[0]
    except ValueError:
        return None
    return "zh_TW" if name is not None and name.lower().startswith("chinese (traditional)") else name


def current() -> str:
    """Return the language in use: ``en`` or ``zh-TW``."""
    return _current.get()


def rises_in_red() -> bool:
    """Return whether gains are red and losses green, as in Taiwan. BOTKIT_UP is red or green; if it is not set, the
    default for the language applies. Raises ConfigError if BOTKIT_UP has another value.
    """
    given = os.environ.get(COLOUR_VARIABLE)
    return _chosen(COLOUR_VARIABLE, given, ("red", "green")) == "red" if given else current() == CHINESE


def _chosen(variable: str, given: str, choices: tuple[str, ...]) -> str:
    if given not in choices:
        raise ConfigError(f"{variable} is {given!r}; set it to {' or '.join(choices)}")
    return given


@contextmanager
def using(language: str) -> Iterator[None]:
    """Use a language, one of `LANGUAGES`, inside the block."""
    assert language in LANGUAGES, language
    token = _current.set(language)
    try:
        yield
    finally:
        _current.reset(token)


@cache
def phrases(language: str) -> Mapping[str, str]:
    """Return a language's translations, keyed by English text. English has none."""
    if language == ENGLISH:
        return {}
    text = (resources.files("botkit.report") / f"languages/{language}.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def phrases_in(script: str, words: Set[str] = frozenset()) -> dict[str, str]:
    """Return the translations that a page's script needs: for the texts quoted in the script, and for ``words`` in its
    data.
    """
    known = phrases(current())
    return {text: said for text, said in known.items() if f'"{text}"' in script or text in words}


def words() -> set[str]:
    """Return the translated words written in lowercase, such as states and sides, which occur in pages' data."""
    return {text for text in phrases(current()) if re.fullmatch(r"[a-z0-9][a-z0-9 -]*", text)}


def say(template: str, *values: object) -> str:
    """Return a text in the current language with its ``{}`` filled in. A translation may number its placeholders: ``{1}
    {0}``.
    """
    wanted = phrases(current()).get(template, template)
    return wanted.format(*values) if values else wanted


def told(sentence: str) -> str:
    """Return the translation of a complete sentence, or the sentence itself if there is no translation."""
    return sentence if current() == ENGLISH else _told(current(), sentence)


#: cached, because the live page translates the same few sentences repeatedly
@lru_cache(maxsize=4096)
def _told(language: str, sentence: str) -> str:
    known = phrases(language)
    if sentence in known:
        return known[sentence]
    for pattern, template in _patterns(language):
        match = pattern.fullmatch(sentence)
        if match is not None:
            return template.format(*(_told(language, part) for part in match.groups()))
    return sentence


#: The patterns for a phrase's placeholders, by the minimum length of the phrase's fixed text. A short phrase such as
#: "{} to {}" would match nearly any sentence, so its placeholders match only numbers. Those of a slightly longer phrase
#: match single words.
_PLACES = ((18, "(.*?)"), (14, r"(\S+)"), (0, r"([-+\u2212]?\d[\d,.]*)"))


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the phrases that contain ``{}`` as patterns, sorted by the length of their fixed text, longest first."""
    found = [(key.split("{}"), text) for key, text in phrases(language).items() if "{}" in key]
    found.sort(key=lambda phrase: -sum(map(len, phrase[0])))
    patterns = []
    for fixed, text in found:
        place = next(place for least, place in _PLACES if sum(map(len, fixed)) >= least)
        patterns.append((re.compile(place.join(map(re.escape, fixed)), re.DOTALL), text))
    return patterns
