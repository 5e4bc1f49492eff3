"""The playback page: one self-contained HTML file for scrubbing through a run, with its books, orders and limits.

It opens offline and loads nothing, like the report. All text is escaped, or packed as data.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import numpy as np
from markupsafe import Markup

from botkit.model.clock import NS_PER_MS, Nanos, to_datetime
from botkit.model.playback import BookSides, Gauge, Moment, PairFrames, PlacedOrder, Playback, PlayStep, QueuePlace
from botkit.report import language, wording
from botkit.report.packing import deltas, packed
from botkit.report.page_files import joined_script, package_file, script_sources
from botkit.report.templates import template

#: maximum number of public trades to draw per pair; the largest trades are drawn
TRADES_MAX = 40_000

#: the parts of the page's script, each after the parts it depends on
_SCRIPTS = (
    *("data.js", "say.js", "theme.js"),
    *("playback/frames.js", "playback/market.js", "playback/overview.js", "playback/sides.js", "playback/steps.js"),
    "playback/playback.js",
)


def render_playback(playback: Playback) -> str:
    """Render the complete page in the current language."""
    zone = wording.zone_of(playback.timezone)
    script = joined_script(_SCRIPTS)
    offset = _offset_ms(playback.start, zone)
    return template("playback.html.j2").render(
        p=playback,
        zone=zone,
        offset=_offset_text(offset),
        end=playback.start + playback.step * max(0, playback.frames - 1),
        style=Markup(package_file("page/report.css") + package_file("page/playback.css")),
        script=Markup(script),
        has_gauges=any(any(gauge.held) for gauge in playback.gauges),
        script_sources=script_sources(script),
        data=packed({**playback_data(playback, offset), "phrases": language.phrases_in(script, language.words())}),
        language=language.current(),
        red_up=language.rises_in_red(),
    )


def playback_data(playback: Playback, offset_ms: int) -> dict[str, Any]:
    """Return the page's data. Times are milliseconds since the first frame."""

    def ms(time: Nanos | None) -> int:
        return -1 if time is None else (time - playback.start) // NS_PER_MS

    places = {order.client_id: number for number, order in enumerate(playback.orders)}
    texts: dict[str, int] = {}
    return {
        "seconds": True,
        "mode": playback.mode,
        "currency": playback.currency.upper(),
        "start": playback.start // NS_PER_MS + offset_ms,
        "step": playback.step // NS_PER_MS,
        "frames": playback.frames,
        "pairs": [_pair(frames, ms) for frames in playback.pairs],
        "equity": _known(playback.equity),
        "holdings": {
            name: {currency: deltas(units) for currency, units in held.items()}
            for name, held in playback.holdings.items()
        },
        "gauges": _gauges(playback.gauges),
        "waiting": deltas(playback.waiting),
        "standing": _standing(playback.standing, places),
        "orders": _orders(playback.orders, ms),
        "steps": _steps(playback.steps, places, texts, ms),
        "moments": _moments(playback.moments, ms),
        "skips": {
            "frame": deltas([skip.frame for skip in playback.skips]),
            "text": [
                texts.setdefault(f"{skip.strategy}: {language.told(skip.reason)}", len(texts))
                for skip in playback.skips
            ],
            "times": [skip.times for skip in playback.skips],
        },
        "lines": [
            {
                "strategy": line.strategy,
                "pair": line.pair,
                "name": f"{line.name} {line.field}".strip(),
                "t": deltas([ms(time) for time in line.times]),
                "v": [float(f"{value:.8g}") for value in line.values],
            }
            for line in playback.lines
        ],
        "texts": list(texts),
    }


def _gauges(gauges: Sequence[Gauge]) -> list[dict[str, Any]]:
    """Return the windows in use. Windows with equal counts per IP address and per account are shown as a single
    window.
    """
    found: dict[tuple[str, int, int, tuple[int, ...]], list[str]] = {}
    for gauge in gauges:
        if any(gauge.held):
            scope = language.say({"ip": "IP address"}.get(gauge.scope, gauge.scope))
            found.setdefault((gauge.pool, gauge.limit, gauge.per_s, tuple(gauge.held)), []).append(scope)
    return [
        {
            "name": pool,
            "scope": language.say(" and ").join(scopes),
            "limit": limit,
            "per_s": per_s,
            "held": deltas(held),
        }
        for (pool, limit, per_s, held), scopes in found.items()
    ]


def _offset_ms(start: Nanos, zone: tzinfo) -> int:
    offset = to_datetime(start, zone).utcoffset()
    return round(offset.total_seconds() * 1000) if offset else 0


def _offset_text(offset_ms: int) -> str:
    hours, minutes = divmod(abs(offset_ms) // 60_000, 60)
    return f"UTC{'−' if offset_ms < 0 else '+'}{hours:02}:{minutes:02}"


def _known(values: Sequence[int | None]) -> dict[str, Any]:
    """Return the index of the first known value, and all values from there on as differences. In later gaps, the last
    value is repeated.
    """
    first = next((i for i, value in enumerate(values) if value is not None), len(values))
    found: list[int] = []
    for value in values[first:]:
        found.append(found[-1] if value is None else value)
    return {"first": first, "v": deltas(found)}


def _pair(frames: PairFrames, ms: Any) -> dict[str, Any]:
    rules = frames.pair.rules
    return {
        "pair": str(frames.pair),
        "base": frames.pair.base.upper(),
        "quote": frames.pair.quote.upper(),
        "decimals": rules.price_decimals,
        "places": rules.amount_decimals,
        "bids": _side([book[0] for book in frames.books]),
        "asks": _side([book[1] for book in frames.books]),
        "last": _known(frames.last_ticks),
        **_trades(frames, ms),
    }


def _side(levels: Sequence[Sequence[tuple[int, int]]]) -> dict[str, Any]:
    """Return one side of the books, in columns. Each level has its distance in ticks from the next better level (for
    the best level, from zero) and its lots. Both are differences from frame to frame. A missing level has no lots.
    """
    depth = max((len(side) for side in levels), default=0)
    ticks = np.zeros((len(levels), depth), np.int64)
    lots = np.zeros((len(levels), depth), np.int64)
    for row, side in enumerate(levels):
        for place, (price, amount) in enumerate(side):
            ticks[row, place], lots[row, place] = price, amount
        if side:
            ticks[row, len(side) :] = side[-1][0]
        elif row:
            ticks[row] = ticks[row - 1]
    gaps = np.diff(ticks, axis=1, prepend=0)
    return {
        "ticks": [deltas(gaps[:, place]) for place in range(depth)],
        "lots": [deltas(lots[:, place]) for place in range(depth)],
    }


def _trades(frames: PairFrames, ms: Any) -> dict[str, Any]:
    if not frames.trades:
        return {"trades": {"t": [], "ticks": [], "lots": [], "side": []}, "trades_left_out": 0}
    received, ticks, lots, side = (
        np.concatenate([getattr(columns, name) for columns in frames.trades])
        for name in ("received", "ticks", "lots", "side")
    )
    left_out = max(0, len(lots) - TRADES_MAX)
    if left_out:
        chosen = np.sort(np.argsort(-lots, kind="stable")[:TRADES_MAX])
        received, ticks, lots, side = received[chosen], ticks[chosen], lots[chosen], side[chosen]
    return {
        "trades": {
            "t": deltas([ms(time) for time in received.tolist()]),
            "ticks": deltas(ticks),
            "lots": lots.tolist(),
            "side": side.tolist(),
        },
        "trades_left_out": left_out,
    }


def _standing(frames: Sequence[Sequence[QueuePlace]], places: dict[int, int]) -> dict[str, Any]:
    """Return the bot's own orders in the books: the number of orders in each frame, then for each order its index, the
    lots ahead of it (−1 if unknown) and its remaining lots.
    """
    kept = [[order for order in frame if order.client_id in places] for frame in frames]
    rows = [order for frame in kept for order in frame]
    return {
        "count": [len(frame) for frame in kept],
        "order": deltas([places[order.client_id] for order in rows]),
        "ahead": [-1 if order.ahead_lots is None else order.ahead_lots for order in rows],
        "left": [order.remaining_lots for order in rows],
    }


def _orders(orders: Sequence[PlacedOrder], ms: Any) -> dict[str, Any]:
    def named(values: Sequence[str]) -> dict[str, Any]:
        names: dict[str, int] = {}
        return {"number": [names.setdefault(value, len(names)) for value in values], "names": list(names)}

    def since(values: Sequence[Nanos | None]) -> list[int]:
        # milliseconds since the order was requested
        return [-1 if at is None else ms(at) - ms(order.asked) for at, order in zip(values, orders, strict=True)]

    return {
        "id": deltas([order.client_id for order in orders]),
        "strategy": named([order.strategy for order in orders]),
        "pair": named([order.pair for order in orders]),
        "side": [1 if order.side == "buy" else -1 for order in orders],
        "type": named([order.type + (" post-only" if order.post_only else "") for order in orders]),
        "price": deltas([order.price_ticks for order in orders]),
        "stop": [order.stop_ticks for order in orders],
        "lots": [order.lots for order in orders],
        "spend": [order.spend_units for order in orders],
        "tag": named([order.tag for order in orders]),
        "asked": deltas([ms(order.asked) for order in orders]),
        "sent": since([order.sent for order in orders]),
        "opened": since([order.opened for order in orders]),
        "ended": since([order.ended for order in orders]),
        "state": named([order.state for order in orders]),
        "why": named([language.told(order.why) for order in orders]),
    }


def _steps(steps: Sequence[PlayStep], places: dict[int, int], texts: dict[str, int], ms: Any) -> dict[str, Any]:
    kept = [step for step in steps if not step.client_id or step.client_id in places]
    kinds: dict[str, int] = {}
    currencies: dict[str, int] = {}
    return {
        "t": deltas([ms(step.time) for step in kept]),
        "kind": [kinds.setdefault(step.kind, len(kinds)) for step in kept],
        "kinds": list(kinds),
        "order": [places.get(step.client_id, -1) for step in kept],
        "price": deltas([step.price_ticks for step in kept]),
        "lots": [step.lots for step in kept],
        "fee": [step.fee_units for step in kept],
        "fee_in": [currencies.setdefault(step.fee_currency.upper(), len(currencies)) for step in kept],
        "currencies": list(currencies),
        "maker": [int(step.is_maker) for step in kept],
        "text": [texts.setdefault(language.told(step.text), len(texts)) for step in kept],
    }


def _moments(moments: Sequence[Moment], ms: Any) -> dict[str, Any]:
    """Return the strategies' views, in columns. The levels of all books are in one list."""
    pairs = list(dict.fromkeys(pair for moment in moments for pair in moment.books))
    owners = list(dict.fromkeys((name, c) for m in moments for name, held in m.holdings.items() for c in held))
    found: dict[str, Any] = {"t": deltas([ms(moment.time) for moment in moments]), "pairs": {}, "holdings": []}
    for pair in pairs:
        empty: tuple[Nanos, BookSides] = (0, ((), ()))
        books = [moment.books.get(pair, empty) for moment in moments]
        found["pairs"][pair] = {
            "seen": [
                -1 if not seen else max(0, ms(moment.time) - ms(seen))
                for (seen, _), moment in zip(books, moments, strict=True)
            ],
            "bids": _side([sides[0] for _, sides in books]),
            "asks": _side([sides[1] for _, sides in books]),
            "last": [-1 if (last := moment.last_ticks.get(pair)) is None else last for moment in moments],
        }
    for name, currency in owners:
        units = [moment.holdings.get(name, {}).get(currency, 0) for moment in moments]
        found["holdings"].append({"strategy": name, "currency": currency.upper(), "units": deltas(units)})
    return found
