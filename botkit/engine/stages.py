"""The stages of a run: restore an earlier run's state, begin, add history, stop."""

from __future__ import annotations

from botkit.engine.market.fee_prices import RESOLUTION, last_price
from botkit.engine.orders.reads import Reads
from botkit.engine.outcome_parts import HistoryWanted
from botkit.engine.rooms import BotRooms
from botkit.engine.strategy.parameters import set_live_parameter
from botkit.engine.strategy.past_reads import PastReads
from botkit.errors import ConfigError
from botkit.model.clock import Nanos
from botkit.model.events import Bar
from botkit.model.inputs import Begin, Compare, History, Restore, Stop
from botkit.model.orders import OrderState
from botkit.model.pairs import Pair


class Stages:
    """The stages, in the order Restore -> (Compare) -> Begin -> History -> Stop."""

    def __init__(self, rooms: BotRooms, reads: Reads) -> None:
        self._rooms = rooms
        self._reads = reads
        #: True if the exchange, not the driver, supplies the history that series need
        self.reads_history = False
        #: True until that history has been requested
        self.must_read = False
        rooms.gate.is_starting = True

    def restore(self, given: Restore, now: Nanos) -> None:
        """Restore the bot's books and other state. Raises ConfigError if they do not match the settings."""
        rooms = self._rooms
        rooms.router.cool_down(given.sends, now)
        try:
            self._open_books(given)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        for name, kept in given.kept.items():
            if name in rooms.records:
                rooms.records[name].recall(kept)
        for strategy, name, value in given.parameters:
            if strategy in rooms.strategies:
                set_live_parameter(rooms.strategies[strategy], strategy, name, value, rooms.pairs)
        for row in given.orders:
            if row.order.state is not OrderState.QUEUED:  # a queued order was never sent
                rooms.desk.restore(row.order, row.executions, now)
                if row.order.is_quote and not row.order.is_final:
                    rooms.quoter.restore(row.order)
        for name, kept in given.kept.items():
            if name in rooms.records:
                for fill in rooms.untold.recalled(kept.get("untold", ()), rooms.table.by_client_id.get):
                    rooms.untold.mailed.append(fill)
                    rooms.callbacks.notify(rooms.records[name], "on_fill", fill)
        for level, reason in given.halts.items():
            if level in rooms.records:
                rooms.risk.halt(level, reason)
        if given.halted is not None:
            rooms.stops.halt(given.halted, keeps_orders=given.keeps_orders, leaves=frozenset(given.leaves))

    def _open_books(self, given: Restore) -> None:
        portfolio = self._rooms.portfolio
        if given.books is not None:
            portfolio.restore(given.books, orders=[row.order for row in given.orders])
        elif given.balances is not None:
            portfolio.open(given.balances)

    def compare(self, given: Compare, now: Nanos) -> None:
        """Reconcile with the exchange."""
        self._rooms.compare(now, given)

    def begin(self, given: Begin, now: Nanos) -> None:
        """Run every strategy's ``on_start``, in configuration order."""
        rooms = self._rooms
        assert not rooms.has_begun, "a run can start only once"
        rooms.has_begun = rooms.balances.has_begun = True
        self.reads_history = self.must_read = given.reads_history
        if given.first_client_id:
            rooms.client_ids.next = given.first_client_id
        for record in list(rooms.records.values()):
            callback = rooms.callbacks.of(record, "on_start")
            if callback is not None:
                rooms.callbacks.call(record, callback)
            if record.active:
                rooms.begin_day(now)

    def end_of_turn(self, now: Nanos) -> None:
        """Request the history that series need, from the driver or from the exchange."""
        rooms = self._rooms
        if not rooms.has_begun:
            return
        rooms.past.ask()
        if self.reads_history:
            wanted = list(rooms.outbox.out.history)
            if self.must_read:
                # with the history, valuations have prices before the first trade
                for_fees = rooms.portfolio.fees.pairs
                wanted += [
                    HistoryWanted(cell.pair, RESOLUTION if cell.pair in for_fees else "1m", 1)
                    for cell in rooms.portfolio.prices.values()
                ]
            if wanted or self.must_read:
                self.must_read = False
                PastReads(wanted, self._reads, rooms.outbox, now, self._take_read_history)

    def _take_read_history(self, history: History) -> None:
        self.take_history(history, self._rooms.clock.now)

    def take_history(self, given: History, now: Nanos) -> None:
        """Add bars from before the start. Trading starts with the first `History`."""
        rooms = self._rooms
        is_first = rooms.gate.is_starting
        if is_first:
            rooms.markets.candle_pairs = given.candle_pairs
            if self.reads_history:
                self._mark_last_prices(given)
        rooms.past.give(given)
        if not is_first:
            return
        rooms.gate.is_starting = False
        for record in list(rooms.records.values()):
            callback = rooms.callbacks.of(record, "on_ready")
            if record.active and callback is not None:
                rooms.callbacks.call(record, callback)
        rooms.timers.arm(now)
        rooms.callbacks.is_open = True  # the mailbox will be emptied in this turn
        rooms.untold.opened()
        if rooms.watch is not None:
            rooms.watch.begin(now)
        if rooms.fee_prices is not None:
            rooms.fee_prices.look(now)
        if rooms.listed_rules is not None:
            rooms.listed_rules.begin(now)

    def _mark_last_prices(self, given: History) -> None:
        newest: dict[Pair, Bar] = {}
        for past in given.bars:
            if past.bars and (past.pair not in newest or past.bars[-1].time > newest[past.pair].time):
                newest[past.pair] = past.bars[-1]
        for pair, bar in newest.items():
            self._rooms.portfolio.mark(pair, bar.close)
        for past in given.bars:
            price = last_price(past)
            if past.pair in self._rooms.portfolio.fees.unpriced() and price is not None:
                self._rooms.portfolio.mark(past.pair, price)

    def stop(self, given: Stop, now: Nanos) -> None:
        """Run every ``on_stop``. After that, strategies are only notified about their orders, and may only place orders
        that reduce a position. Any other order placed after the bot has cancelled the open orders would remain at the
        exchange.
        """
        rooms = self._rooms
        for record in list(rooms.records.values()):
            if record.active:
                callback = rooms.callbacks.of(record, "on_stop")
                if callback is not None:
                    rooms.callbacks.call(record, callback)
            rooms.timers.drop(record)
            for market in rooms.markets.all():
                market.drop(record)
        rooms.work_off()
        rooms.protector.end()
        for record in rooms.records.values():
            rooms.quoter.drop(record)  # fills from now on do not trigger new orders
            rooms.targets.forget(record)
        rooms.gate.is_stopping = True
        if given.withdraws:
            for order in rooms.table.all_open():
                if order.strategy not in given.keep or order.state is OrderState.QUEUED:
                    rooms.desk.cancel(order, now)
