"""Shares rate limits among the bots of one or several machines by leasing slots from a ledger."""
