"""The simulated exchange, without I/O: used by backtests directly, and by the emulator over the wire.

* kernel: submit, next_at and advance; time, latency and the order of events
* delays: how long requests and news are under way
* desk, new_orders: handle requests: creates, cancels, reads; ids of orders
* rules: refusals at order entry, with the exchange's texts
* venue_limits: the exchange's own counting of requests (429)
* order, ledger: the exchange's orders; balances, locks, fees, and the check that no unit is lost
* streams: recorded columns, loaded in chunks, and the search for the next row that can touch an order
* market: one pair with its streams, our orders in it, and the amounts they took from recorded levels
* venue_markets: the markets of all pairs
* touches, touching_rows: when a recorded row touches an order next; working off the rows that do
* matching: fills against recorded books and trades, and between accounts
* candles: fills on candle-only tapes
* publish: the exchange's output in total order: answers, account events, books, own prints
* account_news, public_news: what an account is told; books and our trades, which everyone is told
* visibility, books_ahead: how far a bot may run ahead; many books at once
* history: candles built from past trades, for reads
* assumptions: the sentences of the report
* draws: keyed random draws
* fees, latency, fills: the built-in models; plugin registers them
"""
