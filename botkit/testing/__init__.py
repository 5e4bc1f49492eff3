"""What the author of a plugin tests it with, under pytest.

adapter_cases   proves that an adapter keeps the contract of `botkit.model.adapter`
"""
