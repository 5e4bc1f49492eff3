"""The adapters of this project keep the contract: BitoPro's over real sockets, the paper one, and a toy exchange's."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from botkit.testing.adapter_cases import AdapterCases, World
from tests.adapter_worlds import PaperWorld, emulator_world


class TestBitoPro(AdapterCases):
    def world(self) -> AbstractAsyncContextManager[World]:
        return emulator_world()


class TestPaper(AdapterCases):
    def world(self) -> AbstractAsyncContextManager[World]:
        return emulator_world(PaperWorld)
