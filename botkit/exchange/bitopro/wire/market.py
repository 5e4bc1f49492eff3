"""Public market data: responses from the public endpoints, and rows that these responses share with the streams.

Shapes follow the exchange's public REST documentation. Prices and amounts are text. Converting them to ticks and lots
requires the pair's rules, which only the caller has. The client decodes these structs and the emulator encodes them.
"""

from __future__ import annotations

import msgspec

from botkit.exchange.bitopro.wire.shapes import WireReply, WireRow


class LevelRow(WireRow, frozen=True, kw_only=True):
    """One book level. ``total`` is the running sum of amounts from the best price."""

    price: str
    amount: str
    count: int | None = None
    total: str | None = None


class OrderBookReply(WireReply, frozen=True, kw_only=True):
    """GET /order-book/{pair}: bids in descending price order, asks in ascending price order. The response has no
    timestamp.
    """

    bids: tuple[LevelRow, ...] | None
    asks: tuple[LevelRow, ...] | None


class TradeRow(WireRow, frozen=True, kw_only=True):
    """A public trade. ``timestamp`` is in whole seconds. ``is_buyer`` means that the taker bought (Q13). The row has no
    id.
    """

    timestamp: int
    price: str
    amount: str
    is_buyer: bool


class TradesReply(WireReply, frozen=True, kw_only=True):
    """GET /trades/{pair}: newest first."""

    data: tuple[TradeRow, ...] | None


class TickerRow(WireRow, frozen=True, kw_only=True):
    """24-hour statistics. ``price_change_24hr`` is in percent, or ``"0"`` if the price did not change.

    Field names with 24hr are spelled out, because the camel-case rule would turn them into 24Hr.
    """

    pair: str
    last_price: str
    is_buyer: bool | None = None
    price_change_24hr: str = msgspec.field(name="priceChange24hr")
    volume_24hr: str = msgspec.field(name="volume24hr")
    high_24hr: str = msgspec.field(name="high24hr")
    low_24hr: str = msgspec.field(name="low24hr")


class TickersReply(WireReply, frozen=True, kw_only=True):
    """GET /tickers: a list, or a single object if the path names a pair."""

    data: tuple[TickerRow, ...] | TickerRow | None

    @property
    def rows(self) -> tuple[TickerRow, ...]:
        """The tickers as a tuple, whether the response is a list or a single object."""
        return () if self.data is None else (self.data,) if isinstance(self.data, TickerRow) else self.data


class CandleRow(WireRow, frozen=True, kw_only=True):
    """One candle. ``timestamp`` is the start of its bucket in milliseconds, although the query uses seconds."""

    timestamp: int
    open: str
    high: str
    low: str
    close: str
    volume: str


class CandlesReply(WireReply, frozen=True, kw_only=True):
    """GET /trading-history/{pair}: candles in no guaranteed order; buckets without trades are omitted. The last candle
    is unfinished.
    """

    data: tuple[CandleRow, ...] | None


class PairRow(WireRow, frozen=True, kw_only=True):
    """The rules of one pair. Precisions and limits are text, although one published sample shows them as numbers."""

    pair: str
    base: str
    quote: str
    base_precision: str | int
    quote_precision: str | int
    min_limit_base_amount: str
    max_limit_base_amount: str
    min_market_buy_quote_amount: str
    order_open_limit: str | int
    maintain: bool
    order_book_quote_precision: str | int | None = None
    order_book_quote_scale_level: str | int | None = None
    amount_precision: str | int


class PairsReply(WireReply, frozen=True, kw_only=True):
    """GET /provisioning/trading-pairs."""

    data: tuple[PairRow, ...] | None


class CurrencyRow(WireRow, frozen=True, kw_only=True):
    """One currency, or one of its protocols, with a name like ``USDT (ETH-ERC20)``."""

    currency: str
    withdraw_fee: str
    min_withdraw: str
    max_withdraw: str
    max_daily_withdraw: str
    withdraw: bool
    deposit: bool
    deposit_confirmation: str


class CurrenciesReply(WireReply, frozen=True, kw_only=True):
    """GET /provisioning/currencies."""

    data: tuple[CurrencyRow, ...] | None


class FeeRateRow(WireRow, frozen=True, kw_only=True):
    """One row of the fee table. Rates are fractions."""

    rank: int
    twd_volume_symbol: str
    twd_volume: str
    bito_amount_symbol: str
    bito_amount: str
    maker_fee: str
    taker_fee: str
    maker_bito_fee: str
    taker_bito_fee: str
    rank_condition: str | None = None
    grid_bot_maker_fee: str | None = None
    grid_bot_taker_fee: str | None = None


class WithdrawalLimitRow(WireRow, frozen=True, kw_only=True):
    """The fee and limits for withdrawing a currency. ``twd_withdraw_monthly`` is null except for TWD."""

    currency: str
    fee: str
    minimum_trading_amount: str
    maximum_trading_amount: str
    daily_cumulative_maximum_amount: str
    remarks: str | None = None
    protocol: str | None = None
    twd_withdraw_monthly: str | msgspec.UnsetType | None = msgspec.UNSET


class DepositLimitRow(WireRow, frozen=True, kw_only=True):
    """The fee for depositing a currency, and the required number of confirmations."""

    currency: str
    general_deposit_fees: str
    blockchain_confirmation_required: str


class TransferLimitRow(WireRow, frozen=True, kw_only=True):
    """Limits on a currency's transfer codes."""

    currency: str
    redeem_daily_cumulative_maximum_amount: str
    generate_minimum_trading_amount: str
    generate_maximum_trading_amount: str
    generate_daily_cumulative_maximum_amount: str


class LimitationsReply(WireReply, frozen=True, kw_only=True):
    """GET /provisioning/limitations-and-fees: a bare object of lists."""

    trading_fee_rate: tuple[FeeRateRow, ...]
    restrictions_of_withdrawal_fees: tuple[WithdrawalLimitRow, ...] | None = None
    cryptocurrency_deposit_fee_and_confirmation: tuple[DepositLimitRow, ...] | None = None
    tt_check_fees_and_limitations_level1: tuple[TransferLimitRow, ...] | None = msgspec.field(
        default=None, name="ttCheckFeesAndLimitationsLevel1"
    )
    tt_check_fees_and_limitations_level2: tuple[TransferLimitRow, ...] | None = msgspec.field(
        default=None, name="ttCheckFeesAndLimitationsLevel2"
    )


class OtcRate(WireRow, frozen=True, kw_only=True):
    """A rate quoted by the exchange's own desk."""

    pricing_currency: str
    exchange_rate: str


class OtcPriceReply(WireReply, frozen=True, kw_only=True):
    """GET /price/otc/{currency}: the prices at which the exchange's desk sells (``buy_swap_quotation``) and buys, by
    quote currency.
    """

    currency: str
    buy_swap_quotation: dict[str, OtcRate]
    sell_swap_quotation: dict[str, OtcRate]
