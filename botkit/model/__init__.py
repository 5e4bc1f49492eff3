"""Values and facts: pairs and their rules, exact money, time, events, orders and their states, requests, limits.

Code here only holds, checks and converts values. Every other package builds on it; it imports only `errors`.
"""
