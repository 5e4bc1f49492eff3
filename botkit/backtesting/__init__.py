"""Backtesting: runs a bot on recorded data in simulated time, computes the run's metrics, and writes its output
files.
"""
