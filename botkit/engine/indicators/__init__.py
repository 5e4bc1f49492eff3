"""Indicators computed from prices and bars."""
