"""The doctor's findings in a report. `botkit doctor` writes its findings to the folder of a bot's runs. A report shows
them if they apply to exactly the same decisions, regardless of whether the report or the findings came first.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from markupsafe import Markup

from botkit.report import language
from botkit.report.language import say
from botkit.report.templates import template

#: the findings file, in the folder of a bot's runs
FILE = "doctor.json"

#: the locations of the findings in a page: a sentence at the top, and a section below
_PLACES = ("doctor-verdict", "doctor-ladder")


class LadderStep(msgspec.Struct, frozen=True):
    """One test, with its finding and advice. ``outcome`` is ok, warning, failed or not tested."""

    name: str
    outcome: str
    says: str
    advice: str = ""


class Findings(msgspec.Struct, frozen=True):
    """The doctor's findings about one run, identified by the hash of its decisions."""

    verdict: str
    sentence: str
    rungs: list[LadderStep]
    decisions_sha256: str


def read_findings(folder: Path) -> Findings | None:
    """Return the findings in the folder of a bot's runs, or None if they are missing or unreadable."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Findings)
    except (OSError, ValueError):
        return None


def placed(html: str, findings: Findings) -> str:
    """Return a report in which the new findings replace any earlier findings."""
    found = {
        _PLACES[0]: _sentence(findings),
        _PLACES[1]: template("doctor.html.j2").render(f=findings, conclusion=_conclusion(findings)),
    }
    for place in _PLACES:
        inside = found[place]
        html = re.sub(
            f"<!-- {place} -->.*?<!-- /{place} -->",
            lambda match, place=place, inside=inside: f"<!-- {place} -->{inside}<!-- /{place} -->",  # type: ignore[misc]
            html,
            count=1,
            flags=re.DOTALL,
        )
    return html


def _sentence(findings: Findings) -> Markup:
    return Markup("<p>{}</p>").format(say("The doctor says: {}", _conclusion(findings)))


def _conclusion(findings: Findings) -> str:
    """Return the doctor's sentence in the current language. It consists of a verdict and the reason for it."""
    if language.current() == language.ENGLISH:
        return findings.sentence
    # for example, "Invented market: broken; it decides differently ..."
    lead, _, why = findings.sentence.removesuffix(".").partition("; ")
    said = language.say("{}; {}.", language.say(findings.verdict), language.told(why))
    return language.say("Invented market: {}", said) if lead.startswith("Invented market") else said
