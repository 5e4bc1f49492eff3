"""Runs a bot on recorded data in simulated time: the driver, and the figures and files of a run."""
