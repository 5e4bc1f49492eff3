"""Deposits and withdrawals. Timestamps here are milliseconds as text. ``datetime`` (deprecated) is seconds as text."""

from __future__ import annotations

import msgspec


class TransferRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One deposit or withdrawal. ``total`` is amount + fee. ``message`` (a memo) exists only for coins that use
    memos.
    """

    serial: str
    timestamp: str | int | None = None
    datetime: str | int | None = None
    address: str | None = None
    amount: str
    fee: str
    total: str
    status: str
    txid: str | None = None
    message: str | None = None
    protocol: str | None = None
    id: str | int


class TransfersReply(msgspec.Struct, frozen=True, kw_only=True):
    """GET /wallet/depositHistory/{currency} and /wallet/withdrawHistory/{currency}."""

    data: tuple[TransferRow, ...] | None


class TransferReply(msgspec.Struct, frozen=True, kw_only=True):
    """GET /wallet/withdraw/{currency}/{serial} and .../id/{id}."""

    data: TransferRow | None


class WithdrawalRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """A newly requested withdrawal. ``amount`` is net. The exchange debits ``total`` = amount + fee."""

    serial: str
    currency: str
    protocol: str | None = None
    address: str | None = None
    amount: str
    fee: str
    total: str
    message: str | None = None
    id: str | int


class WithdrawalReply(msgspec.Struct, frozen=True, kw_only=True):
    """POST /wallet/withdraw/{currency}."""

    data: WithdrawalRow
