"""The client of the limits broker. It starts the broker if needed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import msgspec

from botkit.live.disk import REAL_DISK
from botkit.live.limits.broker import BrokerFolder, Hello, Port, framed, read_frame
from botkit.live.limits.protocol import LedgerReply, LedgerUnreachable, Message

#: timeout for a reply from the broker on this machine
ANSWER_S = 1.0
#: how long a new broker may take to start accepting connections
START_S = 10.0
#: CREATE_NEW_PROCESS_GROUP and DETACHED_PROCESS, which `subprocess` defines only on Windows
_APART_ON_WINDOWS = 0x200 | 0x8

#: brokers started by this process; they outlive this process and its links, so nothing waits for them to exit
_started: list[subprocess.Popen[bytes]] = []

_decode = msgspec.msgpack.Decoder(LedgerReply).decode


class BrokerLink:
    """A `Link` to this user's broker. If ``starts`` is False, a broker that is not running is reported as unreachable.

    ``folder`` and ``by_port`` are for tests.
    """

    name = "the limits broker of this machine"

    def __init__(
        self, folder: Path | None = None, *, by_port: bool = sys.platform == "win32", starts: bool = True
    ) -> None:
        self._starts = starts
        self._folder = BrokerFolder(folder, by_port=by_port)
        self._files = REAL_DISK.files
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()
        self._starting: subprocess.Popen[bytes] | None = None

    async def call(self, message: Message) -> LedgerReply:
        """Send a message and return the reply."""
        async with self._lock:
            try:
                if self._streams is None:
                    self._streams = await self._connect()
                reader, writer = self._streams
                async with asyncio.timeout(ANSWER_S):
                    writer.write(framed(message))
                    return _decode(await read_frame(reader))
            except (OSError, EOFError, msgspec.MsgspecError) as error:
                self._drop()
                raise LedgerUnreachable(f"{type(error).__name__}: {error}" if str(error) else "no answer") from None
            except BaseException:
                self._drop()  # an unread reply would be mistaken for the next one
                raise

    async def close(self) -> None:
        """Close the connection. The broker exits automatically when no bot needs it."""
        streams = self._streams
        self._drop()
        if streams is not None:
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = asyncio.get_running_loop().time() + START_S
        while True:
            try:
                return await self._open()
            except (OSError, msgspec.MsgspecError):
                if not self._starts:
                    raise LedgerUnreachable(
                        f"{self.name} is not running, so no bot on this machine is sharing its limits now"
                    ) from None
                if asyncio.get_running_loop().time() > deadline:
                    raise
                if self._starting is None or self._starting.poll() is not None:
                    self._start()
            await asyncio.sleep(0.05)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._folder.by_port:
            return await asyncio.open_unix_connection(str(self._folder.socket))
        found = msgspec.json.decode(self._files.read(self._folder.port_file), type=Port)
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
        writer.write(framed(Hello(found.token)))
        return reader, writer

    def _start(self) -> None:
        command = [sys.executable, "-m", "botkit.live.limits.broker_process"]
        if self._folder.is_given:
            command += ["--folder", str(self._folder.path)]
        if self._folder.by_port:
            command.append("--port")
        # the broker outlives the bot that started it, so it must not receive that bot's Ctrl-C
        self._starting = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
            creationflags=_APART_ON_WINDOWS if sys.platform == "win32" else 0,
        )
        _started.append(self._starting)
