"""A user's first bot in a few lines: a strategy file, a configuration, candles, and a backtest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, indent

from botkit.cli.main import main
from tests.backtest_world import write_candles

_FILE = """\
from botkit import *
from botkit import hookimpl

class Mine(Strategy):
    pair: Pair
    n: int = 0
{body}

@hookimpl
def botkit_register_strategies(register):
    register("mine", Mine)
"""


class FirstBot:
    """A folder with ``strategies/mine.py``, ``mine.yaml`` and at least one hour of btc_twd candles."""

    def __init__(self, folder: Path, body: str, *, prices: Sequence[float] = (), extra: str = "") -> None:
        self.folder = folder
        self.out = folder / "out"
        (folder / "strategies").mkdir(exist_ok=True)
        self.file = folder / "strategies" / "mine.py"
        self.file.write_text(_FILE.format(body=indent(dedent(body).strip("\n"), "    ")), encoding="utf-8")
        write_candles(folder / "candles.csv", prices or [1_000_000.0 + 10 * (i % 7) for i in range(90)])
        self.config = folder / "mine.yaml"
        self.write(extra)

    def write(self, extra: str = "", *, plugins: str = "[strategies]", balances: str = "{twd: 1000000}") -> None:
        """Rewrite the configuration; ``extra`` is appended without indentation."""
        self.config.write_text(
            dedent(f"""\
                name: mine
                plugins: {plugins}
                strategies:
                  - use: mine
                    params: {{pair: btc_twd}}
                backtest:
                  data: {{path: candles.csv, pair: btc_twd, kind: candles, resolution: 1m}}
                  slippage: "0"
                  balances: {balances}
                """)
            + extra,
            encoding="utf-8",
        )

    def line_of(self, text: str) -> str:
        """Return ``file:line`` of the first line in the strategy file that contains the text."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return f"{self.file}:{next(i for i, line in enumerate(lines, 1) if text in line)}"

    def backtest(self, *arguments: str) -> int:
        """Run the backtest and return the exit code."""
        return main(["backtest", str(self.config), "--out", str(self.out), *arguments])

    def check(self, *arguments: str) -> int:
        """Run ``botkit config check`` and return the exit code."""
        return main(["config", "check", str(self.config), *arguments])
