"""Tables that the exchange publishes but botkit does not use in calculations: currencies, transfers, fee ranks.

For coins not named in the documentation, values are order-of-magnitude estimates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from botkit.exchange.bitopro.wire.market import (
    CurrencyRow,
    DepositLimitRow,
    FeeRateRow,
    TransferLimitRow,
    WithdrawalLimitRow,
)
from botkit.model.extension import FeeRank
from botkit.model.money import format_units, to_units


class Chain(msgspec.Struct, frozen=True):
    """One route for transferring a currency. ``label`` follows the currency's name in the table, and is "" for the
    currency's own chain.
    """

    protocol: str
    label: str
    fee: str
    least: str
    most: str
    daily: str
    confirmations: str


_OWN: Final = Chain("MAIN", "", "0.1", "1", "100000", "200000", "12")
#: the chains of currencies named in the documentation; every other currency has its own chain
CHAINS: Final[dict[str, tuple[Chain, ...]]] = {
    "twd": (Chain("MAIN", "", "15", "100", "1000000", "2000000", "0"),),
    "btc": (Chain("MAIN", "", "0.0001", "0.0005", "50", "100", "3"),),
    "eth": (Chain("MAIN", "", "0.002", "0.01", "500", "1000", "64"),),
    "usdt": (
        Chain("TRX", "TRX-TRC20", "1.5", "10", "300000", "500000", "20"),
        Chain("ERC20", "ETH-ERC20", "4", "10", "300000", "500000", "64"),
    ),
}


def chains_of(currency: str) -> tuple[Chain, ...]:
    """Return the chains on which a currency can be transferred; the first is the default."""
    return CHAINS.get(currency, (_OWN,))


def currency_rows(currencies: Iterable[str]) -> tuple[CurrencyRow, ...]:
    """Return the rows of /provisioning/currencies: one per protocol."""
    return tuple(
        CurrencyRow(
            currency=currency.upper() + (f" ({chain.label})" if chain.label else ""),
            withdraw_fee=chain.fee,
            min_withdraw=chain.least,
            max_withdraw=chain.most,
            max_daily_withdraw=chain.daily,
            withdraw=True,
            deposit=True,
            deposit_confirmation=chain.confirmations,
        )
        for currency in currencies
        for chain in chains_of(currency)
    )


def withdrawal_limits(currencies: Iterable[str]) -> tuple[WithdrawalLimitRow, ...]:
    """Return the rows of ``restrictionsOfWithdrawalFees``."""
    return tuple(
        WithdrawalLimitRow(
            currency=currency.upper(),
            fee=chain.fee,
            minimum_trading_amount=chain.least,
            maximum_trading_amount=chain.most,
            daily_cumulative_maximum_amount=chain.daily,
            remarks="",
            protocol=chain.protocol.lower(),
            twd_withdraw_monthly="5000000" if currency == "twd" else None,
        )
        for currency in currencies
        for chain in chains_of(currency)
    )


def deposit_limits(currencies: Iterable[str]) -> tuple[DepositLimitRow, ...]:
    """Return the rows of ``cryptocurrencyDepositFeeAndConfirmation``."""
    return tuple(
        DepositLimitRow(
            currency=currency.upper(),
            general_deposit_fees="0",
            blockchain_confirmation_required=chains_of(currency)[0].confirmations,
        )
        for currency in currencies
        if currency != "twd"
    )


def transfer_limits(level: int) -> tuple[TransferLimitRow, ...]:
    """Return the rows of ``ttCheckFeesAndLimitationsLevel1`` and ``...Level2``."""
    day, least, most = ("0.2", "0.0001", "0.03") if level == 1 else ("25", "0.0001", "12")
    return (
        TransferLimitRow(
            currency="BTC",
            redeem_daily_cumulative_maximum_amount=day,
            generate_minimum_trading_amount=least,
            generate_maximum_trading_amount=most,
            generate_daily_cumulative_maximum_amount=day,
        ),
    )


def fee_rows(ranks: Sequence[FeeRank]) -> tuple[FeeRateRow, ...]:
    """Return the rows of ``tradingFeeRate``. For rank 0 the volume is the upper limit; for other ranks it is the lower
    limit.
    """
    rows = []
    for index, rank in enumerate(ranks):
        first = index == 0 and len(ranks) > 1
        threshold = ranks[1] if first else rank
        symbol = "<" if first else ">="
        rows.append(
            FeeRateRow(
                rank=rank.rank,
                twd_volume_symbol=symbol,
                twd_volume=str(threshold.volume),
                bito_amount_symbol=symbol,
                bito_amount=str(threshold.held),
                maker_fee=format_units(rank.maker_e8),
                taker_fee=format_units(rank.taker_e8),
                maker_bito_fee=format_units(rank.discounted_maker_e8),
                taker_bito_fee=format_units(rank.discounted_taker_e8),
                rank_condition="and" if rank.needs_both else "or",
                grid_bot_maker_fee="0.0005",
                grid_bot_taker_fee="0.0005",
            )
        )
    return tuple(rows)


def units(text: str) -> int:
    """Return an amount from these tables in units of 1e-8."""
    return to_units(text)
