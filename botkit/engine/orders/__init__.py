"""What was asked for and what became of it: the orders, their protocol, quotes and protective exits."""
