"""Rate limits shared by bots of one or several machines: slots leased from a ledger."""
