"""The simulated exchange, without I/O: it answers a backtest, and behind the wire an emulator.

* kernel: submit / next_at / advance: time, latency and the order of deeds
* desk: works requests: creates, cancels, reads
* rules: what the exchange refuses at entry, with its texts
* venue_limits: the exchange's own counting of requests (429)
* order, ledger: an order as the exchange keeps it; balances, locks, fees, exact conservation
* streams: recorded columns, loaded in chunks, and the search for the next row that can touch an order
* market: one pair: its streams, our orders in it, what they took of recorded levels
* matching: fills against recorded books and trades, and between accounts
* candles: fills on tapes that hold candles only
* publish: what the exchange tells: answers, account events, books, own prints, in their total order
* history: candles made from what has passed, for reads
* draws: keyed random draws
* fees, latency, fills: the built-in models; plugin registers them
"""
