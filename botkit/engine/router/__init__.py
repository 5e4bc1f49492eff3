"""Decides which requests are sent, and when: the queue, the rate-limit windows and the routes of each endpoint."""
