"""The limits broker, a small server with the ledger for all of a user's bots on one machine.

The first bot starts the broker (`broker_client`). The broker exits when no bot has used it for a while. Bots connect
over a Unix socket in a folder that only the user may open. On Windows they connect over a loopback port, with a token
from a file in a folder with the same restriction. The complete ledger is saved before a change is acknowledged, so the
replacement for a killed broker starts with the same state. A ledger that cannot be read, or was written before the
machine's last boot, is treated as lost.

A message is a four-byte length followed by msgpack.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import platformdirs

from botkit.live.disk import remove_unfinished
from botkit.live.limits.ledger import SlotLedger, new_ledger
from botkit.live.limits.protocol import AskUsage, Join, Leave, LedgerReply, Message, Sync
from botkit.live.ports import Files
from botkit.model.clock import NS_PER_S, Nanos

#: overrides the broker's folder, for tests and for users who want two brokers
FOLDER_VARIABLE = "BOTKIT_BROKER"
MESSAGE_MAX = 1 << 20
#: how long a broker without bots keeps running; its ledger file remains after it exits
IDLE_S = 30.0
#: the longest Unix socket path that works on every system
_SOCKET_PATH_MAX = 100

log = logging.getLogger("botkit.broker")


class Hello(msgspec.Struct, array_like=True, tag=True):
    """The first message on a connection to a loopback port."""

    token: str


class Port(msgspec.Struct):
    """The port of a broker on systems without Unix sockets, and the token that clients must send first."""

    port: int
    token: str


class SavedLedger(msgspec.Struct, array_like=True):
    """The ledger's file. ``boot`` identifies the boot of the machine during which it was written."""

    boot: str
    ledger: SlotLedger


decode_message = msgspec.msgpack.Decoder(Join | Sync | Leave | AskUsage | Hello).decode
decode_ledger = msgspec.msgpack.Decoder(SavedLedger).decode
encode = msgspec.msgpack.Encoder().encode


def framed(message: object) -> bytes:
    """Encode a message with a length prefix."""
    body = encode(message)
    return len(body).to_bytes(4, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next message. Raises OSError if the message is too large, and EOFError at the end of the
    stream.
    """
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MESSAGE_MAX:
        raise OSError(f"the message has {size:,} bytes, which is too large")
    return await reader.readexactly(size)


class BrokerFolder:
    """The files of a user's broker: its socket or port file, its lock, and its ledger.

    Taking the lock creates the folder, which only its owner can access (`botkit.live.ports.Disk`).
    """

    def __init__(self, folder: Path | None = None, *, by_port: bool = sys.platform == "win32") -> None:
        given = folder or (Path(os.environ[FOLDER_VARIABLE]) if FOLDER_VARIABLE in os.environ else None)
        # This is not the usual folder for sockets. XDG_RUNTIME_DIR is set in a terminal but not for cron or a service,
        # and its folder disappears at logout. All of a user's bots must look in the same folder.
        self.path = given or platformdirs.user_state_path("botkit") / "broker"
        self.is_given = given is not None
        self.ledger = self.path / "ledger"
        self.lock = self.path / "lock"
        self.errors = self.path / "errors.txt"
        self.port_file = self.path / "port.json"
        self.socket = self.path / "limits.sock"
        self.by_port = by_port or len(os.fsencode(self.socket)) > _SOCKET_PATH_MAX


class KeptLedger:
    """A ledger that survives the exit of its process."""

    def __init__(self, path: Path, files: Files, now: Callable[[], Nanos], random: Random, boot: str) -> None:
        """``now`` returns the time since boot, which keeps counting while the machine sleeps. ``boot`` identifies the
        boot.
        """
        self._path = path
        self._files = files
        self._now = now
        self._boot = boot
        #: True until the file's name has reached the disk
        self._is_new = False
        self.ledger = self._read(random)

    def apply(self, message: Message) -> LedgerReply:
        """Apply ``message`` and save the ledger."""
        reply = self.ledger.apply(message, self._now())
        # a heartbeat changes nothing that a replacement broker needs
        if not isinstance(message, AskUsage) and not (isinstance(message, Sync) and not message.reports):
            self._write()
        return reply

    def _read(self, random: Random) -> SlotLedger:
        now = self._now()
        try:
            saved = decode_ledger(self._files.read(self._path))
        except FileNotFoundError:
            self._is_new = True
            return new_ledger(random)  # the ledger was never used, so no window has requests to count
        except (OSError, msgspec.MsgspecError) as error:
            log.warning(
                "%s cannot be read (%s); windows stay closed until earlier requests no longer count",
                self._path,
                error,
            )
        else:
            if saved.boot == self._boot and saved.ledger.now <= now:
                saved.ledger.keep_alive(now)
                return saved.ledger
            # The system was rebooted. It may have been off for any length of time, and the disk may have lost the
            # latest state. The time since boot alone does not tell: a bot that starts with its machine writes a small
            # one, which the next boot soon passes.
        ledger = new_ledger(random)
        ledger.lose(now)
        return ledger

    def _write(self) -> None:
        # Only the first write needs a sync: the system keeps written data even after this process ends, and after a
        # power failure the ledger counts as lost, but only if its file is there.
        self._files.write(self._path, encode(SavedLedger(self._boot, self.ledger)), durable=self._is_new)
        self._is_new = False


class Broker:
    """The server. It has one connection per bot and processes messages in order of arrival."""

    def __init__(self, folder: BrokerFolder, files: Files, now: Callable[[], Nanos], random: Random, boot: str) -> None:
        """The folder must be locked. ``random`` generates the token, so it must be unpredictable. ``boot`` identifies
        the machine's boot.
        """
        remove_unfinished(files, folder.path, ("ledger", "port"))
        self._folder = folder
        self._files = files
        self._now = now
        self._ledger = KeptLedger(folder.ledger, files, now, random, boot)
        self._token = f"{random.getrandbits(128):032x}"
        self._connections: set[asyncio.StreamWriter] = set()
        self._alone_since = now()

    async def serve(self) -> None:
        """Serve until no bot needs the broker any longer."""
        async with await (self._listen_by_port() if self._folder.by_port else self._listen()):
            while self._connections or self._now() - self._alone_since < IDLE_S * NS_PER_S:
                await asyncio.sleep(1)

    async def _listen(self) -> asyncio.Server:
        self._files.remove(self._folder.socket)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._connected, str(self._folder.socket))
        finally:
            os.umask(before)

    async def _listen_by_port(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = Port(server.sockets[0].getsockname()[1], self._token)
        self._files.write(self._folder.port_file, msgspec.json.encode(port), durable=False)
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        is_known = not self._folder.by_port
        try:
            while True:
                message = decode_message(await read_frame(reader))
                if isinstance(message, Hello):
                    is_known = hmac.compare_digest(message.token, self._token)
                elif is_known:
                    writer.write(framed(self._ledger.apply(message)))
                    await writer.drain()
                if not is_known:
                    break
        except (EOFError, OSError, msgspec.MsgspecError) as error:
            # A lost connection does not mean that the bot has stopped. A killed bot is detected by its silence, so a
            # bot that only lost its connection can continue.
            log.debug("a bot's connection ended: %s", error)
        finally:
            self._connections.discard(writer)
            self._alone_since = self._now()
            writer.close()
