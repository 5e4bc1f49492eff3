"""Paper trading: the exchange's own market data as it comes, orders answered by the simulated exchange in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from botkit.assembly import ACCOUNT, Project, make_kernel
from botkit.assembly.company import Company
from botkit.assembly.inside import opening_balances
from botkit.assembly.live_parts import LiveParts, connect, priced_pairs
from botkit.assembly.sharing import venue_name
from botkit.live.clock import DriverClock, SteadyClock
from botkit.live.driver import Adapter
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_S, Nanos
from botkit.model.columns import BookColumns, MarketColumns, TradeColumns
from botkit.model.events import Connection, ConnectionState, OrderBook, Trade
from botkit.model.money import UNIT
from botkit.model.orders import Side
from botkit.model.pairs import Pair
from botkit.model.requests import Answer, GetBook, GetCandles, Request
from botkit.sim.kernel import Kernel

Sink = Callable[[Any], None]

#: what a bot on paper asks the exchange itself
MARKET_READS = (GetBook.endpoint, GetCandles.endpoint)
_STREAMS = ("active_orders", "order_history", "account_balance", "user_trades")
#: levels of a book that the simulated exchange keeps
_DEPTH = 50


class PaperAdapter:
    """Market data from ``market``, orders to ``kernel``; the bot sees one exchange.

    What it is shown of the market is what the exchange sent; its own orders are matched against that, and never move
    it. `botkit.live.driver.Adapter` says what each method promises.
    """

    def __init__(self, market: Adapter, kernel: Kernel, clock: DriverClock) -> None:
        self._market = market
        self._kernel = kernel
        self._clock = clock
        self._sink: Sink | None = None
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._numbers: dict[int, int] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Nanos | None = None
        kernel.advance(clock.now())

    async def open(self) -> None:
        """Open the connection to the market."""
        await self._market.open()

    async def close(self) -> None:
        """Close it."""
        if self._timer is not None:
            self._timer.cancel()
        for future in self._answers.values():
            future.cancel()
        await self._market.close()

    def watch(
        self,
        sink: Sink,
        *,
        books: Mapping[Pair, int] | None = None,
        trades: Any = (),
        tickers: Any = (),
        account: bool = True,
    ) -> None:
        """The account's streams are the simulated exchange's; all others are the market's."""
        if account:
            self._sink = sink
            for stream in _STREAMS:
                sink(Connection(ConnectionState.CONNECTED, stream))
        if not (books or trades or tickers):
            return

        def on_market(event: Any) -> None:
            if type(event) is OrderBook:
                self._take(_book_row(event, self._clock.now()))
            elif type(event) is Trade:
                self._take(_trade_row(event, self._clock.now()))
            sink(event)

        self._market.watch(on_market, books=dict(books or {}), trades=trades, tickers=tickers, account=False)

    def reconnect(self, stream_id: str = "") -> None:
        """Give the market's streams a new connection."""
        reconnect = getattr(self._market, "reconnect", None)
        if reconnect is not None:
            reconnect(stream_id)

    def _take(self, row: MarketColumns) -> None:
        self._kernel.load(row)
        self._advance()

    async def send(self, request: Request, *, urgent: bool = False) -> Answer:
        """Reads of the market go to the exchange, all else to the simulated one."""
        if request.endpoint in MARKET_READS:
            return await self._market.send(request)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[request.id] = future
        self._kernel.submit(ACCOUNT, request, self._clock.now())
        self._advance()
        return await future

    def _advance(self) -> None:
        now = self._clock.now()
        for publication in self._kernel.advance(now):
            for event in publication.events:
                if type(event) is Answer:
                    future = self._answers.pop(event.request_id, None)
                    if future is not None and not future.done():
                        future.set_result(event)
                elif publication.account == ACCOUNT and self._sink is not None:
                    self._sink(event)
        due = self._kernel.next_at()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            wait_s = max(0, due - now) / NS_PER_S / (self._clock.speed or 1.0)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._advance)


def _column(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def _trade_row(trade: Trade, now: Nanos) -> TradeColumns:
    rules = trade.pair.rules
    side = 0 if trade.side is None else trade.side.sign
    return TradeColumns(
        trade.pair,
        _column(now),
        _column(trade.time),
        _column(rules.ticks(trade.price, up=trade.side is Side.BUY)),
        _column(max(1, rules.lots(trade.amount))),
        np.array([side], dtype=np.int8),
    )


def _book_row(book: OrderBook, now: Nanos) -> BookColumns:
    def side(levels: tuple[tuple[int, int], ...], part: int) -> Any:
        cells = [level[part] for level in levels[:_DEPTH]]
        return np.array([cells + [0] * (_DEPTH - len(cells))], dtype=np.int64)

    bids, asks = book.bid_levels, book.ask_levels
    return BookColumns(
        book.pair, _column(now), _column(book.time), side(bids, 0), side(bids, 1), side(asks, 0), side(asks, 1)
    )


def paper_balances(project: Project) -> dict[str, int]:
    """What a paper account begins with: as for the emulator, or else a sum that is worth trying with."""
    found = opening_balances(project)
    return found if found is not None else {project.currency: 1_000_000 * UNIT}


def paper_parts(project: Project, rest: str | None, ws: str | None, company: Company) -> LiveParts:
    """The parts of a bot on paper. The market needs no account."""
    config, section = project.config, project.config.emulator
    venue = venue_name(project.facts, rest)
    clock = company.clocks.setdefault(venue, SteadyClock())
    market = company.adapter(
        project,
        lambda: connect(project, None, rest, ws, clock, public=True),
        address=(rest, ws),
        account="",
    )
    kernel = make_kernel(
        project,
        pairs={str(pair): pair for pair in priced_pairs(project)},
        balances=paper_balances(project),
        fees=project.fee_model(section.fees, "emulator.fees"),
        latency=project.latency_model(config.backtest.latency, "backtest.latency", config.seed),
        queue=project.queue_model(section.fills, "emulator.fills"),
        slippage_e8=int((section.slippage or 0) * UNIT),
        seed=config.seed,
    )
    return LiveParts(
        project,
        "paper",
        adapter=PaperAdapter(market, kernel, clock),
        clock=clock,
        folder=StateFolder.of(config.name, "paper", "paper"),
        fees=section.fees,
        latest_accept_s=section.latest_accept_s,
        address=(rest, ws),
        is_new_world=True,
        # reads of the market are real, and count at one address; all else never leaves this process
        ledger=company.ledger(project, venue, clock),
        endpoints=MARKET_READS,
    )
