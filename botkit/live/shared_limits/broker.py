"""The limits broker: one small process per user and machine that keeps the shared windows of all bots.

The first bot starts it (`broker_link.py` beside it), and it ends by itself when nobody has shared for a while. Bots
speak to it over a Unix socket in a folder that only the user may open; on Windows over a loopback port, with a token
from a file in such a folder. Every message that changes something is in a log before it is answered, so that a broker
that is killed is replaced by one that knows what it knew. After a restart of the machine, or with a log that cannot be
read, every window first runs full once.

A message is four bytes of length, then msgpack.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import sys
import tempfile
from pathlib import Path
from random import SystemRandom
from typing import IO, TypeAlias

import msgspec
import platformdirs

from botkit.live.clock import counter_ns
from botkit.live.shared_limits.ledger import (
    AskUsage,
    Join,
    Leave,
    Ledger,
    Message,
    Reply,
    Snapshot,
    Sync,
    new_ledger_id,
)
from botkit.model.clock import NS_PER_S, NS_PER_US

#: the folder of the broker, for tests and for users who want two apart
FOLDER_VARIABLE = "BOTKIT_BROKER"
MESSAGE_MAX = 1 << 20
#: a log that has grown to this is replaced by a snapshot
LOG_MAX = 4 << 20
#: a broker without bots ends after so long; its log stays
IDLE_S = 30.0
#: longest path of a Unix socket that every system takes
_SOCKET_PATH_MAX = 100

log = logging.getLogger("botkit.broker")


class Hello(msgspec.Struct, array_like=True, tag=True):
    """The first thing on a connection by port."""

    token: str


class Entry(msgspec.Struct, array_like=True, tag=True):
    """A message in the log, with the time at which it was applied."""

    time_ns: int
    message: Join | Sync | Leave


Logged: TypeAlias = Snapshot | Entry

decode_message = msgspec.msgpack.Decoder(Join | Sync | Leave | AskUsage | Hello).decode
_decode_logged = msgspec.msgpack.Decoder(Snapshot | Entry).decode
_encode = msgspec.msgpack.Encoder().encode


class BrokerPlace:
    """Where the broker of a user is found: its socket or port file, its lock and its log."""

    def __init__(self, folder: Path | None = None, *, by_port: bool = sys.platform == "win32") -> None:
        given = folder or (Path(os.environ[FOLDER_VARIABLE]) if FOLDER_VARIABLE in os.environ else None)
        # Not where sockets usually are: XDG_RUNTIME_DIR is set for a terminal, and not for cron or a service, and its
        # folder goes when the user logs out. All bots of a user must look in one place.
        self.folder = given or platformdirs.user_state_path("botkit") / "broker"
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.is_given = given is not None
        self.log = self.folder / "ledger.log"
        self.lock = self.folder / "lock"
        self.errors = self.folder / "errors.txt"
        self.port_file = self.folder / "port.json"
        self.socket = self.folder / "limits.sock"
        self.by_port = by_port or len(os.fsencode(self.socket)) > _SOCKET_PATH_MAX


class LedgerLog:
    """A ledger that survives its process: every change is written before it is answered for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.ledger = self._read()
        self._rewrite()

    def apply(self, message: Message) -> Reply:
        """Carry ``message`` out and write it down."""
        now = counter_ns()
        for name in self.ledger.silent(now):
            # written down as well: heartbeats are not in the log, so it cannot tell by itself who was silent
            self._apply(Leave(name), now)
        return self._apply(message, now)

    def _apply(self, message: Message, now: int) -> Reply:
        reply = self.ledger.apply(message, now)
        if not isinstance(message, AskUsage) and not self._is_void(message, reply):
            assert self._file is not None
            self._file.write(_framed(Entry(now, message)))
            if self._file.tell() > LOG_MAX:
                self._rewrite()
        return reply

    @staticmethod
    def _is_void(message: Message, reply: Reply) -> bool:
        """A heartbeat, or a want that was not met: forgetting it changes nothing."""
        return (
            isinstance(message, Sync)
            and not reply.granted
            and not message.jumped
            and not any(
                r.given_back or r.cooled or r.late or r.occupied or r.shortened or r.lower for r in message.reports
            )
        )

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> Ledger:
        now = counter_ns()
        fresh = Ledger(new_ledger_id(SystemRandom()))
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return fresh  # never used: nothing was sent that a window could count
        ledger, last = self._replayed(data)
        if ledger is None:
            log.warning("%s cannot be read; every window runs full once before a slot is leased", self._path)
            fresh.block(now)
            return fresh
        if last > now:
            # the counter began anew with the system. Nothing tells how long the machine was off, so none of that
            # time is credited, and what the disk may have lost is assumed to fill the windows.
            snapshot = _shifted(ledger.snapshot(last), (now - last) // NS_PER_US)
            ledger = Ledger.restored(snapshot)
            ledger.block(now)
        ledger.keep_alive(now)
        return ledger

    @staticmethod
    def _replayed(data: bytes) -> tuple[Ledger | None, int]:
        ledger: Ledger | None = None
        last = at = 0
        while at + 4 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            frame = data[at + 4 : at + 4 + size]
            if len(frame) < size:
                break  # the end was torn off: it was not answered for
            try:
                logged = _decode_logged(frame)
            except msgspec.MsgspecError:
                return None, 0
            if isinstance(logged, Snapshot):
                ledger, last = Ledger.restored(logged), logged.time_us * NS_PER_US
            elif ledger is None:
                return None, 0
            else:
                last = logged.time_ns
                ledger.apply(logged.message, last)
            at += 4 + size
        return ledger, last

    def _rewrite(self) -> None:
        """Begin a new log with a snapshot; the old one stays until the new one is whole."""
        now = counter_ns()
        if self._file is not None:
            self._file.close()
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(_framed(self.ledger.snapshot(now)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        # unbuffered: what was written is the system's, and survives the end of this process
        self._file = self._path.open("ab", buffering=0)


def _framed(message: object) -> bytes:
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


def _shifted(snapshot: Snapshot, by_us: int) -> Snapshot:
    """The snapshot as if its clock stood ``by_us`` elsewhere."""
    counters = tuple(
        msgspec.structs.replace(
            counter,
            releases_us=tuple(at + by_us for at in counter.releases_us),
            blocked_until_us=counter.blocked_until_us + by_us,
            lowered=(counter.lowered[0], counter.lowered[1] + by_us) if counter.lowered else (),
        )
        for counter in snapshot.counters
    )
    return msgspec.structs.replace(snapshot, time_us=snapshot.time_us + by_us, counters=counters)


class Broker:
    """The server: one connection a bot, messages answered in the order in which they come."""

    def __init__(self, place: BrokerPlace) -> None:
        self._place = place
        self._log = LedgerLog(place.log)
        self._token = secrets.token_hex(16)
        self._connections: set[asyncio.StreamWriter] = set()
        self._alone_since = 0

    async def serve(self) -> None:
        """Serve until nobody shares any more."""
        place = self._place
        if place.by_port:
            server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            fresh = place.port_file.with_suffix(".new")
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(msgspec.json.encode({"port": port, "token": self._token}))
            fresh.replace(place.port_file)
        else:
            with contextlib.suppress(FileNotFoundError):
                place.socket.unlink()
            before = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(self._connected, str(place.socket))
            finally:
                os.umask(before)
        self._alone_since = counter_ns()
        async with server:
            while self._connections or counter_ns() - self._alone_since < IDLE_S * NS_PER_S:
                await asyncio.sleep(1)
        self._log.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        is_known = not self._place.by_port
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > MESSAGE_MAX:
                    break
                message = decode_message(await reader.readexactly(size))
                if isinstance(message, Hello):
                    is_known = hmac.compare_digest(message.token, self._token)
                elif is_known:
                    writer.write(_framed(self._log.apply(message)))
                    await writer.drain()
                if not is_known:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError) as error:
            # a bot that was killed is found out by its silence, so that one that only lost its connection goes on
            log.debug("a connection ended: %s", error)
        finally:
            self._connections.discard(writer)
            self._alone_since = counter_ns()
            writer.close()


def take_lock(path: Path) -> IO[bytes] | None:
    """Hold ``path`` for as long as the file stays open; None while another process does."""
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def main(arguments: list[str] | None = None) -> int:
    """``python -m botkit.live.shared_limits.broker``: be the broker, unless there is one."""
    parser = argparse.ArgumentParser(
        prog="botkit.live.shared_limits.broker", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--folder", type=Path, help="Where the broker keeps its files.")
    parser.add_argument("--port", action="store_true", help="Listen on a loopback port, as on Windows.")
    options = parser.parse_args(arguments)
    place = BrokerPlace(options.folder, by_port=options.port or sys.platform == "win32")
    logging.basicConfig(filename=place.errors, filemode="w", level=logging.WARNING)
    lock = take_lock(place.lock)
    if lock is None:
        return 0
    with lock:
        asyncio.run(Broker(place).serve())
    return 0


if __name__ == "__main__":
    if sys.platform != "win32":
        os.chdir(tempfile.gettempdir())  # a folder that was mounted must not stay busy because of the broker
    sys.exit(main())
