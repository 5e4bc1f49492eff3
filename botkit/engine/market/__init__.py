"""What is known of each pair's market: prices, books, bars, and what is withheld as doubtful."""
