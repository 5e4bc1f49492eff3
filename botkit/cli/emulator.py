"""``botkit emulator``: run an emulator of the exchange on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from botkit.errors import ConfigError

if TYPE_CHECKING:
    from botkit.assembly.emulator import Emulator


class _WithFaults(click.Command):
    """A command whose help lists the kinds of faults below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each point at which a fault can occur."""
        from botkit.assembly.emulator import FAULT_KINDS

        for place, kinds in FAULT_KINDS.items():
            with formatter.section(f"Faults in {place}"):
                formatter.write_dl(list(kinds.items()))


@click.command(name="emulator", cls=_WithFaults)
@click.option("--port", type=int, default=0, help="Port; 0 (the default) picks a free one.")
@click.option("--host", default="127.0.0.1", hidden=True)
@click.option(
    "--account",
    "accounts",
    metavar="EMAIL:KEY:SECRET",
    multiple=True,
    help="An account; repeatable. Other users can see command lines, so each part may be '${NAME}', an environment "
    "variable.",
)
@click.option(
    "--accounts",
    "accounts_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of accounts, one EMAIL:KEY:SECRET per line, readable only by you.",
)
@click.option("--balance", metavar="twd=1000000,btc=1", help="Opening balances for every account.")
@click.option("--market", default="synthetic", show_default=True, help="synthetic, or the folder of a recorded tape.")
@click.option("--speed", type=float, default=1.0, show_default=True, help="Clock speed as a multiple of real time.")
@click.option("--lockstep", is_flag=True, help="Stop the clock; only POST /_emulator/step moves it.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed for all random numbers.")
@click.option(
    "--history-days", type=float, default=2.0, show_default=True, help="Days of candle history before the start."
)
@click.option(
    "--switch",
    "switches",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a switch, as NAME=VALUE; `help` lists all switches.",
)
@click.option("--as", "as_set", metavar="documented|observed", help="Set every switch to its value in this preset.")
@click.option("--fault", "faults", metavar="JSON", multiple=True, help='Such as {"kind":"lost_answer","share":0.01}.')
def emulator(
    port: int,
    host: str,
    accounts: tuple[str, ...],
    accounts_file: Path | None,
    balance: str | None,
    market: str,
    speed: float,
    lockstep: bool,
    seed: int,
    history_days: float,
    switches: tuple[str, ...],
    as_set: str | None,
    faults: tuple[str, ...],
) -> None:
    """Serve BitoPro's REST and WebSocket interfaces on this machine, with a market to trade on.

    Prints one line of JSON when ready, and runs until interrupted. It listens only on loopback.

    Every fault accepts the fields where (an endpoint or a stream), count, skip, share (the probability that the fault
    occurs) and for_s.
    """
    from botkit.assembly.emulator import emulator_options, help_lines, make_emulator

    if any(choice.strip() == "help" for choice in switches):
        click.echo("\n".join(help_lines()))
        return
    if host not in ("127.0.0.1", "localhost"):
        raise ConfigError(f"--host {host}: the emulator listens only on 127.0.0.1")
    if not 0 <= port <= 65_535:
        raise ConfigError(f"--port {port}: must be 0 to 65535; 0 picks a free one")
    options = emulator_options(
        accounts=accounts,
        accounts_file=accounts_file,
        balance=balance,
        market=None if market == "synthetic" else Path(market),
        speed=speed,
        lockstep=lockstep,
        seed=seed,
        port=port,
        history_days=history_days,
        switches=switches,
        as_set=as_set,
        faults=tuple(_fault(text) for text in faults),
    )
    made = make_emulator(options)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(made))


def _fault(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        raise ConfigError(
            f'--fault {text[:60]}: write it as JSON such as {{"kind": "lost_answer", "count": 1}}'
        ) from None


async def _serve(made: Emulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM"):
        # Windows event loops do not support signal handlers; on Windows, an interrupt ends the loop anyway
        with contextlib.suppress(NotImplementedError, AttributeError, ValueError):
            loop.add_signal_handler(getattr(signal, name), stop.set)
    async with made:
        # all objects created so far live until the process exits, so exempt them from garbage collection
        gc.collect()
        gc.freeze()
        ready = msgspec.json.encode({"ready": True, "rest": made.rest, "ws": made.ws})
        click.echo(ready.decode())
        await stop.wait()
