"""The page itself: one HTML file with its style sheet and two scripts inside, and the policy that allows only these."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from string import Template

#: the parts of the page's script, in the order in which they need each other
_SCRIPTS = (
    *("live/first.js", "say.js", "theme.js", "charts.js"),
    *("live/link.js", "live/tables.js", "live/chart.js", "live/panels.js", "live/controls.js", "live/main.js"),
)
_STYLES = ("report.css", "live/live.css")


@cache
def page_html() -> str:
    """Return the page, which is the same for everybody and holds no data."""
    return Template(_file("page/live/live.html")).substitute(
        style=_style(), library=_library(), script=_script(), title="botkit"
    )


@cache
def page_policy() -> str:
    """Return the page's content security policy, up to what it may connect to."""
    scripts = " ".join(f"'sha256-{_sha256(text)}'" for text in (_library(), _script()))
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _script() -> str:
    parts = "\n".join(_file(f"page/{name}") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _style() -> str:
    return "\n".join(_file(f"page/{name}") for name in _STYLES)


def _library() -> str:
    return _file("vendor/lightweight-charts.standalone.production.js")


@cache
def _file(name: str) -> str:
    return (resources.files("botkit.report") / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
