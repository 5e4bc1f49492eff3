"""Checks which coins, pairs and currencies a configuration's limits and capital refer to. A limit on a coin that the
bot never buys would limit nothing, or refuse every buy, and no run can start if a currency cannot be valued.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from botkit.config.load import LoadedConfig
from botkit.engine.money.valuation import Valuation
from botkit.engine.risk.rules import MaxPosition
from botkit.errors import ConfigError
from botkit.model.pairs import Pair


def check_known_currency(loaded: LoadedConfig, place: str, currency: str, pairs: Mapping[str, Pair]) -> None:
    """Raise ConfigError, at the line of a setting, if none of the exchange's pairs has a currency."""
    known = sorted({currency for pair in pairs.values() for currency in (pair.base, pair.quote)})
    if currency not in known:
        raise _unknown(loaded, place, "currency", currency, known)


def check_valued(
    loaded: LoadedConfig,
    place: str,
    currency: str,
    *,
    into: str,
    pairs: Mapping[str, Pair],
    priced: Mapping[str, Pair],
) -> None:
    """Raise ConfigError, at the line of a limit in ``currency``, if the bot's valuation currency ``into`` cannot be
    valued in it. ``pairs`` are all pairs of the exchange, and ``priced`` those that have prices in a run.
    """
    valuation = Valuation(priced)
    if currency == into or valuation.find_path(into, currency) is not None:
        return
    path = Valuation(pairs).find_path(into, currency)
    missing = [str(cell.pair) for cell, _ in path.steps if str(cell.pair) not in priced] if path is not None else []
    more = f", or let a strategy name {' and '.join(missing)}" if missing else ""
    raise loaded.error(
        place,
        f"{into} cannot be valued in {currency}, because no chain of the bot's pairs ({', '.join(priced)}) connects "
        f"them, so {place.split('.')[-2]} cannot use {currency}; use {_one_of(valuation.currencies)}{more}",
    )


def check_capital(
    loaded: LoadedConfig, place: str, currency: str, *, pairs: Mapping[str, Pair], priced: Mapping[str, Pair]
) -> None:
    """Raise ConfigError, at the line of a strategy's capital, if no pair that has prices in a run has its currency.
    ``pairs`` are all pairs of the exchange.
    """
    check_known_currency(loaded, place, currency, pairs)
    own = Valuation(priced).currencies
    if currency in own:
        return
    linking = [str(pair) for pair in pairs.values() if _other(pair, currency) in own]
    more = f", or let a strategy name a pair that has it, such as {linking[0]}" if linking else ""
    raise loaded.error(
        place, f"{currency} is in no pair of this bot, so it cannot be capital; use {_one_of(own)}{more}"
    )


def _other(pair: Pair, currency: str) -> str | None:
    """Return the currency of a pair that is not ``currency``, or None if the pair does not have ``currency``."""
    return pair.quote if pair.base == currency else pair.base if pair.quote == currency else None


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


def check_positions(
    loaded: LoadedConfig,
    place: str,
    rule: MaxPosition,
    *,
    pairs: Mapping[str, Pair],
    traded: Sequence[Pair],
    priced: Mapping[str, Pair],
) -> None:
    """Check that every key of a rule is a pair or a currency of the exchange, and that it limits something of the
    ``traded`` pairs. ``priced`` are the pairs that have prices in a run. Raises ConfigError.

    Without traded pairs, which are then chosen by a strategy's code, only the names are checked.
    """
    bases = list(dict.fromkeys(pair.base for pair in traded))
    valuation = Valuation(priced)
    for key in rule.limits:
        where = f"{place}.{key}"
        if "_" in key:
            if key not in pairs:
                raise _unknown(loaded, where, "pair", key, sorted(pairs))
            if traded and key not in traded:
                raise _untraded(loaded, where, f"no parameter of a strategy names the pair {key}", traded, bases)
            continue
        check_known_currency(loaded, where, key, pairs)
        if key in bases:
            continue
        for base in bases:
            if valuation.find_path(base, key) is None:
                why = f"no pair of the strategies buys {key}, and {base} cannot be valued in it"
                raise _untraded(loaded, where, why, traded, bases)


def _unknown(loaded: LoadedConfig, place: str, what: str, name: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
    return loaded.error(place, f"the exchange has no {what} {name!r}; {hint}")


def _untraded(loaded: LoadedConfig, place: str, why: str, traded: Iterable[Pair], bases: Sequence[str]) -> ConfigError:
    quotes = dict.fromkeys(pair.quote for pair in traded)
    names = ", ".join(dict.fromkeys(map(str, (*traded, *bases, *quotes))))
    return loaded.error(place, f"{why}, so {MaxPosition.name} cannot use it; use one of {names}")
