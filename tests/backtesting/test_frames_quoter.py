"""Every fill of a scripted quoter on recorded frames, compared with `frames_reference`, which relies only on the frames
and `json`.
"""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import pytest

from botkit.model.clock import NS_PER_MS
from botkit.model.results import BacktestResult
from tests.backtest_world import ROOT, SHARED, run, write_config, write_strategy

FRAMES = SHARED / "btc_usdt-2024-08-08.frames.jsonl.gz"
pytestmark = pytest.mark.skipif(not FRAMES.exists(), reason=f"{FRAMES} is not there")

_spec = importlib.util.spec_from_file_location("frames_reference", Path(__file__).with_name("frames_reference.py"))
assert _spec is not None
assert _spec.loader is not None
reference: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

ORDER_MS, EVERY_MS, LIVES = 137, 5_000, 2
#: distances from the best price in ticks: at the best price, behind it, between levels, and beyond the twenty recorded
#: levels
AWAY = (0, 1, 37, 900)

QUOTER = """
pair: Pair
script: str

def on_start(self):
    self._orders = {}
    self._script = json.loads(Path(self.script).read_text())
    self.subscribe_book(self.pair)
    self.set_timer(every_s=5)

def on_timer(self, timer):
    acts = self._script.get(str(self.now // 1_000_000), {})
    for name in acts.get("cancel", []):
        if not self._orders[name].is_final:
            self.cancel(self._orders[name])
    for name, side, price, amount in acts.get("create", []):
        order = self.buy if side == "buy" else self.sell
        self._orders[name] = order(self.pair, amount=amount, price=price, post_only=True, tag=name)
"""


def text(steps: int, decimals: int) -> str:
    return f"{steps // 10**decimals}.{steps % 10**decimals:0{decimals}d}"


def make_script(events: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Generate (the strategy's actions at each timer, the same actions as orders for the reference)."""
    rng = random.Random(5)
    script: dict[str, Any] = {}
    orders: list[dict[str, Any]] = []
    first, last = events[0][0], events[-1][0]
    for ring in range(first // EVERY_MS + 1, last // EVERY_MS + 1):
        now = ring * EVERY_MS
        books = [row for time, kind, row in events if kind == 0 and time <= now]
        if not books:
            continue
        bids, asks = books[-1]
        creates = []
        for away in AWAY:
            for buy in (True, False):
                ticks = bids[0][0] - away if buy else asks[0][0] + away
                lots = rng.choice([20_000, 300_000, 5_000_000, 80_000_000])
                name = f"{'b' if buy else 's'}{ring}-{away}"
                creates.append([name, "buy" if buy else "sell", text(ticks, 2), text(lots, 8)])
                ends = now + LIVES * EVERY_MS
                orders.append(
                    {
                        "name": name,
                        "buy": buy,
                        "ticks": ticks,
                        "lots": lots,
                        "arrives": now + ORDER_MS,
                        "cancelled": ends + ORDER_MS,
                    }
                )
                script.setdefault(str(ends), {}).setdefault("cancel", []).append(name)
        script.setdefault(str(now), {})["create"] = creates
    return script, orders


@pytest.fixture(scope="module")
def scripted() -> tuple[list[Any], dict[str, Any], list[dict[str, Any]]]:
    events = reference.read_frames(FRAMES)
    return (events, *make_script(events))


def run_script(folder: Path, script: dict[str, Any], reading: str) -> BacktestResult:
    place = folder / "script.json"
    place.write_text(json.dumps(script), encoding="utf-8")
    config = write_config(
        folder,
        f"{{path: {FRAMES}, kind: frames, trades: single}}",
        plugins=write_strategy(folder, QUOTER),
        params=f'{{pair: btc_usdt, script: "{place}"}}',
        balances='{usdt: "100000000", btc: "1000"}',
        backtest=f'  fees: {{maker: "0.001", taker: "0.002"}}\n  fills: {{model: {reading}}}\n'
        f"  latency: {{order_ms: {ORDER_MS}, answer_ms: 59}}\n",
    )
    return run(config)


@pytest.mark.parametrize("reading", ["queue", "optimistic", "pessimistic"])
def test_every_fill_of_a_scripted_quoter_can_be_derived_from_the_frames_alone(
    tmp_path: Path, scripted: tuple[list[Any], dict[str, Any], list[dict[str, Any]]], reading: str
) -> None:
    events, script, orders = scripted
    result = run_script(tmp_path, script, reading)
    assert result.summary["orders"] == len(orders)
    assert not result.summary["orders_delayed"]
    assert not result.summary["refused"]
    made = [(fill.tag, fill.time // NS_PER_MS, fill.price_ticks, fill.lots) for fill in result.fills]
    expected = reference.derive(events, orders, reading)
    assert sorted(made) == sorted(expected)
    assert len(expected) > {"queue": 60, "optimistic": 120, "pessimistic": 40}[reading]
    assert all(fill.is_maker for fill in result.fills)


def test_the_script_covers_every_kind_of_queue_position(
    scripted: tuple[list[Any], dict[str, Any], list[dict[str, Any]]],
) -> None:
    events, _, orders = scripted
    kinds = set()
    for order in orders:
        bids, asks = [row for time, kind, row in events if kind == 0 and time <= order["arrives"]][-1]
        levels = bids if order["buy"] else asks
        worst, prices = levels[-1][0], {ticks for ticks, _ in levels}
        beyond = order["ticks"] < worst if order["buy"] else order["ticks"] > worst
        kinds.add("beyond" if beyond else "at a level" if order["ticks"] in prices else "between")
    assert kinds == {"beyond", "at a level", "between"}


def test_the_market_maker_fills_as_maker_and_its_fill_assumptions_are_reported(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        f"{{path: {FRAMES}, kind: frames, trades: single}}",
        plugins=ROOT / "strategies",
        use="market_maker",
        params="{pair: btc_usdt, amount: 0.01, spread_bps: 1, skew_bps: 2}",
        balances='{usdt: "100000", btc: "0.5"}',
        backtest='  fees: {maker: "0", taker: "0.002"}\n  latency: {order_ms: 100, answer_ms: 100}\n',
    )
    result = run(config)
    assert result.fills
    assert all(fill.is_maker for fill in result.fills)
    assumptions = " ".join(result.assumptions).lower()
    for word in ("queue", "ahead", "recorded level", "latency"):
        assert word in assumptions, word
