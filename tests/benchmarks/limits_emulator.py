"""Runs a greedy bot against the emulator over real sockets, and checks the bot's request rate against the emulator's
own counters.

    python tests/benchmarks/limits_emulator.py [--seconds 185] [--no-batching]

The bot tries to place 3,000 orders. The limits allow 1,200 single creates and 90 batches per minute, and every request
and every response takes 1 to 80 ms. Prints the number of requests received by the emulator, each endpoint's busiest
window with its limit, and the refusals. Exits with code 1 if any request was refused.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAIRS = [
    "btc_twd",
    "eth_twd",
    "usdt_twd",
    "usdc_twd",
    "sol_twd",
    "xrp_twd",
    "doge_twd",
    "ada_twd",
    "bnb_twd",
    "bito_twd",
    "ltc_twd",
    "shib_twd",
    "kaia_twd",
    "btc_usdt",
    "eth_usdt",
    "ltc_usdt",
    "ada_usdt",
    "sol_usdt",
]
ACCOUNT = "greedy@example.com:key:secret"

CONFIG = """\
name: greedy-judged
exchange: bitopro
plugins: [{plugins}]
limits: {{ledger: none, batching: {batching}}}
strategies:
  - use: greedy
    params: {{pairs: [{pairs}], most: 3000}}
emulator:
  account: {{email: greedy@example.com, key: key, secret: secret}}
  balances: {{twd: "1000000", usdt: "1000000"}}
backtest:
  balances: {{twd: "1000000", usdt: "1000000"}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=185)
    parser.add_argument("--no-batching", dest="batching", action="store_false")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "greedy.yaml"
        config.touch(mode=0o600)  # the file contains a key, even though the key is fake
        config.write_text(
            CONFIG.format(plugins=HERE / "strategies", batching=str(options.batching).lower(), pairs=", ".join(PAIRS))
        )
        command = [sys.executable, "-m", "botkit", "emulator", "--account", ACCOUNT]
        command += ["--balance", "twd=1000000,usdt=1000000"]
        for kind in ("delay_request", "delay_answer"):
            command += ["--fault", json.dumps({"kind": kind, "value": 1, "jitter": 79})]
        emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert emulator.stdout is not None
        ready = json.loads(emulator.stdout.readline())
        try:
            run = [sys.executable, "-m", "botkit", "run", str(config), "--rest", ready["rest"], "--ws", ready["ws"]]
            run += ["--duration", f"{options.seconds}s", "--json"]
            home = {**os.environ, "XDG_STATE_HOME": folder, "XDG_DATA_HOME": folder}
            told = subprocess.run(run, capture_output=True, text=True, env=home, check=False)
            if told.returncode:
                print(told.stdout[-2000:], told.stderr[-2000:], file=sys.stderr)
            counters = fetch(ready["rest"].removesuffix("/v3") + "/_emulator/counters")
        finally:
            emulator.terminate()
            emulator.wait()
    return report(counters)


def fetch(url: str) -> dict[str, Any]:
    """Fetch one JSON object from the emulator."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def report(counters: dict[str, Any]) -> int:
    """Print each endpoint's busiest window and its limit. Return 1 if any limit was exceeded or any request was refused
    because of a rate limit.
    """
    from botkit.exchange.bitopro.limit_table import load_limit_table

    table = load_limit_table()
    worst = 0
    print(f"{'endpoint':18} {'arrivals':>8} {'busiest':>8} {'limit':>6} {'of limit':>9} {'refused':>8}")
    for name, count in counters["endpoints"].items():
        window = table[name].windows[0]
        worst |= count["refusals"] > 0 or count["busiest"] > window.requests
        print(
            f"{name:18} {count['arrivals']:8,} {count['busiest']:8,} {window.requests:6,} "
            f"{count['busiest'] / window.requests:9.2%} {count['refusals']:8,}"
        )
    print(f"refused with 429: {counters['refused_429']}")
    return int(worst or counters["refused_429"] > 0 or "create_order" not in counters["endpoints"])


if __name__ == "__main__":
    raise SystemExit(main())
