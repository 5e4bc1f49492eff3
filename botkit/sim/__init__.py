"""The simulated exchange, without I/O: used by backtests directly, and by the emulator over the wire.

* kernel: submit, next_at and advance; time, latency and the order of events
* desk: handles requests: creates, cancels, reads
* rules: refusals at order entry, with the exchange's texts
* venue_limits: the exchange's own counting of requests (429)
* order, ledger: the exchange's orders; balances, locks, fees, and the check that no unit is lost
* streams: recorded columns, loaded in chunks, and the search for the next row that can touch an order
* market: one pair with its streams, our orders in it, and the amounts they took from recorded levels
* matching: fills against recorded books and trades, and between accounts
* candles: fills on candle-only tapes
* publish: the exchange's output in total order: answers, account events, books, own prints
* history: candles built from past trades, for reads
* draws: keyed random draws
* fees, latency, fills: the built-in models; plugin registers them
"""
