"""A running bot measures the latencies of its orders, responses and book updates, and saves them in its run folder."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import msgspec
import pytest

from botkit.exchange.bitopro.facts import packaged_pairs
from botkit.live.disk import REAL_DISK
from botkit.live.latencies import Histogram, Latencies
from botkit.model.clock import NS_PER_MS, NS_PER_S, NS_PER_US
from botkit.model.events import Fill, OrderBook, OrderReport
from botkit.model.inputs import AccountEvents
from botkit.model.latency import LATENCIES, STEPS, MeasuredLatencies
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import Order, OrderState, OrderType, Side
from botkit.model.requests import Answer, CancelAck, CancelOrder, CreateOrder, Ending, OrderAck
from tests.live.world import far_buy, make_world, settled, until

PAIR = packaged_pairs()["btc_usdt"]
T0 = 1_700_000_000 * NS_PER_S
#: timestamps are truncated to the millisecond, so on average the true time is half a millisecond later
CUT = NS_PER_MS // 2


def ms(value: float) -> int:
    return T0 + round(value * NS_PER_MS)


def create(number: int) -> CreateOrder:
    spec = OrderSpec(
        client_id=number, pair=PAIR, side=Side.BUY, type=OrderType.LIMIT, amount_lots=10**6, price_ticks=60_000_00
    )
    return CreateOrder(id=number, order=spec, timestamp=T0)


def report(number: int, state: OrderState, at_ms: float, executed: int = 0) -> AccountEvents:
    row = OrderReport(
        pair=PAIR,
        order_id=str(number),
        client_id=number,
        side=Side.BUY,
        type=OrderType.LIMIT,
        state=state,
        price_ticks=60_000_00,
        original_lots=10**6,
        executed_lots=executed,
        executed_units=0,
        pushed=ms(at_ms) - CUT if at_ms else 0,
    )
    return AccountEvents((row,))


def ok(number: int) -> Answer:
    return Answer(request_id=number, outcome=Ending.OK, body=OrderAck(str(number), number))


def fill(order: Order) -> Fill:
    return Fill(
        order=order,
        pair=PAIR,
        side=order.side,
        time=T0,
        price_ticks=60_000_00,
        lots=5,
        value_units=0,
        fee_units=0,
        fee_currency="btc",
        is_maker=True,
        executed_lots=10,
    )


@pytest.fixture
def latencies(tmp_path: Path) -> Latencies:
    return Latencies(tmp_path, REAL_DISK, about={"bot": "b", "mode": "live", "speed": 1.0})


def raw(latencies: Latencies, name: str, kind: str) -> list[float]:
    """Return the distinct millisecond values of a distribution, with the clock difference correction undone."""
    document = latencies.document()
    ahead = {"order": 1, "answer": -1, "feed": -1}.get(name, 0) * document["exchange_ahead_us"]
    return sorted({(us + ahead) / 1000 for us in document[f"{name}_us"][kind]})


def approx(value: float) -> object:
    """Return a value for comparison within the precision of a histogram."""
    return pytest.approx([value], rel=0.001)


def test_quantiles_equal_the_values_at_their_ranks() -> None:
    dice, found = Random(4), Histogram()
    values = [int(dice.lognormvariate(3, 1) * NS_PER_MS) for _ in range(5_000)]
    for value in values:
        found.add(value)
    values.sort()
    quantiles = found.quantiles()
    assert len(quantiles) == STEPS + 1
    assert quantiles == sorted(quantiles)
    for step in (0, 1, 250, 500, 990, STEPS):
        exact = values[step * (len(values) - 1) // STEPS] / NS_PER_US
        assert quantiles[step] == pytest.approx(exact, rel=0.003)


@pytest.mark.parametrize("count", [1, 2, 7, STEPS, STEPS + 1, 3 * STEPS + 1])
def test_quantiles_range_from_the_minimum_to_the_maximum_for_any_count(count: int) -> None:
    found = Histogram()
    for value in range(count):
        found.add(value * 10 * NS_PER_US - 50 * NS_PER_US)  # some values are negative because clocks differ
    quantiles = found.quantiles()
    assert len(quantiles) == STEPS + 1
    assert (quantiles[0], quantiles[-1]) == (-50, pytest.approx((count - 1) * 10 - 50, rel=0.001))


def test_order_latency_ends_at_the_timestamp_of_the_first_report(latencies: Latencies) -> None:
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(report(1, OrderState.OPEN, 30), ms(45))
    latencies.went_in(ok(1), ms(47))
    assert raw(latencies, "order", "create") == approx(30)
    assert raw(latencies, "answer", "create") == approx(15)
    assert raw(latencies, "round_trip", "create") == approx(47)


def test_response_latency_ends_at_the_response_or_the_first_report_whichever_is_earlier(latencies: Latencies) -> None:
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(ok(1), ms(41))
    latencies.went_in(report(1, OrderState.OPEN, 30), ms(45))
    assert raw(latencies, "answer", "create") == approx(11)


def test_cancel_latency_ends_at_the_timestamp_of_the_report_rather_than_at_the_response(latencies: Latencies) -> None:
    latencies.came_out([CancelOrder(id=2, pair=PAIR, order_id="1", client_id=1)], [], ms(0))
    latencies.went_in(Answer(request_id=2, outcome=Ending.OK, body=CancelAck((("btc_usdt", "1"),))), ms(20))
    # this report does not belong to the cancel
    latencies.went_in(report(1, OrderState.PARTLY_FILLED, 5, executed=10), ms(21))
    latencies.went_in(report(1, OrderState.CANCELLED, 12), ms(26))
    assert raw(latencies, "order", "cancel") == approx(12)
    assert raw(latencies, "answer", "cancel") == approx(14)
    assert raw(latencies, "round_trip", "cancel") == approx(20)


def test_fill_latency_ends_when_strategies_are_notified(latencies: Latencies) -> None:
    order = Order(create(1).order)
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(report(1, OrderState.OPEN, 10), ms(15))
    latencies.went_in(report(1, OrderState.PARTLY_FILLED, 30, executed=10), ms(34))
    latencies.came_out([], [], ms(34))  # the execution frame is still in transit
    latencies.came_out([], [fill(order), fill(order)], ms(37))
    assert raw(latencies, "answer", "fill") == approx(7)
    assert latencies.document()["counts"]["answer"]["fill"] == 1


def test_reports_without_timestamps_and_unresolved_requests_are_not_measured(latencies: Latencies) -> None:
    latencies.came_out([create(1), create(2), create(3)], [], ms(0))
    latencies.went_in(report(1, OrderState.OPEN, 0), ms(45))  # no push time: read from a listing
    latencies.went_in(Answer(request_id=2, outcome=Ending.UNKNOWN, text="timeout"), ms(5_000))
    latencies.went_in(Answer(request_id=3, outcome=Ending.NOT_SENT, text="not sent"), ms(1))
    latencies.went_in(report(2, OrderState.OPEN, 9_000), ms(9_010))  # the request did arrive, but late
    counts = latencies.document()["counts"]
    assert not any(count for table in counts.values() for count in table.values()), counts


def test_without_timestamps_a_round_trip_is_split_in_half(latencies: Latencies, tmp_path: Path) -> None:
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(ok(1), ms(50))
    latencies.save()
    found = MeasuredLatencies.read(tmp_path)
    assert not found.is_stamped
    assert [found.order_us["create"][0], found.answer_us["create"][0]] == pytest.approx([25_000, 25_000], rel=0.001)


@pytest.mark.parametrize("ahead_ms", [0, 1_200, -1_200])
def test_latencies_are_corrected_for_the_clock_difference(latencies: Latencies, ahead_ms: int) -> None:
    for number in range(1, 200):
        at = number * 100
        latencies.came_out([create(number)], [], ms(at))
        latencies.went_in(report(number, OrderState.OPEN, at + 10 + number % 7 + ahead_ms), ms(at + 20 + number % 11))
        book = OrderBook(PAIR, ms(at + ahead_ms) - CUT, (), ())
        latencies.went_in(book, ms(at + 8))
    found = latencies.document()
    assert found["exchange_ahead_us"] == pytest.approx(1_000 * ahead_ms, abs=4_000)
    assert found["feed_us"][STEPS // 2] == pytest.approx(8_000, abs=4_000)
    assert found["order_us"]["create"][STEPS // 2] == pytest.approx(13_000, abs=4_000)


def test_latencies_are_written_only_if_there_are_new_measurements(latencies: Latencies, tmp_path: Path) -> None:
    latencies.save()
    assert not (tmp_path / LATENCIES).exists()
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(ok(1), ms(5))
    latencies.save()
    (tmp_path / LATENCIES).unlink()
    latencies.save()
    assert not (tmp_path / LATENCIES).exists()


def test_an_unwritable_disk_does_not_stop_the_bot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    latencies = Latencies(tmp_path / "file" / "run", REAL_DISK, about={"bot": "b", "mode": "live"})
    latencies.came_out([create(1)], [], ms(0))
    latencies.went_in(ok(1), ms(5))
    latencies.save()


async def test_a_run_over_real_sockets_saves_its_measurements(tmp_path: Path) -> None:
    async with make_world(tmp_path, speed=1.0) as world:
        bot = await world.start()
        order = far_buy(bot)
        await settled(order)
        await until(lambda: bot.latencies.document()["counts"]["feed"]["book"] >= 1)
        folder = bot.files.folder
        await bot.close()
        found = MeasuredLatencies.read(folder)
        document = json.loads((folder / LATENCIES).read_bytes())
        assert msgspec.convert(document, MeasuredLatencies) == found
        assert found.is_stamped
        assert found.counts["order"]["create"] >= 1
        assert 0 < found.round_trip_us["create"][0] < 5_000_000
        assert found.order_us["create"][0] + found.answer_us["create"][0] <= found.round_trip_us["create"][-1] + 1_000
