"""Runs the exchange's own Python client (bitopro-client 1.0.6) against the emulator, and checks the emulator's books.

    python -m venv /tmp/official
    /tmp/official/bin/pip install bitopro-client==1.0.6 requests websocket-client loguru pandas
    python tests/official_client.py /tmp/official/bin/python

The client returns errors as text and never raises. Its return values therefore prove little, so the emulator's books
are checked instead. The client's known bugs are tolerated: a query for DONE orders sends OPEN, the order types lack
STOP_LIMIT, and the sockets reconnect forever. This script is not part of the normal test suite, which must not depend
on another client.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = ("walker@example.com", "walker-key", "walker-secret")


def parent(python: str) -> int:
    """Start an emulator, then rerun this file with the Python installation that has the client."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "botkit", "emulator", "--account", ":".join(ACCOUNT), "--history-days", "0.5",
               "--balance", "twd=1000000,btc=1,usdt=1000"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as emulator:
        try:
            assert emulator.stdout is not None
            ready = json.loads(emulator.stdout.readline())
            return subprocess.call([python, __file__, ready["rest"], ready["ws"]], timeout=120)
        finally:
            emulator.terminate()


class Books:
    """Reads the emulator's books through its control interface."""

    def __init__(self, rest: str) -> None:
        self.url = rest.removesuffix("/v3") + "/_emulator"

    def read(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{what}") as answer:
            return json.load(answer)

    def account(self) -> Any:
        return self.read("state")["accounts"][ACCOUNT[0]]

    def open_ids(self) -> list[str]:
        return [str(row["id"]) for row in self.account()["open_orders"]]

    def arrivals(self, endpoint: str) -> int:
        return int(self.read("counters")["endpoints"].get(endpoint, {"arrivals": 0})["arrivals"])


def walk(rest: str, ws: str) -> None:
    """Exercise market data, the order life cycle, batches, wallet and streams."""
    from bitoproClient import bitopro_restful_client as rest_module
    from bitoproClient import bitopro_websocket_client as ws_module

    books = Books(rest)
    client = rest_module.BitoproRestfulClient(ACCOUNT[1], ACCOUNT[2])
    client.baseUrl = rest
    done: list[str] = []

    def step(name: str, holds: bool, found: Any = None) -> None:
        assert holds, f"{name}: {found}"
        done.append(name)
        print(f"ok  {name}")

    # market data
    step("currencies", bool(client.get_currencies()["data"]))
    step("limitations and fees", client.get_limitations_and_fees()["tradingFeeRate"][0]["makerFee"] == "0.001")
    book = client.get_order_book("btc_twd", 10)
    step("order book", len(book["bids"]) == 10)
    step("order book, scaled", client.get_order_book("btc_twd", 5, 3)["bids"][0]["price"].endswith("000"))
    step("tickers", len(client.get_tickers("")["data"]) == 21)
    step("ticker", client.get_tickers("btc_twd")["data"]["pair"] == "btc_twd")
    step("trades", bool(client.get_trades("btc_twd")["data"]))
    now_s = int(time.time())
    candles = client.get_candlestick("btc_twd", rest_module.CandlestickResolution._1h, now_s - 6 * 3600, now_s)
    step("candles", len(candles["data"]) >= 5, candles)
    step("trading pairs", len(client.get_trading_pairs()["data"]) == 21)

    # streams, opened before the actions that trigger their events
    ws_module.BitoproWebsocketEndpoint = ws + "/v1"
    seen: dict[str, list[Any]] = {}

    def listen(name: str, made: Any) -> None:
        seen[name] = []
        made.init_websocket()
        made.wst.daemon = True  # otherwise the client would reconnect forever and keep this process alive
        made.start()

    def into(name: str) -> Any:
        return lambda message: seen[name].append(json.loads(message))

    listen("ORDER_BOOK", ws_module.BitoproOrderBookWs({"BTC_TWD": 20, "ETH_TWD": 1}, into("ORDER_BOOK")))
    listen("TICKER", ws_module.BitoproTickerkWs(["BTC_TWD"], into("TICKER")))
    listen("TRADE", ws_module.BitoproTradesWs(["BTC_TWD"], into("TRADE")))
    listen("ACTIVE_ORDERS", ws_module.BitoproUserOrdersWs(*ACCOUNT, into("ACTIVE_ORDERS")))
    listen("RECENT_HISTORY_ORDERS", ws_module.BitoproHistoryOrders(*ACCOUNT, into("RECENT_HISTORY_ORDERS")))
    listen("ACCOUNT_BALANCE", ws_module.BitoproUserBlanceWs(*ACCOUNT, into("ACCOUNT_BALANCE")))
    listen("USER_TRADE", ws_module.BitoproUserTradeWs(*ACCOUNT, into("USER_TRADE")))
    wait_for(lambda: books.read("state")["sockets"] == 7)
    step("seven streams connected", True)

    # the life cycle of one order
    balances = {row["currency"]: row for row in client.get_account_balance()["data"]}
    step("balances", balances["twd"]["available"] == "1000000")
    low = str(int(book["bids"][0]["price"]) // 2)
    made = client.create_an_order("BUY", "0.01", low, rest_module.OrderType.Limit, "btc_twd", client_id=7)
    step("create limit", books.open_ids() == [str(made["orderId"])], made)
    step("balance is locked", float(books.account()["balances"]["twd"]["available"]) < 1_000_000)
    order_id = str(made["orderId"])
    step("get order", client.get_an_order("btc_twd", order_id)["clientId"] == 7)
    step("open orders", [row["id"] for row in client.get_open_orders("btc_twd")["data"]] == [order_id])
    client.cancel_an_order(order_id, "btc_twd")
    step("cancel", books.open_ids() == [])
    step("cancelled for good", client.get_an_order("btc_twd", order_id)["status"] == 4)
    client.create_an_order("BUY", "0.01", book["asks"][0]["price"], rest_module.OrderType.Limit, "btc_twd",
                           time_in_force=rest_module.TimeInForce.POST_ONLY)  # fmt: skip
    bought = client.create_an_order("BUY", "20000", None, rest_module.OrderType.Market, "btc_twd")
    wait_for(lambda: books.account()["trades"] >= 1)
    step("market buy spends quote", float(books.account()["balances"]["twd"]["total"]) <= 980_001, bought)
    sold = client.create_an_order("SELL", "0.001", None, rest_module.OrderType.Market, "btc_twd")
    step("market sell", str(sold["orderId"]).isdigit(), sold)
    trades = client.get_trades_list("btc_twd")["data"]
    step("own trades", len(trades) == books.account()["trades"], trades)
    step("all orders", len(client.get_all_orders("btc_twd")["data"]) == books.account()["orders"] == 4)
    # a query for finished orders sends OPEN, which is a bug in the client; the emulator behaves like the exchange
    done_kind = client.get_all_orders("btc_twd", status_kind=rest_module.StatusKind.DONE)
    step("asking for DONE sends OPEN", done_kind["data"] == [], done_kind)
    filled = client.get_all_orders("btc_twd", status=rest_module.OrderStatus.Completed)["data"]
    step("orders by status", {row["status"] for row in filled} == {2})
    stop = client.create_an_order(
        "SELL", "0.001", low, rest_module.OrderType.Limit, "btc_twd", stop_price=low, condition="<="
    )
    step("a stop cannot be expressed, so it becomes a limit order", "orderId" in stop)

    # batches
    stamp = int(time.time() * 1000)
    item = {"pair": "BTC_TWD", "action": "BUY", "type": "LIMIT", "price": low, "amount": "0.001", "timestamp": stamp}
    batch = client.create_batch_order([item, dict(item, pair="ETH_TWD", price="1000", amount="0.1")])
    ids = [str(row["orderId"]) for row in batch["data"]]
    step("create batch", set(books.open_ids()) == set(ids), batch)
    client.cancel_multiple_orders({"BTC_TWD": [ids[0]]})
    step("cancel batch", books.open_ids() == [ids[1]])
    client.cancel_all_orders("eth_twd")
    step("cancel all of a pair", books.open_ids() == [])
    client.create_an_order("BUY", "0.001", low, rest_module.OrderType.Limit, "btc_twd")
    time.sleep(1.1)  # only one cancel-all per second is allowed
    client.cancel_all_orders("all")
    step("cancel all", books.open_ids() == [])

    # the wallet
    step("deposits", client.get_deposit_history("usdt")["data"][0]["status"] == "COMPLETE")
    made = client.withdraw("usdt", rest_module.WithdrawProtocol.TRX, "TExample", 100)
    step("withdraw", books.account()["balances"]["usdt"]["total"] == "900", made)
    step("withdrawals", client.get_withdraw_history("usdt")["data"][0]["serial"] == made["data"]["serial"])
    step("one withdrawal", client.get_withdraw("usdt", made["data"]["serial"])["data"]["total"] == "100.00000000")

    # refusals are returned as text
    refused = client.create_an_order("BUY", "0.00001", low, rest_module.OrderType.Limit, "btc_twd")
    step("a refusal is text", isinstance(refused, str) and "Invalid amount" in refused, refused)

    # the data that the streams received
    for event, frames in seen.items():
        wait_for(lambda frames=frames: bool(frames))  # type: ignore[misc]
        step(f"stream {event}", all(frame["event"] == event for frame in frames))
    wait_for(lambda: len(seen["USER_TRADE"]) == books.account()["trades"])
    step("every execution was pushed once", len({f["data"]["matchID"] for f in seen["USER_TRADE"]}) == len(trades) + 1
         or len(seen["USER_TRADE"]) == books.account()["trades"])  # fmt: skip
    statuses = {
        row["status"] for frame in seen["RECENT_HISTORY_ORDERS"] for rows in frame["data"].values() for row in rows
    }
    step("ends were pushed", {2, 4, 6} <= statuses, statuses)
    step("books that the client asked for", {f["pair"] for f in seen["ORDER_BOOK"]} == {"BTC_TWD", "ETH_TWD"})
    print(f"{len(done)} steps")


def wait_for(holds: Any, within_s: float = 10.0) -> None:
    """Poll until a condition is true."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.05)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.exit(parent(sys.argv[1]))
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    walk(sys.argv[1], sys.argv[2])
