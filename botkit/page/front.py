"""The page itself: one HTML file that contains its style sheet and two scripts, and the policy that allows only
these.
"""

from __future__ import annotations

from functools import cache
from string import Template

from botkit.report.page_files import CHART_LIBRARY, joined_script, package_file, script_sources

#: the parts of the page's script, each after the parts that it uses
_SCRIPTS = (
    *("live/first.js", "say.js", "theme.js", "charts.js"),
    *("live/link.js", "live/tables.js", "live/chart.js", "live/panels.js", "live/controls.js", "live/main.js"),
)
_STYLES = ("report.css", "live/live.css")


@cache
def page_html() -> str:
    """Return the page, which is the same for all users and contains no data."""
    return Template(package_file("page/live/live.html")).substitute(
        style="\n".join(package_file(f"page/{name}") for name in _STYLES),
        library=package_file(CHART_LIBRARY),
        script=joined_script(_SCRIPTS),
        title="botkit",
    )


@cache
def page_policy() -> str:
    """Return the page's content security policy, except for the addresses to which it may connect."""
    scripts = script_sources(package_file(CHART_LIBRARY), joined_script(_SCRIPTS))
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
