"""Ownership of the account's money: the ledger, sub-accounts, positions, valuation and daily profit."""
