"""A bot against recorded data on simulated time: the driver, and the figures and files of a run."""
