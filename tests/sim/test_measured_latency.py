"""Latency draws from the latencies measured in a run: `latency: {from: RUN}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from botkit.errors import ConfigError
from botkit.model.clock import NS_PER_MS
from botkit.model.latency import FORMAT, LATENCIES, STEPS
from botkit.sim.latency import Measured

KEYS = range(4_000)


def quantiles(least_ms: float, most_ms: float) -> list[int]:
    """Return the quantiles of uniformly distributed values."""
    return [round(1_000 * (least_ms + (most_ms - least_ms) * step / STEPS)) for step in range(STEPS + 1)]


def measured(folder: Path, **changed: Any) -> Path:
    """Write a run folder and return its path. A create takes 20 to 60 ms to arrive, and its answer 10 to 30 ms. A
    cancel takes less time. Books are 1 to 5 ms late.
    """
    document = {
        "format": FORMAT,
        "bot": "maker",
        "mode": "live",
        "speed": 1.0,
        "is_stamped": True,
        "counts": {"order": {"create": 500, "cancel": 400}, "answer": {"create": 500, "cancel": 400, "fill": 100}},
        "order_us": {"create": quantiles(20, 60), "cancel": quantiles(5, 15)},
        "answer_us": {"create": quantiles(10, 30), "cancel": quantiles(6, 10), "fill": quantiles(50, 70)},
        "feed_us": quantiles(1, 5),
        "round_trip_us": {"create": quantiles(30, 90), "cancel": quantiles(11, 25)},
    } | changed
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LATENCIES).write_text(json.dumps(document))
    return folder


def model(path: Path, seed: int = 0) -> Measured:
    return Measured({"from": str(path)}, seed)


def mean_ms(values: list[int]) -> float:
    return sum(values) / len(values) / NS_PER_MS


def test_latency_draws_follow_the_measured_distributions(tmp_path: Path) -> None:
    found = model(measured(tmp_path))
    ways = [found.request_ns("create_order", key) + found.feed_ns(key) for key in KEYS]
    back = [found.news_ns("create_batch", key) for key in KEYS]
    # an order is matched against the market data received 1 to 5 ms later; relative to that data, its answer becomes
    # known 3 ms earlier
    assert 21 * NS_PER_MS <= min(ways) < 25 * NS_PER_MS
    assert 61 * NS_PER_MS < max(ways) <= 65 * NS_PER_MS
    assert min(back) == pytest.approx(7 * NS_PER_MS, abs=NS_PER_MS // 5)
    assert max(back) == pytest.approx(27 * NS_PER_MS, abs=NS_PER_MS // 5)
    assert mean_ms(ways) == pytest.approx(43, rel=0.01)
    assert mean_ms(back) == pytest.approx(17, rel=0.01)
    assert sum(ways[key] < 33 * NS_PER_MS for key in KEYS) / len(KEYS) == pytest.approx(0.25, abs=0.02)


def test_creates_cancels_and_fills_have_separate_latencies(tmp_path: Path) -> None:
    found = model(measured(tmp_path))
    means = [
        mean_ms([found.request_ns(endpoint, key) for key in KEYS]) for endpoint in ("create_order", "cancel_batch")
    ]
    assert means == pytest.approx([43, 13], rel=0.02)
    means = [
        mean_ms([found.news_ns(endpoint, key) for key in KEYS]) for endpoint in ("create_order", "cancel_order", "")
    ]
    assert means == pytest.approx([17, 5, 57], rel=0.02)


def test_a_kind_without_measurements_uses_the_latency_of_a_measured_kind(tmp_path: Path) -> None:
    answer = {"create": [], "cancel": [], "fill": quantiles(50, 70)}
    found = model(measured(tmp_path, order_us={"create": quantiles(20, 60)}, answer_us=answer))
    assert mean_ms([found.request_ns("cancel_order", key) for key in KEYS]) == pytest.approx(43, rel=0.02)
    assert mean_ms([found.news_ns("create_order", key) for key in KEYS]) == pytest.approx(57, rel=0.02)


@pytest.mark.parametrize("feed", [quantiles(0, 0), quantiles(2, 4), quantiles(15, 25), quantiles(30, 90), []])
def test_requests_and_answers_take_as_long_as_measured_regardless_of_the_book_delay(
    tmp_path: Path, feed: list[int]
) -> None:
    one = {"create": quantiles(10, 30)}
    counts = {"order": {"create": 900}, "answer": {"create": 900}}
    found = model(measured(tmp_path, feed_us=feed, answer_us=one, counts=counts))
    whole = [found.request_ns("create_order", key) + found.news_ns("create_order", key) for key in KEYS]
    assert mean_ms(whole) == pytest.approx(40 + 20, rel=0.03)


def test_a_latency_draw_depends_only_on_seed_and_key(tmp_path: Path) -> None:
    one, other, another = model(measured(tmp_path), 1), model(tmp_path, 1), model(tmp_path, 2)
    assert [one.order_ns(key) for key in KEYS] == [other.order_ns(key) for key in reversed(KEYS)][::-1]
    assert [one.order_ns(key) for key in KEYS] != [another.order_ns(key) for key in KEYS]


def test_the_measured_latencies_are_listed_as_assumptions(tmp_path: Path) -> None:
    (sentence,) = model(measured(tmp_path, speed=60.0)).assumptions
    assert "the bot maker in mode live at speed 60, in 900 requests" in sentence
    assert "40 ms to the exchange (10 for cancels), 20 ms back (8 for cancels, 60 for fills) and 3 ms from" in sentence
    (sentence,) = model(measured(tmp_path, is_stamped=False)).assumptions
    assert "split in half" in sentence


def test_a_run_can_be_specified_by_its_file_its_folder_or_the_bots_state_folder(tmp_path: Path) -> None:
    measured(tmp_path / "runs" / "2", bot="second")
    measured(tmp_path / "runs" / "10", bot="tenth")
    (tmp_path / "runs" / "11").mkdir()  # a run without measurements
    for path, bot in (("runs/2", "second"), (f"runs/2/{LATENCIES}", "second"), (".", "tenth")):
        assert f"the bot {bot} in mode" in model(tmp_path / path).assumptions[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": FORMAT + 1}, "written by another version of botkit"),
        ({"order_us": {"create": []}}, "the exchange answered no orders"),
        ({"order_us": {"create": [1, 2, 3]}}, "damaged"),
        ({"answer_us": {"fill": quantiles(60, 20)}}, "damaged"),
        ({"order_us": "fast"}, "is not a latency file"),
    ],
)
def test_an_unusable_file_is_refused_with_a_reason(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"latency.from: .*{words}"):
        model(measured(tmp_path, **changed))


def test_a_run_without_measurements_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"contains no latency\.json; give the folder of a run that has traded"):
        model(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere cannot be read: No such file"):
        model(tmp_path / "nowhere")
