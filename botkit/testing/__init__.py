"""Tests for plugin authors, to run under pytest.

adapter_cases   checks that an adapter fulfils the contract in `botkit.model.adapter`
"""
