"""A configuration's plugins, including those that ship with botkit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from botkit.config.load import LoadedConfig
from botkit.engine import plugin as engine_plugin
from botkit.exchange.bitopro import plugin as bitopro_plugin
from botkit.live import plugin as live_plugin
from botkit.model.extension import TapeFormat
from botkit.plugins import Plugins, load_plugins
from botkit.plugins.discovery import check_own, did_you_mean
from botkit.sim import plugin as sim_plugin
from botkit.tape import plugin as tape_plugin

#: plugins that ship with botkit, in the order they are called; they never include strategies
BUILT_IN: tuple[tuple[str, Any], ...] = (
    ("botkit.risk", engine_plugin),
    ("botkit.sim", sim_plugin),
    ("botkit.tape", tape_plugin),
    ("botkit.bitopro", bitopro_plugin),
    ("botkit.live", live_plugin),
)


def assemble_plugins(
    loaded: LoadedConfig | None = None, *, installed_only: bool = False, also: Sequence[tuple[str, Any]] = ()
) -> Plugins:
    """Load a configuration's plugins. Without a configuration, load the built-in and installed plugins and those in
    ./strategies.

    ``installed_only`` omits ./strategies, because showing help should not run files that the user did not name.
    ``also`` are plugins that exist as objects, such as a class from a notebook: (name, object).
    """
    environ_load = os.environ.get("BOTKIT_LOAD_PLUGINS")
    builtin = (*BUILT_IN, *also)
    if loaded is None:
        default = Path("strategies")
        folders: Sequence[Path] = (default,) if default.is_dir() and not installed_only else ()
        for folder in folders:
            check_own(folder)
        return load_plugins(folders=folders, environ_load=environ_load, builtin=builtin)
    _check_modules(loaded)
    # the user did not name this folder; it is only used because it is in the current directory
    if loaded.config.plugins is None:
        for folder in loaded.plugin_folders:
            check_own(folder)
    return load_plugins(
        folders=loaded.plugin_folders,
        modules=loaded.plugin_modules,
        block=loaded.config.block,
        environ_load=environ_load,
        builtin=builtin,
    )


def _check_modules(loaded: LoadedConfig) -> None:
    """Raise ConfigError unless each bare word under ``plugins:`` is a folder or an installed module."""
    for index, place in enumerate(loaded.config.plugins or ()):
        top = (place.module or "").partition(".")[0]
        if not top or find_spec(top) is not None:
            continue
        node = loaded.path.absolute().parent
        folders = [entry.name for entry in node.iterdir() if entry.is_dir() and not entry.name.startswith((".", "_"))]
        hint = did_you_mean(place.text, folders) if folders else "specify a folder with plugins"
        raise loaded.error(
            f"plugins.{index}",
            f"there is neither a folder `{place.text}` next to this file nor an installed module of that name; {hint}",
        )


def tape_formats(plugins: Plugins) -> dict[str, TapeFormat]:
    """Return the data formats by name."""
    return {name: registration.thing for name, registration in plugins.tape_formats.items()}
