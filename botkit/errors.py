"""All errors that botkit raises, grouped by the appropriate reaction.

    BotkitError
    ├── ConfigError             fix the configuration; nothing was sent
    │   └── PluginError         fix, remove or block the named plugin
    ├── NotReadyError           a strategy read its history too early: read it in on_ready
    ├── DataError               fix or replace the named data
    └── RequestError            a call to the exchange did not succeed
        ├── TryAgain            the call had no effect; it can be repeated
        │   └── RateLimited     ... after a pause: the exchange counted too many requests
        ├── Refused             the exchange refused; the same call would be refused again
        └── OutcomeUnknown      the call may have taken effect: look up the result, never resend the call

A refused *order* is not an exception: a strategy gets an ``Order`` in state REFUSED with the reason, because an
exception would skip the rest of the strategy's callback.
"""

from __future__ import annotations

__all__ = [
    "BotkitError",
    "ConfigError",
    "DataError",
    "NotReadyError",
    "OutcomeUnknown",
    "PluginError",
    "RateLimited",
    "Refused",
    "RequestError",
    "TryAgain",
]


class BotkitError(Exception):
    """Base class for all errors that botkit raises on purpose."""


class ConfigError(BotkitError):
    """The configuration cannot work. Nothing was sent. Fix the file and start again."""


class PluginError(ConfigError):
    """A plugin cannot be loaded or conflicts with another plugin. Fix, remove or block the named plugin."""


class NotReadyError(BotkitError):
    """A series was read before its history was available. Read it in ``on_ready`` instead."""


class DataError(BotkitError):
    """Recorded data is missing, damaged or inconsistent. The message names the file and the row."""


class RequestError(BotkitError):
    """A call to the exchange did not succeed.

    ``status`` is the HTTP status, or 0 if no response was read; ``text`` is the exchange's own message.
    """

    def __init__(self, message: str, *, status: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class TryAgain(RequestError):
    """The call had no effect and can be repeated."""


class RateLimited(TryAgain):
    """The exchange responded with 429. The exchange counted this request as well, so wait before sending another
    request.
    """


class Refused(RequestError):
    """The exchange refused the call. The same call would be refused again."""


class OutcomeUnknown(RequestError):
    """The call may have taken effect, or may still take effect. Look up the result before doing anything else."""
