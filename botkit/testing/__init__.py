"""Tests for plugin authors, to run under pytest.

adapter_cases    checks that an adapter fulfills the contract in `botkit.model.adapter`
strategy_cases   checks that a strategy is fit for live trading
restarted        a backtest whose bot restarts during the run
trial_market     a synthetic market that follows given prices
elsewhere        the other process in which a strategy is rerun
"""
