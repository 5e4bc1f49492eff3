"""The exchange does not accept the account's key (401): every signed request would be answered so. And when that is to
be expected."""

from __future__ import annotations

from datetime import date

#: kind of the halt that follows; it leaves open orders as they are, since nothing can be done about them
KEY_HALT = "key"
REFUSED_STATUS = 401
#: a key that is tied to no IP address ends so many days after it was made
KEY_DAYS = 365
#: how many days before that it is said
_WARNED_DAYS = (30, 7, 0)


def key_refused(words: str, address: str | None) -> str:
    """What it means and what to do, in a sentence. ``words`` are the exchange's, ``address`` is its REST address."""
    where = f" at {address}" if address else ""
    said = f" ({words})" if words else ""
    return (
        f"the exchange{where} does not accept the account's key{said}: the key was deleted or has expired, the secret "
        "is not the key's, or it is another exchange's; check the address, the key and this machine's clock"
    )


def key_ends_soon(created: date, today: date, told: int | None) -> tuple[str, int] | None:
    """(what to say about a key that ends soon, the step that it belongs to); None where nothing is to be said.

    ``told`` is the step that was said last: each is said once a run.
    """
    left = KEY_DAYS - (today - created).days
    step = min((days for days in _WARNED_DAYS if left <= days), default=None)
    if step is None or (told is not None and step >= told):
        return None
    when = f"ends in {left} days" if left > 1 else "ends within a day" if left >= 0 else "should have ended by now"
    return (
        f"the account's key was made on {created.isoformat()} and {when}, unless it is tied to IP addresses; make "
        "another, tie it to this machine's address, and put its day into `account: {created: ...}`",
        step,
    )
