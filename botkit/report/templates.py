"""Page templates, with filters that format numbers, and texts in the reader's language."""

from __future__ import annotations

from functools import cache

import jinja2

from botkit.report import language, tables, wording
from botkit.report.page_files import package_file

_FORMATS = (
    "money",
    "amounts",
    "percent",
    "ratio",
    "count",
    "milliseconds",
    "moment",
    "minute",
    "span",
    "tone",
    "lasting",
)


@cache
def template(name: str) -> jinja2.Template:
    """Return the template in a file in ``page/``. The template escapes all text and refuses undefined names."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {name: getattr(wording, name) for name in _FORMATS}
    environment.filters["wait"] = tables.queue_ms
    environment.globals["_"], environment.globals["told"] = language.say, language.told
    return environment.from_string(package_file(f"page/{name}"))
