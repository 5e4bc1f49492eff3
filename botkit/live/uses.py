"""Keeps in the journal which strategy (``use`` in the configuration) wrote the state under each name.

A name whose ``use`` has changed since the last run is another strategy: it must not get a state that it never wrote.
The old state is kept under its ``use``, for the day on which the configuration returns to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from botkit.live.journal import Journal
from botkit.live.persistence import NOTHING_KEPT

_USES = "uses"


class Uses:
    """The strategies of this run and of earlier ones, by name. Nothing is written before `keep`, so a refused start
    leaves everything as it was. Raises JournalError.
    """

    def __init__(self, journal: Journal, uses: Mapping[str, str]) -> None:
        self._journal = journal
        self._uses = uses
        with journal.reading(f"document {_USES}"):
            self._before = msgspec.convert(journal.document(_USES) or {}, dict[str, str])
        #: the former ``use`` of each name that has another one now. Nothing is known of a name whose state an earlier
        #: version wrote
        self.former = {name: self._before[name] for name, use in uses.items() if self._before.get(name, use) != use}

    def kept(self, name: str) -> Any:
        """Return the document that this run's strategy wrote when it last ran under the name, or None."""
        return self._journal.document(self._key(name))

    def keep(self) -> None:
        """Write this run's uses, and exchange the states of replaced strategies, all at once."""
        if self._before.items() >= self._uses.items():
            return
        # a name that is not configured keeps its use, because its state is kept too
        states: list[tuple[str, bytes]] = [(_USES, msgspec.json.encode({**self._before, **self._uses}))]
        for name, former in self.former.items():
            old, own = self._journal.meta(f"strategy:{name}"), self._journal.meta(self._key(name))
            if old:
                states.append((_aside(name, former), _bytes(old)))
            states.append((f"strategy:{name}", _bytes(own) if own else NOTHING_KEPT))
        self._journal.commit(states=states)

    def sentences(self) -> list[str]:
        """Return a sentence for each strategy that has replaced another."""
        return [
            f"{name} is the strategy {self._uses[name]} now, but was {former} in the last run: it starts "
            f"{'without a state' if self.kept(name) is None else 'with the state that it once had'}, and its position "
            f"stays as it is. The state of {former} is kept, in case the name returns to it"
            for name, former in self.former.items()
        ]

    def _key(self, name: str) -> str:
        return _aside(name, self._uses[name]) if name in self.former else f"strategy:{name}"


def _aside(name: str, use: str) -> str:
    return f"strategy:{name} as {use}"


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
