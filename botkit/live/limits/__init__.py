"""The rate limits that bots of one machine, or of several, keep together: slots on lease from a ledger."""
