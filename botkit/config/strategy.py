"""The entries of `strategies` and `plugins`: what trades, and where its code is found."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from botkit.config.decode import Bound, FieldError, resolve_path
from botkit.config.section import NAME_PATTERN, NAME_WANTED, Currency, Name, OnStop, Section

_PERCENT = re.compile(r"([0-9]{1,3})\s*%\Z", re.ASCII)


class PluginPlace(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of ``plugins:``: a folder, a ``.py`` file, or the dotted name of an installed module."""

    only_text: ClassVar[bool] = True

    text: str
    path: Path | None = None
    module: str | None = None

    @classmethod
    def from_text(cls, text: str, base: Path) -> PluginPlace:
        """Parse a bare word. A dotted name is a module, unless a folder has that name. Any other word is a path."""
        path = resolve_path(text, base)
        dotted = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text) is not None and not text.endswith(".py")
        if dotted and not path.is_dir():
            return cls(text=text, module=text)
        if not path.exists():
            raise ValueError(f"there is no folder {path}; a path is relative to the file that contains it")
        return cls(text=text, path=path)


class StrategyConfig(Section, frozen=True, kw_only=True):
    """One of the bot's strategies."""

    name: Annotated[
        Name | None, Meta(description="Name within this bot, in reports and for `--set`. Default: the same as `use`.")
    ] = None
    use: Annotated[str, Meta(description="Registered name of the strategy, such as sma_cross.")]
    params: Annotated[dict[str, Any], Meta(description="Parameters, as the strategy's class declares them.")] = {}
    capital: Annotated[
        dict[Currency, Annotated[Decimal, Bound(above=0)]] | str | None,
        Meta(
            description='Its own sub-account: {twd: "50000", btc: "0.05"}, or 40% of its quote currencies. '
            "Default: it shares the rest of its first pair's quote currency with other strategies. Coins must be "
            "listed by name."
        ),
    ] = None
    risk: Annotated[
        dict[str, Any], Meta(description="Risk rules for this strategy; the stricter of bot and strategy wins.")
    ] = {}
    on_stop: Annotated[
        OnStop | None,
        Meta(description="What happens to this strategy's orders when the bot stops. Default: live.on_stop."),
    ] = None

    @property
    def label(self) -> str:
        """The strategy's name within the bot: ``name``, or otherwise ``use``."""
        return self.name or self.use

    @property
    def capital_percent(self) -> int | None:
        """The percentage in ``capital: 40%``, or None if the capital is not a percentage."""
        if not isinstance(self.capital, str):
            return None
        match = _PERCENT.match(self.capital)
        return int(match[1]) if match else None

    def __post_init__(self) -> None:
        if not re.match(NAME_PATTERN, self.label):
            raise FieldError("name" if self.name else "use", NAME_WANTED)
        if isinstance(self.capital, str):
            percent = self.capital_percent
            if percent is None or not 0 < percent <= 100:
                raise FieldError(
                    "capital",
                    f'{self.capital!r} is not valid; write {{twd: "50000"}} or a whole percentage such as 40%',
                )
