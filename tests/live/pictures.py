"""Builds a bot's `Picture` for tests of the display."""

from __future__ import annotations

from typing import Any

import msgspec

from botkit.live.notifications.picture import (
    LimitRow,
    Picture,
    PictureOrder,
    PicturePosition,
    PictureStrategy,
    PriceRow,
)

PICTURE = Picture(
    name="demo",
    mode="paper",
    time=1_735_700_000 * 10**9,
    uptime_s=3_725,
    halted=None,
    faults=(),
    currency="twd",
    equity=1_234_567.5,
    profit=-432.1,
    prices=(
        PriceRow(pair="btc_twd", last=3_000_001.0, bid=3_000_000.0, ask=3_000_100.0, spread_bps=0.33, age_s=1.2),
        PriceRow(pair="eth_twd", last=None, bid=None, ask=None, spread_bps=None, age_s=None),
    ),
    positions=(
        PicturePosition(
            strategy="mm", pair="btc_twd", amount=0.5, average_entry=2_990_000.0, unrealised=5_000.5, realised=-12.0,
            quote="twd",
        ),
    ),
    orders=(
        PictureOrder(
            strategy="mm", pair="btc_twd", side="buy", amount="0.01", price="2999000", executed="0", state="open",
            age_s=61,
        ),
    ),
    strategies=(
        PictureStrategy(
            name="mm", state="running", orders=12, fills=3, skips=391, refusals=1, why_not="391 spread < 40 [bold]bps"
        ),
    ),
    limits=(
        LimitRow(pool="create_order", scope="ip", held=30, limit=1_200, per_s=60, peak_percent=4.0, refused=0),
    ),
    lost_streams=(),
    connected_streams=6,
    unknown_orders=0,
    foreign_orders=2,
    events=1_000,
    turns=900,
    waiting=0,
    rate_limited=0,
)  # fmt: skip


def picture(**changed: Any) -> Picture:
    return msgspec.structs.replace(PICTURE, **changed)
