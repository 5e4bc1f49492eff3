"""Deposits and withdrawals for the emulator's accounts. A withdrawal is debited immediately, then passes through
several statuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from botkit.emulator.public import Names, Query, whole_number
from botkit.emulator.replies import HttpReply, RefusedError, ok
from botkit.emulator.rows import fixed
from botkit.emulator.tables import Chain, chains_of, units
from botkit.emulator.venue import EmulatedVenue
from botkit.exchange.bitopro.wire.bodies import WithdrawBody
from botkit.exchange.bitopro.wire.wallet import (
    TransferReply,
    TransferRow,
    TransfersReply,
    WithdrawalReply,
    WithdrawalRow,
)
from botkit.model.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, Nanos, to_datetime
from botkit.model.money import format_units, parse_scaled
from botkit.sim.draws import keyed
from botkit.sim.rules import balance_refusal

_TRANSFER_IDS = 13
#: how long a withdrawal stays in each status: requested, processing, done
_WAITS: Nanos = 2 * NS_PER_S
_UNDER_WAY: Nanos = 10 * NS_PER_S
_WINDOW_MS = 90 * NS_PER_DAY // NS_PER_MS


class Transfer(msgspec.Struct):
    """A deposit or a withdrawal. Amounts are in units of 1e-8; ``total`` is the change in the balance."""

    number: int
    currency: str
    created: Nanos
    amount_units: int
    fee_units: int
    address: str
    protocol: str
    is_deposit: bool
    message: str | None = None

    @property
    def total_units(self) -> int:
        """The net amount plus the fee."""
        return self.amount_units + self.fee_units

    @property
    def serial(self) -> str:
        """The serial number, which consists of the date and a sequence number."""
        kind = "TW" if self.currency == "twd" else "BW"
        return f"{to_datetime(self.created):%Y%m%d}{kind}{self.number % 100_000_000:08d}"

    def status(self, now: Nanos) -> str:
        """Return the transfer's current status."""
        age = now - self.created
        if self.is_deposit or age >= _UNDER_WAY:
            return "COMPLETE"
        return "WAIT_PROCESS" if age < _WAITS else "PROCESSING"


class Wallet:
    """All accounts' transfers."""

    def __init__(self, venue: EmulatedVenue) -> None:
        self._venue = venue
        self._transfers: dict[str, list[Transfer]] = {email: [] for email in venue.accounts}
        self._count = 0
        for email, account in venue.accounts.items():
            for currency, held in account.balances.items():
                if held:
                    self._note(email, currency, held, is_deposit=True)

    def _note(
        self,
        account: str,
        currency: str,
        amount: int,
        *,
        is_deposit: bool,
        fee: int = 0,
        address: str = "",
        chain: Chain | None = None,
        message: str | None = None,
    ) -> Transfer:
        self._count += 1
        number = 1_000_000_000 + keyed(self._venue.options.seed, _TRANSFER_IDS, self._count) % 9_000_000_000
        transfer = Transfer(
            number=number,
            currency=currency,
            created=self._venue.now,
            amount_units=amount,
            fee_units=fee,
            address=address or f"emulated-{currency}-{number}",
            protocol=(chain or chains_of(currency)[0]).protocol,
            is_deposit=is_deposit,
            message=message,
        )
        self._transfers[account].append(transfer)
        return transfer

    def deposit(self, account: str, currency: str, amount_units: int) -> Transfer:
        """Credit a deposit from outside the exchange."""
        self._venue.kernel.transfer(account, currency, amount_units)
        return self._note(account, currency, amount_units, is_deposit=True)

    # -- endpoints ------------------------------------------------------------------------------------------------

    def history(self, account: str, names: Names, query: Query, *, deposits: bool) -> HttpReply:
        """Answer GET /wallet/depositHistory/{currency} and /wallet/withdrawHistory/{currency}, newest first."""
        currency = self._currency(names)
        now_ms = self._venue.now // NS_PER_MS
        end = whole_number(query, "endTimestamp", now_ms, 0, 10**14)
        start = whole_number(query, "startTimestamp", max(end - _WINDOW_MS, 0), 0, 10**14)
        limit = whole_number(query, "limit", 20, 1, 100)
        if start > end:
            raise RefusedError("Wrong parameter: startTimestamp")
        wanted = {status.strip().upper() for status in query.get("statuses", "").split(",") if status.strip()}
        txid, cursor = query.get("txID"), query.get("id")
        rows: list[TransferRow] = []
        reached = not cursor
        for transfer in reversed(self._transfers[account]):
            if transfer.currency != currency or transfer.is_deposit != deposits:
                continue
            reached = reached or str(transfer.number) == cursor
            row = self._row(transfer)
            if not reached or not start <= transfer.created // NS_PER_MS <= end:
                continue
            if (not wanted or row.status in wanted) and (not txid or row.txid == txid):
                rows.append(row)
        return ok(TransfersReply(data=tuple(rows[:limit])))

    def one(self, account: str, names: Names) -> HttpReply:
        """Answer GET /wallet/withdraw/{currency}/{serial} and .../id/{id}."""
        currency = self._currency(names)
        for transfer in self._transfers[account]:
            if transfer.is_deposit or transfer.currency != currency:
                continue
            if transfer.serial == names.get("serial") or str(transfer.number) == names.get("id"):
                return ok(TransferReply(data=self._row(transfer, seconds=True)))
        raise RefusedError("Invalid withdraw id.")  # assumed

    def withdraw(self, account: str, names: Names, body: WithdrawBody) -> HttpReply:
        """Answer POST /wallet/withdraw/{currency}. ``amount`` is debited, and the fee is deducted from this amount."""
        venue, currency = self._venue, self._currency(names)
        protocol = (body.protocol or chains_of(currency)[0].protocol).upper()
        chain = next((chain for chain in chains_of(currency) if chain.protocol == protocol), None)
        if chain is None:
            raise RefusedError("Wrong parameter: protocol")
        if currency == "twd":
            if not body.bank_account_serial:
                raise RefusedError("Wrong parameter: bankAccountSerial")
        elif not body.address:
            raise RefusedError("Address not in whitelist.")
        try:
            total = parse_scaled(body.amount, 8, "amount")
        except ValueError:
            raise RefusedError(f"Invalid amount {body.amount[:40]}.") from None
        fee = units(chain.fee)
        if not max(units(chain.least), fee + 1) <= total <= units(chain.most):
            raise RefusedError(f"Invalid amount {format_units(total)}, from {chain.least} to {chain.most}.")
        refusal = balance_refusal(currency, total, venue.kernel.account(account).available(currency))
        if refusal is not None:
            raise RefusedError(refusal)
        venue.kernel.transfer(account, currency, -total)
        made = self._note(
            account, currency, total - fee, is_deposit=False, fee=fee,
            address=body.address or body.bank_account_serial or "", chain=chain, message=body.message,
        )  # fmt: skip
        return ok(
            WithdrawalReply(
                data=WithdrawalRow(
                    serial=made.serial,
                    currency=currency.upper(),
                    protocol=protocol,
                    address=made.address,
                    amount=format_units(made.amount_units),
                    fee=format_units(fee),
                    total=format_units(total),
                    message=body.message,
                    id=str(made.number),
                )
            )
        )

    def _currency(self, names: Names) -> str:
        currency = names["currency"].lower()
        if currency not in self._venue.currencies:
            raise RefusedError("Unsupported currency.")
        return currency

    def _row(self, transfer: Transfer, *, seconds: bool = False) -> TransferRow:
        status = transfer.status(self._venue.now)
        done = status == "COMPLETE" and transfer.currency != "twd"
        return TransferRow(
            serial=transfer.serial,
            timestamp=str(transfer.created // NS_PER_MS),
            datetime=str(transfer.created // NS_PER_S) if seconds else None,
            address=transfer.address,
            amount=fixed(transfer.amount_units, 8),
            fee=fixed(transfer.fee_units, 8),
            total=fixed(transfer.total_units, 8),
            status=status,
            txid=hashlib.sha256(str(transfer.number).encode()).hexdigest() if done else "",
            message=transfer.message,
            protocol=transfer.protocol,
            id=str(transfer.number),
        )

    def figures(self) -> Mapping[str, int]:
        """Return the number of transfers per account."""
        return {email: len(rows) for email, rows in self._transfers.items()}
