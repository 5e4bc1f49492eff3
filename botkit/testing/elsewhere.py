"""The other process in which `strategy_cases` runs a strategy, to check that the strategy makes the same decisions in
both processes.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec


def main() -> None:
    """Read the strategy and its market from standard input, and print the hash of its decisions."""
    path, file, name, asked, folder = pickle.load(sys.stdin.buffer)
    sys.path[:] = path
    from botkit.testing.strategy_cases import StrategyTrial

    strategy = _class_in(file, name) if file else name
    Path(folder).mkdir(parents=True)
    trial = StrategyTrial(msgspec.structs.replace(asked, strategy=strategy), Path(folder))
    print(json.dumps({"journal_sha256": trial.run().summary["journal_sha256"]}))  # noqa: T201


def _class_in(file: str, name: str) -> Any:
    """Load a file under a separate module name, and return a class from the file."""
    spec = importlib.util.spec_from_file_location("strategy_under_test", file)
    assert spec is not None, file
    assert spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return reduce(getattr, name.split("."), module)
