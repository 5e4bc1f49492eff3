"""The time zone for dates typed by a user. All commands use the same default as the configuration."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import click

#: also the default of `timezone:` in a configuration
DEFAULT_ZONE = "Asia/Taipei"


class Zone(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A time zone, given by name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        """Return the zone with the given name."""
        if isinstance(value, ZoneInfo):
            return value
        try:
            return ZoneInfo(str(value))
        except (KeyError, ValueError, OSError):
            self.fail(f"{value!r} is not a time zone; write one such as {DEFAULT_ZONE} or UTC", param, ctx)


#: for commands that accept dates but no configuration
TYPED_ZONE = click.option(
    "--timezone",
    type=Zone(),
    default=DEFAULT_ZONE,
    show_default=True,
    metavar="ZONE",
    help="Time zone of the given dates.",
)
