"""Value types: pairs and their rules, exact money, time, events, orders and their states, requests, limits.

The code here only holds, checks and converts values. Every other package builds on this one; it imports only `errors`.
"""
