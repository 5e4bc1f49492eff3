"""Finds English text left on a page in another language, both in its visible text and in accessible names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.report.browser import Browser

#: returns all text on the page that a user sees or a screen reader reads, except code and scripts
TEXTS = """
(() => {
  const said = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!node.closest("script, noscript, style, code, pre, kbd") && text.data.trim()) said.push(text.data.trim());
  }
  for (const node of document.querySelectorAll("*")) {
    for (const name of ["aria-label", "aria-roledescription", "aria-valuetext", "title", "placeholder", "alt"]) {
      if (node.getAttribute(name)) said.push(node.getAttribute(name));
    }
  }
  return [document.title, ...said];
})()
"""
#: names and units that are the same in both languages
KEPT = {"botkit", "TradingView", "Lightweight", "Charts", "bps", "Ctrl", "Asia", "Taipei", "tradingview", "com"}


def english_left(browser: Browser, names: Iterable[str] = ()) -> list[str]:
    """Return the texts that contain an English word other than those in ``names``, currencies, and text in
    backquotes.
    """
    known = KEPT | {word for name in names for word in re.findall(r"[A-Za-z]{2,}", name)}
    left = []
    for text in browser.run(TEXTS):
        words = re.findall(r"[A-Za-z]{2,}", re.sub(r"`[^`]*`|--[a-z-]+|\w+\.\w+", " ", text))
        if any(word not in known and not word.isupper() for word in words):
            left.append(text)
    return sorted(set(left))
