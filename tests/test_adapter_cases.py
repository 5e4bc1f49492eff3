"""This project's adapters pass the adapter test cases, and the cases detect adapters that violate the contract."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from botkit.live.fan_out import FanOut
from botkit.model.adapter import Capabilities
from botkit.model.events import BalanceReport, TradeReport
from botkit.model.limits import LimitTable
from botkit.model.requests import Answer, CancelOrder, CreateOrder, Ending, ListOrders, Request
from botkit.testing.adapter_cases import AdapterCases, World
from tests.adapter_worlds import PaperWorld, emulator_world, toy_world
from tests.toy_exchange import LIMITS, ToyAdapter


class TestBitoPro(AdapterCases):
    """Runs the adapter cases against the emulator over real sockets."""

    def world(self) -> AbstractAsyncContextManager[World]:
        return emulator_world()


class TestPaper(AdapterCases):
    def world(self) -> AbstractAsyncContextManager[World]:
        return emulator_world(PaperWorld)


class TestToy(AdapterCases):
    def world(self) -> AbstractAsyncContextManager[World]:
        return toy_world()


class TestSharedByBots(AdapterCases):
    """Checks that a connection shared by several bots behaves like a separate adapter for each bot."""

    def world(self) -> AbstractAsyncContextManager[World]:
        return toy_world(lambda venue, clock: FanOut(ToyAdapter(venue, clock)).seat())


# -- adapters that each break one part of the contract --------------------------------------------------------------


class Nameless(ToyAdapter):
    account_streams = ("user", "orders")


class Stuttering(ToyAdapter):
    """Repeats the last execution on every new connection."""

    def _connect(self) -> None:
        super()._connect()
        for trade in self._venue.trades[-1:]:
            self.tell_account(trade)


class Deaf(ToyAdapter):
    """Does not report executions."""

    def tell_account(self, event: Any) -> None:
        if not isinstance(event, TradeReport):
            super().tell_account(event)


class Raising(ToyAdapter):
    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        if not self._is_open:
            raise RuntimeError("not open")
        return await super().send(request, urgent=urgent)


class Hopeful(ToyAdapter):
    """Reports a create without a response as failed."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        answer = await super().send(request, urgent=urgent)
        return replace(answer, outcome=Ending.REFUSED) if answer.outcome is Ending.UNKNOWN else answer


class Repeating(ToyAdapter):
    """Resends a create whose response was lost."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        answer = await super().send(request, urgent=urgent)
        if answer.outcome is Ending.UNKNOWN and isinstance(request, CreateOrder):
            await super().send(request, urgent=urgent)
        return answer


class Forgetful(ToyAdapter):
    """Claims that listings can be filtered by client ID, although this is not possible."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        if isinstance(request, ListOrders):
            request = replace(request, client_id=None)
        return await super().send(request, urgent=urgent)


class Misnumbering(ToyAdapter):
    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        return replace(await super().send(request, urgent=urgent), request_id=1)


class Boasting(ToyAdapter):
    capabilities = Capabilities(find_by_client_id=True, batch_create_max=5, batch_cancel_max=5)


class Unlimited(ToyAdapter):
    limits = LimitTable({name: row for name, row in LIMITS.endpoints.items() if name != "my_trades"})


class Timeless(ToyAdapter):
    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        answer = await super().send(request, urgent=urgent)
        self.clock_skew_ms = None
        return answer


class Partial(ToyAdapter):
    """Marks an incomplete list of balances as a snapshot."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        answer = await super().send(request, urgent=urgent)
        if isinstance(answer.body, BalanceReport):
            return replace(answer, body=replace(answer.body, snapshot=False))
        return answer


class Vague(ToyAdapter):
    """Acknowledges a cancel without including the order ID."""

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        answer = await super().send(request, urgent=urgent)
        return replace(answer, body=None) if isinstance(request, CancelOrder) else answer


@pytest.mark.parametrize(
    ("adapter", "case", "told"),
    [
        (Nameless, "it_connects_and_names_its_streams", "streams .* are connected"),
        (
            Stuttering,
            "a_new_connection_repeats_nothing_and_misses_nothing",
            "each execution is reported|reported twice",
        ),
        (Deaf, "a_limit_order_is_acknowledged_reported_filled_in_parts_and_cancelled", "each execution is reported"),
        (Hopeful, "a_create_whose_answer_is_lost_is_found_again", "without an answer the outcome is unknown"),
        (Repeating, "a_create_whose_answer_is_lost_is_found_again", "listed once"),
        (Forgetful, "a_create_whose_answer_is_lost_is_found_again", "the listing has only"),
        (Misnumbering, "every_read_is_answered", "carries that id"),
        (Boasting, "batches_are_accepted_in_order_if_the_exchange_has_them", "create_batch has a limit"),
        (Unlimited, "every_request_has_an_endpoint_in_the_limit_table", "my_trades"),
        (Timeless, "the_clock_is_measured", "5000 ms ahead"),
        (Partial, "an_open_order_locks_its_value_and_no_more", "snapshot"),
        (Vague, "a_limit_order_is_acknowledged_reported_filled_in_parts_and_cancelled", "the cancel is answered with"),
    ],
)
def test_an_adapter_that_violates_the_contract_is_detected(adapter: type[ToyAdapter], case: str, told: str) -> None:
    class Cases(AdapterCases):
        patience_s = 0.3

        def world(self) -> AbstractAsyncContextManager[World]:
            return toy_world(adapter)

    with pytest.raises(AssertionError, match=told):
        getattr(Cases(), f"test_{case}")()


def test_an_adapter_that_raises_is_detected() -> None:
    class Cases(AdapterCases):
        def world(self) -> AbstractAsyncContextManager[World]:
            return toy_world(Raising)

    with pytest.raises(RuntimeError, match="not open"):
        Cases().test_send_raises_nothing()
