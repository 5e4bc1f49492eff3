"""The private endpoints. Each endpoint translates a signed request into a model request, and the model's answer into
the wire format.

Each handler returns two functions: one creates the request, the other formats the answer. The request is executed on
arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from botkit.emulator.orders import find_pair, new_order
from botkit.emulator.public import Names, Query, whole_number
from botkit.emulator.replies import BAD_BODY, CONFLICT, HttpReply, RefusedError, ok, refusal
from botkit.emulator.rows import AccountRows, balance_row
from botkit.emulator.venue import EmulatedVenue
from botkit.exchange.bitopro.wire.account import (
    BalancesReply,
    BlankOrder,
    CancelManyReply,
    CancelReply,
    CreateBatchReply,
    CreateReply,
    OrdersReply,
    OwnOrderRow,
    OwnTradeRow,
    OwnTradesReply,
)
from botkit.exchange.bitopro.wire.bodies import CreateBody, decode_cancel_batch, decode_create, decode_create_batch
from botkit.exchange.bitopro.wire.statuses import status_of
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, Nanos
from botkit.model.events import BalanceReport, OrderReport, TradeReport
from botkit.model.money import format_units
from botkit.model.order_spec import OrderSpec
from botkit.model.orders import OrderType, Side
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
    GetOrder,
    ListOpenOrders,
    ListOrders,
    ListTrades,
    OrderAck,
    Request,
)

Make: TypeAlias = Callable[[int], Request]
Word: TypeAlias = Callable[[Answer], HttpReply]
Work: TypeAlias = tuple[Make, Word]
CheckTime: TypeAlias = Callable[[int], None]

_ORDER_IDS_MAX = 1000
_ALL = 10**9  # request all rows, because the client's filters are applied afterwards
_WINDOW_MS = 90 * NS_PER_DAY // NS_PER_MS
_KINDS: Final = {"ALL": None, "OPEN": {-1, 0, 1}, "DONE": {2, 3}}
UNKNOWN_ORDER: Final = "Invalid order id."


class PrivateDesk:
    """Translates private requests for one venue."""

    def __init__(self, venue: EmulatedVenue) -> None:
        self._venue = venue
        self._switches = venue.switches
        self._order_ids_filter = venue.switches["order_ids_filter"]
        self._null_lists = venue.switches.on("null_lists")
        self._open_seconds = venue.switches.on("open_orders_seconds")
        self._reads: dict[str, Callable[[str, Names, Query], Work]] = {
            "balance": self._balance,
            "get_order": self._get_order,
            "open_orders": self._open_orders,
            "all_orders": self._all_orders,
            "my_trades": self._my_trades,
            "cancel_order": self._cancel,
            "cancel_all": self._cancel_all,
            "cancel_all_pair": self._cancel_all,
        }

    def work(
        self, endpoint: str, account: str, names: Names, query: Query, body: bytes, now: Nanos, check_time: CheckTime
    ) -> Work:
        """Return two functions for a request: one creates the model's request, the other formats its answer. Raises
        RefusedError, and WireError for a malformed body.
        """
        if endpoint == "create_order":
            return self._create(account, names, body, now, check_time)
        if endpoint == "create_batch":
            return self._create_batch(account, body, now, check_time)
        if endpoint == "cancel_batch":
            return self._cancel_batch(body)
        return self._reads[endpoint](account, names, query)

    # -- creating -------------------------------------------------------------------------------------------------

    def _create(self, account: str, names: Names, body: bytes, now: Nanos, check_time: CheckTime) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs)
        parsed = decode_create(body)
        order = new_order(parsed, pair, self._venue.kernel.account(account))
        assert parsed.timestamp is not None
        check_time(parsed.timestamp)

        def make(request_id: int) -> Request:
            return CreateOrder(id=request_id, order=order, timestamp=now)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            assert isinstance(answer.body, OrderAck)
            return ok(self._created(account, answer.body, order, parsed))

        return make, word

    def _created(self, account: str, ack: OrderAck, order: OrderSpec, body: CreateBody) -> CreateReply:
        rows = self._venue.rows[account]
        report = rows.account.orders[ack.order_id]
        rules = order.pair.rules
        spends = order.type is OrderType.MARKET and order.side is Side.BUY
        return CreateReply(
            order_id=int(ack.order_id) if ack.order_id.isdigit() else ack.order_id,
            timestamp=rows.stamp_ms(report.created),
            action=order.side.name,
            amount=format_units(order.spend_units) if spends else rules.amount_text(order.amount_lots),
            price="0" if order.type is OrderType.MARKET else rules.price_text(order.price_ticks),
            time_in_force="POST_ONLY" if order.post_only else "GTC",
            client_id=ack.client_id,
        )

    def _create_batch(self, account: str, body: bytes, now: Nanos, check_time: CheckTime) -> Work:
        items = decode_create_batch(body)
        held = self._venue.kernel.account(account)
        orders: list[OrderSpec] = []
        kept: list[CreateBody] = []
        best_effort = self._switches["batch"] == "best_effort"
        for item in items:
            try:
                if item.percentage:
                    raise RefusedError("Wrong parameter: percentage")
                order = new_order(item, find_pair(item.pair or "", self._venue.pairs), held, in_batch=True)
                assert item.timestamp is not None
                check_time(item.timestamp)
            except RefusedError as error:
                if not best_effort or error.text == CONFLICT:
                    raise
                continue
            orders.append(order)
            kept.append(item)
        if not orders:
            raise RefusedError(BAD_BODY)
        accepted = tuple(orders)

        def make(request_id: int) -> Request:
            return CreateBatch(id=request_id, orders=accepted, timestamp=now)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            assert isinstance(answer.body, tuple)
            by_place = _match_acks(answer.body, accepted, self._venue.rows[account])
            replies = [self._created(account, ack, accepted[i], kept[i]) for i, ack in by_place]
            return ok(CreateBatchReply(data=tuple(replies)))

        return make, word

    # -- cancelling -----------------------------------------------------------------------------------------------

    def _cancel(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs)
        order_id = names["orderId"]

        def make(request_id: int) -> Request:
            return CancelOrder(id=request_id, pair=pair, order_id=order_id)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return self._unknown_order(answer)
            rows = self._venue.rows[account]
            row = rows.order(rows.account.orders[order_id].report())
            return ok(
                CancelReply(
                    order_id=order_id,
                    action=row.action,
                    timestamp=int(row.updated_timestamp),
                    price=row.price,
                    amount=row.original_amount,
                )
            )

        return make, word

    def _cancel_all(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs) if "pair" in names else None
        return (lambda request_id: CancelAll(id=request_id, pair=pair)), _cancelled

    def _cancel_batch(self, body: bytes) -> Work:
        orders = tuple((find_pair(name, self._venue.pairs), order_id) for name, order_id in decode_cancel_batch(body))
        return (lambda request_id: CancelBatch(id=request_id, orders=orders)), _cancelled

    def _unknown_order(self, answer: Answer) -> HttpReply:
        if answer.text == UNKNOWN_ORDER and self._switches["unknown_order"] == "404":
            return refusal(404, UNKNOWN_ORDER)
        return refusal(answer.status, answer.text)

    # -- reading --------------------------------------------------------------------------------------------------

    def _balance(self, account: str, names: Names, query: Query) -> Work:
        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            assert isinstance(answer.body, BalanceReport)
            held = answer.body.balances
            return ok(BalancesReply(data=tuple(balance_row(c, *held.get(c, (0, 0))) for c in held)))

        return (lambda request_id: GetBalances(id=request_id)), word

    def _get_order(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                if self._switches["unknown_order"] == "blank" and answer.text == UNKNOWN_ORDER:
                    return ok(BlankOrder(id=""))
                return self._unknown_order(answer)
            report = _only(answer)
            return ok(self._venue.rows[account].order(report))

        return (lambda request_id: GetOrder(id=request_id, pair=pair, order_id=names["orderId"])), word

    def _open_orders(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(query["pair"], self._venue.pairs) if query.get("pair") else None

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            rows = self._venue.rows[account]
            made = [rows.order(report, stamp=False, seconds=self._open_seconds) for report in _reports(answer)]
            return self._orders(made)

        return (lambda request_id: ListOpenOrders(id=request_id, pair=pair)), word

    def _all_orders(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs)
        limit = whole_number(query, "limit", 100, 1, 1000)
        kind = (query.get("statusKind") or "ALL").upper()
        if kind not in _KINDS:
            raise RefusedError("Wrong parameter: statusKind")
        wanted = _KINDS[kind]
        if query.get("status"):
            status = query["status"]
            if status not in ("-1", "0", "1", "2", "3", "4", "6"):
                raise RefusedError("Wrong parameter: status")
            wanted = {int(status)}
        client_id = whole_number(query, "clientId", 0, 0, 2**31 - 1) or None
        ids = query.get("orderIDs") if self._order_ids_filter != "off" else None
        wanted_ids = frozenset(ids.split(",")) if ids else None
        if wanted_ids is not None and (len(wanted_ids) > _ORDER_IDS_MAX or self._order_ids_filter == "refused"):
            raise RefusedError("Wrong parameter: orderIDs")  # assumed (Q35)
        no_limit = kind == "OPEN" and query.get("ignoreTimeLimitEnable", "").lower() == "true"
        no_limit = no_limit or wanted_ids is not None
        start, end = (None, None) if no_limit else self._window(query)
        cursor = query.get("orderId")

        rows_max = limit if wanted is None and wanted_ids is None and not cursor else _ALL

        def make(request_id: int) -> Request:
            return ListOrders(id=request_id, pair=pair, client_id=client_id, start=start, end=end, limit=rows_max)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            reports = [
                report
                for report in _from_cursor(_reports(answer), cursor)
                if (wanted is None or status_of(report.state, report.executed_lots) in wanted)
                and (wanted_ids is None or report.order_id in wanted_ids)
            ]
            rows = self._venue.rows[account]
            return self._orders([rows.order(report, stamp=False) for report in reports[:limit]])

        return make, word

    def _orders(self, rows: list[OwnOrderRow]) -> HttpReply:
        return ok(OrdersReply(data=tuple(rows) if rows or not self._null_lists else None))

    def _my_trades(self, account: str, names: Names, query: Query) -> Work:
        pair = find_pair(names["pair"], self._venue.pairs)
        limit = whole_number(query, "limit", 100, 0, 1000) or 100
        start, end = self._window(query)
        order_id, cursor = query.get("orderId") or None, query.get("tradeId")

        rows_max = _ALL if cursor else limit

        def make(request_id: int) -> Request:
            return ListTrades(id=request_id, pair=pair, order_id=order_id, start=start, end=end, limit=rows_max)

        def word(answer: Answer) -> HttpReply:
            if answer.outcome is not Ending.OK:
                return refusal(answer.status, answer.text)
            rows = self._venue.rows[account]
            found: list[OwnTradeRow] = []
            reached = not cursor
            for report in answer.body or ():  # type: ignore[union-attr]
                assert isinstance(report, TradeReport)
                reached = reached or report.trade_id == cursor
                if reached:
                    found.append(rows.own_trade(report))
                if len(found) == limit:
                    break
            return ok(OwnTradesReply(data=tuple(found) if found or not self._null_lists else None))

        return make, word

    def _window(self, query: Query) -> tuple[Nanos, Nanos]:
        """Return the query's startTimestamp and endTimestamp. A window longer than 90 days is shortened by moving its
        start.
        """
        now_ms = self._venue.now // NS_PER_MS + 1
        end = whole_number(query, "endTimestamp", max(now_ms, 0), 0, 10**14)
        start = whole_number(query, "startTimestamp", max(end - _WINDOW_MS, 0), 0, 10**14)
        if start > end:
            raise RefusedError("Wrong parameter: startTimestamp")
        return max(start, end - _WINDOW_MS) * NS_PER_MS, (end + 1) * NS_PER_MS


def _cancelled(answer: Answer) -> HttpReply:
    if answer.outcome is not Ending.OK:
        return refusal(answer.status, answer.text)
    assert isinstance(answer.body, CancelAck)
    by_pair: dict[str, list[str]] = {}
    for pair, order_id in answer.body.orders:
        by_pair.setdefault(pair.upper(), []).append(order_id)
    return ok(CancelManyReply(data={pair: tuple(ids) for pair, ids in by_pair.items()}))


def _reports(answer: Answer) -> list[OrderReport]:
    assert isinstance(answer.body, tuple)
    return [row for row in answer.body if isinstance(row, OrderReport)]


def _only(answer: Answer) -> OrderReport:
    (report,) = _reports(answer)
    return report


def _from_cursor(reports: list[OrderReport], cursor: str | None) -> list[OrderReport]:
    """Return the rows starting at the row with the given id (Q23). Ids do not increase over time."""
    if not cursor:
        return reports
    place = next((i for i, report in enumerate(reports) if report.order_id == cursor), len(reports))
    return reports[place:]


def _match_acks(
    acks: tuple[object, ...], orders: tuple[OrderSpec, ...], rows: AccountRows
) -> list[tuple[int, OrderAck]]:
    """Return each acknowledgement with its order's index in the request. In best-effort mode, the exchange omits orders
    that it refused.
    """
    found: list[tuple[int, OrderAck]] = []
    place = 0
    for ack in acks:
        assert isinstance(ack, OrderAck)
        made = rows.account.orders[ack.order_id].new
        while orders[place] is not made:
            place += 1
        found.append((place, ack))
        place += 1
    return found
