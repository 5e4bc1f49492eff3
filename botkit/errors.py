"""Every error botkit raises, sorted by what happens next.

    BotkitError
    ├── ConfigError             mend the configuration; nothing was sent
    │   └── PluginError         mend, remove or block the plugin that is named
    ├── NotReadyError           a strategy read its history before it was there: move that to on_ready
    ├── DataError               mend or replace the recorded data that is named
    └── RequestError            a call to the exchange did not succeed
        ├── TryAgain            nothing happened there; the same call may be made again
        │   └── RateLimited     ... after a pause: the exchange counted too many requests
        ├── Refused             the exchange said no; the same call would be refused again
        └── OutcomeUnknown      it may or may not have happened: look it up, never send it again

A refused *order* is no exception: a strategy gets an ``Order`` in state REFUSED with the reason, because an
exception in the middle of a callback would lose the rest of the callback.
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
    """Base of all errors that botkit raises on purpose."""


class ConfigError(BotkitError):
    """The configuration cannot work. Nothing was sent; mend the file and start again."""


class PluginError(ConfigError):
    """A plugin cannot be loaded or contradicts another. Mend it, remove it, or block it by name."""


class NotReadyError(BotkitError):
    """A series was read before its history was there. Move what reads it to ``on_ready``."""


class DataError(BotkitError):
    """Recorded data is missing, damaged or contradicts itself. The message names the file and the row."""


class RequestError(BotkitError):
    """A call to the exchange did not succeed.

    ``status`` is the HTTP status, or 0 where no answer was read; ``text`` is the exchange's own sentence.
    """

    def __init__(self, message: str, *, status: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class TryAgain(RequestError):
    """The call had no effect; the same call may be made again."""


class RateLimited(TryAgain):
    """The exchange answered 429. It counted this request too, so wait before the next one."""


class Refused(RequestError):
    """The exchange refused the call. The same call would be refused again."""


class OutcomeUnknown(RequestError):
    """The call may have taken effect, or may still: look before doing anything else."""
