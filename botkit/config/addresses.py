"""Checks which addresses each mode may use. API keys for one mode must never be sent to an address used by another
mode.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from botkit.config.schema import BotConfig
from botkit.errors import ConfigError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(url: str) -> bool:
    """Return True if an address is on this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


def chosen_address(config: BotConfig, rest: str | None, ws: str | None) -> tuple[str | None, str | None]:
    """Return the REST and WebSocket addresses: those given on the command line, or otherwise those in the
    configuration.
    """
    return rest or config.exchange.rest, ws or config.exchange.ws


def check_emulator(rest: str | None, ws: str | None) -> tuple[str, str]:
    """Return both addresses of an external emulator. Raises ConfigError if one is missing or is not on this machine."""
    for name, url in (("rest", rest), ("ws", ws)):
        if url is None:
            raise ConfigError(f"an external emulator needs both addresses; --{name} is missing")
        if not is_loopback(url):
            raise ConfigError(
                f"--{name} {url}: --mode emulator only reaches this machine; use --mode live for other machines"
            )
    assert rest is not None
    assert ws is not None
    return rest, ws


def check_command(mode: str, rest: str | None) -> None:
    """Check the address given to a command that accesses a bot's account. Raises ConfigError if the address does not
    match the bot's mode.
    """
    if mode == "emulator" and (rest is None or not is_loopback(rest)):
        raise ConfigError("give the emulator's address on this machine, such as --rest http://127.0.0.1:8080/v3")
    if mode == "live" and rest is not None and is_loopback(rest):
        raise ConfigError(f"{rest} is on this machine; use --mode emulator for an emulator")
