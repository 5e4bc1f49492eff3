"""Computes the fills of a scripted quoter from recorded frames, using only `json`. The simulated exchange must produce
identical fills. This code implements the documented rules for books and fills, and shares no code with the simulated
exchange.

    order    a dict: name, buy (bool), ticks, lots, arrives (ms), cancelled (ms); post-only
    fill     (name, time in ms, ticks, lots)

An arriving order is queued behind the amount recorded at its price. Between recorded levels, or before the best price,
nothing is ahead of it. Beyond the recorded depth, the order is behind the full amount that the level shows when a book
first includes it. If a later snapshot shows a smaller amount, the amount ahead is reduced to the amount shown. Trades
at the order's price by takers on the opposite side consume the amount ahead and then fill the order; trades beyond the
price clear the amount ahead and fill the order. If the opposite best price reaches or crosses the order's price, the
order fills with the amount shown there. Lots taken from a level stay taken until the level changes. Every fill is
limited by its trade or by the amount shown, and orders share an amount by price, then by time. A post-only order is
checked against the other side of the book, reduced by the trades since the snapshot: a buyer's trade takes all asks
below its price, and its amount at that price; a seller's trade takes all bids above its price, and its amount at that
price. Under the optimistic assumption nothing is ahead and orders fill completely. Under the pessimistic assumption
only trades beyond the price fill an order.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

TICK, LOT = 2, 8  # decimals of btc_usdt


def steps(text, decimals):
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(decimals, "0")[:decimals])


def read_frames(path):
    """Return (receive time, 0 for books or 1 for trades, rows) in processing order."""
    events = []
    with gzip.open(Path(path), "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            frame = row["frame"]
            if frame["event"] == "ORDER_BOOK":
                sides = [
                    [(steps(level["price"], TICK), steps(level["amount"], LOT)) for level in frame[side]]
                    for side in ("bids", "asks")
                ]
                events.append((row["received"], 0, sides))
            else:
                for trade in frame["data"]:  # each trade in these files becomes a separate frame
                    taker_buys = trade["isBuyer"]
                    figures = (steps(trade["price"], TICK), steps(trade["amount"], LOT), taker_buys)
                    events.append((row["received"], 1, figures))
    events.sort(key=lambda event: event[:2])
    return events


class Market:
    def __init__(self, reading):
        self.reading = reading
        self.book = None
        self.resting = []  # order dicts with "left", "ahead", "placed", by arrival
        self.taken = {}  # (is bid, ticks) -> [our lots, recorded lots]
        self.since = []  # trades since the book: (ticks, lots, taker buys)
        self.fills = []

    # -- events ------------------------------------------------------------------------------------------

    def arrive(self, order):
        opposite = self.left(bids=not order["buy"])
        own = [other["ticks"] for other in self.resting if other["buy"] != order["buy"]]
        for ticks in [level[0] for level in opposite[:1]] + own:
            if ticks <= order["ticks"] if order["buy"] else ticks >= order["ticks"]:
                return  # post-only
        order = dict(order, left=order["lots"], ahead=0, placed=False)
        self.look(order)
        self.resting.append(order)

    def cancel(self, name):
        self.resting = [order for order in self.resting if order["name"] != name]

    def snapshot(self, time, sides):
        self.book, self.since = sides, []
        for key, (_, recorded) in list(self.taken.items()):
            if dict(sides[0 if key[0] else 1]).get(key[1]) != recorded:
                del self.taken[key]
        for order in self.resting:
            self.look(order)
        if self.reading == "pessimistic":
            return
        for buy in (True, False):
            for order in self.by_priority(buy):
                through = [
                    (ticks, lots)
                    for ticks, lots in self.net(bids=not buy)
                    if (ticks <= order["ticks"] if buy else ticks >= order["ticks"])
                ]
                shown = sum(lots for _, lots in through)
                if not shown:
                    continue
                lots = order["left"] if self.reading == "optimistic" else min(shown, order["left"])
                self.fill(order, time, lots)
                for ticks, there in through:
                    part = min(there, lots)
                    if part:
                        note = self.taken.setdefault((not buy, ticks), [0, dict(sides[1 if buy else 0])[ticks]])
                        note[0] += part
                        lots -= part
        self.drop()

    def trade(self, time, ticks, lots, taker_buys):
        self.since.append((ticks, lots, taker_buys))
        for buy in (True, False):
            for order in self.by_priority(buy):
                beyond = ticks < order["ticks"] if buy else ticks > order["ticks"]
                if beyond:
                    order["ahead"], order["placed"] = 0, True
                    share = lots
                elif ticks == order["ticks"] and taker_buys != buy:
                    if self.reading == "pessimistic":
                        continue
                    # all our orders at this price share the recorded amount ahead, and a trade consumes that amount
                    # first
                    passed = min(order["ahead"], lots)
                    order["ahead"] -= passed
                    share = lots - passed
                else:
                    continue
                if self.reading == "optimistic":
                    share = order["left"]
                got = min(share, order["left"])
                if got:
                    self.fill(order, time, got)
                    lots = max(0, lots - got)
        self.drop()

    # -- state -----------------------------------------------------------------------------------------

    def look(self, order):
        """Update the amount ahead of an order from the current snapshot."""
        if self.reading == "optimistic" or self.book is None:
            return
        levels = self.book[0 if order["buy"] else 1]
        worst = levels[-1][0]
        reached = worst <= order["ticks"] if order["buy"] else worst >= order["ticks"]
        if not reached:
            if not order["placed"]:
                # the amount ahead is unknown, so the order is queued behind the amount that the next book shows at its
                # price
                order["ahead"] = 10**30
            return
        shown = dict(levels).get(order["ticks"], 0)
        note = self.taken.get((order["buy"], order["ticks"]))
        shown = max(0, shown - note[0]) if note and not order["placed"] else shown
        order["ahead"] = min(order["ahead"], shown) if order["placed"] else shown
        order["placed"] = True

    def net(self, bids):
        if self.book is None:
            return []
        levels = []
        for ticks, lots in self.book[0 if bids else 1]:
            left = lots - self.taken.get((bids, ticks), [0])[0]
            if left > 0:
                levels.append((ticks, left))
        return levels

    def left(self, bids):
        """Return the side's levels, minus the amounts taken by trades since the last book."""
        standing = dict(self.net(bids))
        for price, amount, taker_buys in self.since:
            if taker_buys == bids:
                continue
            for ticks in list(standing):
                if ticks > price if bids else ticks < price:
                    del standing[ticks]
            if price in standing:
                standing[price] -= amount
                if standing[price] <= 0:
                    del standing[price]
        return sorted(standing.items(), reverse=bids)

    def by_priority(self, buy):
        mine = [order for order in self.resting if order["buy"] == buy]
        return sorted(mine, key=lambda order: -order["ticks"] if buy else order["ticks"])

    def fill(self, order, time, lots):
        order["left"] -= lots
        self.fills.append((order["name"], time, order["ticks"], lots))

    def drop(self):
        self.resting = [order for order in self.resting if order["left"]]


def derive(events, orders, reading):
    """Compute all fills of these orders. Events with equal timestamps are processed in this order: books, trades, then
    arrivals, with cancels before new orders.
    """
    acts = [(order["arrives"], 1, i, order) for i, order in enumerate(orders)]
    acts += [(order["cancelled"], 0, i, order) for i, order in enumerate(orders)]
    acts.sort(key=lambda act: act[:3])
    market, at = Market(reading), 0

    def act_until(time):
        nonlocal at
        while at < len(acts) and acts[at][0] < time:
            _, creates, _, order = acts[at]
            if creates:
                market.arrive(order)
            else:
                market.cancel(order["name"])
            at += 1

    for time, kind, row in events:
        act_until(time)
        if kind == 0:
            market.snapshot(time, row)
        else:
            market.trade(time, *row)
    act_until(10**30)
    return market.fills
