"""``max_drawdown``: a drop from peak equity halts trading until resumed, in every mode, whether prices arrive
individually or in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

from botkit.assembly.backtest import backtest_into
from botkit.engine.money.portfolio import CapitalShare, Portfolio
from botkit.engine.risk.review import PAUSED, RiskDesk
from botkit.engine.risk.rules import MaxDrawdown
from botkit.model.inputs import Begin, Input, Restore, Resume
from tests.cli.first_week import FirstBot
from tests.engine_world import BTC, PAIRS, UNIT, Bot, Listener

COINS = {"twd": 1_000 * UNIT, "btc": 3 * UNIT}


def desk(share: object = "0.1", level: str | None = None) -> RiskDesk:
    portfolio = Portfolio(
        pairs=PAIRS,
        shares=[CapitalShare(strategy="s0", pairs=(BTC,), capital=dict(COINS))],
        reserve={},
        currency="twd",
    )
    portfolio.open(COINS)
    own = {"s0": [MaxDrawdown(share)]} if level else {}
    return RiskDesk([] if level else [MaxDrawdown(share)], own, portfolio, lambda now: now)


def desk_beside_free_money(capital: dict[str, int], free: int, share: str = "0.1") -> RiskDesk:
    """Return the desk of a bot whose strategy has this capital and whose account has ``free`` TWD beside it."""
    portfolio = Portfolio(
        pairs=PAIRS,
        shares=[CapitalShare(strategy="s0", pairs=(BTC,), capital=capital)],
        reserve={},
        currency="twd",
    )
    portfolio.open({**capital, "twd": capital["twd"] + free})
    return RiskDesk([MaxDrawdown(share)], {}, portfolio, lambda now: now)


def mark(risk: RiskDesk, price: float) -> str | None:
    risk.portfolio.mark(BTC, price)
    breach = risk.breached(0)
    return None if breach is None else str(breach)


@pytest.mark.parametrize("value", [10, "20", 1, 0, -0.1, "20 %", None, True])
def test_a_value_that_is_not_a_fraction_is_refused_with_an_example(value: object) -> None:
    with pytest.raises(ValueError, match="fraction"):
        MaxDrawdown(value)


@pytest.mark.parametrize("level", [None, "s0"])
def test_a_drop_from_the_peak_halts_the_bot_or_strategy_to_which_the_rule_applies(level: str | None) -> None:
    risk = desk("0.1", level)
    assert mark(risk, 1_000) is None  # an equity of 4,000
    assert mark(risk, 2_000) is None  # an equity of 7,000, the peak
    assert mark(risk, 1_767) is None  # 6,301
    assert mark(risk, 1_766) == ("equity 6,298 TWD is 10.03 % below its peak of 7,000 TWD, and max_drawdown is 10 %")
    assert risk.halted(level) is not None
    assert mark(risk, 500) is None  # reported once


def test_after_a_resume_the_drawdown_is_measured_from_the_equity_at_the_resume() -> None:
    risk = desk()
    for price in (1_000, 800):
        mark(risk, price)
    assert risk.halted(None) is not None
    risk.resume(None)
    assert mark(risk, 790) is None
    assert mark(risk, 600) is not None


def test_a_pause_does_not_restart_the_drawdown() -> None:
    risk = desk("0.1", "s0")
    for price in (2_000, 1_800):  # 8.57 % below the peak
        assert mark(risk, price) is None
    risk.halt("s0", PAUSED)
    risk.resume("s0")
    assert mark(risk, 1_700) is not None


def test_capital_moves_neither_count_as_drawdowns_nor_raise_the_peak() -> None:
    risk = desk_beside_free_money({"twd": 4_000 * UNIT}, free=6_000 * UNIT)
    portfolio = risk.portfolio
    assert mark(risk, 1_000) is None
    portfolio.transfers.move("s0", {"twd": -3_000 * UNIT})
    assert mark(risk, 1_000) is None
    portfolio.transfers.move("s0", {"twd": 6_000 * UNIT})
    assert mark(risk, 1_000) is None
    assert portfolio.peaks.baseline_units(None, "twd") == 7_000 * UNIT


@pytest.mark.parametrize(("moved", "peak"), [(-2_000, 3_500), (2_000, 10_500), (96_500, 175_875)])
def test_a_capital_move_below_the_peak_changes_no_drawdown(moved: int, peak: float) -> None:
    risk = desk_beside_free_money({"twd": 3_000 * UNIT, "btc": UNIT}, free=497_000 * UNIT, share="0.45")
    portfolio = risk.portfolio
    assert mark(risk, 4_000) is None  # a peak of 7,000
    assert mark(risk, 1_000) is None  # 4,000
    portfolio.transfers.move("s0", {"twd": moved * UNIT})
    assert portfolio.peaks.baseline_units(None, "twd") == peak * UNIT
    assert mark(risk, 1_000) is None
    if moved < 0:
        assert mark(risk, 900) is not None  # 1,900 of 3,500


def test_without_equity_a_peak_follows_the_moved_amount() -> None:
    risk = desk_beside_free_money({"twd": 4_000 * UNIT}, free=6_000 * UNIT)
    portfolio = risk.portfolio
    assert mark(risk, 1_000) is None
    portfolio.transfers.move("s0", {"twd": -4_000 * UNIT})
    assert portfolio.peaks.baseline_units(None, "twd") == 0
    assert mark(risk, 1_000) is None  # nothing can fall
    portfolio.transfers.move("s0", {"twd": 5_000 * UNIT})
    assert portfolio.peaks.baseline_units(None, "twd") == 5_000 * UNIT


def test_the_peak_equity_survives_a_restart() -> None:
    risk = desk()
    for price in (1_000, 2_000, 1_900):
        assert mark(risk, price) is None
    again = desk()
    fresh = Portfolio(pairs=PAIRS, shares=again.portfolio.shares, reserve={}, currency="twd")
    later = RiskDesk([MaxDrawdown("0.1")], {}, fresh, lambda now: now)
    fresh.restore(risk.portfolio.state())
    assert fresh.peaks.baseline_units(None, "twd") == 7_000 * UNIT
    assert mark(later, 1_700) is not None


def test_if_the_journal_predates_the_rule_the_peak_starts_at_the_first_price() -> None:
    risk = desk()
    mark(risk, 2_000)
    state = risk.portfolio.state()
    del state["peaks"]
    fresh = Portfolio(pairs=PAIRS, shares=risk.portfolio.shares, reserve={}, currency="twd")
    later = RiskDesk([MaxDrawdown("0.1")], {}, fresh, lambda now: now)
    fresh.restore(state)
    assert mark(later, 1_000) is None
    assert mark(later, 800) is not None


def price_by_price(prices: Sequence[float]) -> tuple[int | None, int | None]:
    risk = desk("0.05")
    for row, price in enumerate(prices):
        if mark(risk, price) is not None:
            return row, risk.portfolio.peaks.baseline_units(None, "twd")
    return None, risk.portfolio.peaks.baseline_units(None, "twd")


def in_pieces(prices: Sequence[float], chance: Random) -> tuple[int | None, int | None]:
    """Process prices as the engine's spans do: in blocks of any length, with the breaching row processed separately."""
    risk = desk("0.05")
    assert mark(risk, prices[0]) is None
    row = 1
    while row < len(prices):
        block = np.array(prices[row : row + chance.randint(1, 40)])
        breach = risk.first_breach(BTC, block, 0)
        taken = len(block) if breach is None else breach
        if taken:
            risk.passed(BTC, block[:taken])
            risk.portfolio.mark(BTC, float(block[taken - 1]))
        row += taken
        if breach is not None:
            if mark(risk, prices[row]) is not None:
                return row, risk.portfolio.peaks.baseline_units(None, "twd")
            row += 1
    return None, risk.portfolio.peaks.baseline_units(None, "twd")


@pytest.mark.parametrize("seed", range(40))
def test_blocks_of_prices_breach_the_limit_at_the_same_row_as_single_prices(seed: int) -> None:
    chance = Random(seed)
    price, prices = 1_000.0, []
    for _ in range(400):
        price = max(10.0, round(price * (1 + chance.gauss(0.0005, 0.004))))
        prices.append(price)
    assert in_pieces(prices, chance) == price_by_price(prices)


def test_a_breach_halts_the_bot_and_cancels_its_open_orders() -> None:
    s = Listener(BTC, start=lambda s: s.subscribe_trades(BTC))
    b = Bot(s, risk={"max_drawdown": "0.1"}, balances=COINS, capital=[dict(COINS)])
    b.trade(1_000)
    order = s.buy(BTC, amount=1, price=900)
    b.end_turn()
    b.rest(order)
    b.trade(800)
    assert b.engine.view.halted is not None
    assert "max_drawdown is 10 %" in b.engine.view.halted
    assert order.cancel_requested
    assert s.buy(BTC, amount=1, price=700).reason.startswith("the bot is halted: equity")
    b.tell(Resume())
    assert b.engine.view.halted is None


def test_a_backtest_stops_the_strategy_at_max_drawdown_and_reports_the_halt(tmp_path: Path) -> None:
    body = """
    def on_start(self):
        self.subscribe_bars(self.pair, "1m")
    def on_bar(self, bar):
        if not self.position(self.pair).amount and not self.open_orders():
            self.market_buy(self.pair, spend=900_000)
    """
    falling = [1_000_000.0 - 5_000 * i for i in range(90)]
    bot = FirstBot(tmp_path, body, prices=falling, extra='risk: {max_drawdown: "0.1"}\n')
    result, _, _ = backtest_into(bot.config, out=bot.out)
    assert result.summary["fills"] >= 1
    assert any("max_drawdown is 10 %" in warning.text for warning in result.warnings)


@pytest.mark.parametrize("rule", [{"max_drawdown": "0.2"}, {"max_daily_loss": {"twd": 1_000}}])
@pytest.mark.parametrize("level", [None, "s0"])
def test_a_resume_between_the_restart_and_the_first_price_measures_losses_from_that_price(
    level: str | None, rule: dict[str, object]
) -> None:
    def bot(start: bool = True) -> Bot:
        limits = {"strategy_risk": {"s0": rule}} if level else {"risk": rule}
        return Bot(Listener(), balances=COINS, capital=[dict(COINS)], start=start, **limits)  # type: ignore[arg-type]

    def restarted(*given: Input) -> Bot:
        again = bot(start=False)
        halts = {level: "a loss"} if level else {}
        again.tell(Restore(books=before.portfolio.state(), halts=halts, halted=None if level else "a loss"))
        for first in (*given, Begin()):
            again.tell(first)
        again.trade(1_500)
        return again

    before = bot()
    before.trade(2_000)
    before.trade(1_500)  # from 7,000 to 5,500
    assert before.risk.halted(level) is not None
    assert restarted().s.buy(BTC, amount=0.1, price=1_000).is_refused
    again = restarted(Resume(level))
    assert again.s.buy(BTC, amount=0.1, price=1_000).is_open
    again.end_turn()
    again.trade(1_200)
    assert again.risk.halted(level) is None  # less than 1,000, and less than 20 %
    again.trade(1_000)
    assert again.risk.halted(level) is not None


def test_a_stopped_strategy_must_be_restarted_before_it_is_resumed() -> None:
    b = Bot(Listener(), balances=COINS, capital=[dict(COINS)], strategy_risk={"s0": {"max_drawdown": "0.2"}})
    b.trade(2_000)
    b.trade(1_500)
    b.tell(Resume("s0"))
    assert b.reply is not None
    assert str(b.reply.refusal).endswith("max_drawdown is 20 %); restart the bot, then resume it")
