"""Who owns what: the account's ledger, sub-accounts, positions, valuation and daily profit."""
