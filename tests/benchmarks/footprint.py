"""Measures the footprint of a running bot: time to the first turn, memory, and loaded modules.

    python -m tests.benchmarks.footprint [--seconds 60]

Runs `botkit run` with three of the bundled strategies in a separate process that also contains the emulator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

_STRATEGIES = Path(__file__).parents[2] / "strategies"
CONFIG = f"""
name: three
plugins: [{_STRATEGIES}]
strategies:
  - {{use: market_maker, params: {{pair: btc_usdt}}, capital: {{usdt: 5000, btc: 1}}}}
  - {{use: sma_cross, params: {{pair: eth_usdt, fast: 5, slow: 10}}}}
  - {{use: grid, params: {{pair: btc_twd, low: 2000000, high: 4000000, cells: 8, amount: 0.001}}}}
emulator:
  balances: {{usdt: 10000, btc: 1, eth: 5, twd: 1000000}}
"""
#: modules that a bot must not load
HEAVY = ("pandas", "pyarrow", "matplotlib", "scipy", "plotly")
_CODE = f"""
import json, sys
from botkit.cli.main import main
code = main(sys.argv[1:])
print(json.dumps({{"code": code, "loaded": [name for name in {HEAVY} if name in sys.modules]}}))
"""


class Weight(msgspec.Struct, frozen=True):
    """A running bot's footprint. ``started_s`` is the time from launching the command until the bot trades.
    ``resident_mb`` is the peak, or 0 if the system does not report it.
    """

    started_s: float
    resident_mb: float
    code: int
    loaded: list[str]


def weigh(folder: Path, seconds: float) -> Weight:
    """Run the bot for this many seconds and measure its footprint."""
    (folder / "three.yaml").write_text(CONFIG)
    command = [sys.executable, "-c", _CODE, "run", str(folder / "three.yaml"), "--plain", "--duration", str(seconds)]
    began = time.monotonic()
    with subprocess.Popen(
        command, env={**os.environ, "BOTKIT_STATE": str(folder / "state")}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line, started_s, most_kb = "", 0.0, 0
        for line in process.stdout:
            if not started_s and "Ctrl-C stops" in line:
                started_s = time.monotonic() - began
            most_kb = max(most_kb, _peak_kb(process.pid))
        found = json.loads(line)
    return Weight(started_s, most_kb / 1024, found["code"], found["loaded"])


def _peak_kb(process_id: int) -> int:
    try:
        lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Print the footprint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weight = weigh(Path(folder), given.seconds)
    print(f"from the command to the first turn: {weight.started_s:.2f} s")
    print(f"resident after {given.seconds:.0f} s: {weight.resident_mb:.0f} MB at most, emulator inside included")
    print(f"heavy libraries loaded: {', '.join(weight.loaded) or 'none'}")


if __name__ == "__main__":
    main()
