"""The page is readable and usable on a phone, in light and dark themes, by keyboard and with a screen reader."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.page.pages import PageBrowser

#: returns every visible text whose contrast with its background is below WCAG AA
CONTRASTS = """
(() => {
  const parts = (text) => {
    const found = /rgba?\\(([^)]+)\\)/.exec(text) || /color\\(srgb ([^)]+)\\)/.exec(text);
    const values = found[1].split(/[ ,\\/]+/).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [values[0] * scale, values[1] * scale, values[2] * scale, values.length > 3 ? values[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const layer = parts(getComputedStyle(at).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const wrong = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
    if (node.disabled || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), behind = ground(node);
    const [low, high] = [luminance(over(parts(style.color), behind)), luminance(behind)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`${text.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return wrong;
})()
"""


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest, browser: PageBrowser) -> Iterator[str]:
    value = [{"name": "prefers-color-scheme", "value": request.param}]
    browser.call("Emulation.setEmulatedMedia", features=value)
    yield request.param
    browser.call("Emulation.setEmulatedMedia", features=[])


@pytest.fixture(params=[390, 1360])
def width(request: pytest.FixtureRequest, browser: PageBrowser) -> Iterator[int]:
    browser.resize(request.param, 844)
    yield request.param
    browser.resize(1200, 900)


def test_all_text_has_enough_contrast_and_no_element_is_wider_than_the_window(
    browser: PageBrowser, address: str, theme: str, width: int
) -> None:
    browser.visit(address)
    browser.wait_for_text("#why", "the spread is too wide")
    browser.wait_for_text("#events", "bought")
    browser.settle()
    assert browser.run(CONTRASTS) == [], theme
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_text_with_low_contrast_is_detected(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    browser.run("document.getElementById('name').style.color = 'rgb(200, 200, 200)'")
    assert any(line.startswith("shown") for line in browser.run(CONTRASTS))


def test_every_control_and_region_has_an_accessible_name(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    browser.wait_for_text("#limits", "create order")
    browser.call("Accessibility.enable")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    browser.call("Accessibility.disable")
    named = ("button", "combobox", "textbox", "link", "meter", "region", "navigation", "dialog", "table", "img")
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node.get("ignored") and node.get("role", {}).get("value") in named
    ]
    assert {"button", "combobox", "meter", "region", "link"} <= {role for role, _ in found}
    assert [role for role, name in found if not name and role not in ("table", "img")] == []


def test_the_page_can_be_operated_by_keyboard(browser: PageBrowser, address: str) -> None:
    browser.visit(address)
    browser.wait_for_text("#events", "bought")
    reached = set()
    browser.run("document.body.focus()")
    for _ in range(25):
        browser.press("Tab")
        reached.add(browser.run("document.activeElement.id || document.activeElement.textContent"))
    assert {"theme", "pair", "width", "kind", "events"} <= reached
    browser.run("document.getElementById('theme').focus()")
    browser.press("Enter")
    assert browser.run("document.documentElement.dataset.theme") in ("light", "dark")
