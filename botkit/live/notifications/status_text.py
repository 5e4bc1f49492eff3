"""Formats a bot's status as text, for `botkit status`, `botkit why` and chat commands. The status is read from the
files in the bot's folder, so this works from every process and even if the bot is not running.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from botkit.live.clock import REAL_CLOCK
from botkit.live.journal import Journal
from botkit.live.latch import halts_of
from botkit.live.notifications.summary import standstill_of, stopped_lines, summary_lines
from botkit.live.ports import MachineClock
from botkit.live.state_folder import StateFolder
from botkit.model.clock import NS_PER_S, Nanos, format_time
from botkit.model.counts import counted
from botkit.model.figures import money_figure, separated
from botkit.model.reasons import grouped

#: the time zone if the status does not contain one
_ZONE = "Asia/Taipei"
#: if more commits than this are not yet in SQLite, the journal is reported as behind; commits are normally copied
#: several times a second
_WAITING_TOLD = 100
#: a running bot writes its status and its heartbeat every second; if either is this old, the figures are said to be old
_BEHIND_S = 10
#: number of reasons to show for each strategy, most frequent first
_REASONS_SHOWN = 20


def status_of(folder: StateFolder, clock: MachineClock = REAL_CLOCK) -> dict[str, Any]:
    """Return the latest status of a bot, including whether it is running, shows signs of life, and is halted."""
    holder, halt = folder.holder(), folder.halt()
    found = folder.read_status() or {}
    found.update(running=holder is not None, pid=holder, folder=str(folder.path), mode=folder.path.parent.name)
    found["halt"] = None if halt is None else {"kind": halt.kind, "reason": halt.reason}
    beat = folder.heartbeat() if found["running"] else None
    found["behind_s"] = _behind_s(beat, found.get("beat"))
    found["silent_s"] = _silent_s(beat, clock)
    strike = folder.strike()
    found["guard"] = None if strike is None else msgspec.to_builtins(strike)
    return found


def _silent_s(beat: Nanos | None, clock: MachineClock) -> int | None:
    """Return the seconds since a running bot's last heartbeat, or None if it was just now. Heartbeats are in this
    machine's time, whatever the time of the bot.
    """
    silent = 0 if beat is None else (clock.wall_ns() - beat) // NS_PER_S
    return silent if silent >= _BEHIND_S else None


def _behind_s(beat: Nanos | None, written: object) -> int | None:
    """Return the seconds from the heartbeat with which a running bot last wrote its status to the last one, or None if
    it is up to date. A heartbeat needs no space, so the two part on a full disk.
    """
    if beat is None or not isinstance(written, int) or not written:
        return None
    behind = (beat - written) // NS_PER_S
    return behind if behind >= _BEHIND_S else None


def stopped_of(found: dict[str, Any]) -> list[str]:
    """Return a line for each stopped strategy, or no lines if the status is unreadable because a different version of
    botkit wrote it.
    """
    try:
        return stopped_lines(found)
    except (AttributeError, LookupError, TypeError, ValueError):
        return []


def standstills_of(folder: StateFolder) -> list[str]:
    """Return a sentence for each strategy that is paused or halted on its own. Raises JournalError."""
    if not folder.journal.exists():
        return []
    journal = Journal.open(folder.journal, read_only=True)
    try:
        return [standstill_of(name, reason) for name, reason in halts_of(journal).items()]
    finally:
        journal.close()


def status_lines(folder: StateFolder, found: dict[str, Any] | None = None) -> list[str]:
    """Format a bot's status as lines of text, stopped strategies first. ``found`` is the result of `status_of`, if
    already available.
    """
    found = status_of(folder) if found is None else found
    halt = found["halt"]
    lines = [*stopped_of(found), f"{_standing(found)}; mode {found['mode']}"]
    if halt is not None:
        lines.append(f"HALTED ({halt['kind']}): {halt['reason']}; `botkit resume` lifts it")
    if found["guard"] is not None:
        lines.append(_guard_line(found, found["guard"]))
    if found["silent_s"] is not None:
        lines.append(
            f"its last sign of life was {found['silent_s']:,} s ago, and these figures are at least that old: the bot "
            f"hangs or is suspended, or its disk cannot be written. `botkit panic` cancels its orders without it"
        )
    elif found["behind_s"] is not None:
        lines.append(
            f"these figures are {found['behind_s']} s old: the bot runs, but cannot write its files, and sends no new "
            f"orders while its journal is among them. Is the disk full?"
        )
    return lines + _figures(found)


def _guard_line(found: dict[str, Any], strike: dict[str, Any]) -> str:
    """Describe what the guard did. It has only this machine's clock, which is not that of a bot on an emulator."""
    clock = " by this machine's clock" if found["mode"] == "emulator" else ""
    return (
        f"its guard cancelled {counted(strike['cancelled'], 'order')} at {_local(found, strike['time'])}{clock}, after "
        f"{strike['silent_s']:,.0f} s without a sign of life; orders shown as open below are from before that"
    )


def why_lines(folder: StateFolder, span: Nanos, said: str) -> list[str]:
    """Return the reasons why a bot did not trade in the last ``span``. ``said`` is the span as text."""
    found, halt = folder.read_status() or {}, folder.halt()
    stopped, (rows, notes) = stopped_of(found), reasons_of(folder, found, span)
    lines = list(stopped)
    if halt is not None:
        lines.append(f"HALTED ({halt.kind}): {halt.reason}; `botkit resume` lifts it")
    if not rows and not notes and not lines:
        lines.append(f"nothing was skipped or refused in {said}")
    for strategy in dict.fromkeys(row[0] for row in rows):
        lines.append(f"{strategy}:")
        for kind in ("skipped", "refused"):
            counts: dict[str, int] = {}
            for name, what, reason, count in rows:
                if (name, what) == (strategy, kind):
                    counts[reason] = counts.get(reason, 0) + count
            for number, (reason, count) in enumerate(grouped(counts).items()):
                if number == _REASONS_SHOWN:
                    lines.append(f"  ... and {len(grouped(counts)) - number} more reasons; --json has them all")
                    break
                lines.append(f"  {count:>8,} {kind}: {reason}")
    return lines + [f"{kind}: {text}" for _, kind, text in notes]


def reasons_of(
    folder: StateFolder, found: dict[str, Any], span: Nanos
) -> tuple[list[tuple[str, str, str, int]], list[tuple[Nanos, str, str]]]:
    """Read (reasons for not trading, notes) for the last ``span`` from the journal. Raises JournalError."""
    time = found.get("time", 0)
    # counted back from the bot's own time, which differs from the machine's time on an emulator
    since = (time if isinstance(time, int) else 0) - span
    journal = Journal.open(folder.journal, read_only=True)
    try:
        return journal.reasons_since(since), journal.notes(since)
    finally:
        journal.close()


def _figures(found: dict[str, Any]) -> list[str]:
    """Format the figures: money first, then the strategies, then, for a running bot, the connections."""
    if "strategies" not in found:
        return []
    try:
        lines = _money_lines(found)
        lines += summary_lines(found)[len(stopped_lines(found)) :]
        for name, values in found.get("parameters", {}).items():
            if values:
                lines.append(f"  {name} has {', '.join(f'{key}={value}' for key, value in values.items())}")
        # the connections and the used slots of a bot that is not running are those of its last moment
        streams = found.get("streams", {}) if found["running"] else {}
        bad = {name: state for name, state in streams.items() if state in ("lost", "stale")}
        if streams:
            lines.append(f"  streams: {len(streams) - len(bad)} connected, {len(bad)} not")
        lines += [f"  stream {name}: {state}" for name, state in bad.items()]
        for row in found.get("limits", ()) if found["running"] else ():
            lines.append(
                f"  limit {row['pool']} ({row['scope']}): {row['held']:,} of {row['limit']:,} in {row['per_s']} s"
            )
        waiting = found.get("journal_waiting", 0)
        if waiting > _WAITING_TOLD:
            lines.append(f"  journal: {waiting:,} commits are in its log and not yet in journal.sqlite")
    except (AttributeError, LookupError, TypeError, ValueError):
        return ["  its figures cannot be read, because another version of botkit wrote them"]
    return lines


def _money_lines(found: dict[str, Any]) -> list[str]:
    """Format equity, profit (today, in this run, since the first start), and balances as lines."""
    currency, rows = found["currency"], found.get("profits", ())
    equity = found.get("equity")
    figures = ["equity unknown: a price is missing" if equity is None else f"equity {money_figure(equity)} {currency}"]
    for name, profit in (("today", found.get("day_pnl")), ("this run", found.get("pnl"))):
        if profit is not None:
            figures.append(f"{name} {money_figure(profit, signed=True)} {currency}")
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["quote"]] = totals.get(row["quote"], 0.0) + row["realised"] + row["unrealised"]
    if totals:
        whole = " and ".join(f"{money_figure(profit, signed=True)} {quote}" for quote, profit in totals.items())
        figures.append(f"in all {whole}")
    lines = ["  " + ", ".join(figures)]
    for name, held in found.get("balances", {}).items():
        unowned = held["unassigned"]
        nobody = f", including {separated(unowned)} owned by no strategy" if float(unowned) else ""
        lines.append(f"  balance {separated(held['total'])} {name}{nobody}")
    for row in rows:
        if row["realised"] or row["unrealised"]:
            lines.append(
                f"  {row['strategy']} {row['pair']} since its first start: realised "
                f"{money_figure(row['realised'], signed=True)}, unrealised "
                f"{money_figure(row['unrealised'], signed=True)} {row['quote']}"
            )
    return lines


def _standing(status: dict[str, Any]) -> str:
    """Describe how long the bot has been running or, if it is not running, when its last status was written. Times are
    in the bot's time zone.
    """
    if status["running"]:
        since = status.get("since")
        begun = f", since {_local(status, since)}" if isinstance(since, int) and since else ""
        return f"running, process {status['pid']}{begun}{_uptime(status.get('uptime_s'))}"
    at = _local(status, status["time"]) if isinstance(status.get("time"), int) else ""
    if status.get("ended"):
        return f"not running, ended ({status['ended']})" + (f" at {at}" if at else "")
    if at:
        return f"not running, did not stop cleanly; last status from {at}"
    return "not running"


def _uptime(seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    minutes = int(seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f" ({days} d {hours} h)"
    if hours:
        return f" ({hours} h {minutes % 60} min)"
    return f" ({minutes} min)" if minutes else f" ({seconds:.0f} s)"


def _local(status: dict[str, Any], time: int) -> str:
    """Format a time in the bot's configured time zone."""
    try:
        return format_time(time, ZoneInfo(str(status.get("timezone", _ZONE))))
    except (KeyError, ValueError, OverflowError, OSError):
        return "an unknown time"
