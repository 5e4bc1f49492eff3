"""Decides which requests are sent, and when: the queue, the rate-limit windows and each endpoint's route."""
