"""Shares rate limits among bots on one or more machines by leasing slots from a ledger."""
