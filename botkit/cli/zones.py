"""The zone of the dates that a user types: one for all commands, that of configurations unless another is said."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import click

#: what `timezone:` of a configuration is, too
DEFAULT_ZONE = "Asia/Taipei"


class Zone(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A time zone by its name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        """The zone."""
        if isinstance(value, ZoneInfo):
            return value
        try:
            return ZoneInfo(str(value))
        except (KeyError, ValueError, OSError):
            self.fail(f"{value!r} is no time zone; write one such as {DEFAULT_ZONE} or UTC", param, ctx)


#: for commands that take dates and no configuration
TYPED_ZONE = click.option(
    "--timezone", type=Zone(), default=DEFAULT_ZONE, show_default=True, metavar="ZONE", help="Of the dates given here."
)
