"""Lists every documented endpoint and stream with id, method and path, for both the client and the emulator.

The rate-limit table uses the same ids. Reserved words in the position of ``{pair}`` (``all``, ``open``, ``batch``,
``trades``, ``history``) are matched first.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec

REST_BASE: Final = "https://api.bitopro.com/v3"
WS_BASE: Final = "wss://stream.bitopro.com:443/ws"


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint. ``path`` is relative to the base and contains ``{names}`` to fill in. ``private`` calls are
    signed.
    """

    id: str
    method: str
    path: str
    private: bool = False

    @property
    def is_write(self) -> bool:
        """True if the call changes state at the exchange. If its response is lost, the outcome is unknown."""
        return self.method != "GET"

    def fill(self, **values: str) -> str:
        """Return the path with its names filled in. Values are quoted, so no value can lead to a different path."""
        return self.path.format(**{name: quote(value, safe="") for name, value in values.items()})


ENDPOINTS: Final[dict[str, Endpoint]] = {
    endpoint.id: endpoint
    for endpoint in (
        Endpoint("trading_pairs", "GET", "/provisioning/trading-pairs"),
        Endpoint("currencies", "GET", "/provisioning/currencies"),
        Endpoint("limitations_and_fees", "GET", "/provisioning/limitations-and-fees"),
        Endpoint("tickers", "GET", "/tickers"),
        Endpoint("ticker", "GET", "/tickers/{pair}"),
        Endpoint("order_book", "GET", "/order-book/{pair}"),
        Endpoint("trades", "GET", "/trades/{pair}"),
        Endpoint("trading_history", "GET", "/trading-history/{pair}"),
        Endpoint("otc_price", "GET", "/price/otc/{currency}"),
        Endpoint("balance", "GET", "/accounts/balance", private=True),
        Endpoint("create_order", "POST", "/orders/{pair}", private=True),
        Endpoint("create_batch", "POST", "/orders/batch", private=True),
        Endpoint("cancel_order", "DELETE", "/orders/{pair}/{orderId}", private=True),
        Endpoint("cancel_all", "DELETE", "/orders/all", private=True),
        Endpoint("cancel_all_pair", "DELETE", "/orders/{pair}", private=True),
        Endpoint("cancel_batch", "PUT", "/orders", private=True),
        Endpoint("get_order", "GET", "/orders/{pair}/{orderId}", private=True),
        Endpoint("open_orders", "GET", "/orders/open", private=True),
        Endpoint("all_orders", "GET", "/orders/all/{pair}", private=True),
        Endpoint("my_trades", "GET", "/orders/trades/{pair}", private=True),
        Endpoint("deposit_history", "GET", "/wallet/depositHistory/{currency}", private=True),
        Endpoint("withdraw_history", "GET", "/wallet/withdrawHistory/{currency}", private=True),
        Endpoint("withdraw_by_serial", "GET", "/wallet/withdraw/{currency}/{serial}", private=True),
        Endpoint("withdraw_by_id", "GET", "/wallet/withdraw/{currency}/id/{id}", private=True),
        Endpoint("create_withdraw", "POST", "/wallet/withdraw/{currency}", private=True),
    )
}


class StreamPath(msgspec.Struct, frozen=True):
    """A stream. ``path`` is relative to the WebSocket base. Public streams append the pairs to it."""

    id: str
    path: str
    event: str
    private: bool = False


STREAMS: Final[dict[str, StreamPath]] = {
    stream.id: stream
    for stream in (
        StreamPath("order_book", "/v1/pub/order-books", "ORDER_BOOK"),
        StreamPath("ticker", "/v1/pub/tickers", "TICKER"),
        StreamPath("trades", "/v1/pub/trades", "TRADE"),
        StreamPath("active_orders", "/v1/pub/auth/orders", "ACTIVE_ORDERS", private=True),
        StreamPath("order_history", "/v1/pub/auth/orders/histories", "RECENT_HISTORY_ORDERS", private=True),
        StreamPath("account_balance", "/v1/pub/auth/account-balance", "ACCOUNT_BALANCE", private=True),
        StreamPath("user_trades", "/v1/pub/auth/user-trades", "USER_TRADE", private=True),
    )
}

#: the book depths that can be requested; for any other depth, the stream serves 5 levels and REST refuses the request
BOOK_LIMITS: Final = (1, 5, 10, 20, 30, 50)
