"""Sections that choose the models of the simulated exchange: fees, latency and queue position."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta

from botkit.config.decode import Bound, FieldError, suggestion
from botkit.config.section import Section
from botkit.model.clock import Nanos

Milliseconds: TypeAlias = Annotated[Decimal, Bound(least=0, most=3_600_000)]

#: the defaults of order_ms, answer_ms and feed_ms
_LATENCY_DEFAULT = (Decimal(100), Decimal(100), Decimal(0))


class FeesConfig(Section, frozen=True, kw_only=True):
    """Fees on the simulated exchange: custom rates, a rank in the exchange's fee table, or a plugin's model."""

    rest_field: ClassVar[str] = "options"

    model: Annotated[
        str | None, Meta(description="A plugin's fee model. Default: `fixed` if rates are set, otherwise `rank`.")
    ] = None
    maker: Annotated[Decimal | None, Meta(description="Maker rate as a fraction: 0.001 is 0.1 %.")] = None
    taker: Annotated[Decimal | None, Meta(description="Taker rate as a fraction: 0.002 is 0.2 %.")] = None
    rank: Annotated[
        int | Literal["auto"] | None, Meta(description="Rank in the exchange's fee table; auto follows the volume.")
    ] = None
    bito: Annotated[bool | None, Meta(description="Pay fees in BITO at a discount while the account has some.")] = None
    options: Annotated[dict[str, Any], Meta(description="Any other option for the fee model.")] = {}

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the fee model and its options. The default is rank 0 in the exchange's fee table."""
        given = {"maker": self.maker, "taker": self.taker, "rank": self.rank, "bito": self.bito}
        options = {key: value for key, value in given.items() if value is not None} | self.options
        if self.model is not None:
            return self.model, options
        if self.maker is not None:
            return "fixed", options
        return "rank", {"rank": 0, "bito": False} | options

    def __post_init__(self) -> None:
        for field, rate in (("maker", self.maker), ("taker", self.taker)):
            if rate is not None and rate < 0:
                raise FieldError(field, f"{rate} is below 0; negative fees (rebates) are not supported")
            if rate is not None and not 0 <= rate <= Decimal("0.05"):
                raise FieldError(field, f"{rate} would be {rate * 100:f} %; fees are fractions: 0.002 is 0.2 %")
        if self.model is not None:
            return
        if (self.maker is None) != (self.taker is None):
            absent = "maker" if self.maker is None else "taker"
            raise FieldError((), f"`{absent}` is missing; set maker and taker, or a rank")
        if self.maker is not None and self.rank is not None:
            raise FieldError("rank", "give either your own rates or a rank, not both")
        if self.options:
            key = next(iter(self.options))
            raise FieldError(
                key, f"unknown unless `model` is set; {suggestion(key, ('maker', 'taker', 'rank', 'bito', 'model'))}"
            )
        if isinstance(self.rank, int) and not 0 <= self.rank <= 99:
            raise FieldError("rank", f"{self.rank} is not a rank; write 0 (the lowest) or higher, or auto")


class LatencyConfig(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The latencies of requests, responses and market data, either in milliseconds or as measured in a run
    (``from``).
    """

    rest_field: ClassVar[str] = "options"

    from_: Annotated[
        Path | None,
        Meta(
            description="A run's folder or its latency.json: draw latencies from that bot's measurements instead of "
            "setting the other options."
        ),
    ] = None
    model: Annotated[str | None, Meta(description="A plugin's latency model. Default: constant.")] = None
    order_ms: Annotated[Milliseconds, Meta(description="Delay from sending a request to its arrival.")] = (
        _LATENCY_DEFAULT[0]
    )
    answer_ms: Annotated[Milliseconds, Meta(description="Delay from the exchange's response to its arrival.")] = (
        Decimal(100)
    )
    feed_ms: Annotated[
        Milliseconds, Meta(description="Delay from a market event to its arrival, for tapes without receive times.")
    ] = Decimal(0)
    options: Annotated[dict[str, Any], Meta(description="Any further options for the latency model.")] = {}

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the latency model and its options. Whole numbers of milliseconds are ints; other values are floats."""
        if self.from_ is not None:
            return "measured", {"from": str(self.from_)}
        given = {"order_ms": self.order_ms, "answer_ms": self.answer_ms, "feed_ms": self.feed_ms}
        times = {key: int(value) if value == int(value) else float(value) for key, value in given.items()}
        return self.model or "constant", times | self.options

    @property
    def is_delayed(self) -> bool:
        """True if requests and responses are delayed."""
        return self.from_ is not None or self.model is not None or bool(self.order_ms) or bool(self.answer_ms)

    @property
    def feed_ns(self) -> Nanos:
        """``feed_ms`` in nanoseconds."""
        return int(self.feed_ms * 1_000_000)

    def __post_init__(self) -> None:
        if self.from_ is not None and (
            self.model is not None
            or self.options
            or (self.order_ms, self.answer_ms, self.feed_ms) not in (_LATENCY_DEFAULT, (0, 0, 0))
        ):
            raise FieldError("from", "give either measured latencies (`from`) or your own figures, not both")
        if self.model is None and self.options:
            key = next(iter(self.options))
            known = ("order_ms", "answer_ms", "feed_ms", "model", "from")
            raise FieldError(key, f"unknown unless `model` is set; {suggestion(key, known)}")


class FillsConfig(Section, frozen=True, kw_only=True):
    """The model that estimates a resting order's queue position. A bare word sets the model."""

    rest_field: ClassVar[str] = "options"

    model: Annotated[str, Meta(description="Fill model: queue, optimistic, pessimistic, or a plugin's.")] = "queue"
    options: Annotated[dict[str, Any], Meta(description="Any other option for the fill model.")] = {}

    @classmethod
    def from_text(cls, text: str, base: Path) -> FillsConfig:
        """Parse ``fills: pessimistic``."""
        return cls(model=text)

    def choice(self) -> tuple[str, dict[str, Any]]:
        """Return the fill model and its options."""
        return self.model, dict(self.options)

    def under(self, reading: str) -> FillsConfig:
        """Return this section with another queue assumption. If that assumption is already chosen, the section is
        returned unchanged. Otherwise the options are dropped.
        """
        return self if reading == self.model else FillsConfig(model=reading)
