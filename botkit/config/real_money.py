"""Checks that a configuration sets every limit that is required before a bot may trade with real money."""

from __future__ import annotations

from botkit.config.addresses import is_loopback
from botkit.config.load import LoadedConfig
from botkit.errors import ConfigError

#: the limits required for real money, each with an example
_NEEDED_RULES = {
    "max_order_value": "{twd: 10000}",
    "max_position": '{btc: "0.01"}',
    "max_daily_loss": "{twd: 3000}",
    "price_collar_pct": "5",
}


def check_real_money(loaded: LoadedConfig, rest: str | None, ws: str | None) -> None:
    """Raise ConfigError naming every required real-money limit that is missing."""
    config = loaded.config
    problems = []
    if not config.live.confirm:
        problems.append(f"{loaded.where('live')}: real orders need `live: {{confirm: true}}`")
    for rule, example in _NEEDED_RULES.items():
        everywhere = all(rule in strategy.risk for strategy in config.strategies)
        if rule not in config.risk and not everywhere:
            problems.append(
                f"{loaded.where('risk')}: real orders need `risk: {{{rule}: {example}}}`, with a value of your choice"
            )
    for url in (rest, ws):
        if url is not None and is_loopback(url):
            problems.append(f"{url} is on this machine; use --mode emulator for an emulator")
    if problems:
        raise ConfigError("\n".join(problems))
