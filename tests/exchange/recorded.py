"""The exchange's documented responses, frames, refusals and signature vectors, stored with the tests as JSON."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"
EXAMPLES = DATA / "examples"
TRADING_PAIRS = DATA / "trading_pairs.json"
