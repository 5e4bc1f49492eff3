"""Tests for authors of plugins, under pytest.

adapter_cases   proves that an adapter keeps the contract of `botkit.model.adapter`
"""
