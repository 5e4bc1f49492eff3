"""The doctor's ladder in a report. `botkit doctor` writes its findings beside the runs of a bot; a report shows them if
they are about the very same decisions, whichever of the two was made first.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

#: the file with the findings, in the folder that holds a bot's runs
FILE = "doctor.json"

#: where the findings stand in a page: at the top as a sentence, and below as a section
_PLACES = ("doctor-verdict", "doctor-ladder")


class LadderStep(msgspec.Struct, frozen=True):
    """One test: what it found, and what to do about it. ``outcome`` is ok, warning, failed or not tested."""

    name: str
    outcome: str
    says: str
    advice: str = ""


class Findings(msgspec.Struct, frozen=True):
    """What the doctor said about one run, which is identified by the hash of its decisions."""

    verdict: str
    sentence: str
    rungs: list[LadderStep]
    decisions_sha256: str


def read_findings(folder: Path) -> Findings | None:
    """Return the findings beside a bot's runs, or None if there are none to read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Findings)
    except (OSError, ValueError):
        return None


def placed(html: str, findings: Findings) -> str:
    """Return a report with the findings in place of what stood there before."""
    found = {_PLACES[0]: _sentence(findings), _PLACES[1]: _template().render(f=findings)}
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
    return Markup("<p>The doctor says: {}</p>").format(findings.sentence)


@cache
def _template() -> jinja2.Template:
    environment: Any = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = (resources.files("botkit.report") / "page/doctor.html.j2").read_text(encoding="utf-8")
    template: jinja2.Template = environment.from_string(text)
    return template
