"""Fills of a scripted quoter computed from recorded frames with json alone, with which the simulated exchange must
agree. This is written from the documented rules for books and fills, not from the simulated exchange.

    order    a dict: name, buy (bool), ticks, lots, arrives (ms), cancelled (ms); post-only
    fill     (name, time in ms, ticks, lots)

An arriving order stands behind the amount recorded at its price: behind nothing between recorded levels or before the
best, behind the whole level as first seen when it lies beyond the recorded depth. Snapshots that show less cap the
amount ahead. Trades at the price by takers of the other side use up the amount ahead and then fill; trades beyond the
price clear it and fill. An opposite best at or beyond the price fills with the amount shown there, and lots taken from
a level stay taken until the level changes. Every fill is capped by its trade or by the amount shown, and orders share
by price, then time. A post-only order is checked against the part of the other side that trades since the snapshot have
left: a buyer's trade takes all asks below its price and its amount at that price, a seller's trade all bids above and
its amount at that price. Under the optimistic assumption nothing is ahead and orders fill completely; under the
pessimistic one, only trades beyond the price fill.
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
    """Read (receive time, 0 for books and 1 for trades, rows) in processing order."""
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
        self.resting = []  # dicts of orders with "left", "ahead", "placed", in order of arrival
        self.taken = {}  # (is bid, ticks) -> [our lots, recorded lots]
        self.since = []  # the trades since the book: (ticks, lots, taker buys)
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
                    # the recorded amount ahead is shared by all our orders at the price, and takes from the trade first
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
        """Apply the snapshot to the amount ahead of an order."""
        if self.reading == "optimistic" or self.book is None:
            return
        levels = self.book[0 if order["buy"] else 1]
        worst = levels[-1][0]
        reached = worst <= order["ticks"] if order["buy"] else worst >= order["ticks"]
        if not reached:
            if not order["placed"]:
                # the amount ahead is unknown: the order is behind whatever the next book shows at its price
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
        """Return the same levels less the amounts that trades since the book took from them."""
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
    """Compute every fill of the orders. At equal times, books come first, then trades, then arrivals, with cancels
    before new orders.
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
