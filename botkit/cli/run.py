"""``botkit run``: run a bot against the emulator, on paper, or live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from botkit.cli.languages import speaks_on_its_page
from botkit.cli.said import quieten_log
from botkit.cli.screen import Output, prints_aside

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?\Z", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A duration: seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert the text to seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.match(str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration; write 30s, 10m, 4h or 2d", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


@click.command()
@click.argument("configs", metavar="CONFIG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(["emulator", "paper", "live"]),
    default="emulator",
    show_default=True,
    help="emulator: a simulated exchange; paper: the real market, simulated orders; live: real money.",
)
@click.option("--rest", metavar="URL", help="Override the REST address, for example to use an emulator.")
@click.option("--ws", metavar="URL", help="WebSocket address.")
@click.option("--speed", type=click.FloatRange(min=0.01, max=10_000), help="The emulator's speed. Default: 60.")
@click.option("--duration", type=Duration(), help="Stop after this duration, such as 30s or 4h.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, such as sma.fast=12.")
@click.option(
    "--lockstep",
    is_flag=True,
    help="Run a backtest, then the same bot over HTTP and WebSocket on the same tape, and compare every decision.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for --lockstep. Default: out/CONFIG-lockstep.")
@click.option("--adopt", "orphans", flag_value="adopt", help="Leave the orders of removed strategies open.")
@click.option("--cancel", "orphans", flag_value="cancel", help="Cancel the orders of removed strategies.")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Serve Prometheus metrics on 127.0.0.1.")
@click.option("--page", is_flag=True, help="Serve a live page for a browser on this machine.")
@click.option("--page-port", type=click.IntRange(0, 65_535), help="Port of the page. Default: 8600, or any free port.")
@click.option("--plain", is_flag=True, help="Print plain lines, even in a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
@speaks_on_its_page
def run(
    configs: tuple[Path, ...],
    mode: str,
    rest: str | None,
    ws: str | None,
    speed: float | None,
    duration: float | None,
    overrides: tuple[str, ...],
    lockstep: bool,
    out: Path | None,
    orphans: str | None,
    metrics_port: int | None,
    page: bool,
    page_port: int | None,
    plain: bool,
    as_json: bool,
) -> int:
    """Run the bot in CONFIG until it is stopped, or several bots in one process.

    Without --mode, this command starts an emulator of the exchange and trades on it. This requires no account and no
    API key, and uses a synthetic market running at sixty times real time.

    Several bots share connections and rate limits. If one fails or is stopped, the others keep running.

    The exit code is 1 if a bot failed, a strategy stopped early, or orders that should have been cancelled are still
    open.
    """
    if lockstep:
        if mode != "emulator" or rest or ws or speed or duration or len(configs) > 1:
            raise click.UsageError(
                "--lockstep repeats a backtest of one bot on its own emulator; it accepts only --out, --set and --json"
            )
        return _lockstep(configs[0], out, overrides, as_json=as_json)
    from botkit.project.several import load_projects

    with prints_aside(as_json):
        projects = load_projects(configs, overrides=overrides)
    quieten_log([project.config.log.level for project in projects])

    async def main() -> int:
        return await _run(
            projects,
            mode=mode,
            rest=rest,
            ws=ws,
            speed=speed,
            duration=duration,
            orphans=orphans or "refuse",
            metrics_port=metrics_port,
            page=page or page_port is not None,
            page_port=page_port,
            plain=plain,
            as_json=as_json,
        )

    return int(_with_loop(main))


def _lockstep(config: Path, out: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Compare a run over the wire with the backtest. The exit code is 1 if a decision differs."""
    from botkit.assembly.lockstep import DECISIONS, compare_in_lockstep
    from botkit.project.project import Project

    quieten_log(["warning"])
    folder = out or Path("out") / f"{config.stem}-lockstep"
    with prints_aside(as_json):
        project = Project.load(config, overrides=overrides)
        result, found = _with_loop(lambda: compare_in_lockstep(project, folder))
    figures = {"decisions": result.decisions, "answers": result.answers, "frames": result.frames}
    if as_json:
        different = None if found is None else {"line": found.line, "backtest": found.recorded, "wire": found.replayed}
        row = {"equal": found is None, "journal_sha256": result.sha256, **figures, "difference": different}
        click.echo(json.dumps(row))
    elif found is None:
        counted = f"{result.answers:,} responses and {result.frames:,} frames were received over sockets"
        click.echo(f"equal: all {result.decisions:,} decisions match the backtest; {counted}")
        click.echo(f"journal_sha256 {result.sha256}; {folder / DECISIONS}")
    else:
        click.echo(f"line {found.line} of {DECISIONS} differs after {found.line - 1:,} equal decisions")
        click.echo(f"  backtest: {found.recorded or '(nothing more)'}")
        click.echo(f"  wire:     {found.replayed or '(nothing more)'}")
    return 0 if found is None else 1


def _with_loop(main: Callable[[], Any]) -> Any:
    """Run on uvloop if it is installed (``botkit[uvloop]``)."""
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop  # type: ignore[import-not-found,unused-ignore]

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


async def _run(
    projects: Sequence[Any],
    *,
    mode: Any,
    rest: str | None,
    ws: str | None,
    speed: float | None,
    duration: float | None,
    orphans: Any,
    metrics_port: int | None,
    page: bool,
    page_port: int | None,
    plain: bool,
    as_json: bool,
) -> int:
    from botkit.assembly.live import parts_of
    from botkit.assembly.operations import this_machine
    from botkit.assembly.outputs import Display, bot_outputs
    from botkit.assembly.runs import bot_run

    machine, output = this_machine(), Output()
    several = len(projects) > 1
    console = None
    if not as_json and not plain and sys.stdout.isatty():
        from rich.console import Console

        console = Console()
    outputs = {
        project.config.name: bot_outputs(project, mode, is_alone=not several, machine=machine) for project in projects
    }
    display = Display(outputs, projects[0].config.zone, metrics_port=metrics_port, console=console)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(prints_aside(as_json))
        all_parts = await stack.enter_async_context(
            parts_of(projects, mode, rest=rest, ws=ws, speed=speed, machine=machine)
        )
        for one in outputs.values():
            await stack.enter_async_context(one)
        await stack.enter_async_context(display)
        if display.metrics is not None and not as_json:
            output.line(f"metrics at http://127.0.0.1:{display.metrics.port}/metrics")
        if page:
            from botkit.page.beside import PageBeside

            beside = PageBeside([parts.folder.path for parts in all_parts], port=page_port)
            await stack.enter_async_context(beside)
            output.line(f"page at {beside.address}", err=as_json)
        runs = []
        for parts in all_parts:
            lines = _Lines(output, parts.name if several else "", as_json=as_json, console=console)
            runs.append(
                bot_run(
                    parts,
                    outputs[parts.name],
                    orphans=orphans,
                    say=lines.say,
                    say_notice=lines.say_notice if console is None else None,
                    shows_lines=console is None,
                )
            )
        _Signals([run.supervisor for run in runs], partial(_leave_blocked, runs)).install()
        if several:
            await asyncio.gather(*(run.run_beside_others(duration) for run in runs))
        else:
            await runs[0].run(duration)
    _show_end(output, [run.summary for run in runs], as_json=as_json)
    output.close()
    return 1 if any(run.failed or run.has_left_orders or run.has_stopped_strategies for run in runs) else 0


def _show_end(output: Output, summaries: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    from botkit.assembly.operations import summary_lines

    if as_json:
        output.line(json.dumps({"bots": list(summaries)} if len(summaries) > 1 else summaries[0]))
        return
    for summary in summaries:
        for line in summary_lines(summary):
            output.line(line)


class _Lines:
    """Prints one bot's plain lines, each prefixed with the bot's name if there are several bots."""

    def __init__(self, output: Output, name: str, *, as_json: bool, console: Any) -> None:
        self._output = output
        self._prefix = f"{name}: " if name else ""
        self._as_json = as_json
        self._console = console

    def say(self, text: str) -> None:
        """Print a line, unless only the JSON object was requested."""
        if self._as_json:
            return
        # do not add a prefix to a line that already starts with the bot's name
        line = text if text.startswith(self._prefix) else self._prefix + text
        # print through the console, so that the line does not appear inside the live screen
        self._output.line(line, console=self._console)

    def say_notice(self, level: str, text: str) -> None:
        """Print a message for the user on standard error."""
        if level != "info" or not self._as_json:
            self._output.line(f"{self._prefix}{level}: {text}", err=True)


class _Signals:
    """Handles signals. The first SIGINT or SIGTERM stops all bots cleanly; the second quits immediately and lists open
    orders.

    A closed terminal (SIGHUP; on Windows, SIGBREAK) counts only as a first signal. The shell and the system may each
    send this signal, so receiving it again does not mean "quit immediately".
    """

    def __init__(self, supervisors: Sequence[Any], leave_blocked: Callable[[], None]) -> None:
        """``leave_blocked`` ends the process. It is called if the second signal arrives while the event loop has not
        even processed the first, because a callback of a strategy does not return.
        """
        self._supervisors = supervisors
        self._leave_blocked = leave_blocked
        #: the signals that have arrived, and those that the event loop has processed
        self._arrived = self._count = 0

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._on(number, self.asked)
            # Python runs its own handlers between two lines of any callback, so even one that never returns is left
            signal.signal(number, self._beside(signal.getsignal(number)))
        hangup = getattr(signal, "SIGHUP", None) or getattr(signal, "SIGBREAK", None)
        # nohup makes a process ignore SIGHUP, so continue to ignore it
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
            self._on(hangup, self.hung_up)

    def _on(self, number: int, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # on Windows, handlers may interrupt the main thread anywhere
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))

    def _beside(self, of_loop: Any) -> Callable[[int, Any], None]:
        """Return a handler that counts a signal and passes it on to the event loop's handler."""

        def arrived(number: int, frame: Any) -> None:
            if callable(of_loop):
                of_loop(number, frame)
            self._arrived += 1
            if self._arrived > self._count + 1:
                self._leave_blocked()

        return arrived

    def asked(self) -> None:
        """Handle a signal that requests a clean stop."""
        self._count += 1
        for supervisor in self._supervisors:
            if self._count == 1:
                supervisor.request_stop("signal")
            else:
                supervisor.leave_now()

    def hung_up(self) -> None:
        """Handle the closing of the terminal."""
        for supervisor in self._supervisors:
            supervisor.request_stop("hangup")


def _leave_blocked(runs: Sequence[Any]) -> None:
    """End the process although a callback does not return, like ``kill -9``: what a journal has is not lost."""
    lines = ["a callback blocks the event loop, so no bot can stop cleanly; quitting immediately"]
    lines += [line for run in runs for line in run.last_words()]
    with contextlib.suppress(OSError):  # the callback may have been interrupted in the middle of a print
        os.write(2, "".join(f"error: {line}\n" for line in lines).encode())
    os._exit(1)


if __name__ == "__main__":
    sys.exit(run.main())
