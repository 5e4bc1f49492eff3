"""Reads the parts of a configuration that are needed by commands acting on a running bot, even while the file is being
edited.

`botkit panic` needs the bot's name and account, and a mistake in another section must not prevent it from working.
Therefore unreadable sections are left out, and their errors are reported.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from botkit.config.decode import Decoder, field_types
from botkit.config.load import LoadedConfig, load_config, named_after_file
from botkit.config.schema import BotConfig
from botkit.config.source import Node, Source, parse_text, read_source
from botkit.errors import ConfigError

_NAME = re.compile(r"""^name:[ \t]*["']?([A-Za-z0-9_-]{1,64})\b""", re.ASCII | re.MULTILINE)
_SIZE_MAX = 1_000_000
#: placeholder for an unreadable `strategies` section; this module never creates strategies
_NO_STRATEGIES = "[{use: none}]"
#: if valid sections contradict each other, only the sections listed here are kept
_LEAST = ("name", "exchange", "account", "emulator", "limits", "plugins")


class Essentials(msgspec.Struct, frozen=True):
    """A configuration without its unreadable parts. ``problem`` describes the errors in the unreadable parts, or is
    None.

    ``is_readable`` is False if the file is not valid YAML. In that case only the bot's name is known.
    """

    loaded: LoadedConfig
    problem: str | None = None
    is_readable: bool = True


def load_essentials(path: Path) -> Essentials:
    """Read the readable parts of a configuration. Raises ConfigError if the file does not exist or does not contain the
    bot's name.
    """
    try:
        return Essentials(load_config(path))
    except ConfigError as error:
        problem = str(error)
    try:
        root, is_readable = read_source(path), True
    except ConfigError:
        root, is_readable = _name_alone(path, problem), False
    sound = _sound_sections(root)
    for keys in (tuple(sound), _LEAST, ("name",)):
        sections = {key: sound[key] for key in keys if key in sound}
        sections.setdefault("strategies", parse_text(_NO_STRATEGIES, root.source))
        kept = msgspec.structs.replace(root, value=sections)
        decoder = Decoder()
        config = decoder.decode(kept, BotConfig, "")
        if not decoder.problems:
            config = config if config.name else named_after_file(config, path)
            return Essentials(LoadedConfig(config=config, path=path, root=kept), problem, is_readable)
    raise ConfigError(problem)


def _sound_sections(root: Node) -> dict[str, Node]:
    """Return the sections that are valid, each checked separately."""
    found = {}
    hints = field_types(BotConfig)
    for key, child in root.value.items() if isinstance(root.value, dict) else ():
        decoder = Decoder()
        if key in hints:
            decoder.decode(child, hints[key][1], key)
            if not decoder.problems:
                found[key] = child
    return found


def _name_alone(path: Path, problem: str) -> Node:
    """Find the bot's name in a file that is not valid YAML, possibly because it is being edited. Raises ConfigError
    with ``problem`` if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_SIZE_MAX).decode("utf-8", "replace")
    except (OSError, ValueError):
        raise ConfigError(problem) from None
    source = Source(str(path), path.absolute().parent)
    match = _NAME.search(text)
    return parse_text(f"name: {match[1]}" if match is not None else "{}", source)
