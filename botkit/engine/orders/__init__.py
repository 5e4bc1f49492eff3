"""Orders: what was asked for and what became of it, the order protocol, quotes and protective exits."""
