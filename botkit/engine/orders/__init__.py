"""Orders: requests and their outcomes, the order protocol, quotes and protective exits."""
