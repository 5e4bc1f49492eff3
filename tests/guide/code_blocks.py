"""Finds the fenced code blocks in the README and the guide, and sets up a folder in which these blocks can run.

``<!-- file: PATH -->`` before a fence specifies the file that the block shows; later blocks can use that file. ``<!--
output -->`` before a fence means that the previous block prints these lines.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "botkit" / "guide"
DOCUMENTS = [ROOT / "README.md", *sorted(path for path in GUIDE.glob("*.md") if path.stem != "reference")]

#: True if the strategy API has `series.attach`, `crossed_above`, `plot` and `on_ready`.
ATTACH_HAS_LANDED = True
_NEEDS_ATTACH = re.compile(r"\.attach\(|crossed_(above|below)|self\.plot\(|on_ready")

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", flags=re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block. ``line`` is the line number of its first line, and ``mark`` is the preceding comment, or an empty
    string.
    """

    document: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block shows."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


def blocks_of(document: Path) -> list[Block]:
    """Return all blocks in a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        Block(document.name, text.count("\n", 0, found.start("text")) + 1, found["language"], found["text"],
              found["mark"] or "")
        for found in _FENCE.finditer(text)
    ]  # fmt: skip


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def before(block: Block) -> list[Block]:
    """Return the preceding blocks in the same document."""
    return [other for other in BLOCKS if other.document == block.document and other.line < block.line]


def waits_for_attach(block: Block) -> bool:
    """Return whether a block needs an API that is not available yet, or runs a strategy that needs this API."""
    if ATTACH_HAS_LANDED:
        return False
    names = {Path(other.file).stem for other in before(block) if other.file and _NEEDS_ATTACH.search(other.text)}
    return bool(_NEEDS_ATTACH.search(block.text)) or any(re.search(rf"\b{name}\b", block.text) for name in names)


def furnish(folder: Path, block: Block) -> dict[str, str]:
    """Set up a folder that resembles a clone, with the files from preceding blocks, and return a shell environment for
    the folder.
    """
    for name in ("configs", "strategies"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "backtest_data").symlink_to(ROOT / "backtest_data", target_is_directory=True)
    for other in [*before(block), block]:
        if other.file is not None:
            path = folder / other.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(other.text, encoding="utf-8")
    commands = folder / ".bin"
    commands.mkdir()
    for command, options in {"botkit": "", "pytest": "-q -p no:cacheprovider -c /dev/null --rootdir ."}.items():
        script = commands / command
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {command} {options} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(folder / ".state"),
    }
