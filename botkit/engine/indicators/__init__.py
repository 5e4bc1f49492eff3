"""Indicators on prices and bars."""
