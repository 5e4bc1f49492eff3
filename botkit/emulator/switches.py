"""Switches for behavior that the exchange's documentation leaves open or describes inconsistently. Each switch names
its question (QUESTIONS.md).

``--as documented`` sets every switch to the documented behavior, ``--as observed`` to the behavior observed on the
wire.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from botkit.errors import ConfigError


class Switch(msgspec.Struct, frozen=True):
    """A switch for one open question. ``values`` is empty for a numeric switch, whose bounds are ``least`` and
    ``most``.
    """

    name: str
    default: str
    documented: str
    observed: str
    about: str
    values: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


_ON_OFF = ("on", "off")


def _number(name: str, default: int, documented: int, observed: int, about: str, least: int, most: int) -> Switch:
    return Switch(name, str(default), str(documented), str(observed), about, (), least, most)


SWITCHES: Final[dict[str, Switch]] = {
    switch.name: switch
    for switch in (
        Switch(
            "payload_must_match_body", "on", "on", "on",
            "POST and PUT: the decoded payload must equal the body as JSON, else 422 (Q1, Q2)", _ON_OFF,
        ),
        Switch(
            "nonce", "any", "increasing", "any",
            "accept any nonce within the skew window, or only increasing ones, and answer 409 to a repeated signed "
            "POST (Q3)",
            ("any", "increasing"),
        ),
        _number("skew_window_s", 60, 60, 60, "how far nonce and timestamp may be from the clock; otherwise 409 (Q4)",
                1, 86_400),
        Switch(
            "identity", "any", "registered", "any",
            "identity required on signed GET and DELETE requests: any, even empty or missing, or the account's "
            "email (API 2.2)",
            ("any", "registered"),
        ),
        Switch(
            "key_expiry_streams", "close", "close", "close",
            "when the fault key_expired starts, private streams are cut or fall silent (Q36)",
            ("close", "silent"),
        ),
        Switch(
            "order_ids_filter", "off", "off", "off",
            "the listing of all orders accepts up to 1000 `orderIDs`, and then ignores times (Q35)",
            ("on", "off", "refused"),
        ),
        Switch("rate_limits", "on", "on", "on", "enforce the rate limits; off only counts requests (Q5)", _ON_OFF),
        Switch(
            "active_final", "on", "on", "off",
            "the active-orders stream also pushes an order's final state (Q6)", _ON_OFF,
        ),
        Switch(
            "batch", "all_or_nothing", "all_or_nothing", "all_or_nothing",
            "a batch with a bad order is refused entirely, or its good orders are accepted (Q7)",
            ("all_or_nothing", "best_effort"),
        ),
        Switch(
            "unknown_order", "422", "404", "422",
            "reading an order that does not exist: 422, 404, or 200 with a blank id (Q8)", ("422", "404", "blank"),
        ),
        Switch(
            "open_orders_seconds", "off", "off", "on",
            "timestamps in the open-orders listing are in seconds instead of milliseconds (Q9)", _ON_OFF,
        ),
        Switch(
            "user_trade_fee_scaled", "off", "on", "off",
            "the fee in USER_TRADE frames is multiplied by 10^8 (Q10)", _ON_OFF,
        ),
        Switch(
            "amount_step", "base", "amount", "base",
            "the precision that order entry enforces on amounts: basePrecision or amountPrecision (Q11)",
            ("base", "amount"),
        ),
        Switch(
            "whole_seconds", "off", "off", "on",
            "order timestamps are whole seconds times 1000 (API 4)", _ON_OFF,
        ),
        Switch(
            "keepalive", "documented", "documented", "observed",
            "ping every 20 s and cut after 5 s without a pong, or ping every 1 s and cut after 60 s (Q18)",
            ("documented", "observed"),
        ),
        _number("book_cadence_ms", 1000, 1000, 200,
                "minimum time between frames of a book; recorded books keep their recorded times (Q19)", 10, 60_000),
        Switch(
            "repeat_books", "off", "off", "on",
            "unchanged books are sometimes pushed again (Q19)", _ON_OFF,
        ),
        _number("trades_rows", 50, 50, 50, "number of rows in the list of recent trades (Q21)", 1, 1000),
        Switch("null_lists", "off", "off", "on", "empty lists of orders and trades are null (Q29)", _ON_OFF),
        Switch(
            "ticker_range", "day", "day", "last",
            "high and low in TICKER frames: over 24 hours, or the last price as observed (API 11.2)",
            ("day", "last"),
        ),
        Switch("bad_request", "422", "400", "422", "the status for a malformed request (Q24)", ("422", "400")),
    )
}  # fmt: skip

SETS: Final = ("documented", "observed")


class Switches(msgspec.Struct, frozen=True):
    """The chosen value of every switch."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def on(self, name: str) -> bool:
        """Return True if the switch is ``on``."""
        return self.values[name] == "on"

    def number(self, name: str) -> int:
        """Return the value of a numeric switch."""
        return int(self.values[name])


def choose(choices: Iterable[str] | Mapping[str, str] = (), as_set: str | None = None) -> Switches:
    """Set every switch to its default or a preset, then apply the ``name=value`` choices. Raises ConfigError."""
    if as_set is not None and as_set not in SETS:
        raise ConfigError(f"--as {as_set}: use {' or '.join(SETS)}")
    values = {name: switch.default if as_set is None else getattr(switch, as_set) for name, switch in SWITCHES.items()}
    pairs = choices.items() if isinstance(choices, Mapping) else [_split(choice) for choice in choices]
    for name, value in pairs:
        switch = SWITCHES.get(name)
        if switch is None:
            near = difflib.get_close_matches(name, SWITCHES, n=1)
            hint = f"did you mean {near[0]}?" if near else "`--switch help` lists them"
            raise ConfigError(f"--switch {name}: there is no such switch; {hint}")
        values[name] = _checked(switch, str(value))
    return Switches(values)


def _split(choice: str) -> tuple[str, str]:
    name, equals, value = choice.partition("=")
    if not equals:
        raise ConfigError(f"--switch {choice}: write it as name=value, such as keepalive=observed")
    return name.strip(), value.strip()


def _checked(switch: Switch, value: str) -> str:
    if switch.values:
        if value in switch.values:
            return value
        raise ConfigError(f"--switch {switch.name}={value}: use {' or '.join(switch.values)}")
    if value.isascii() and value.isdigit() and switch.least <= int(value) <= switch.most:
        return str(int(value))
    raise ConfigError(f"--switch {switch.name}={value}: use a number from {switch.least} to {switch.most}")


def help_lines() -> list[str]:
    """Return the output of ``--switch help``: each switch's name, values (default first) and purpose."""
    lines = []
    for switch in SWITCHES.values():
        values = "|".join(switch.values) if switch.values else f"{switch.least}..{switch.most}"
        lines.append(
            f"{switch.name}={switch.default}  ({values}; documented {switch.documented}, observed {switch.observed})"
        )
        lines.append(f"    {switch.about}")
    return lines
