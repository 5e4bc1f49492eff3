"""The built-in fee models: fixed rates, and the exchange's ranks.

Source of the ranks: the exchange's limitations-and-fees table (`ExchangeFacts.fee_ranks`). Paying in BITO gives a 20 %
discount. The rank is computed from a snapshot at 00:00 UTC+8 and applied at 04:00 UTC+8.
"""

from __future__ import annotations

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR, Nanos
from botkit.model.extension import ExchangeFacts, FeeRank, FeeRates, Options
from botkit.model.money import UNIT, to_decimal

_TAIPEI = 8 * NS_PER_HOUR
_APPLIED = 4 * NS_PER_HOUR
_VOLUME_DAYS = 30
_BITO = (4, 5)  # a 20 % discount


def _rate_e8(options: Options, key: str) -> int:
    if key not in options:
        raise ConfigError(f'fees.{key} is missing; write fees: {{maker: "0.001", taker: "0.002"}} or {{rank: 0}}')
    try:
        rate = to_decimal(options[key], key)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"fees.{key}: {error}") from None
    if not 0 <= rate < 1:
        raise ConfigError(f"fees.{key} is {rate}; it must be a fraction such as 0.002, at least 0 and less than 1")
    scaled = rate * UNIT
    if scaled != int(scaled):
        raise ConfigError(f"fees.{key} is {rate}; it may have at most 8 decimals")
    return int(scaled)


def _uses_discount(options: Options) -> bool:
    value = options.get("bito", False)
    if not isinstance(value, bool):
        raise ConfigError(f"fees.bito is {value!r}; write true or false")
    return value


def _refuse_unknown(options: Options, known: tuple[str, ...]) -> None:
    unknown = sorted(set(options) - {"model", *known})
    if unknown:
        raise ConfigError(f"fees.{unknown[0]} is unknown; the options of this model are {', '.join(known)}")


def _percent(rate_e8: int) -> str:
    return f"{rate_e8 / 10**6:g} %"


_BITO_SENTENCE = (
    "Fees are paid in BITO at its last price, at a 20 % discount, while the account has enough available; otherwise "
    "the full rate is charged in the currency received."
)


class FixedFees:
    """Rates that never change: ``{maker: "0.001", taker: "0.002", bito: false}``."""

    counts_volume = False

    def __init__(self, options: Options, facts: ExchangeFacts | None = None) -> None:
        _refuse_unknown(options, ("maker", "taker", "bito"))
        maker, taker = _rate_e8(options, "maker"), _rate_e8(options, "taker")
        self.uses_discount = _uses_discount(options)
        self._rates = FeeRates(
            maker_e8=maker,
            taker_e8=taker,
            discounted_maker_e8=maker * _BITO[0] // _BITO[1],
            discounted_taker_e8=taker * _BITO[0] // _BITO[1],
            source="configuration",
        )
        self.assumptions: tuple[str, ...] = (
            f"Fees are fixed: maker {_percent(maker)}, taker {_percent(taker)} of an order's proceeds, rounded half "
            "up at 1e-8.",
            *((_BITO_SENTENCE,) if self.uses_discount else ()),
        )

    def rates(self, now: Nanos) -> FeeRates:
        """Return the configured rates."""
        return self._rates

    def record(self, now: Nanos, volume_units: int) -> None:
        """Ignore the volume, because the rates are fixed."""


class RankFees:
    """The exchange's ranks: ``{rank: 0..6, bito: true}`` or ``{rank: auto}``, which tracks the 30-day volume.

    ``auto`` starts at rank 0, without past volume. The model does not know the account's BITO holdings, so it never
    grants a rank that is based on holdings alone or that requires both holdings and volume.
    """

    def __init__(self, options: Options, facts: ExchangeFacts) -> None:
        _refuse_unknown(options, ("rank", "bito"))
        if not facts.fee_ranks:
            raise ConfigError(f"{facts.name} has no table of fee ranks; write fees: {{maker: ..., taker: ...}}")
        self.uses_discount = _uses_discount(options)
        self._ranks = {row.rank: row for row in facts.fee_ranks}
        wanted = options.get("rank", 0)
        self._auto = self.counts_volume = wanted == "auto"
        if not self._auto and (isinstance(wanted, bool) or wanted not in self._ranks):
            known = ", ".join(str(rank) for rank in sorted(self._ranks))
            raise ConfigError(f"fees.rank is {wanted!r}; use one of {known}, or auto")
        self._volumes: dict[int, int] = {}
        self._period = -1
        self._rates = self._of(self._ranks[min(self._ranks) if self._auto else wanted])
        what = "follow the run's 30-day volume, with changes at 04:00 UTC+8" if self._auto else f"are rank {wanted}"
        self.assumptions: tuple[str, ...] = (
            f"Fees {what}: {self._rates.source} maker {_percent(self._rates.maker_e8)}, taker"
            f" {_percent(self._rates.taker_e8)} of an order's proceeds, rounded half up at 1e-8.",
            *(("A rank that requires a holding of BITO is not granted automatically.",) if self._auto else ()),
            *((_BITO_SENTENCE,) if self.uses_discount else ()),
        )

    @staticmethod
    def _of(row: FeeRank) -> FeeRates:
        return FeeRates(
            maker_e8=row.maker_e8,
            taker_e8=row.taker_e8,
            discounted_maker_e8=row.discounted_maker_e8,
            discounted_taker_e8=row.discounted_taker_e8,
            source=f"rank {row.rank}",
        )

    def rates(self, now: Nanos) -> FeeRates:
        """Return the rates for the rank in force at ``now``."""
        if self._auto:
            period = (now + _TAIPEI - _APPLIED) // NS_PER_DAY
            if period != self._period:
                self._period = period
                self._rates = self._of(self._rank_for(period))
        return self._rates

    def _rank_for(self, day: int) -> FeeRank:
        for old in [d for d in self._volumes if d < day - _VOLUME_DAYS]:
            del self._volumes[old]
        volume = sum(units for d, units in self._volumes.items() if d < day)
        reached = [row for row in self._ranks.values() if not row.needs_both and volume >= row.volume * UNIT]
        lowest = self._ranks[min(self._ranks)]
        return max(reached, key=lambda row: row.rank, default=lowest)

    def record(self, now: Nanos, volume_units: int) -> None:
        """Add a fill's value to the day's volume (UTC+8)."""
        if self._auto:
            day = (now + _TAIPEI) // NS_PER_DAY
            self._volumes[day] = self._volumes.get(day, 0) + volume_units
