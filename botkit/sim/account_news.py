"""What an account learns from an event: the answer to its request, then executions, orders and balances together."""

from __future__ import annotations

from botkit.model.events import BalanceReport
from botkit.sim.delays import Delays
from botkit.sim.publication import AccountEvent, Publication
from botkit.sim.publish import ACCOUNT_EVENTS, Deliveries
from botkit.sim.venue_event import VenueEvent


class AccountNews:
    """Sends news to the accounts. An account's news never overtakes its earlier news."""

    def __init__(self, delays: Delays, outbox: Deliveries) -> None:
        self._delays = delays
        self._outbox = outbox

    def tell(self, event: VenueEvent) -> None:
        """Publish an event's results to every account that it changed."""
        # one function, because every order comes through here
        delays, outbox = self._delays, self._outbox
        for account, news in event.news.items():
            at = event.time
            at += delays.answer_ns if delays.is_constant else delays.of_news(news.endpoint, news.key)
            if at < account.known_at:
                at = account.known_at
            account.known_at = at
            name = account.name
            told = [] if news.answer is None else [Publication(at, name, news.answer)]
            if news.orders or news.currencies:  # an execution also changes its order
                events: list[AccountEvent] = [*news.trades]
                for order in news.orders.values():
                    events.append(order.report())
                if news.currencies:
                    total, locked = account.total, account.locked
                    balances: dict[str, tuple[int, int]] = {}
                    for currency in news.currencies:
                        units = total.get(currency, 0)
                        balances[currency] = units, units - locked.get(currency, 0)
                    events.append(BalanceReport(balances))
                told.append(Publication(at, name, tuple(events), event.time))
            outbox.put((at, ACCOUNT_EVENTS, "", outbox.number(), told))
