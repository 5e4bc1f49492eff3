"""The command line's main group. It imports each command only when used, and prints errors as plain lines.

Exit codes: 0 success, 1 the command found a problem (`data check`), 2 a user error, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from botkit.compiled import form
from botkit.errors import BotkitError
from botkit.version import __version__

#: each command as (module with a click command of that name, help text); --help and --version import none of the
#: modules
COMMANDS: dict[str, tuple[str, str]] = {
    "backtest": ("botkit.cli.backtest", "Trade recorded data and write a report."),
    "optimize": ("botkit.cli.optimize", "Search a strategy's parameters on recorded data."),
    "walk-forward": ("botkit.cli.walk_forward", "Search on one window, test on the next, roll forward."),
    "doctor": ("botkit.cli.doctor", "Check whether a backtest's result is credible."),
    "trials": ("botkit.cli.trials", "List how many configurations were tried on each market."),
    "runs": ("botkit.cli.runs", "List past backtests."),
    "compare": ("botkit.cli.compare", "Compare past backtests: figures, curves, configurations."),
    "run": ("botkit.cli.run", "Run a bot: against the emulator, on paper, or live."),
    "page": ("botkit.cli.page", "Show all bots and finished runs in a browser."),
    "status": ("botkit.cli.status", "Show a bot's orders, money, streams and limits."),
    "report": ("botkit.cli.report", "Summarize a bot's sessions and backtests."),
    "why": ("botkit.cli.status", "Show why a bot did not trade, by reason."),
    "journal": ("botkit.cli.journal", "Show a bot's journal: orders, fills, open orders."),
    "replay": ("botkit.cli.replay", "Rerun a bot on recorded inputs and compare its decisions."),
    "audit": ("botkit.cli.audit", "Compare a session's fills with those of its simulation."),
    "stop": ("botkit.cli.control", "Stop a running bot cleanly."),
    "panic": ("botkit.cli.control", "Halt a bot and cancel everything."),
    "resume": ("botkit.cli.control", "Lift a bot's halt or a strategy's pause."),
    "pause": ("botkit.cli.control", "Stop a strategy from placing new orders."),
    "set": ("botkit.cli.control", "Change a live parameter of a running bot."),
    "capital": ("botkit.cli.capital", "Add capital to a strategy, or withdraw it."),
    "account": ("botkit.cli.control", "Check that an API key works, without changing anything."),
    "emulator": ("botkit.cli.emulator", "Run an emulator of the exchange on this machine."),
    "record": ("botkit.cli.record", "Record the exchange's market data to a tape."),
    "download": ("botkit.cli.download", "Download candles to a tape."),
    "data": ("botkit.cli.data", "Import, check and describe recorded data."),
    "config": ("botkit.cli.config", "Check, show and describe configurations."),
    "strategies": ("botkit.cli.strategies", "List strategies with their parameters."),
    "plugins": ("botkit.cli.plugins", "List plugins, their contributions, and all hooks."),
    "limits": ("botkit.cli.limits", "Print the exchange's rate limits and their sources."),
    "guide": ("botkit.cli.guide", "Read the guide: strategies, backtests, running, the reference."),
    "new": ("botkit.cli.new", "Write a new strategy with its config and test, or a package."),
}

TRACEBACK_VARIABLE = "BOTKIT_TRACEBACK"


class LazyGroup(click.Group):
    """Imports a command's module only when the command is used. Plugins are loaded only for --help and unknown
    commands.
    """

    _asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return botkit's own commands in a fixed order, followed by the plugins' commands, sorted by name."""
        self._ask_plugins()
        own = [name for name, (module, _) in COMMANDS.items() if importlib.util.find_spec(module) is not None]
        return own + sorted(set(self.commands) - set(COMMANDS))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a command, or return None if neither botkit nor any plugin defines that command."""
        module, _ = COMMANDS.get(name, ("", ""))
        if module and importlib.util.find_spec(module) is not None:
            command: click.Command = getattr(importlib.import_module(module), name.replace("-", "_"))
            return command
        self._ask_plugins()
        return self.commands.get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands for --help without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.commands.get(name)
            rows.append(
                (name, COMMANDS[name][1] if name in COMMANDS or command is None else command.get_short_help_str())
            )
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _ask_plugins(self) -> None:
        if self._asked_plugins:
            return
        self._asked_plugins = True
        from botkit.project.plugins import assemble_plugins  # plugin commands need all of botkit; `--version` does not

        try:
            # not ./strategies, because --help should not run files that the user did not name
            assemble_plugins(None, installed_only=True).add_commands(self)
        except BotkitError as error:  # a broken plugin must not break botkit's help
            click.echo(f"warning: {error}", err=True)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="botkit", message=f"%(prog)s %(version)s ({form()})")
def botkit() -> None:
    """Strategy bots for the BitoPro exchange: backtest, emulator and live from one configuration.

    Start with `botkit new strategy NAME` or one of the files in configs/. `botkit guide` explains the rest.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. ``arguments`` default to the process's own arguments."""
    _use_utf8()
    try:
        result = botkit.main(
            args=None if arguments is None else list(arguments), prog_name="botkit", standalone_mode=False
        )
    except click.exceptions.Abort as error:
        click.echo("interrupted", err=True)
        return 130 if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt) else 1
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BotkitError as error:
        return _told(error, str(error))
    except OSError as error:
        return _told(error, _of_system(error))
    return result if isinstance(result, int) else 0


def _of_system(error: OSError) -> str:
    """Describe an operating system error, such as a full disk, missing permissions or a missing folder, on one line."""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.ENOSPC:
        what = "the disk is full; free some space"
    elif error.errno == errno.ENOENT and not _has_current_folder():
        return "the current folder no longer exists; change to another"
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{where}{what} ({TRACEBACK_VARIABLE}=1 shows where this happened)"


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _told(error: Exception, text: str) -> int:
    """Print an expected error as plain lines. The traceback is printed only on request."""
    if os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0"):
        traceback.print_exception(error)
    with contextlib.suppress(OSError):  # the terminal itself may have been closed
        is_trace = False
        for line in text.splitlines() or [type(error).__name__]:
            # a strategy's traceback, or an indented line, belongs to the line above it
            is_trace = is_trace or line.startswith("Traceback (")
            click.echo(line if is_trace or line.startswith(" ") else f"error: {line}", err=True)
    return 2


def _use_utf8() -> None:
    """Make a Windows console print UTF-8. Does nothing on other systems or for the streams that tests use."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(encoding="utf-8", errors="replace")
