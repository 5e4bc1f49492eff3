"""Backtesting: runs a bot on recorded data in simulated time, computes the run's figures and writes its files."""
