"""The page's colors have enough contrast: WCAG AA in both the light and the dark theme."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from botkit.report.returns import heat

CSS = (resources.files("botkit.report") / "page/report.css").read_text(encoding="utf-8")
#: the first two blocks of the style sheet
THEMES = {
    name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name, block in zip(("light", "dark"), CSS.split("}"), strict=False)
}
TEXT, CONTROL = 4.5, 3.0


def parts(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def mixed(colour: str, paper: str, share: float) -> str:
    pairs = zip(parts(colour), parts(paper), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def luminance(colour: str) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (p / 255 for p in parts(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_enough_contrast_with_its_background(theme: str) -> None:
    colours = THEMES[theme]
    paper = colours["paper"]
    for name in ("ink", "dim", "accent", "gain", "loss", "buy", "sell"):
        for ground in (paper, colours["card"]):
            assert contrast(colours[name], ground) >= TEXT, (name, ground)
    assert contrast(colours["warn-ink"], colours["warn"]) >= TEXT
    assert contrast(colours["loss"], colours["loss-soft"]) >= TEXT
    chosen = re.search(r"tr\.chosen > \* \{ background: color-mix\(in srgb, var\(--accent\) (\d+)%", CSS)
    assert chosen is not None
    ground = mixed(colours["accent"], paper, int(chosen[1]) / 100)
    for name in ("ink", "accent", "gain", "loss"):
        assert contrast(colours[name], ground) >= TEXT, name
    for name in ("gain", "loss"):
        assert contrast(colours["ink"], mixed(colours[name], paper, heat(9.0) / 100)) >= TEXT, name


@pytest.mark.parametrize("theme", THEMES)
def test_the_border_of_a_control_has_enough_contrast(theme: str) -> None:
    assert contrast(THEMES[theme]["edge"], THEMES[theme]["paper"]) >= CONTROL
