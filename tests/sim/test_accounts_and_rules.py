"""Accounts at the simulated exchange: ledger, fees, refusals with the exchange's error messages, batches, and reads."""

from __future__ import annotations

import msgspec
import pytest

from botkit.errors import ConfigError
from botkit.exchange.bitopro.facts import FEE_RANKS
from botkit.model.clock import NS_PER_DAY, NS_PER_HOUR
from botkit.model.events import BalanceReport
from botkit.model.extension import ExchangeFacts
from botkit.model.limits import LimitTable
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import (
    CancelAll,
    CancelBatch,
    CancelOrder,
    Ending,
    GetBalances,
    GetCandles,
    GetOrder,
    ListOpenOrders,
    ListOrders,
    ListTrades,
)
from botkit.sim.fees import FixedFees, RankFees
from tests.sim.venue import BITO, BTC, BTC_TWD, LOT, MINUTE, PAIRS, RULES, T0, UNIT, USDT, S, Venue, books, trades

L = LOT
BOOK = books([(0, [(100_00, 10 * L)], [(101_00, 10 * L)])])
NOPE = Pair("nope_usdt", RULES)
TAPE = trades([(0, 100_00, L, 1), (0, 100_00, L, -1)])


def make(side: str, lots: int, price: int, cid: int, pair: Pair = BTC) -> OrderSpec:
    return OrderSpec(
        client_id=cid, pair=pair, side=Side(side), type=OrderType.LIMIT, amount_lots=lots, price_ticks=price
    )


@pytest.fixture
def venue() -> Venue:
    venue = Venue(BOOK, TAPE)
    venue.to(1)
    return venue


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (
            {"side": "sell", "lots": 101 * 100 * L, "price": 200_00},
            "Balance for BTC not enough, only has 100, but ordered 101.",
        ),
        (
            {"side": "buy", "lots": 10**13, "price": 100_00},
            "Balance for USDT not enough, only has 1000000, but ordered 10000000.",
        ),
        ({"side": "buy", "lots": 999, "price": 100_00}, "Invalid amount 0.00000999 less than min 0.00001."),
        ({"side": "buy", "lots": 10**17, "price": 100_00}, "Invalid amount 1000000000, maximum is 100000000."),
        ({"side": "sell", "lots": 10**17}, "Invalid amount 1000000000, maximum is 100000000."),
        ({"side": "buy", "lots": L, "price": -100, "type": OrderType.LIMIT}, "Invalid price -1."),
        ({"side": "buy", "spend_units": 6 * UNIT}, "Invalid amount 6 less than min 7."),
        ({"side": "buy", "spend_units": 7 * UNIT + 1}, "Invalid amount 7.00000001, decimal limit is 2."),
        ({"side": "buy", "lots": L, "price": 1, "pair": NOPE}, "Unsupported trading pair nope_usdt."),
        (
            {"side": "buy", "lots": L, "price": 1, "type": OrderType.STOP_LIMIT, "stop_ticks": 5},
            "Wrong parameter: condition",
        ),
    ],
)
def test_refusals_use_the_exchanges_error_messages(venue: Venue, order: dict[str, object], text: str) -> None:
    before = venue.kernel.account("ann").balances().balances
    venue.order(**order)  # type: ignore[arg-type]
    venue.to(2)
    answer = venue.answers()[0]
    assert (answer.outcome, answer.status, answer.text) == (Ending.REFUSED, 422, text)
    assert venue.kernel.orders("ann") == []
    assert venue.kernel.account("ann").balances().balances == before


def test_the_coarser_amount_step_is_enforced_if_configured() -> None:
    venue = Venue(BOOK, pairs={"btc_usdt": BTC.with_rules(msgspec.structs.replace(RULES, amount_step=10**4))})
    venue.to(1)
    venue.order("buy", L + 1, 90_00)
    venue.to(2)
    assert venue.answers()[0].text == "Invalid amount 0.01000001, decimal limit is 4."


def test_orders_are_refused_during_maintenance() -> None:
    venue = Venue(BOOK, pairs={"btc_usdt": BTC.with_rules(msgspec.structs.replace(RULES, maintenance=True))})
    venue.to(1)
    venue.order("buy", L, 90_00)
    venue.to(2)
    assert "maintenance" in venue.answers()[0].text


def test_the_number_of_open_orders_is_limited_and_includes_untriggered_stops(venue: Venue) -> None:
    for _ in range(3):
        venue.order("buy", L, 90_00)
    for _ in range(2):
        venue.stop("sell", L, 80_00, 81_00, "<=")
    sixth, market = venue.order("buy", L, 90_00), venue.order("sell", L)
    venue.to(2)
    assert [a.outcome for a in venue.answers()].count(Ending.REFUSED) == 1
    assert "exceed the limit of 5" in next(a.text for a in venue.answers() if a.text)
    assert all(row.client_id != sixth for row in venue.kernel.orders("ann"))
    assert venue.report(market).state is OrderState.FILLED


def test_locked_amounts_are_rounded_up_and_price_improvement_is_released(venue: Venue) -> None:
    cid = venue.order("buy", 12 * L + 1, 105_01)
    venue.to(2)
    # 0.1 filled at 101; 0.02000001 rests at 105.01, worth 2.1002010501
    assert venue.total("usdt") == 10**6 * UNIT - 10 * 101 * UNIT // 100
    assert venue.total("usdt") - venue.available("usdt") == 2_1002_0106
    venue.cancel(cid)
    venue.to(3)
    assert venue.available("usdt") == venue.total("usdt")


def test_fees_are_deducted_from_the_proceeds_and_rounded_half_up(venue: Venue) -> None:
    venue.order("buy", 1_250, 101_00)
    venue.order("sell", 1_250)
    venue.to(2)
    bought, sold = venue.kernel.trades("ann")
    # 0.00001250 btc x 0.002 is 2.5e-8; 0.00125 usdt x 0.002 is 250e-8
    assert (bought.fee_currency, bought.fee_units) == ("btc", 3)
    assert (sold.fee_currency, sold.fee_units) == ("usdt", 250)


def test_fees_are_paid_in_bito_at_a_discount_until_it_runs_out() -> None:
    prices = [trades([(0, price, L, 1)], pair) for pair, price in ((BITO, 4_00), (USDT, 32_00))]
    venue = Venue(
        BOOK,
        *prices,
        accounts={"ann": {"usdt": 10**14, "btc": 10**10, "bito": 5 * UNIT // 100}},
        fees={"maker": "0.001", "taker": "0.002", "bito": True},
    )
    venue.to(1)
    venue.order("sell", 3 * L)
    venue.order("sell", 3 * L)
    venue.to(2)
    first, second = venue.kernel.trades("ann")
    # 3 usdt x 0.0016 x 32 / 4 = 0.0384 bito; the remaining bito does not cover the second fee
    assert (first.fee_currency, first.fee_units) == ("bito", 3_840_000)
    assert (second.fee_currency, second.fee_units) == ("usdt", 600_000)
    balances = [event.balances for event in venue.of(BalanceReport)]
    assert [set(b) for b in balances] == [{"btc", "usdt", "bito"}, {"btc", "usdt"}]


def test_locked_bito_is_not_used_for_fees() -> None:
    prices = [trades([(0, price, L, 1)], pair) for pair, price in ((BITO, 4_00), (USDT, 32_00))]
    fees = {"maker": "0.001", "taker": "0.002", "bito": True}
    venue = Venue(BOOK, *prices, accounts={"ann": {"btc": 10**10, "bito": 1 * UNIT}}, fees=fees)
    venue.to(1)
    venue.order("sell", 99 * UNIT // 100, 9_00, pair=BITO)
    venue.order("sell", 3 * L)
    venue.to(2)
    assert venue.kernel.trades("ann")[0].fee_currency == "usdt"


def test_a_batch_is_accepted_completely_or_refused_completely() -> None:
    for options, taken in (({}, 0), ({"batch_all_or_nothing": False}, 2)):
        venue = Venue(BOOK, **options)
        venue.to(1)
        venue.batch(make("buy", L, 99_00, 1), make("buy", 1, 99_00, 2), make("sell", 2 * L, 100_00, 3))
        venue.to(2)
        assert len(venue.kernel.orders("ann")) == taken
        assert venue.answers()[0].outcome is (Ending.REFUSED if not taken else Ending.OK)


def test_a_batch_accounts_for_the_funds_that_it_locks_and_is_answered_in_request_order(venue: Venue) -> None:
    half = 60 * 100 * L
    venue.batch(make("sell", half, 200_00, 1), make("sell", half, 200_00, 2))
    venue.batch(make("sell", half, 200_00, 3), make("buy", 2 * L, 101_00, 4))
    venue.to(2)
    refused, granted = venue.answers()
    assert refused.text == "Balance for BTC not enough, only has 40, but ordered 60."
    assert [ack.client_id for ack in granted.body] == [3, 4]
    assert venue.filled(4) == 2 * L


def test_a_batch_must_have_one_to_ten_orders_and_no_stops(venue: Venue) -> None:
    venue.batch()
    venue.batch(*[make("buy", L, 99_00, i + 1) for i in range(11)])
    stop = msgspec.structs.replace(make("buy", L, 99_00, 1), type=OrderType.STOP_LIMIT)
    venue.batch(stop)
    venue.to(2)
    assert [a.text for a in venue.answers()] == ["Invalid body", "Invalid body", "Unsupported order type"]


def test_batch_cancels_and_cancel_all_list_only_orders_that_were_cancelled(venue: Venue) -> None:
    ids = [venue.order("buy", L, 90_00) for _ in range(3)]
    venue.to(2)
    names = [venue.report(cid).order_id for cid in ids]
    venue.send(CancelBatch(id=1, orders=((BTC, names[0]), (BTC, "123"))))
    venue.send(CancelAll(id=2, pair=BTC_TWD))
    venue.send(CancelAll(id=3))
    venue.to(3)
    bodies = [a.body for a in venue.answers()[-3:]]
    assert [b.orders for b in bodies] == [
        (("btc_usdt", names[0]),),
        (),
        (("btc_usdt", names[1]), ("btc_usdt", names[2])),
    ]
    assert venue.available("usdt") == venue.total("usdt")


def test_cancelling_an_unknown_or_finished_order_is_refused(venue: Venue) -> None:
    cid = venue.order("sell", L)
    venue.to(2)
    venue.cancel(cid)
    venue.send(CancelOrder(id=5, pair=BTC, order_id="77"))
    venue.send(CancelOrder(id=6, pair=BTC_TWD, order_id=venue.report(cid).order_id))
    venue.to(3)
    assert [(a.status, a.text) for a in venue.answers()[1:]] == [(422, "Invalid order id.")] * 3


def test_order_ids_have_ten_digits_depend_on_the_seed_and_are_not_increasing() -> None:
    def ids(seed: int) -> list[str]:
        venue = Venue(BOOK, seed=seed)
        venue.to(1)
        for _ in range(4):
            venue.order("buy", L, 90_00)
        venue.to(2)
        return [row.order_id for row in venue.kernel.orders("ann")]

    assert ids(1) == ids(1) != ids(2)
    assert all(len(text) == 10 for text in ids(1))
    assert ids(1) != sorted(ids(1))


def test_reads_return_the_requested_data(venue: Venue) -> None:
    filled, open_order = venue.order("sell", 2 * L), venue.order("buy", L, 90_00)
    venue.to(2)
    order_id = venue.report(filled).order_id
    for i, request in enumerate(
        [
            GetOrder(id=1, pair=BTC, order_id=order_id),
            GetOrder(id=2, pair=BTC, order_id="nope"),
            ListOpenOrders(id=3),
            ListOrders(id=4, pair=BTC),
            ListOrders(id=5, pair=BTC, client_id=open_order, start=T0, end=T0 + 90 * S),
            ListOrders(id=6, pair=BTC, end=T0),
            ListTrades(id=7, pair=BTC, order_id=order_id),
            GetBalances(id=8),
        ]
    ):
        venue.send(request)
        assert i + 1 == request.id
    venue.to(3)
    one, missing, opened, every, mine, none, executed, balance = [a.body for a in venue.answers()[2:]]
    assert [row.client_id for row in one] == [filled]
    assert missing is None
    assert [row.client_id for row in opened] == [open_order] == [row.client_id for row in mine]
    assert [row.client_id for row in every] == [open_order, filled]
    assert none == ()
    assert [row.lots for row in executed] == [2 * L]
    assert balance.snapshot
    assert balance.balances == venue.kernel.account("ann").balances().balances


def test_read_requests_return_candles_built_from_past_trades() -> None:
    rows = [(0, 100, L, 1), (59, 90, L, 1), (60, 95, 2 * L, 1), (130, 99, L, 1)]
    venue = Venue(trades(rows[:2]), keep_candles=True)
    venue.kernel.load(trades(rows[2:]))
    venue.to(150)
    venue.send(GetCandles(id=1, pair=BTC, resolution="1m", start=T0, end=T0 + 10 * MINUTE))
    venue.to(151)
    first, second = venue.answers()[0].body
    assert (first.open, first.high, first.low, first.close, first.volume) == (1.0, 1.0, 0.9, 0.9, 0.02)
    assert (second.time, second.close) == (T0 + MINUTE, 0.95)


# -- fee models -------------------------------------------------------------------------------------------------------

FACTS = ExchangeFacts(name="bitopro", pairs=PAIRS, limits=LimitTable({}), fee_ranks=FEE_RANKS)


def test_a_fixed_fee_rank_uses_its_own_rates() -> None:
    rates = RankFees({"rank": 3}, FACTS).rates(0)
    assert (rates.maker, rates.taker, rates.discounted_maker_e8, rates.source) == (0.0006, 0.0012, 48_000, "rank 3")


def test_the_automatic_fee_rank_uses_thirty_day_volume_and_changes_at_four_in_the_morning() -> None:
    fees = RankFees({"rank": "auto"}, FACTS)
    midnight = 20_000 * NS_PER_DAY - 8 * NS_PER_HOUR  # 00:00 UTC+8
    fees.record(midnight - 1, 12_000_000 * UNIT)
    fees.record(midnight + 1, 600_000_000 * UNIT)
    assert fees.rates(midnight + 3 * NS_PER_HOUR).source == "rank 0"
    assert fees.rates(midnight + 4 * NS_PER_HOUR).source == "rank 2"
    # a rank that additionally requires BITO is never used
    assert fees.rates(midnight + 29 * NS_PER_HOUR).source == "rank 4"
    assert fees.rates(midnight + 40 * NS_PER_DAY).source == "rank 0"


@pytest.mark.parametrize(
    "options",
    [{}, {"maker": "0.001"}, {"maker": "x", "taker": 0}, {"maker": 1, "taker": 0}, {"maker": 0, "taker": 0, "tier": 1}],
)
def test_invalid_fee_options_raise_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="fees"):
        FixedFees(options)
    with pytest.raises(ConfigError, match=r"fees\.rank"):
        RankFees({"rank": 7}, FACTS)
