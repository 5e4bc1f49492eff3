"""The way to the limits broker; it is started when it is absent."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import msgspec

from botkit.live.shared_limits.broker import MESSAGE_MAX, BrokerPlace, Hello
from botkit.live.shared_limits.ledger import Message, Reply
from botkit.live.shared_limits.slots import LedgerUnreachable

#: a broker on this machine that does not answer for so long is as good as gone
ANSWER_S = 1.0
#: a broker that was started has so long to listen
START_S = 10.0
#: CREATE_NEW_PROCESS_GROUP and DETACHED_PROCESS, which `subprocess` names on Windows alone
_APART_ON_WINDOWS = 0x200 | 0x8

#: brokers that this process started. They outlive it and their links, so that nobody waits for their end
_started: list[subprocess.Popen[bytes]] = []

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


class _Port(msgspec.Struct):
    port: int
    token: str


class BrokerLink:
    """A `Link` to the broker of this user. Without ``starts`` an absent one is unreachable.

    ``folder`` and ``by_port`` serve tests.
    """

    name = "the limits broker of this machine"

    def __init__(
        self, folder: Path | None = None, *, by_port: bool = sys.platform == "win32", starts: bool = True
    ) -> None:
        self._starts = starts
        self._place = BrokerPlace(folder, by_port=by_port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._lock = asyncio.Lock()
        self._starting: subprocess.Popen[bytes] | None = None

    async def call(self, message: Message) -> Reply:
        """Send a message and read its answer."""
        async with self._lock:
            try:
                if self._writer is None:
                    await self._connect()
                async with asyncio.timeout(ANSWER_S):
                    return await self._exchange(message)
            except (OSError, EOFError, TimeoutError, msgspec.MsgspecError) as error:
                self._drop()
                raise LedgerUnreachable(f"{type(error).__name__}: {error}" if str(error) else "no answer") from None
            except BaseException:
                self._drop()  # an answer that was not waited for would be taken for the next one's
                raise

    async def close(self) -> None:
        """Drop the connection. The broker ends by itself."""
        writer = self._writer
        self._drop()
        if writer is not None:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, message: object) -> Reply:
        assert self._reader is not None
        self._write(message)
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        if size > MESSAGE_MAX:
            raise OSError(f"an answer of {size:,} bytes")
        return _decode(await self._reader.readexactly(size))

    def _write(self, message: object) -> None:
        assert self._writer is not None
        body = _encode(message)
        self._writer.write(len(body).to_bytes(4, "big") + body)

    async def _connect(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_S
        while True:
            try:
                await self._open()
                return
            except (OSError, msgspec.MsgspecError):
                if not self._starts:
                    raise LedgerUnreachable(f"{self.name} does not run: no bot shares its limits here now") from None
                if asyncio.get_running_loop().time() > deadline:
                    raise
                if self._starting is None or self._starting.poll() is not None:
                    self._start()
            await asyncio.sleep(0.05)

    async def _open(self) -> None:
        place = self._place
        if place.by_port:
            found = msgspec.json.decode(place.port_file.read_bytes(), type=_Port)
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", found.port)
            self._write(Hello(found.token))
        else:
            self._reader, self._writer = await asyncio.open_unix_connection(str(place.socket))

    def _start(self) -> None:
        command = [sys.executable, "-m", "botkit.live.shared_limits.broker"]
        if self._place.is_given:
            command += ["--folder", str(self._place.folder)]
        if self._place.by_port:
            command.append("--port")
        # it outlives the bot that started it, and must not get that bot's Ctrl-C
        self._starting = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
            creationflags=_APART_ON_WINDOWS if sys.platform == "win32" else 0,
        )
        _started.append(self._starting)

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
