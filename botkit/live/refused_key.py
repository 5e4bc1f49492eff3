"""Explains that an exchange does not accept an account's key (401 for every signed request), or that the key expires
soon.
"""

from __future__ import annotations

from datetime import date

#: the kind of the halt after a refused key. Open orders are left as they are, because they cannot be cancelled without
#: a key.
KEY_HALT = "key"
REFUSED_STATUS = 401
#: a key without a list of IP addresses expires this many days after it was created
KEY_DAYS = 365
#: the numbers of days before expiry at which to warn
_WARNED_DAYS = (30, 7, 0)


def key_refused(words: str, address: str | None) -> str:
    """Return a sentence that explains a 401 and suggests what to do. ``words`` is the exchange's message. ``address``
    is its REST address.
    """
    where = f" at {address}" if address else ""
    said = f" ({words})" if words else ""
    return (
        f"the exchange{where} does not accept the account's key{said}: the key was deleted, has expired or belongs to "
        "another exchange, or the secret does not match it; check the address, the key and this machine's clock"
    )


def key_ends_soon(created: date, today: date, told: int | None) -> tuple[str, int] | None:
    """Return (a warning that the key expires soon, the step of the warning), or None if no warning is due.

    A step is a number of days before expiry at which to warn. ``told`` is the step of the last warning. Each warning is
    issued once per run.
    """
    left = KEY_DAYS - (today - created).days
    step = min((days for days in _WARNED_DAYS if left <= days), default=None)
    if step is None or (told is not None and step >= told):
        return None
    if left > 1:
        when = f"expires in {left} days"
    else:
        when = "expires within a day" if left >= 0 else "should have expired by now"
    return (
        f"the account's key was created on {created.isoformat()} and {when}, unless it is bound to IP addresses; "
        "create a new one, bind it to this machine's address, and put its date into `account: {created: ...}`",
        step,
    )
