"""The parcel sent to a cluster's workers: the configuration without secrets, its plugins and its data.

The account, the notifiers and all other sections that a backtest does not read stay on the driver. Paths are replaced
by paths inside the parcel, so workers need only botkit to be installed.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import msgspec

from botkit.config.backtest import DataSource, EmulatorConfig
from botkit.config.load import LoadedConfig
from botkit.config.running import LiveConfig, LogConfig
from botkit.config.schema import BotConfig
from botkit.config.show import resolved_yaml
from botkit.config.strategy import PluginPlace
from botkit.errors import ConfigError

__all__ = ["Parcel", "pack", "unpack"]

CONFIG = "bot.yaml"
#: the maximum size; larger tapes would exhaust the scheduler's memory
BYTES_MOST = 1 << 30
_SKIPPED = {"__pycache__", ".git", ".venv"}


class Parcel(msgspec.Struct, frozen=True):
    """A packed configuration. ``content`` is a zip file; ``sha256`` is its hash, which serves as the parcel's name on
    every worker.
    """

    sha256: str
    content: bytes


def pack(loaded: LoadedConfig, data: Path | None = None) -> Parcel:
    """Pack a configuration. ``data`` replaces the configuration's recorded data. Raises ConfigError if any part of the
    configuration cannot be sent.
    """
    config = loaded.config
    files: dict[str, Path] = {}
    latency = config.backtest.latency
    if latency.from_ is not None:
        _add(files, "latency.json", latency.from_ / "latency.json" if latency.from_.is_dir() else latency.from_)
        latency = msgspec.structs.replace(latency, from_=Path("latency.json"))
    plugins = []
    for index, place in enumerate(config.plugins if config.plugins is not None else _default_places()):
        if place.path is None:
            # the worker must have the same version of this installed module; trial 0 reveals whether it does
            plugins.append(place)
            continue
        name = f"plugins{index}" + (place.path.suffix if place.path.is_file() else "")
        _add(files, name, place.path)
        plugins.append(msgspec.structs.replace(place, text=name, path=Path(name)))
    sources = []
    chosen = config.backtest.data if data is None else (DataSource(path=data),)
    for index, source in enumerate(chosen):
        name = f"data{index}" + (source.path.suffix if source.path.is_file() else "")
        _add(files, name, source.path)
        sources.append(msgspec.structs.replace(source, path=Path(name)))
    plain = msgspec.structs.replace(
        config,
        plugins=tuple(plugins),
        backtest=msgspec.structs.replace(config.backtest, data=tuple(sources), latency=latency),
        account=None,
        notify=(),
        emulator=EmulatorConfig(),
        live=LiveConfig(),
        log=LogConfig(),
        limits=msgspec.structs.replace(config.limits, ledger=None),
    )
    return _zipped(plain, loaded, files)


def unpack(parcel: Parcel, below: Path) -> Path:
    """Unpack a parcel into a subfolder unless it has already been unpacked, and return the path of its configuration.

    Several workers may share the folder. They all use the files of the first worker to finish.
    """
    folder = below / f"botkit-{parcel.sha256[:16]}"
    if not folder.is_dir():
        below.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".botkit-", dir=below))
        with zipfile.ZipFile(io.BytesIO(parcel.content)) as archive:
            archive.extractall(beside)
        try:
            beside.rename(folder)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
    return folder / CONFIG


def _default_places() -> tuple[PluginPlace, ...]:
    default = Path("strategies")
    return (PluginPlace(text=str(default), path=default),) if default.is_dir() else ()


def _add(files: dict[str, Path], name: str, path: Path) -> None:
    if path.is_file():
        files[name] = path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for file in sorted(names):
            whole = Path(folder) / file
            files[f"{name}/{whole.relative_to(path).as_posix()}"] = whole


def _zipped(config: BotConfig, loaded: LoadedConfig, files: dict[str, Path]) -> Parcel:
    buffer = io.BytesIO()
    digest = hashlib.sha256()
    size = 0
    # Stored uncompressed, because tapes are already compressed. Dates are fixed, so that equal contents have equal
    # hashes.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        text = resolved_yaml(msgspec.structs.replace(loaded, config=config))
        assert "${" not in text, "a reference to a secret is left in the configuration"
        for name, content in [(CONFIG, text.encode()), *((name, path.read_bytes()) for name, path in files.items())]:
            size += len(content)
            if size > BYTES_MOST:
                raise ConfigError(
                    f"{loaded.path}: its plugins and data are larger than {BYTES_MOST >> 20} MiB, too large to send to "
                    "a cluster; shorten the tape with --from and --to of `botkit data`, or search on this machine"
                )
            archive.writestr(zipfile.ZipInfo(name), content)
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return Parcel(digest.hexdigest(), buffer.getvalue())
