"""Orders: what was requested and what became of it, the order protocol, quotes and protective exits."""
