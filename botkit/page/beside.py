"""Starts the page's process for ``botkit run --page``, and stops it together with the bots."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from botkit.errors import ConfigError
from botkit.report.language import current

#: how long the process may take to exit after its input is closed
_END_S = 5.0


class PageBeside:
    """Runs the page for some bots' folders in a separate process until the end of the block. Raises ConfigError."""

    def __init__(self, folders: Sequence[Path], *, port: int | None) -> None:
        self._folders = folders
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        #: the page's address, with its token
        self.address = ""

    async def __aenter__(self) -> PageBeside:
        command = [sys.executable, "-m", "botkit.page"]
        command += ["--lang", current()]
        if self._port is not None:
            command += ["--port", str(self._port)]
        self._process = process = subprocess.Popen(
            [*command, *map(str, self._folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
            | getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        assert process.stdout is not None
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            said = json.loads(line or "{}")
        except BaseException as error:
            await self._end()
            if isinstance(error, ValueError):
                raise ConfigError("the page's process did not print an address") from None
            raise
        if "address" not in said:
            await self._end()
            raise ConfigError(said.get("error") or "the page's process exited without a message")
        self.address = said["address"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        try:
            await asyncio.to_thread(process.wait, _END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
