"""Draws curves as SVG, for output that cannot run scripts: a notebook cell, or the page that compares runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from html import escape

from botkit.model.clock import Nanos, to_datetime
from botkit.model.results import Curve

#: colors that stay distinguishable in print and for most kinds of color blindness
COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d")
POINTS_MAX = 600
_WIDTH, _LEFT, _RIGHT, _TOP = 860, 78, 14, 24
_GAP, _AXIS = 26, 22


def curves_svg(
    curves: Mapping[str, Curve], *, zone: tzinfo, title: str = "Equity", height: int = 220, falls: int = 90
) -> str:
    """Return the curves on one chart as SVG. Each curve's drawdown is drawn below the chart, ``falls`` pixels high, or
    omitted if ``falls`` is 0.

    All text is escaped. A curve is thinned to `POINTS_MAX` points, which include its extremes.
    """
    drawn = {name: _thinned(curve) for name, curve in curves.items() if curve.times}
    if not drawn:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="20"><title>{escape(title)}</title></svg>'
        )
    start = min(curve.times[0] for curve in drawn.values())
    end = max(curve.times[-1] for curve in drawn.values())
    whole = _TOP + height + (_GAP + falls if falls else 0) + _AXIS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {whole}" width="100%" '
        f'style="max-width:{_WIDTH}px;font:11px sans-serif" role="img"><title>{escape(title)}</title>',
        *_legend(list(drawn)),
        *_panel(drawn, _TOP, height, start, end, _money),
    ]
    if falls:
        under = {name: _below_peak(curve) for name, curve in drawn.items()}
        parts += _panel(under, _TOP + height + _GAP, falls, start, end, _percent)
    parts += _days(start, end, whole - 6, zone)
    return "".join([*parts, "</svg>"])


def _legend(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [f'<text x="{_LEFT}" y="14" fill="currentColor">{escape(names[0])}</text>']
    parts, x = [], _LEFT
    for number, name in enumerate(names):
        shown = name if len(name) <= 28 else f"{name[:27]}…"
        parts.append(f'<rect x="{x}" y="6" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 14}" y="15" fill="currentColor">{escape(shown)}</text>')
        x += 30 + 7 * len(shown)
    return parts


def _panel(
    curves: Mapping[str, Curve], top: int, height: int, start: Nanos, end: Nanos, say: Callable[[float], str]
) -> list[str]:
    low = min(min(curve.values) for curve in curves.values())
    high = max(max(curve.values) for curve in curves.values())
    if high == low:
        low, high = low - abs(low) * 0.01 - 1e-9, high + abs(high) * 0.01 + 1e-9
    parts = []
    for tick in ticks(low, high, max(2, height // 60)):
        y = top + height * (high - tick) / (high - low)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">{say(tick)}</text>')
    span, width = max(1, end - start), _WIDTH - _LEFT - _RIGHT
    for number, curve in enumerate(curves.values()):
        points = " ".join(
            f"{_LEFT + width * (time - start) / span:.1f},{top + height * (high - value) / (high - low):.1f}"
            for time, value in zip(curve.times, curve.values, strict=True)
        )
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    return parts


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values between low and high, with at most ``most`` steps between them. A step is 1, 2 or 5 times a
    power of ten.
    """
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size * factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _days(start: Nanos, end: Nanos, y: float, zone: tzinfo) -> list[str]:
    form = "%Y-%m-%d" if end - start > 2 * 86_400 * 10**9 else "%m-%d %H:%M"
    width = _WIDTH - _LEFT - _RIGHT
    parts = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        text = format(to_datetime(start + round((end - start) * share), zone), form)
        parts.append(
            f'<text x="{_LEFT + width * share:.0f}" y="{y}" text-anchor="{anchor}" fill="currentColor">{text}</text>'
        )
    return parts


def _thinned(curve: Curve) -> Curve:
    """Return the curve with at most `POINTS_MAX` points: the lowest and highest points of each segment."""
    count = len(curve.times)
    if count <= POINTS_MAX:
        return curve
    kept = {0, count - 1}
    stretches = POINTS_MAX // 2 - 1
    for number in range(stretches):
        stretch = range(count * number // stretches, count * (number + 1) // stretches)
        kept |= {min(stretch, key=curve.values.__getitem__), max(stretch, key=curve.values.__getitem__)}
    return Curve([curve.times[i] for i in sorted(kept)], [curve.values[i] for i in sorted(kept)])


def _below_peak(curve: Curve) -> Curve:
    peak, falls = curve.values[0], []
    for value in curve.values:
        peak = max(peak, value)
        falls.append(value / peak - 1 if peak > 0 else 0.0)
    return Curve(curve.times, falls)


def _money(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.6g}"
    return text.replace("-", "−")


def _percent(value: float) -> str:
    return f"{value * 100:.4g} %".replace("-", "−")
