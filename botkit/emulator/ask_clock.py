"""Reads the clock of an emulator in another process."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp

from botkit.emulator.clock import EmulatorClock
from botkit.errors import ConfigError


async def emulator_clock(rest: str, speed: float | None) -> EmulatorClock:
    """Return the clock of an emulator in another process. The emulator's time may run faster than the machine's time.

    Raises ConfigError if no emulator responds.
    """
    url = urlsplit(rest)
    try:
        async with aiohttp.ClientSession(trust_env=False) as session:
            asked = f"{url.scheme}://{url.netloc}/_emulator/time"
            async with session.get(asked, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=5)) as response:
                found = await response.json()
        return EmulatorClock(int(found["now"]), float(speed or found["speed"]))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"no emulator answers at {rest}: {error or type(error).__name__}") from None
