"""The page itself: one HTML file that contains its style sheet and two scripts, and the policy that allows only these
scripts.
"""

from __future__ import annotations

import json
from functools import cache

from markupsafe import Markup

from botkit.report import language
from botkit.report.page_files import CHART_LIBRARY, joined_script, package_file, script_sources
from botkit.report.templates import template

#: the parts of the page's script, each after the parts it depends on
_SCRIPTS = (
    *("live/first.js", "say.js", "theme.js", "charts.js"),
    *("live/link.js", "live/tables.js", "live/chart.js", "live/panels.js", "live/controls.js", "live/main.js"),
)
_STYLES = ("report.css", "live/live.css")


def page_html() -> str:
    """Return the page in the current language. It is the same for all users and contains no data."""
    script = joined_script(_SCRIPTS)
    phrases = json.dumps(language.phrases_in(script, language.words()), ensure_ascii=False)
    return template("live/live.html.j2").render(
        # not escaped, because these files are part of this package
        style=Markup("\n".join(package_file(f"page/{name}") for name in _STYLES)),
        library=Markup(package_file(CHART_LIBRARY)),
        script=Markup(script),
        phrases=Markup(phrases.replace("<", "\\u003c")),
        language=language.current(),
        red_up=language.rises_in_red(),
    )


@cache
def page_policy() -> str:
    """Return the page's content security policy, except for the addresses to which the page may connect."""
    scripts = script_sources(package_file(CHART_LIBRARY), joined_script(_SCRIPTS))
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
