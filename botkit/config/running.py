"""The sections of a running bot: `live`, `notify`, `log` and `page`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from botkit.config.decode import Bound, FieldError
from botkit.config.section import OnStop, Section
from botkit.config.simulated import FeesConfig


class LiveConfig(Section, frozen=True, kw_only=True):
    """Settings for trading with real money."""

    confirm: Annotated[bool, Meta(description="Must be true before real orders are sent.")] = False
    guard_s: Annotated[
        Annotated[int, Bound(least=5)] | None,
        Meta(description="A second process cancels all of the bot's orders if the bot is silent for this long."),
    ] = None
    on_stop: Annotated[OnStop, Meta(description="What happens to open orders when the bot stops.")] = "cancel"
    latest_accept_s: Annotated[
        int, Bound(least=1), Meta(description="Longest delay after which the exchange may still act on a request.")
    ] = 900
    fees: Annotated[
        FeesConfig,
        Meta(description="Your account's fees, including promotions: {maker: 0, taker: 0.002}. Default: rank 0."),
    ] = FeesConfig()


class NotifyConfig(Section, frozen=True, kw_only=True):
    """A channel for notifications outside the terminal. A bare word sets the notifier."""

    rest_field: ClassVar[str] = "options"

    use: Annotated[str, Meta(description="The notifier's registered name.")]
    level: Annotated[Literal["info", "warning", "error", "breaker"], Meta(description="Lowest level to send.")] = "info"
    options: Annotated[dict[str, Any], Meta(description="Any other option; write secrets as ${NAME}.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> NotifyConfig:
        """Parse ``notify: [bell]``."""
        return cls(use=text)

    def __repr__(self) -> str:
        return f"NotifyConfig(use={self.use!r}, hidden)"  # hidden, because its options contain tokens

    __str__ = __repr__


class LogConfig(Section, frozen=True, kw_only=True):
    """The log settings. A bare word sets the level."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest level to log.")] = "info"
    file: Annotated[Path | None, Meta(description="Also write the log to this file.")] = None
    record_mb: Annotated[
        int,
        Bound(least=1),
        Meta(
            description="Space for a bot's runs (`botkit replay`) in MB. When it is full, old runs are deleted; if "
            "that is not enough, recording stops."
        ),
    ] = 1024
    journal_days: Annotated[
        int,
        Bound(least=1),
        Meta(description="Number of days to keep final orders without fills in the journal. Fills are kept forever."),
    ] = 7

    @classmethod
    def from_text(cls, text: str, base: Path) -> LogConfig:
        """Parse ``log: debug``."""
        if text not in ("debug", "info", "warning", "error"):
            raise ValueError(f"{text!r} is not a level; write one of debug, info, warning, error")
        return cls(level=text)  # type: ignore[arg-type]


class PageConfig(Section, frozen=True, kw_only=True):
    """Settings for the live page (`botkit run --page`, `botkit page`). The page is served only on this machine's
    loopback address.
    """

    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Additional host names for the page, such as that of a tunnel."),
    ] = ()
    control: Annotated[
        bool, Meta(description="Whether the page may pause, resume, change live parameters, cancel, stop and panic.")
    ] = False

    def __post_init__(self) -> None:
        for index, host in enumerate(self.hosts):
            if not re.fullmatch(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", host):
                raise FieldError(
                    ("hosts", index),
                    f"{host!r} is not a host name; write one in lower case without http:// and port, such as "
                    "bots.example.com",
                )
