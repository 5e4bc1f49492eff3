"""The capital of every strategy: its opening capital, and the capital added or taken since.

When the bot is started again, the configuration may contain any of three figures: the opening capital of the
sub-account, the figure from the last start (so that the file need not be edited after `botkit capital add`), or the
total given so far (because a user may update the file to the current state). Any other figure is rejected as a mistake.
None of the three includes profit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botkit.engine.money.capital_share import CapitalShare
from botkit.engine.money.subaccounts import Fund
from botkit.errors import ConfigError
from botkit.model.money import format_units

Spec = dict[str, str] | str | None

_NOT_THERE: Any = object()


class CapitalRecord:
    """The opening capital of each strategy, in the format of `CapitalShare.spec`, and the totals in units."""

    __slots__ = ("given", "opened", "written")

    def __init__(self) -> None:
        self.opened: dict[str, Spec] = {}
        #: each strategy's configured capital at the last start, if that figure was the total
        self.written: dict[str, Spec] = {}
        #: the total given to a strategy with a sub-account; negative if profit was taken out in excess of the capital
        #: given
        self.given: dict[str, dict[str, int]] = {}

    def open(self, share: CapitalShare, units_by_currency: Mapping[str, int] | None) -> None:
        """Record a strategy's first start and, if it has a sub-account, its initial funds."""
        self.opened[share.strategy] = share.spec()
        if units_by_currency is not None:
            self.given[share.strategy] = dict(units_by_currency)

    def moved(self, strategy: str, currency: str, units: int) -> None:
        """Record units added, or taken if negative."""
        total = self.given.setdefault(strategy, {})
        total[currency] = total.get(currency, 0) + units

    def check(self, share: CapitalShare, *, kind_only: bool = False) -> None:
        """Raise ConfigError unless the configured capital is one of the allowed figures.

        ``kind_only`` checks only whether there is a sub-account.
        """
        name = share.strategy
        before = self.opened.get(name, _NOT_THERE)
        if before is _NOT_THERE or share.spec() in (before, self.written.get(name, before)):
            return
        if before is None or share.capital is None:
            raise ConfigError(
                f"capital of {name!r} was {_spec_text(before)} when it first started and is now "
                f"{_spec_text(share.spec())}. A strategy cannot move between the pool and a sub-account: restore the "
                f"old value, or give the strategy a new name to start over, and move the money with `botkit capital "
                f"take`."
            )
        if kind_only:
            return
        total = {currency: units for currency, units in self.given.get(name, {}).items() if units}
        if isinstance(share.capital, dict) and total == {c: units for c, units in share.capital.items() if units}:
            self.written[name] = share.spec()
            return
        raise ConfigError(
            f"capital of {name!r} was {_spec_text(before)} when it first started{self._since(name, before)} and is now "
            f"{_spec_text(share.spec())}. Capital only sets a sub-account's opening balance: restore the old figure"
            f"{_remedy(share, total)}."
        )

    def _since(self, name: str, before: Any) -> str:
        total = self.given.get(name)
        spec = {currency: str(units) for currency, units in (total or {}).items()}
        return (
            "" if total is None or spec == before else f", {_spec_text(spec)} with all additions and withdrawals since,"
        )

    def state(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            "capital": dict(self.opened),
            "given": {name: dict(total) for name, total in self.given.items()},
            "written": dict(self.written),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the result of `state`. Journals written before `capital add` existed contain no totals."""
        self.opened = dict(state["capital"])
        given = state.get("given")
        if given is None:
            given = {n: {c: int(u) for c, u in s.items()} for n, s in self.opened.items() if isinstance(s, dict)}
        self.given = {name: dict(total) for name, total in given.items()}
        self.written = dict(state.get("written", {}))


def not_unassigned(currency: str, units: int, has: int, reserved: int) -> str | None:
    """Return the reason why a strategy cannot be given this amount. ``has`` is the unassigned amount, of which
    ``reserved`` stays in the reserve.
    """
    free = max(0, has - reserved)
    if units <= free:
        return None
    kept = f" (of {format_units(has)}, {format_units(reserved)} is reserved)" if reserved else ""
    return (
        f"{format_units(units)} {currency} is more than the {format_units(free)} {currency} that belongs to no strategy"
        f"{kept}. Take it from another strategy first, or deposit it into the account: a running bot sees a deposit "
        f"within a minute"
    )


def not_available(target: str, currency: str, units: int, fund: Fund) -> str | None:
    """Return the reason why this amount cannot be taken from a strategy with this fund."""
    if units <= fund.available:
        return None
    held = ""
    if fund.locked:
        orders = f"{fund.orders} order{'s' if fund.orders != 1 else ''}"
        held = f"; {format_units(fund.locked)} {currency} more is locked in {orders}, so cancel them first"
    return (
        f"{target} has {format_units(fund.available)} {currency} available, but {format_units(units)} was requested"
        f"{held}"
    )


def _remedy(share: CapitalShare, total: Mapping[str, int]) -> str:
    if not isinstance(share.capital, dict):
        return ", or use `botkit capital add` and `botkit capital take`"
    commands = []
    for verb, sign in (("add", 1), ("take", -1)):
        wanted = share.capital
        changes = {c: sign * (wanted.get(c, 0) - total.get(c, 0)) for c in {**wanted, **total}}
        figures = " ".join(f"{c}={format_units(units)}" for c, units in changes.items() if units > 0)
        if figures:
            commands.append(f"`botkit capital {verb} CONFIG {share.strategy} {figures}`")
    return f", or run {' and '.join(commands)}"


def _spec_text(spec: Any) -> str:
    if spec is None:
        return "not given"
    return spec if isinstance(spec, str) else ", ".join(f"{format_units(int(u))} {c}" for c, u in spec.items())
