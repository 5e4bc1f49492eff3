"""A made-up playback with a few frames."""

from __future__ import annotations

import numpy as np

from botkit.model.columns import TradeColumns
from botkit.model.playback import Gauge, Moment, PairFrames, PlacedOrder, Playback, PlayStep, QueuePlace, SkipCount
from botkit.model.results import IndicatorLine
from tests.report.sample_result import pair

SECOND = 10**9
START = 1_743_634_800 * SECOND
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def sample_playback(text: str = "maker", frames: int = 12) -> Playback:
    """Return a playback with one resting order, and with ``text`` in every field whose text a user can choose."""
    own = pair("btc_usdt", 2)
    book = (((99_00, 5), (98_00, 7)), ((101_00, 4), (102_00, 9)))
    times = START + SECOND * np.arange(3, dtype=np.int64)
    lots = np.array([5, 6, 7], np.int64)
    trades = TradeColumns(own, times, times, lots + 9_900, lots, np.array([1, -1, 0], np.int8))
    return Playback(
        name=text,
        mode="backtest",
        currency="usdt",
        timezone="Asia/Taipei",
        synthetic=False,
        start=START,
        step=SECOND,
        frames=frames,
        pairs=[PairFrames(own, [book] * frames, [None, *[100_00] * (frames - 1)], [trades])],
        equity=[None, *range(10**10, 10**10 + frames - 1)],
        holdings={text: {"usdt": [10**10] * frames}},
        gauges=[Gauge("create_order", "account", 1_200, 60, [1] * frames)],
        waiting=[0] * frames,
        standing=[[], *[[QueuePlace(1, 3, 10)]] * (frames - 1)],
        skips=[SkipCount(2, text, text, 3)],
        orders=[
            PlacedOrder(
                client_id=1, strategy=text, pair="btc_usdt", side="buy", type="limit", price_ticks=99_00, lots=10,
                spend_units=0, stop_ticks=0, post_only=True, tag=text, asked=START + SECOND // 2,
                sent=START + SECOND // 2, opened=START + SECOND,
            )
        ],
        steps=[
            PlayStep(START + SECOND // 2, "place", 1),
            PlayStep(START + 4 * SECOND, "fill", 1, 99_00, 3, 2, text, True),
            PlayStep(START + 5 * SECOND, "halted", text=text),
        ],
        moments=[
            Moment(START + SECOND // 2, {"btc_usdt": (START, book)}, {"btc_usdt": None}, {text: {"usdt": 10**10}})
        ],
        lines=[IndicatorLine("btc_usdt", text, text, "price", [START], [1.5])],
        notes=[text],
    )  # fmt: skip


def hostile_playback() -> tuple[Playback, str]:
    """Return a playback in which every name is a script, together with the script."""
    return sample_playback(HOSTILE), HOSTILE
