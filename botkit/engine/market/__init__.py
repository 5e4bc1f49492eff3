"""The market data of each pair: prices, books, bars, and prices that are withheld as implausible."""
