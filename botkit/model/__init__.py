"""Value types: pairs and their rules, exact money, time, events, orders and their states, requests, limits.

The code here only stores, validates and converts values. All other packages build on this package, which imports only
`errors`.
"""
