"""What is known about each pair's market: prices, books, bars, and the prices withheld as doubtful."""
