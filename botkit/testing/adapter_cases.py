"""Tests that an exchange adapter fulfills its contract (`botkit.model.adapter`), to run under pytest.

In a `World`, describe how to reach your exchange or its test network, and inherit the cases in a test class:

    from botkit.testing.adapter_cases import AdapterCases

    class TestMyAdapter(AdapterCases):
        def world(self):
            return MyWorld()  # an async context manager that yields a World

Every case opens its own world. A case that does not apply (batches, stop orders) is skipped, or checks that the adapter
refuses requests that the exchange cannot handle. ``tests/toy_exchange.py`` defines a world in a few lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

import pytest

from botkit.model.adapter import Adapter, AdapterEvent
from botkit.model.clock import NS_PER_MINUTE, Nanos
from botkit.model.events import BalanceReport, Connection, ConnectionState, OrderBook, OrderReport, Trade, TradeReport
from botkit.model.limits import NEEDED_ENDPOINTS
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import FINAL_STATES, RESTING_STATES, Condition, OrderState, OrderType, Side
from botkit.model.pairs import Pair
from botkit.model.requests import (
    Answer,
    CancelAck,
    CancelAll,
    CancelBatch,
    CancelOrder,
    CreateBatch,
    CreateOrder,
    Ending,
    GetBalances,
    GetBook,
    GetCandles,
    GetOrder,
    GetPairs,
    ListedRules,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)

_T = TypeVar("_T")

_CONNECTED = (ConnectionState.CONNECTED, ConnectionState.RESYNCHRONISED)
#: the maximum error of a measured clock; many exchanges send their time in whole seconds
_SKEW_SLACK_MS = 1_500
_CLOCK_AHEAD_MS = 5_000


class World(Protocol):
    """An exchange whose market a test can control. No other account trades ``pair`` while a case runs.

    A buy of ``lots`` at ``price_ticks``, or of a quarter of ``lots``, rests until `trade` fills it. The account can pay
    for several such orders.
    """

    pair: Pair
    price_ticks: int
    lots: int

    def now(self) -> Nanos:
        """Return the exchange's time."""
        ...

    def adapter(self, *, clock_ahead_ms: int = 0) -> Adapter:
        """Return an unopened adapter for the account. Its clock is ``clock_ahead_ms`` ahead of the exchange's clock."""
        ...

    async def trade(self, lots: int) -> None:
        """Make another account sell this amount at ``price_ticks``, which fills the order resting there."""
        ...

    async def lose_next_answer(self) -> bool:
        """Let the next create take effect, but lose its answer. Return False if answers cannot be lost."""
        ...

    async def cut(self) -> None:
        """Cut the connections of all streams."""
        ...


class Session:
    """A world, an open adapter, and the events that the adapter has delivered."""

    def __init__(self, world: World, adapter: Adapter, patience_s: float) -> None:
        self.world = world
        self.adapter = adapter
        self.events: list[AdapterEvent] = []
        self._patience_s = patience_s
        self._request_id = 0
        self._client_id = 1000

    def of(self, kind: type[_T]) -> list[_T]:
        """Return the events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition is met by events that arrive without a request."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        while not condition():
            expect(loop.time() < deadline, f"within {self._patience_s:g} s, {what}")
            await asyncio.sleep(0.005)

    async def watch(self) -> None:
        """Open the account's and the market's streams, and wait until they are connected and have sent a book."""
        pair = self.world.pair
        self.adapter.watch(self.events.append, books={pair: 5}, trades=[pair], account=True)
        await self.connected()
        await self.until(lambda: self.of(OrderBook), f"a book arrives for {pair}")

    async def connected(self, since: int = 0) -> None:
        """Wait until every account stream has reported CONNECTED, considering events from index ``since`` on."""
        wanted = set(self.adapter.account_streams)

        def is_there() -> bool:
            changes = [e for e in self.events[since:] if isinstance(e, Connection) and e.pair is None]
            latest = {change.stream: change.state for change in changes}
            return all(latest.get(stream) in _CONNECTED for stream in wanted)

        await self.until(is_there, f"the account's streams {sorted(wanted)} are connected")

    async def send(self, make: Callable[[int], Request]) -> Answer:
        """Send a request with a new id, which its answer must carry."""
        self._request_id += 1
        answer = await self.adapter.send(make(self._request_id))
        expect(answer.request_id == self._request_id, f"the answer to {self._request_id} carries that id: {answer}")
        return answer

    async def read(self, make: Callable[[int], Request]) -> Answer:
        """Send a read that must succeed."""
        answer = await self.send(make)
        expect(answer.outcome is Ending.OK, f"the read succeeds: {answer}")
        return answer

    def new(self, lots: int | None = None) -> OrderSpec:
        """Build a resting buy with a new client id."""
        self._client_id += 1
        world = self.world
        return OrderSpec(
            client_id=self._client_id,
            pair=world.pair,
            side=Side.BUY,
            type=OrderType.LIMIT,
            price_ticks=world.price_ticks,
            amount_lots=lots or world.lots,
        )

    async def create(self, order: OrderSpec) -> str:
        """Create an order, which must be accepted. Return the order id assigned by the exchange."""
        answer = await self.read(lambda i: CreateOrder(id=i, order=order, timestamp=self.world.now()))
        body = answer.body
        assert isinstance(body, OrderAck), f"a create is answered with an OrderAck: {answer}"
        expect(bool(body.order_id), "an acknowledgement has the exchange's order id")
        expect(body.client_id in (None, order.client_id), f"the echoed client id is {order.client_id}: {body}")
        return body.order_id

    async def shown(self, order_id: str, state: OrderState, executed: int = 0) -> OrderReport:
        """Wait until the streams report an order in this state."""
        found: list[OrderReport] = []

        def is_shown() -> bool:
            rows = [row for row in self.of(OrderReport) if row.order_id == order_id]
            found[:] = [row for row in rows if row.state is state and row.executed_lots == executed]
            return bool(found)

        await self.until(is_shown, f"order {order_id} is reported as {state.value} with {executed} lots executed")
        return found[-1]

    async def read_until(self, order_id: str, executed: int) -> OrderReport:
        """Read an order repeatedly until this many lots are executed."""
        for _ in range(20):
            answer = await self.read(lambda i: GetOrder(id=i, pair=self.world.pair, order_id=order_id))
            row = _reports(answer)[0]
            if row.executed_lots == executed:
                return row
            await asyncio.sleep(self._patience_s / 20)
        raise AssertionError(f"the contract requires: {executed} lots of {order_id} are executed: {row}")

    async def open_orders(self) -> dict[str, OrderReport]:
        """Return the account's open orders in the pair, keyed by the exchange's order id."""
        answer = await self.read(lambda i: ListOpenOrders(id=i, pair=self.world.pair))
        rows = _reports(answer)
        expect(
            all(row.state in RESTING_STATES for row in rows), f"every listed open order is in a resting state: {rows}"
        )
        return {row.order_id: row for row in rows}

    async def listed(self, client_id: int) -> list[OrderReport]:
        """Return the orders with a given client id, looked up as a bot does after a lost answer."""
        now = self.world.now()
        answer = await self.read(
            lambda i: ListOrders(
                id=i,
                pair=self.world.pair,
                client_id=client_id,
                start=now - 5 * NS_PER_MINUTE,
                end=now + NS_PER_MINUTE,
            )
        )
        rows = _reports(answer)
        if self.adapter.capabilities.find_by_client_id:
            expect(
                all(row.client_id == client_id for row in rows), f"the listing has only client id {client_id}: {rows}"
            )
        return [row for row in rows if row.client_id == client_id]

    async def balances(self) -> dict[str, tuple[int, int]]:
        """Return (total, available) in units by currency."""
        body = (await self.read(lambda i: GetBalances(id=i))).body
        assert isinstance(body, BalanceReport), f"GetBalances is answered with a BalanceReport: {body}"
        expect(body.snapshot, "GetBalances returns a full list: a snapshot")
        return dict(body.balances)

    async def cancel(self, order_id: str) -> Answer:
        """Cancel an order."""
        return await self.send(lambda i: CancelOrder(id=i, pair=self.world.pair, order_id=order_id))

    def executed(self, order_id: str) -> list[TradeReport]:
        """Return an order's executions, as reported by the streams."""
        return [trade for trade in self.of(TradeReport) if trade.order_id == order_id]


def expect(condition: bool, what: str) -> None:
    """Fail unless a condition is met, with a message that states the contract's requirement."""
    if not condition:
        raise AssertionError(f"the contract requires: {what}")


def _reports(answer: Answer) -> list[OrderReport]:
    assert isinstance(answer.body, tuple), f"a listing is answered with a tuple: {answer}"
    rows = [row for row in answer.body if isinstance(row, OrderReport)]
    expect(len(rows) == len(answer.body), f"a listing of orders contains OrderReports: {answer}")
    return rows


class AdapterCases:
    """The cases. Inherit them in a class whose name starts with ``Test``, and implement `world`."""

    #: how long a case waits for events that arrive without a request, in seconds
    patience_s = 10.0

    def world(self) -> AbstractAsyncContextManager[World]:
        """Return a new exchange with an account."""
        raise NotImplementedError("implement `world`, which says how to reach the exchange")

    def run(self, case: Callable[[Session], Awaitable[None]], *, clock_ahead_ms: int = 0, watched: bool = True) -> None:
        """Run a case with an open adapter. Its streams are also open unless ``watched`` is False."""

        async def main() -> None:
            async with self.world() as world, world.adapter(clock_ahead_ms=clock_ahead_ms) as adapter:
                session = Session(world, adapter, self.patience_s)
                if watched:
                    await session.watch()
                await case(session)

        asyncio.run(main())

    # -- streams ----------------------------------------------------------------------------------------------------

    def test_it_connects_and_names_its_streams(self) -> None:
        async def case(session: Session) -> None:
            pair, names = session.world.pair, session.adapter.account_streams
            expect(isinstance(names, tuple) and len(set(names)) == len(names), f"account_streams is a tuple: {names!r}")
            told = [change for change in session.of(Connection) if change.pair is None]
            expect(
                {change.stream for change in told} == set(names),
                f"each of {names} reports CONNECTED under its own name",
            )
            await session.until(
                lambda: any(e.pair == pair and e.state in _CONNECTED for e in session.of(Connection)),
                f"a public stream reports CONNECTED for {pair}",
            )
            book = session.of(OrderBook)[0]
            expect(book.pair == pair, f"the book belongs to {pair}: {book}")
            for levels, bids in ((book.bid_levels, True), (book.ask_levels, False)):
                expect(list(levels) == sorted(levels, reverse=bids), f"levels are listed best first: {levels}")

        self.run(case)

    def test_a_public_trade_arrives_with_price_and_amount(self) -> None:
        async def case(session: Session) -> None:
            world = session.world
            order_id = await session.create(session.new())
            await session.shown(order_id, OrderState.OPEN)
            await world.trade(world.lots // 4)
            price, amount = world.pair.rules.price(world.price_ticks), world.pair.rules.amount(world.lots // 4)
            await session.until(
                lambda: any(t.pair == world.pair and t.price == price for t in session.of(Trade)),
                f"the trade of {amount} at {price} arrives",
            )

        self.run(case)

    def test_a_new_connection_repeats_nothing_and_misses_nothing(self) -> None:
        async def case(session: Session) -> None:
            world, adapter, part = session.world, session.adapter, session.world.lots // 4
            order_id = await session.create(session.new())
            await session.shown(order_id, OrderState.OPEN)
            await world.trade(part)
            await session.shown(order_id, OrderState.PARTLY_FILLED, part)
            before = len(session.events)
            adapter.reconnect()
            if adapter.account_streams:
                await _lost(session, before)
            await session.connected(before if adapter.account_streams else 0)
            await world.trade(part)
            await session.shown(order_id, OrderState.PARTLY_FILLED, 2 * part)
            await session.until(lambda: _sum(session.executed(order_id)) == 2 * part, "each execution is reported")
            before = len(session.events)
            await world.cut()
            await world.trade(part)  # the streams may have missed this execution, so read it
            if adapter.account_streams:
                await _lost(session, before)
            await session.connected(before if adapter.account_streams else 0)
            row = await session.read_until(order_id, 3 * part)
            expect(row.state is OrderState.PARTLY_FILLED, f"a partly executed order is PARTLY_FILLED: {row}")
            answer = await session.read(lambda i: ListTrades(id=i, pair=world.pair, order_id=order_id))
            assert isinstance(answer.body, tuple)
            read = [trade for trade in answer.body if isinstance(trade, TradeReport)]
            expect(_sum(read) == 3 * part, f"the listing contains each execution exactly once: {read}")
            told = session.executed(order_id)
            expect(len({trade.trade_id for trade in told}) == len(told), f"no execution is reported twice: {told}")
            expect(_sum(told) in (2 * part, 3 * part), f"each execution is reported exactly once: {told}")

        self.run(case)

    # -- orders -----------------------------------------------------------------------------------------------------

    def test_a_limit_order_is_acknowledged_reported_filled_in_parts_and_cancelled(self) -> None:
        async def case(session: Session) -> None:
            world, part = session.world, session.world.lots // 4
            order = session.new()
            order_id = await session.create(order)
            report = await session.shown(order_id, OrderState.OPEN)
            _is_of(order, report)
            _is_of(order, (await session.open_orders())[order_id])
            for count in (1, 2):
                await world.trade(part)
                await session.shown(order_id, OrderState.PARTLY_FILLED, count * part)
            await session.until(lambda: _sum(session.executed(order_id)) == 2 * part, "each execution is reported")
            for trade in session.executed(order_id):
                expect(
                    (trade.side, trade.price_ticks) == (Side.BUY, world.price_ticks),
                    f"the execution belongs to this order: {trade}",
                )
                expect(trade.is_maker, f"a resting order is the maker: {trade}")
                expect(
                    trade.fee_units >= 0 and bool(trade.fee_currency),
                    f"the execution has a fee and its currency: {trade}",
                )
            answer = await session.cancel(order_id)
            expect(answer.outcome is Ending.OK, f"the cancel is accepted: {answer}")
            ack = CancelAck(((str(world.pair), order_id),))
            expect(answer.body == ack, f"the cancel is answered with {ack}: {answer}")
            await session.shown(order_id, OrderState.CANCELLED, 2 * part)
            expect(order_id not in await session.open_orders(), "a cancelled order is no longer open")

        self.run(case)

    def test_a_filled_order_is_final_and_its_money_is_counted(self) -> None:
        async def case(session: Session) -> None:
            world, pair = session.world, session.world.pair
            before = await session.balances()
            order_id = await session.create(session.new())
            await session.shown(order_id, OrderState.OPEN)
            await world.trade(world.lots)
            report = await session.shown(order_id, OrderState.FILLED, world.lots)
            value = pair.rules.value_units(world.price_ticks, world.lots)
            expect(report.executed_units == value, f"the order was filled for {value} units of {pair.quote}: {report}")
            await session.until(lambda: _sum(session.executed(order_id)) == world.lots, "each execution is reported")
            fees = _fees(session.executed(order_id))
            after = await session.balances()
            for currency, change in ((pair.base, pair.rules.base_units(world.lots)), (pair.quote, -value)):
                wanted = before.get(currency, (0, 0))[0] + change - fees.get(currency, 0)
                total, available = after.get(currency, (0, 0))
                expect(total == wanted, f"{currency} is {wanted} units after fill and fee, not {total}")
                expect(available == total, f"no {currency} stays locked: {available} of {total}")
            await session.until(
                lambda: any(
                    report.balances.get(pair.quote, (-1, 0))[0] == after[pair.quote][0]
                    for report in session.of(BalanceReport)
                ),
                "the account's stream reports the new balance",
            )

        self.run(case)

    def test_an_open_order_locks_its_value_and_no_more(self) -> None:
        async def case(session: Session) -> None:
            world, quote = session.world, session.world.pair.quote
            before = await session.balances()
            expect(all(0 <= available <= total for total, available in before.values()), f"balances add up: {before}")
            order_id = await session.create(session.new())
            await session.shown(order_id, OrderState.OPEN)
            total, available = (await session.balances())[quote]
            value = world.pair.rules.value_units_up(world.price_ticks, world.lots)
            expect(
                total == before[quote][0], f"a resting order does not change the total: {before[quote][0]} -> {total}"
            )
            expect(available == before[quote][1] - value, f"it locks exactly {value} units of {quote}")
            await session.cancel(order_id)
            await session.shown(order_id, OrderState.CANCELLED)
            expect((await session.balances())[quote] == before[quote], "the lock is released when the order is final")

        self.run(case)

    def test_a_create_whose_answer_is_lost_is_found_again(self) -> None:
        async def case(session: Session) -> None:
            world = session.world
            await session.create(session.new())
            lost = session.new()
            if not await world.lose_next_answer():
                pytest.skip("this world cannot lose an answer")
            answer = await session.send(lambda i: CreateOrder(id=i, order=lost, timestamp=world.now()))
            expect(answer.outcome is Ending.UNKNOWN, f"without an answer the outcome is unknown: {answer}")
            found: list[OrderReport] = []
            for _ in range(20):
                found = await session.listed(lost.client_id)
                if found:
                    break
                await asyncio.sleep(self.patience_s / 20)
            expect(len(found) == 1, f"the order is listed once under {lost.client_id}: {found}")
            _is_of(lost, found[0])
            await session.cancel(found[0].order_id)
            await session.shown(found[0].order_id, OrderState.CANCELLED)

        self.run(case)

    def test_an_order_that_the_account_cannot_pay_for_is_refused(self) -> None:
        async def case(session: Session) -> None:
            world, rules = session.world, session.world.pair.rules
            available = (await session.balances())[world.pair.quote][1]
            affordable = rules.lots_for_value(world.price_ticks, available)
            order = session.new(affordable - affordable % world.lots + 2 * world.lots)
            answer = await session.send(lambda i: CreateOrder(id=i, order=order, timestamp=world.now()))
            expect(answer.outcome is Ending.REFUSED, f"an order that exceeds the balance is refused: {answer}")
            expect(bool(answer.text), "a refusal includes a reason")
            expect(not answer.text.endswith("."), f"a reason has no full stop of its own: {answer.text}")
            expect(not await session.open_orders(), "a refused order is not open")

        self.run(case)

    def test_batches_are_accepted_in_order_if_the_exchange_has_them(self) -> None:
        async def case(session: Session) -> None:
            world, can, limits = session.world, session.adapter.capabilities, session.adapter.limits
            for name, most in (("create_batch", can.batch_create_max), ("cancel_batch", can.batch_cancel_max)):
                expect(
                    (name in limits.endpoints) == (most > 0),
                    f"{name} has a limit if and only if the call exists: {most}",
                )
            if can.batch_create_max < 2 or can.batch_cancel_max < 2:
                pytest.skip("the exchange has no batches")
            orders = (session.new(world.lots // 4), session.new(world.lots // 2))
            answer = await session.read(lambda i: CreateBatch(id=i, orders=orders, timestamp=world.now()))
            assert isinstance(answer.body, tuple), f"a batch is answered with a tuple: {answer}"
            ids = [ack.order_id for ack in answer.body if isinstance(ack, OrderAck)]
            expect(len(set(ids)) == 2, f"there is one OrderAck per order: {answer}")
            rows = await session.open_orders()
            for order, order_id in zip(orders, ids, strict=True):
                _is_of(order, rows[order_id])
            both = tuple((world.pair, order_id) for order_id in ids)
            answer = await session.read(lambda i: CancelBatch(id=i, orders=both))
            assert isinstance(answer.body, CancelAck), f"a batch of cancels is answered with a CancelAck: {answer}"
            expect(
                set(answer.body.orders) == {(str(pair), order_id) for pair, order_id in both},
                f"the CancelAck lists both orders: {answer}",
            )
            for order_id in ids:
                await session.shown(order_id, OrderState.CANCELLED)

        self.run(case)

    def test_all_orders_are_cancelled_at_once_if_the_exchange_has_a_call_for_it(self) -> None:
        async def case(session: Session) -> None:
            can, limits = session.adapter.capabilities, session.adapter.limits
            expect(
                (CancelAll.endpoint in limits.endpoints) == can.cancel_all,
                "cancel_all has a limit if and only if the call exists",
            )
            ids = [await session.create(session.new(session.world.lots // 4)) for _ in range(2)]
            if not can.cancel_all:
                answer = await session.send(lambda i: CancelAll(id=i))
                expect(
                    answer.outcome is Ending.REFUSED,
                    f"an unsupported request is refused: {answer}",
                )
                return
            await session.read(lambda i: CancelAll(id=i))
            for order_id in ids:
                await session.shown(order_id, OrderState.CANCELLED)

        self.run(case)

    def test_a_stop_order_waits_or_is_refused(self) -> None:
        async def case(session: Session) -> None:
            world = session.world
            plain = session.new(world.lots // 4)
            order = OrderSpec(
                client_id=plain.client_id,
                pair=plain.pair,
                side=Side.BUY,
                type=OrderType.STOP_LIMIT,
                price_ticks=2 * world.price_ticks,
                amount_lots=plain.amount_lots,
                stop_ticks=2 * world.price_ticks,
                condition=Condition.AT_LEAST,
            )
            if not session.adapter.capabilities.stop_orders:
                answer = await session.send(lambda i: CreateOrder(id=i, order=order, timestamp=world.now()))
                expect(answer.outcome is Ending.REFUSED, f"an unsupported order type is refused: {answer}")
                return
            order_id = await session.create(order)
            report = await session.shown(order_id, OrderState.UNTRIGGERED)
            expect((report.stop_ticks, report.condition) == (order.stop_ticks, order.condition), f"{report}")
            await session.cancel(order_id)
            await session.shown(order_id, OrderState.CANCELLED)

        self.run(case)

    # -- other cases --------------------------------------------------------------------------------------------

    def test_every_request_has_an_endpoint_in_the_limit_table(self) -> None:
        async def case(session: Session) -> None:
            limits = session.adapter.limits
            missing = [name for name in NEEDED_ENDPOINTS if name not in limits.endpoints]
            expect(not missing, f"the limit table has a row for {', '.join(missing)}")
            for endpoint in limits.endpoints.values():
                expect(bool(endpoint.windows), f"{endpoint.endpoint} has at least one window")

        self.run(case, watched=False)

    def test_every_read_is_answered(self) -> None:
        async def case(session: Session) -> None:
            pair, now = session.world.pair, session.world.now()
            book = (await session.read(lambda i: GetBook(id=i, pair=pair, depth=5))).body
            expect(isinstance(book, OrderBook) and book.pair == pair, f"GetBook returns the pair's OrderBook: {book}")
            candles = await session.read(
                lambda i: GetCandles(id=i, pair=pair, resolution="1m", start=now - 10 * NS_PER_MINUTE, end=now)
            )
            expect(isinstance(candles.body, tuple), f"GetCandles returns a tuple: {candles}")
            trades = await session.read(lambda i: ListTrades(id=i, pair=pair))
            expect(isinstance(trades.body, tuple), f"ListTrades returns a tuple: {trades}")
            expect(await session.open_orders() == {}, "a new account has no open orders")
            expect(await session.listed(1) == [], "an unused client id has no orders")

        self.run(case, watched=False)

    def test_the_clock_is_measured(self) -> None:
        async def case(session: Session) -> None:
            await session.read(lambda i: GetBook(id=i, pair=session.world.pair, depth=5))
            skew = session.adapter.clock_skew_ms
            off = abs((skew or 0) - _CLOCK_AHEAD_MS)
            expect(skew is not None and off < _SKEW_SLACK_MS, f"a clock {_CLOCK_AHEAD_MS} ms ahead is detected: {skew}")

        self.run(case, clock_ahead_ms=_CLOCK_AHEAD_MS, watched=False)

    def test_the_pairs_are_read_with_their_rules(self) -> None:
        async def case(session: Session) -> None:
            pairs, pair = await session.adapter.pairs(), session.world.pair
            expect(str(pair) in pairs, f"{pair} is among {sorted(pairs)[:5]}")
            expect(pairs[str(pair)].rules.price_decimals == pair.rules.price_decimals, "the pair has its current rules")
            answer = await session.send(lambda i: GetPairs(id=i))
            if answer.outcome is Ending.REFUSED:
                return  # a bot then keeps the rules with which it started
            rows = answer.body if isinstance(answer.body, tuple) else ()
            listed = [row.rules for row in rows if isinstance(row, ListedRules) and row.pair == pair]
            expect(listed == [pairs[str(pair)].rules], f"GetPairs lists the same rules as `pairs` returns: {listed}")

        self.run(case, watched=False)

    def test_send_raises_nothing(self) -> None:
        async def case(session: Session) -> None:
            world = session.world
            for make in (
                lambda i: CancelOrder(id=i, pair=world.pair, order_id="999999999"),
                lambda i: GetOrder(id=i, pair=world.pair, order_id="999999999"),
            ):
                answer = await session.send(make)
                expect(
                    answer.outcome in (Ending.REFUSED, Ending.UNKNOWN), f"cancelling an unknown order fails: {answer}"
                )
            waiting = asyncio.ensure_future(session.read(lambda i: GetBalances(id=i)))
            await asyncio.sleep(0)
            waiting.cancel()
            given_up = (await asyncio.gather(waiting, return_exceptions=True))[0]
            expect(
                isinstance(given_up, (asyncio.CancelledError, Answer)),
                f"waiting for an answer can be cancelled: {given_up!r}",
            )
            await session.read(lambda i: GetBalances(id=i))  # the adapter must still work
            closed = world.adapter()
            order = CreateOrder(id=7, order=session.new(), timestamp=world.now())
            answer = await closed.send(order)
            expect(answer.outcome is Ending.NOT_SENT, f"nothing is sent before `open`: {answer}")
            await closed.open()
            await closed.close()
            answer = await closed.send(order)
            expect(
                (answer.request_id, answer.outcome) == (7, Ending.NOT_SENT), f"nothing is sent after `close`: {answer}"
            )

        self.run(case, watched=False)


async def _lost(session: Session, since: int) -> None:
    """Wait until an account stream has reported the loss of its connection."""
    await session.until(
        lambda: any(
            isinstance(e, Connection) and e.pair is None and e.state is ConnectionState.LOST
            for e in session.events[since:]
        ),
        "a closed or broken connection is reported as LOST",
    )


def _sum(trades: list[TradeReport]) -> int:
    return sum(trade.lots for trade in trades)


def _fees(trades: list[TradeReport]) -> dict[str, int]:
    fees: dict[str, int] = {}
    for trade in trades:
        fees[trade.fee_currency] = fees.get(trade.fee_currency, 0) + trade.fee_units
    return fees


def _is_of(order: OrderSpec, report: OrderReport) -> None:
    """Check that a report describes the order as it was placed."""
    wanted = (order.client_id, order.pair, order.side, order.type, order.price_ticks, order.amount_lots)
    shown = (report.client_id, report.pair, report.side, report.type, report.price_ticks, report.original_lots)
    expect(shown == wanted, f"the report shows the order as requested: {wanted}, not {shown}")
    expect(report.state not in FINAL_STATES, f"a resting order is not final: {report}")


__all__ = ["AdapterCases", "Session", "World", "expect"]
