"""Values and facts: pairs and their rules, exact money, time, events, orders and their states, requests, limits.

Nothing here does anything but hold, check and convert. Every other package builds on it; it knows only `errors`.
"""
