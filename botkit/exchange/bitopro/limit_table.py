"""BitoPro's rate-limit table: the bundled ``rate_limits.yaml`` plus the user's choices where the sources disagree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Literal

import msgspec
import yaml

from botkit.errors import ConfigError
from botkit.model.limits import DocumentedLimit, EndpointLimit, LimitTable, Scope, WindowLimit

_ScopeWord = Literal["ip", "account", "ip_and_account", "unspecified"]
_RATE = re.compile(r"([1-9][0-9]{0,5})\s*(?:/|\s+in\s+)\s*([1-9][0-9]{0,3})?\s*(s|m)\Z", re.ASCII)
#: the highest number of requests per window that a user may set; a larger number is more likely to be a typo than a
#: real limit
_MOST_REQUESTS = 100_000

_SCOPES: dict[str, tuple[Scope, ...]] = {
    "ip": (Scope.IP,),
    "account": (Scope.ACCOUNT,),
    "ip_and_account": (Scope.IP, Scope.ACCOUNT),
    "unspecified": (Scope.IP, Scope.ACCOUNT),
}


class _Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests: int
    per_s: int
    scope: _ScopeWord
    source: str = ""


class _Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    use: _Figure
    documented: tuple[_Figure, ...]
    note: str = ""


class _EndpointRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    call: str
    pool: Literal["public", "private"] | None = None
    shares: str | None = None
    use: _Figure | None = None
    documented: tuple[_Figure, ...] = ()
    note: str = ""


class _LimitsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    sources: dict[str, str]
    pools: dict[str, _Pool]
    endpoints: dict[str, _EndpointRow]


def load_limit_table(*, strict: bool = False, overrides: Mapping[str, int | str] | None = None) -> LimitTable:
    """Return the limits in force.

    The default is the ``use`` figure of each row. ``strict`` enforces the figures from all sources, so the strictest
    figure decides. ``overrides`` sets individual rows. A key is an endpoint with its own limit, or ``public`` or
    ``private`` for all other endpoints. A value is a number of requests per window, a rate such as ``"20/1s"`` or
    ``"600/1m"``, the name of the source to use, or ``"strict"``. Raises ConfigError for an invalid key or value.
    """
    file = _packaged()
    chosen = _choices(file, strict, overrides or {})
    endpoints: dict[str, EndpointLimit] = {}
    for endpoint, row in file.endpoints.items():
        counter = row.shares or row.pool or endpoint
        documented, note = row.documented, row.note
        if row.pool is not None:
            documented, note = file.pools[row.pool].documented, file.pools[row.pool].note
        method, _, path = row.call.partition(" ")
        endpoints[endpoint] = EndpointLimit(
            endpoint=endpoint,
            method=method,
            path=path,
            private=row.pool != "public",
            pool=counter,
            windows=chosen[counter],
            documented=tuple(
                DocumentedLimit(
                    requests=figure.requests,
                    per_s=figure.per_s,
                    scope=figure.scope,
                    source=figure.source,
                    about=file.sources[figure.source],
                )
                for figure in documented
            ),
            note=note,
        )
    return LimitTable(endpoints=endpoints)


@cache
def _packaged() -> _LimitsFile:
    text = resources.files("botkit.exchange.bitopro").joinpath("rate_limits.yaml").read_text(encoding="utf-8")
    # libyaml's parser is several times as fast, but not every build of PyYAML has it
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    file = msgspec.convert(found, _LimitsFile)
    assert file.version == 1
    return file


def _choices(file: _LimitsFile, strict: bool, overrides: Mapping[str, int | str]) -> dict[str, tuple[WindowLimit, ...]]:
    """Return the selected windows for each counter."""
    counters: dict[str, tuple[_Figure, tuple[_Figure, ...]]] = {
        name: (pool.use, pool.documented) for name, pool in file.pools.items()
    }
    for endpoint, row in file.endpoints.items():
        if row.use is not None:
            sharers = [other for other in file.endpoints.values() if other.shares == endpoint]
            counters[endpoint] = (row.use, row.documented + tuple(f for other in sharers for f in other.documented))
    for key in overrides:
        _check_key(file, counters, key)
    windows = {}
    for counter, (use, documented) in counters.items():
        # a public request does not identify an account, so the exchange cannot count it toward an account's limit
        scopes = (Scope.IP,) if counter == "public" else (Scope.IP, Scope.ACCOUNT)
        choice = overrides.get(counter, "strict" if strict else None)
        figures = (use,) if choice is None else _chosen(counter, choice, use, documented)
        windows[counter] = _windows(figures, scopes)
    return windows


def _check_key(file: _LimitsFile, counters: Mapping[str, object], key: str) -> None:
    if key in counters:
        return
    row = file.endpoints.get(key)
    if row is not None:
        counter = row.shares or row.pool
        raise ConfigError(
            f"limits: {key} has no limit of its own and shares the counter {counter!r}; write {counter}: instead"
        )
    near = difflib.get_close_matches(key, counters, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(counters)}"
    raise ConfigError(f"limits: {key!r} is not in BitoPro's table of limits; {hint}")


def _chosen(counter: str, choice: int | str, use: _Figure, documented: tuple[_Figure, ...]) -> tuple[_Figure, ...]:
    """Return the figures selected by one choice. All of them are enforced."""
    if isinstance(choice, str):
        if choice == "strict":
            return (use, *documented)
        told = tuple(figure for figure in documented if figure.source == choice)
        if told:
            return told
        rate = _RATE.match(choice.strip())
        if rate is not None:
            length = int(rate[2] or 1) * (60 if rate[3] == "m" else 1)
            return (msgspec.structs.replace(use, requests=int(rate[1]), per_s=length),)
        if choice.strip().isascii() and choice.strip().isdigit():
            choice = int(choice)
    if isinstance(choice, int) and not isinstance(choice, bool) and 0 < choice <= _MOST_REQUESTS:
        return (msgspec.structs.replace(use, requests=choice),)
    sources = dict.fromkeys(figure.source for figure in documented)
    raise ConfigError(
        f"limits: {counter}: {choice!r} is neither a number of requests in {use.per_s} s, nor a rate such as"
        f" {use.requests}/{use.per_s}s, nor strict, nor one of its sources: {', '.join(sources)}"
    )


def _windows(figures: Iterable[_Figure], counted: tuple[Scope, ...]) -> tuple[WindowLimit, ...]:
    """Return the windows that enforce all ``figures``, omitting any window implied by another window of the same
    scope.
    """
    windows: list[WindowLimit] = []
    for scope in counted:
        least: dict[int, int] = {}
        for figure in figures:
            if scope in _SCOPES[figure.scope] or len(counted) == 1:
                least[figure.per_s] = min(figure.requests, least.get(figure.per_s, figure.requests))
        windows += [
            WindowLimit(requests=requests, per_s=per_s, scope=scope)
            for per_s, requests in sorted(least.items())
            if not any(other > per_s and least[other] <= requests for other in least)
        ]
    assert windows
    return tuple(windows)
