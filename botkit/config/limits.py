"""The section `limits`: which of the documented rate limits a bot keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from botkit.config.section import Section


class LimitsConfig(Section, frozen=True, kw_only=True):
    """The choice between rate limits where the exchange's documents disagree. ``strict`` selects the lowest limits."""

    rest_field: ClassVar[str] = "rows"

    strict: Annotated[bool, Meta(description="Use the strictest documented limit for every endpoint.")] = False
    ledger: Annotated[
        str | None,
        Meta(
            description="redis://HOST:PORT/0 to share request slots with other machines, with a password"
            " redis://:${NAME}@HOST:PORT/0; `none` disables sharing. Default: one broker per machine and user."
        ),
    ] = None
    batching: Annotated[bool, Meta(description="Send waiting orders in batches.")] = True
    rows: Annotated[
        dict[str, Any], Meta(description="Endpoint id: the source to follow, or a number of requests per window.")
    ] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> LimitsConfig:
        """Parse ``limits: strict``."""
        if text != "strict":
            raise ValueError(f"{text!r} is not valid; write strict, or a mapping of endpoints")
        return cls(strict=True)
