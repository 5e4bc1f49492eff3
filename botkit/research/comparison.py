"""Finds stored backtests, and reads the data for a comparison from their folders."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botkit.backtesting.benchmark import BUY_AND_HOLD
from botkit.backtesting.kept_runs import KeptRun, kept_runs, read_run
from botkit.backtesting.outputs import CONFIG, EQUITY
from botkit.config.decode import suggestion
from botkit.config.load import leaves
from botkit.config.source import plain_value, read_source
from botkit.errors import ConfigError, DataError
from botkit.model.results import Curve
from botkit.report.comparison import ComparedRun

#: ``sma@3``, or ``sma/3`` as shown by `botkit runs`
_NUMBERED = re.compile(r"(?P<name>[^/]+)[@/](?P<number>[1-9][0-9]{0,8})\Z", re.ASCII)
#: settings that do not affect a run's decisions, so differences in them are not shown
_BESIDES = ("log.", "notify.", "account.", "live.", "emulator.")


def find_run(reference: str, out: Path) -> KeptRun:
    """Return the run identified by a reference: a run's folder, a bot's NAME (its newest run), NAME@3 or NAME/3.

    Raises ConfigError if there is no such run.
    """
    folder = Path(reference)
    if folder.is_dir():
        run = read_run(folder)
        if run is None:
            raise ConfigError(f"{reference} is not the folder of a backtest: its summary.json is missing")
        return run
    numbered = _NUMBERED.match(reference)
    name = numbered["name"] if numbered else reference
    runs = kept_runs(out, name) if "/" not in name else []
    if numbered:
        runs = [run for run in runs if run.number == int(numbered["number"])]
    if runs:
        return runs[-1]
    known = sorted({run.name for run in kept_runs(out)})
    if name in known and numbered:
        numbers = ", ".join(str(run.number) for run in kept_runs(out, name))
        raise ConfigError(f"{name} has no run {numbered['number']} in {out}; it has {numbers}")
    hint = suggestion(name, known) if known else "run one with `botkit backtest CONFIG`"
    raise ConfigError(f"there is no folder {reference}, and no backtest of that name in {out}; {hint}")


def compared(references: Sequence[str], out: Path) -> list[ComparedRun]:
    """Return the runs identified by the references, in the order given. Raises ConfigError or DataError."""
    runs = [find_run(reference, out) for reference in references]
    labels = _labels(runs)
    return [_compared(run, label) for run, label in zip(runs, labels, strict=True)]


def _labels(runs: Sequence[KeptRun]) -> list[str]:
    """Label each run with its bot's name. Runs of the same bot are also labeled with their number or folder."""
    names = [run.name for run in runs]
    labels = []
    for run in runs:
        if names.count(run.name) == 1:
            labels.append(run.name)
        else:
            labels.append(f"{run.name}@{run.number}" if run.number else str(run.folder))
    while len(set(labels)) < len(labels):  # the same run may be passed twice
        twice = next(label for label in labels if labels.count(label) > 1)
        labels[len(labels) - 1 - labels[::-1].index(twice)] += " (again)"
    return labels


def _compared(run: KeptRun, label: str) -> ComparedRun:
    summary = run.summary
    settings = {**_settings(run.folder / CONFIG), **_parameters(summary)}
    equity, benchmark = _curves(run.folder / EQUITY)
    try:
        return ComparedRun(
            label=label,
            summary={
                key: value for key, value in summary.items() if value is None or isinstance(value, (int, float, str))
            },
            start=int(summary["start_ns"]),
            end=int(summary["end_ns"]),
            timezone=settings.get("timezone", "UTC"),
            equity=equity,
            benchmark=None if benchmark is None else (BUY_AND_HOLD, benchmark),
            settings={key: value for key, value in settings.items() if not key.startswith(_BESIDES)},
            is_synthetic=bool(summary.get("synthetic")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{run.folder / 'summary.json'} is damaged ({error!r}); run the backtest again") from None


def _parameters(summary: dict[str, Any]) -> dict[str, str]:
    """Return the strategies' effective parameters, including the defaults that are not in the configuration."""
    rows = summary.get("strategies")
    return {
        f"{row.get('name')}.{name}": _text(value)
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict)
        for name, value in (row.get("params") or {}).items()
    }


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _settings(path: Path) -> dict[str, str]:
    """Return the settings of a resolved configuration as text, keyed by dotted path. A strategy's keys start with its
    name, not its index.
    """
    if not path.exists():
        return {}
    values: Any = plain_value(read_source(path))
    labels = [str(entry.get("name") or entry.get("use")) for entry in values.get("strategies") or ()]
    found = {}
    for steps, value in leaves(values):
        if steps[0] == "strategies" and len(steps) > 2:
            steps = (labels[int(steps[1])], *(steps[3:] if steps[2] == "params" and len(steps) > 3 else steps[2:]))
        found[".".join(steps)] = _text(value)
    return found


def _curves(path: Path) -> tuple[Curve, Curve | None]:
    """Return a run's equity curve, and its benchmark's curve if the run has a benchmark."""
    equity, held = Curve([], []), Curve([], [])
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                time = int(row["time_ns"])
                equity.times.append(time)
                equity.values.append(float(row["equity"]))
                if row.get(BUY_AND_HOLD):
                    held.times.append(time)
                    held.values.append(float(row[BUY_AND_HOLD]))
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); run the backtest again") from None
    return equity, held if held.times else None


def comparison_json(runs: Sequence[ComparedRun]) -> str:
    """Return a JSON list with each run's metrics and the settings that differ between the runs."""
    from botkit.report.comparison import differences

    found = differences(runs)
    rows = [
        {**run.summary, "run": run.label, "differs": {key: values[at] for key, values in found}}
        for at, run in enumerate(runs)
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)
