"""The doctor's findings: one sentence per rung, and a verdict."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["VERDICTS", "Diagnosis", "Outcome", "Rung", "Verdict", "failed", "passed", "untested", "warned"]

#: only ``failed`` affects the verdict; for ``not tested`` the finding contains the reason
Outcome: TypeAlias = Literal["ok", "warning", "failed", "not tested"]
Verdict: TypeAlias = Literal[
    "broken",
    "loses after costs",
    "cannot tell",
    "no better than chance",
    "in-sample only",
    "holds out of sample",
]
#: all verdicts in order of priority; the overall verdict is the first that a failed rung calls for
VERDICTS: tuple[Verdict, ...] = (
    "broken",
    "loses after costs",
    "cannot tell",
    "no better than chance",
    "in-sample only",
    "holds out of sample",
)


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One test and its outcome. ``says`` is the finding, ``advice`` is the suggested action, and ``calls_for`` is the
    verdict if the test failed.
    """

    name: str
    outcome: Outcome
    says: str
    advice: str = ""
    calls_for: Verdict | None = None
    figures: dict[str, Any] = msgspec.field(default_factory=dict)


def passed(name: str, says: str, **figures: Any) -> Rung:
    """Return the rung for a passed test."""
    return Rung(name=name, outcome="ok", says=says, figures=figures)


def warned(name: str, says: str, advice: str, **figures: Any) -> Rung:
    """Return the rung for a test whose result does not affect the verdict but should be shown to the user."""
    return Rung(name=name, outcome="warning", says=says, advice=advice, figures=figures)


def failed(name: str, verdict: Verdict, says: str, advice: str, **figures: Any) -> Rung:
    """Return the rung for a failed test, with the verdict for this failure."""
    return Rung(name=name, outcome="failed", calls_for=verdict, says=says, advice=advice, figures=figures)


def untested(name: str, why: str, advice: str = "", **figures: Any) -> Rung:
    """Return the rung for a test that could not be run."""
    return Rung(name=name, outcome="not tested", says=why, advice=advice, figures=figures)


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of all rungs."""

    name: str
    verdict: Verdict
    why: str
    rungs: list[Rung]
    is_synthetic: bool
    #: the hash of the examined run's decisions, which identifies the reports to which this diagnosis applies
    decisions_sha256: str = ""

    @property
    def sentence(self) -> str:
        """The verdict in words. For a synthetic market, it starts with a note that the market is synthetic."""
        lead = "Invented market: " if self.is_synthetic else ""
        text = f"{lead}{self.verdict}; {self.why}."
        return text[0].upper() + text[1:]

    @classmethod
    def of(cls, name: str, rungs: list[Rung], *, is_synthetic: bool) -> Diagnosis:
        """Return the diagnosis based on these rungs."""
        for verdict in VERDICTS:
            for rung in rungs:
                if rung.outcome == "failed" and rung.calls_for == verdict:
                    return cls(name=name, verdict=verdict, why=rung.says, rungs=rungs, is_synthetic=is_synthetic)
        return cls(
            name=name,
            verdict="holds out of sample",
            why="every test that could run passed",
            rungs=rungs,
            is_synthetic=is_synthetic,
        )
