"""Trades, recomputed using only fills and prices, by code that is independent of botkit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botkit.backtesting.trades import _last_fills, match_trades
from botkit.model import row_columns
from botkit.model.pairs import Pair
from botkit.model.results import BacktestResult, ClosedTrade, FillRow
from tests.backtest_world import ROOT, run, write_candles, write_config, write_strategy
from tests.report.sample_result import pair

COIN = 10**8
SECOND = 10**9
START = 1_740_758_400 * SECOND
BTC = pair("btc_usdt", 2)


def fill(
    order: int,
    side: str,
    amount: float,
    price: float,
    *,
    of: Pair = BTC,
    fee: float = 0.0,
    fee_currency: str | None = None,
    fee_value: float | None = None,
    strategy: str = "s",
    at: int = 0,
    tag: str = "",
    rate: float = 1.0,
) -> FillRow:
    """Create an execution ``at`` seconds after the start. ``rate`` is the value of one unit of the quote currency."""
    lots, ticks = round(amount * 10**of.rules.amount_decimals), round(price * 10**of.rules.price_decimals)
    return FillRow(
        START + at * SECOND,
        strategy,
        order,
        "",
        of,
        side,
        False,
        ticks,
        lots,
        of.rules.value_units(ticks, lots),
        round(fee * COIN),
        fee_currency or of.quote,
        amount * price * rate,
        fee * rate if fee_value is None else fee_value,
        tag,
    )


def profits(trades: Sequence[ClosedTrade]) -> list[float]:
    return [trade.pnl_units / COIN for trade in trades]


def test_a_trade_earns_the_price_difference_minus_both_fees() -> None:
    # buys 1 coin with a fee of 0.002 coins; sells 0.998 at 110 for a fee of 0.21956
    fills = [
        fill(1, "buy", 1, 100, fee=0.002, fee_currency="btc", fee_value=0.2, tag="in"),
        fill(2, "sell", 0.998, 110, fee=0.21956, at=60, tag="out"),
    ]
    (trade,) = match_trades(fills).trades
    assert trade.pnl_units == round((0.998 * 110 - 0.21956 - 100) * COIN)
    assert trade.pnl == pytest.approx(trade.pnl_units / COIN)
    # values are before fees: the 0.998 coins were worth 99.80 at entry
    assert (trade.units, trade.entry_units, trade.exit_units) == (99_800_000, 9_980_000_000, 10_978_000_000)
    assert trade.fee_units == 20_000_000 + 21_956_000
    assert trade.return_ == trade.pnl_units / trade.entry_units
    assert (trade.opened, trade.closed) == (START, START + 60 * SECOND)
    assert (trade.kind, trade.entry_tag, trade.exit_tag, trade.currency) == ("long", "in", "out", "usdt")


def test_lots_are_closed_first_in_first_out_and_partially_if_needed() -> None:
    fills = [
        fill(1, "buy", 1, 100, at=0),
        fill(2, "buy", 1, 200, at=1),
        fill(3, "sell", 0.5, 170, at=2),  # half of the first lot
        fill(3, "sell", 1, 170, at=3),  # the other half, and half of the second lot
        fill(4, "sell", 0.25, 180, at=4),
    ]
    found = match_trades(fills)
    assert profits(found.trades) == [pytest.approx(1.5 * 170 - 200), pytest.approx(0.25 * (180 - 200))]
    assert [(trade.opened, trade.closed) for trade in found.trades] == [
        (START, START + 3 * SECOND),
        (START + SECOND, START + 4 * SECOND),
    ]
    (lot,) = found.open
    assert (lot.units, lot.cost_units) == (COIN // 4, 50 * COIN)


def test_lots_listed_in_an_orders_closes_parameter_are_closed_first() -> None:
    fills = [
        fill(1, "buy", 1, 100, at=0),
        fill(2, "buy", 0.5, 200, at=1),
        fill(2, "buy", 0.5, 210, at=2),
        fill(3, "sell", 1.5, 220, at=3),  # all of order 2, then the oldest lot
    ]
    (trade,) = match_trades(fills, links={3: 2}).trades
    assert trade.pnl_units / COIN == pytest.approx(1.5 * 220 - 100 - 105 - 50)
    (plain,) = match_trades(fills).trades
    assert plain.pnl_units / COIN == pytest.approx(1.5 * 220 - 100 - 100)
    assert match_trades(fills, links={3: 77}).trades == [plain]  # order 77 opened no lot


def test_allocated_coins_are_sold_last_and_marked() -> None:
    opening = {("s", "btc_usdt"): (2 * COIN, 100.0)}
    fills = [
        fill(1, "buy", 1, 120),
        fill(2, "sell", 1.5, 130, at=1),  # the coin that the order bought, and half of an allocated coin
        fill(3, "sell", 1, 90, at=2),
    ]
    found = match_trades(fills, opening, start=START - SECOND)
    assert [(trade.is_given, trade.pnl_units / COIN) for trade in found.trades] == [
        (False, pytest.approx(10)),
        (True, pytest.approx(15)),
        (True, pytest.approx(-10)),
    ]
    assert found.trades[1].opened == START - SECOND
    assert [(lot.units, lot.cost_units, lot.is_given) for lot in found.open] == [(COIN // 2, 50 * COIN, True)]


def test_an_order_that_reverses_a_position_opens_one_in_the_opposite_direction() -> None:
    fills = [fill(1, "buy", 1, 100), fill(2, "sell", 3, 110, at=1), fill(3, "buy", 2, 105, at=2)]
    assert [(trade.kind, trade.pnl_units / COIN) for trade in match_trades(fills).trades] == [
        ("long", pytest.approx(10)),
        ("short", pytest.approx(10)),
    ]


def test_lots_are_not_shared_between_strategies_or_pairs() -> None:
    eth = pair("eth_usdt", 2)
    fills = [
        fill(1, "buy", 1, 100, strategy="a"),
        fill(2, "buy", 1, 10, strategy="b", of=eth),
        fill(3, "sell", 1, 120, strategy="b"),
        fill(4, "sell", 1, 12, strategy="b", of=eth),
    ]
    (trade,) = match_trades(fills).trades
    assert (trade.strategy, trade.pairs, trade.pnl_units) == ("b", (eth,), 2 * COIN)


def test_a_fee_in_a_third_currency_is_converted_and_deducted() -> None:
    fills = [
        fill(1, "buy", 1, 100, fee=50, fee_currency="bito", fee_value=0.5),
        fill(2, "sell", 1, 101, fee=50, fee_currency="bito", fee_value=0.6),
    ]
    (trade,) = match_trades(fills).trades
    assert trade.pnl == pytest.approx(-0.1)


def test_profits_are_converted_to_the_valuation_currency_at_the_exit_rate() -> None:
    fills = [fill(1, "buy", 1, 100, rate=30), fill(2, "sell", 1, 110, rate=32)]
    (trade,) = match_trades(fills).trades
    assert (trade.pnl_units, trade.pnl) == (10 * COIN, pytest.approx(320))


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("", "signal"),
        ("my exit", "signal"),
        ("stop_loss", "stop_loss"),
        ("take_profit", "take_profit"),
        ("trailing_stop", "trailing_stop"),
        ("flatten", "bot_stop"),
    ],
)
def test_a_trade_takes_its_reason_from_the_order_that_closed_it(tag: str, reason: str) -> None:
    fills = [fill(1, "buy", 1, 100), fill(2, "sell", 1, 110, tag=tag)]
    assert [trade.exit_reason for trade in match_trades(fills).trades] == [reason]


def test_a_trade_closed_by_the_bots_shutdown_has_shutdown_as_its_reason() -> None:
    fills = [fill(1, "buy", 1, 100), fill(2, "sell", 0.5, 110, tag="mine"), fill(3, "sell", 0.5, 110, tag="mine")]
    assert [trade.exit_reason for trade in match_trades(fills, at_stop={3}).trades] == ["signal", "bot_stop"]


_DRAWN = st.lists(
    st.tuples(
        st.booleans(), st.integers(1, 10**9), st.integers(1, 10**7), st.integers(0, 10**5), st.sampled_from("bqo"),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(_DRAWN, st.integers(0, 10**10), st.integers(1, 10**7))
def test_trades_and_open_lots_add_up_exactly_to_the_change_in_equity(drawn, given_units: int, first_ticks: int) -> None:
    """Compute the opening and closing cash and coin balances from the fills in exact fractions, and value them at the
    last price.
    """
    fills = []
    for number, (buys, lots, ticks, fee, fee_in, order) in enumerate(drawn):
        value = BTC.rules.value_units(ticks, lots)
        currency = {"b": "btc", "q": "usdt", "o": "usdt"}[fee_in]
        fee_units = min(fee, (lots if fee_in == "b" else value) // 2) if fee_in != "o" else 0
        side = "buy" if buys else "sell"
        fills.append(
            FillRow(START + number, "s", order * 2 + buys, "", BTC, side, False, ticks, lots, value, fee_units,
                    currency, value / COIN, fee_units / COIN, "")
        )  # fmt: skip
    first = first_ticks / 100
    cash, coins = 0, given_units
    for row in fills:
        sign = 1 if row.side == "buy" else -1
        coins += sign * row.lots - (row.fee_units if row.fee_currency == "btc" else 0)
        cash -= sign * row.value_units + (row.fee_units if row.fee_currency == "usdt" else 0)
    last = Fraction(fills[-1].price_ticks, 100)
    found = match_trades(fills, {("s", "btc_usdt"): (given_units, first)} if given_units else {})
    profit = sum(trade.pnl_units for trade in found.trades)
    assert sum(lot.units for lot in found.open) == coins
    worth_more = sum(lot.units * last - lot.cost_units for lot in found.open)
    assert profit + worth_more == cash + coins * last - round(given_units * first)
    for trade in found.trades:
        assert trade.units > 0
        assert trade.opened <= trade.closed
        assert sum(units for _, units, _ in trade.steps) == 0
        assert sum(money for _, _, money in trade.steps) == (
            (trade.exit_units - trade.entry_units) * (1 if trade.kind == "long" else -1)
        )
        assert trade.pnl_units == sum(money for _, _, money in trade.steps) - trade.fee_units


# -- loops ------------------------------------------------------------------------------------------------------------

BTC_TWD, USDT_TWD = pair("btc_twd", 0), pair("usdt_twd", 3)


def triangle(*, at: int = 0, order: int = 1, sold: float = 0.0998, changed: float = 6_380.0) -> list[FillRow]:
    """Create a loop TWD -> BTC -> USDT -> TWD: 200,000 TWD are converted to 0.0998 BTC (after a fee of 0.0002), then to
    about 6,400 USDT, then back to TWD.
    """
    return [
        fill(order, "buy", 0.1, 2_000_000, of=BTC_TWD, fee=0.0002, fee_currency="btc", fee_value=400, at=at),
        fill(order + 1, "sell", sold, 64_128.26, of=BTC, fee=12.8, rate=31.4, at=at + 1),
        fill(order + 2, "sell", changed, 31.5, of=USDT_TWD, fee=400, at=at + 2),
    ]


def test_a_loop_is_recorded_as_a_single_trade_in_its_starting_currency() -> None:
    fills = triangle()
    found = match_trades(fills)
    (loop,) = found.trades
    assert (loop.kind, loop.currency, loop.pair_text) == ("loop", "twd", "btc_twd > btc_usdt > usdt_twd")
    assert (loop.opened, loop.closed, loop.client_id) == (START, START + 2 * SECOND, 3)
    # 7.2 USDT were not converted back; neither this amount nor its share of the cost is part of the loop
    received = 0.0998 * 64_128.26 - 12.8
    share = 6_380.0 / received
    assert loop.units / COIN == pytest.approx(200_000 * share, abs=0.05)
    assert loop.pnl_units / COIN == pytest.approx(6_380 * 31.5 - 400 - 200_000 * share, abs=0.05)  # one unit of BTC
    assert loop.pnl == pytest.approx(loop.pnl_units / COIN, rel=1e-6)
    # every unit that was spent and not recovered is in an open lot
    flows: dict[str, int] = defaultdict(int)
    for row in fills:
        sign = 1 if row.side == "buy" else -1
        flows[row.pair.base] += sign * row.pair.rules.base_units(row.lots)
        flows[row.pair.quote] -= sign * row.value_units
        flows[row.fee_currency] -= row.fee_units
    held: dict[str, int] = defaultdict(int, {"twd": loop.pnl_units})
    for lot in found.open:
        held[lot.pair.base] += lot.units
        held[lot.pair.quote] -= lot.cost_units
    assert {key: held[key] for key in flows} == dict(flows)


def test_a_loop_in_reverse_and_a_loop_that_starts_with_coins_are_recognized() -> None:
    other_way = [
        fill(1, "buy", 6_000, 31.0, of=USDT_TWD, at=0),
        fill(2, "buy", 0.1, 60_000, of=BTC, rate=31, at=1),
        fill(3, "sell", 0.1, 1_870_000, of=BTC_TWD, at=2),
    ]
    (loop,) = match_trades(other_way).trades
    assert (loop.currency, loop.pnl_units) == ("twd", 1_000 * COIN)
    from_coins = [
        fill(1, "sell", 0.1, 2_000_000, of=BTC_TWD, at=0),
        fill(2, "buy", 6_250, 32, of=USDT_TWD, at=1),
        fill(3, "buy", 0.101, 61_881.18, of=BTC, rate=32, at=2),
    ]
    (loop,) = match_trades(from_coins).trades
    assert loop.currency == "btc"
    assert loop.pnl_units / COIN == pytest.approx(0.001, rel=1e-4)
    assert loop.pnl == pytest.approx(0.001 * 2_000_000, rel=1e-2)


def test_an_unfinished_loop_is_recorded_as_ordinary_trades_in_its_pairs() -> None:
    fills = [*triangle()[:1], fill(2, "sell", 0.0998, 1_990_000, of=BTC_TWD, at=5)]
    assert [(trade.kind, trade.pair_text) for trade in match_trades(fills).trades] == [("long", "btc_twd")]
    half = [*triangle(sold=0.06)[:2], fill(3, "sell", 3_800, 31.5, of=USDT_TWD, at=2),
            fill(4, "sell", 0.0398, 1_990_000, of=BTC_TWD, at=5)]  # fmt: skip
    assert [(trade.kind, trade.units) for trade in match_trades(half).trades][-1] == ("long", 3_980_000)
    assert match_trades(half).trades[0].kind == "loop"


@pytest.mark.parametrize(
    "fills",
    [
        triangle()[:2],
        # an unrelated order in between
        [*triangle()[:2], fill(9, "buy", 0.1, 64_000, of=pair("eth_twd", 2), at=1), *triangle()[2:]],
        [*triangle()[:2], fill(3, "sell", 6_380, 31.5, of=USDT_TWD, at=4_000)],  # the last leg is too late
        triangle(sold=0.01),  # only a tenth of the proceeds was used
        triangle()[::2],
    ],
)
def test_orders_that_only_resemble_a_loop_are_ordinary_trades(fills: list[FillRow]) -> None:
    assert all(trade.kind != "loop" for trade in match_trades(fills).trades)


def test_back_to_back_loops_are_separate_trades() -> None:
    fills = [row for n in range(4) for row in triangle(at=60 * n, order=1 + 3 * n)]
    assert [trade.kind for trade in match_trades(fills).trades] == ["loop"] * 4


# -- in a backtest ----------------------------------------------------------------------------------------------------

LINKED = """
pair: Pair
linked: bool = True

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self._bars, self._bought = 0, []

def on_bar(self, bar):
    self._bars += 1
    if self._bars in (2, 12):
        self._bought.append(self.market_buy(self.pair, spend=1_000))
    elif self._bars == 20:
        last = self._bought[-1]
        first = self.sell(
            self.pair, amount=0.04, price=bar.close * 0.99, closes=last if self.linked else None, tag="part"
        )
        self.replace(first, amount=0.03)
    elif self._bars == 30:
        self.market_sell(self.pair, amount=0.02, closes=self._bought[0] if self.linked else None)
"""

PROTECTED = """
pair: Pair

def on_start(self):
    self.subscribe_bars(self.pair, "1m")
    self.protect(self.pair, stop_loss_pct=2, take_profit_pct=3)
    self._bars = 0

def on_bar(self, bar):
    self._bars += 1
    if self._bars in (2, 40):
        self.market_buy(self.pair, spend=1_000, tag="entry")
"""


def test_engine_initiated_exits_are_distinguished_by_reason(tmp_path: Path) -> None:
    closes = [20_000.0] * 10 + [20_000 + 40.0 * n for n in range(25)] + [21_000 - 60.0 * n for n in range(25)]
    data = write_candles(tmp_path / "candles.csv", closes)
    result = run(
        write_config(
            tmp_path, f"[{{path: {data}, pair: btc_usdt, kind: candles}}]",
            plugins=write_strategy(tmp_path, PROTECTED), balances='{usdt: "10000"}',
        )
    )  # fmt: skip
    assert [(trade.exit_reason, trade.entry_tag) for trade in result.trades] == [
        ("take_profit", "entry"),
        ("stop_loss", "entry"),
    ]
    assert result.trades[0].pnl_units > 0 > result.trades[1].pnl_units
    # not exactly equal, because of remaining dust
    assert sum(trade.pnl for trade in result.trades) == pytest.approx(result.summary["pnl"], abs=0.05)


def _value_flows(result: BacktestResult) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """Return two dicts of units, keyed by (strategy, currency): the flows computed from the fills, and the flows
    computed from trades and open lots.
    """
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for row in result.fills:
        sign = 1 if row.side == "buy" else -1
        moved[row.strategy, row.pair.base] += sign * row.pair.rules.base_units(row.lots)
        moved[row.strategy, row.pair.quote] -= sign * row.value_units
        moved[row.strategy, row.fee_currency] -= row.fee_units
    told: dict[tuple[str, str], int] = defaultdict(int)
    for trade in result.trades:
        told[trade.strategy, trade.currency] += trade.pnl_units
        if trade.is_given:  # the exit also used allocated coins, which were excluded from the flows computed from fills
            told[trade.strategy, trade.pairs[0].base] -= trade.units
            told[trade.strategy, trade.currency] += trade.entry_units
    for lot in result.open_lots:
        if not lot.is_given:
            told[lot.strategy, lot.pair.base] += lot.units
            told[lot.strategy, lot.pair.quote] -= lot.cost_units
    return {key: units for key, units in moved.items() if units}, {key: units for key, units in told.items() if units}


@pytest.mark.parametrize(
    ("name", "overrides", "kinds"),
    [
        ("sma_cross", ["backtest.to=2025-01-31"], {"long"}),
        ("rebalance", ["backtest.to=2025-01-31"], {"long"}),  # two pairs
        ("grid", ["backtest.to=2025-01-14"], {"long"}),
        ("market_maker", ["backtest.from=2025-04-03T07:00", "backtest.to=2025-04-03T07:30"], {"long"}),  # coins given
        ("triangular", ["backtest.from=2025-04-03T06:10", "backtest.to=2025-04-03T06:50"], {"loop"}),  # three pairs
    ],
)
def test_the_trades_of_bundled_strategies_account_for_every_unit(
    name: str, overrides: list[str], kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    result = run(ROOT / "configs" / f"{name}.yaml", overrides=overrides)
    assert kinds <= {trade.kind for trade in result.trades}
    moved, told = _value_flows(result)
    assert told == moved
    held = [trade for trade in result.trades if trade.kind != "loop"]
    assert all(trade.mae is not None and trade.mae <= 0 <= trade.mfe for trade in held)
    for trade in held:  # the extremes up to the exit include the exit price
        before_fees = (trade.exit_units - trade.entry_units) / trade.entry_units * (1 if trade.kind == "long" else -1)
        assert trade.mae - 1e-12 <= before_fees <= trade.mfe + 1e-12


def test_a_trade_that_is_complete_late_is_listed_at_its_exit() -> None:
    # order 2 closes the position at second 20; its last fill, at second 90, opens a short one
    fills = [
        fill(1, "buy", 1, 100),
        fill(2, "sell", 1, 110, at=20),
        fill(3, "buy", 2, 100, at=30),
        fill(4, "sell", 2, 130, at=50),
        fill(2, "sell", 1, 120, at=90),
    ]
    found = match_trades(fills)
    assert [trade.client_id for trade in found.trades] == [2, 4]
    assert profits(found.trades) == [10.0, 60.0]
    assert [lot.units for lot in found.open] == [-COIN]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 25)), max_size=60), st.integers(1, 9))
def test_the_last_fill_of_each_order_is_found(orders: list[tuple[str, int]], block: int) -> None:
    fills = [fill(order, "buy", 1, 100, strategy=name) for name, order in orders]
    with pytest.MonkeyPatch.context() as context:
        context.setattr(row_columns, "BLOCK_ROWS", block)
        found = list(_last_fills(fills))
    assert found == [key not in orders[place + 1 :] for place, key in enumerate(orders)]
