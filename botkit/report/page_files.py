"""The source files of pages: style sheets, templates, scripts, and the policy that allows only these scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

#: TradingView's chart library, as a file in this package
CHART_LIBRARY = "vendor/lightweight-charts.standalone.production.js"


@cache
def package_file(name: str) -> str:
    """Return the text of a file in this package."""
    return (resources.files("botkit.report") / name).read_text(encoding="utf-8")


def joined_script(names: Sequence[str]) -> str:
    """Return the parts of a page's script joined into one function. Each part must follow the parts that it uses.
    Joining is needed because browsers cannot load modules from a local file.
    """
    parts = "\n".join(package_file(f"page/{name}") for name in names)
    return f'"use strict";\n(async () => {{\n{parts}}})();\n'


def script_sources(*scripts: str) -> str:
    """Return the hashes that a content security policy uses to allow only these scripts."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in scripts)
    return " ".join(f"'sha256-{found}'" for found in hashes)
