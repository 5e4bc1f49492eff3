"""Executes commands from the user or a guard. Each command sets a reply: a value, or a sentence that explains why the
command was refused.
"""

from __future__ import annotations

from botkit.engine.market.book import walk
from botkit.engine.money.positions import Position
from botkit.engine.outcome_parts import Reply
from botkit.engine.risk.review import PAUSED
from botkit.engine.rooms import BotRooms
from botkit.engine.strategy.parameters import set_live_parameter
from botkit.engine.strategy.record import StrategyRecord
from botkit.model.clock import Nanos
from botkit.model.inputs import (
    CancelByHand,
    CancelOrphans,
    Flatten,
    Forget,
    Halt,
    JournalFailed,
    LeaveOrphans,
    MoveCapital,
    Pause,
    Resume,
    SetParameter,
)
from botkit.model.orders import FINAL_STATES, Order

#: the maximum slippage, relative to the best visible price, when a stopping bot closes a position
_FLATTEN_SLIPPAGE_PCT = 1.0


class Commands:
    """The commands of one engine."""

    def __init__(self, rooms: BotRooms) -> None:
        self._rooms = rooms

    def _reply(self, value: object = None, refusal: str | None = None) -> None:
        self._rooms.outbox.out.reply = Reply(value, refusal)

    def _record(self, strategy: str) -> StrategyRecord | None:
        record = self._rooms.records.get(strategy)
        if record is None:
            names = ", ".join(self._rooms.records)
            self._reply(refusal=f"there is no strategy {strategy!r}; this bot has {names}")
        return record

    def halt(self, given: Halt, now: Nanos) -> None:
        """Halt the bot or one strategy."""
        if given.level is None:
            self._rooms.stops.halt(given.reason, keeps_orders=given.keeps_orders)
        elif self._record(given.level) is not None:
            self._halt_strategy(given.level, given.reason, now)

    def pause(self, given: Pause, now: Nanos) -> None:
        """Cancel a strategy's open orders and block new ones, except those that reduce its position."""
        if self._record(given.strategy) is not None:
            self._halt_strategy(given.strategy, PAUSED, now)

    def _halt_strategy(self, strategy: str, reason: str, now: Nanos) -> None:
        self._rooms.risk.halt(strategy, reason)
        for order in self._rooms.table.open_of(strategy):
            if not order.reduces:
                self._rooms.desk.cancel(order, now)
        self._reply()

    def resume(self, given: Resume, now: Nanos) -> None:
        """Lift a halt. A stopped strategy is not restarted, because it has missed events since it stopped."""
        rooms = self._rooms
        if given.level is not None:
            record = self._record(given.level)
            if record is None:
                return
            if not record.active:
                then = "" if rooms.risk.halted(given.level) is None else ", then resume it"
                self._reply(refusal=f"{given.level} was stopped ({record.stopped_because}); restart the bot{then}")
                return
        if rooms.risk.halted(given.level) is not None:
            rooms.risk.resume(given.level)
            rooms.decisions.note("resume", now, "the bot" if given.level is None else given.level)
        self._reply()

    def set_parameter(self, given: SetParameter, now: Nanos) -> None:
        """Set a parameter declared as ``live``, and notify the strategy."""
        record = self._record(given.strategy)
        if record is None:
            return
        rooms = self._rooms
        try:
            checked = set_live_parameter(
                rooms.strategies[given.strategy], given.strategy, given.name, given.value, rooms.pairs
            )
        except ValueError as error:
            self._reply(refusal=str(error))
            return
        if record.active:
            rooms.callbacks.notify(record, "on_params", {given.name: checked})
            rooms.past.look_again()  # in ``on_params``, the strategy may attach an indicator that needs more history
        rooms.decisions.note("set", now, f"{given.strategy}.{given.name}={checked}")
        self._reply(checked)

    def move_capital(self, given: MoveCapital, now: Nanos) -> None:
        """Assign unassigned money to a strategy (or the pool), or take money back. Moving money may end a shortage."""
        rooms = self._rooms
        transfers = rooms.portfolio.transfers
        refusal = transfers.refusal(given.target, given.units) or transfers.unpriced(given.units)
        if refusal is None and given.cost_e8 is not None:
            refusal = transfers.wrong_cost(given.target, given.units)
        if refusal is not None:
            self._reply(refusal=refusal)
            return
        transfers.move(given.target, given.units, given.cost_e8)
        figures = " ".join(f"{currency}={units}" for currency, units in given.units.items())
        if given.cost_e8 is not None:
            figures += f" at {given.cost_e8}"
        rooms.decisions.note("capital", now, f"{given.target} {figures}")
        rooms.balances.watch_shortages()
        rooms.balances.tell(given.units)
        self._reply()

    def cancel_orphans(self, given: CancelOrphans, now: Nanos) -> None:
        """Cancel orders whose strategies no longer exist."""
        for order in map(self._rooms.table.by_client_id.__getitem__, given.client_ids):
            self._rooms.desk.cancel(order, now)
            # an order without an id gets no request now, so nothing else would journal that it must be cancelled
            self._rooms.outbox.changed(order)

    def leave_orphans(self, given: LeaveOrphans, now: Nanos) -> None:
        """Stop following orders whose strategies no longer exist. They stay open at the exchange."""
        for order in map(self._rooms.table.by_client_id.__getitem__, given.client_ids):
            self._rooms.desk.let_go(order, now, given.reason)

    def cancel_by_hand(self, given: CancelByHand, now: Nanos) -> None:
        """Cancel a single order of any strategy at the user's request."""
        order = self._rooms.table.by_client_id.get(given.client_id)
        if order is None:
            self._reply(refusal=f"this bot has no order {given.client_id}")
        elif order.state in FINAL_STATES:
            self._reply(refusal=f"order {given.client_id} is already {order.state.value}")
        else:
            self._rooms.desk.cancel(order, now)
            self._reply()

    def flatten(self, given: Flatten, now: Nanos) -> None:
        """Trade a strategy back to its initial holdings, as far as the visible book and the maximum slippage allow."""
        record = self._record(given.strategy)
        if record is None:
            return
        rooms = self._rooms
        orders = []
        for position, units in rooms.portfolio.ownership.surplus(given.strategy):
            if units > 0:
                orders.append(self._sell_surplus(given.strategy, position, units))
            elif record.active:
                orders.append(self._buy_missing(given.strategy, position, -units))
        self._reply(tuple(order.reason for order in orders if order is not None and order.is_refused))

    def _sell_surplus(self, strategy: str, position: Position, units: int) -> Order | None:
        rules = position.pair.rules
        lots = min(rules.lots_of_units(units), position.sellable_lots)
        levels = self._rooms.markets.of(position.pair).book.bid_levels
        if lots and levels:
            lowest = -int(-levels[0][0] * (1 - _FLATTEN_SLIPPAGE_PCT / 100))
            lots = min(lots, walk(levels, lots, lowest, buying=False)[0])
        if lots < rules.least_lots:
            return None
        entry, amount = self._rooms.contexts[strategy].orders, rules.exact_amount(lots)
        return entry.market_sell(position.pair, amount, _FLATTEN_SLIPPAGE_PCT, "flatten", reduces=True)

    def _buy_missing(self, strategy: str, position: Position, units: int) -> Order | None:
        rooms, rules = self._rooms, position.pair.rules
        lots = rules.lots_of_units(units)
        levels = rooms.markets.of(position.pair).book.ask_levels
        if lots and levels:
            highest = int(levels[0][0] * (1 + _FLATTEN_SLIPPAGE_PCT / 100))
            lots = min(lots, walk(levels, lots, highest, buying=True)[0])
        if lots < rules.least_lots:
            return None
        entry, amount = rooms.contexts[strategy].orders, rules.exact_amount(lots)
        # the only kind of buy order that a stopping bot places; halts and risk rules apply to it as to any other order
        was_stopping, rooms.gate.is_stopping = rooms.gate.is_stopping, False
        try:
            return entry.market_buy(position.pair, None, amount, _FLATTEN_SLIPPAGE_PCT, "flatten")
        finally:
            rooms.gate.is_stopping = was_stopping

    def forget(self, given: Forget, now: Nanos) -> None:
        """Forget orders that became final long ago, and return them in the reply."""
        self._rooms.clock.events -= 1  # not an event: the event count must not depend on how often the driver cleans up
        self._reply(tuple(self._rooms.table.forget_before(given.before)))

    def journal_failed(self, given: JournalFailed, now: Nanos) -> None:
        """Block new orders while the journal cannot be written."""
        self._rooms.gate.journal_fault = given.why
