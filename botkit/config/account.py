"""The sections `exchange` and `account`: where a bot trades, and with which key."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from botkit.config.decode import FieldError
from botkit.config.section import NAME_PATTERN, Name, Section


class ExchangeConfig(Section, frozen=True, kw_only=True):
    """The exchange, by its registered name. A bare word sets the name."""

    rest_field: ClassVar[str] = "options"

    name: Annotated[Name, Meta(description="The exchange's name, such as bitopro.")] = "bitopro"
    rest: Annotated[str | None, Meta(description="REST base URL, if not the exchange's own.")] = None
    ws: Annotated[str | None, Meta(description="WebSocket base URL, if not the exchange's own.")] = None
    options: Annotated[dict[str, Any], Meta(description="Any other option for the exchange's plugin.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> ExchangeConfig:
        """Parse ``exchange: bitopro``."""
        if not re.match(NAME_PATTERN, text):
            raise ValueError(f"{text!r} is not an exchange name; write one such as bitopro")
        return cls(name=text)

    def __post_init__(self) -> None:
        for field, url, schemes in (("rest", self.rest, ("http", "https")), ("ws", self.ws, ("ws", "wss"))):
            if url is not None and not re.match(rf"({'|'.join(schemes)})://[^\s/@]+(/\S*)?\Z", url):
                raise FieldError(field, f"{url!r} is not an address; write one such as {schemes[1]}://host:port")


class AccountConfig(Section, frozen=True, kw_only=True):
    """The account at the exchange. ``${NAME}`` is read from the environment or from ``secrets_file`` when a mode needs
    the secret.
    """

    email: Annotated[str, Meta(description="The account's e-mail address.")]
    key: Annotated[str, Meta(description="API key; write ${NAME}.")]
    secret: Annotated[str, Meta(description="API secret; write ${NAME}.")]
    secrets_file: Annotated[
        Path | None, Meta(description="File of NAME=value lines, readable only by you (mode 0600).")
    ] = None
    created: Annotated[
        str | None,
        Meta(
            description="Date on which the key was created. A key that is not bound to IP addresses expires after "
            "365 days."
        ),
    ] = None

    @property
    def key_day(self) -> date | None:
        """The date on which the API key was created."""
        return None if self.created is None else date.fromisoformat(self.created)

    def __post_init__(self) -> None:
        try:
            self.key_day  # noqa: B018 - read only for its ValueError
        except ValueError:
            raise FieldError("created", f"{self.created!r} is not a date; write one such as 2026-01-31") from None

    def __repr__(self) -> str:
        return "AccountConfig(hidden)"

    __str__ = __repr__
