"""Finds plugins and imports them: built-in plugins, entry points, files in folders, and dotted modules."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import msgspec

from botkit.errors import PluginError

GROUP = "botkit"
LOAD_VARIABLE = "BOTKIT_LOAD_PLUGINS"
#: how the module names of plugin files begin
PLUGIN_MODULE = "botkit_plugin_"

Origin = Literal["built-in", "entry point", "folder", "module"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found but not yet imported. ``file`` is its path, or its name if it has not been imported."""

    name: str
    origin: Origin
    file: str
    load: Callable[[], Any]
    distribution: str = ""
    version: str = ""


def built_in(plugins: Iterable[tuple[str, Any]]) -> Iterator[Candidate]:
    """Yield the plugins that ship with botkit, already imported."""
    for name, thing in plugins:
        yield Candidate(name=name, origin="built-in", file=file_of(thing), load=partial(_itself, thing))


def _itself(thing: Any) -> Any:
    return thing


def entry_points(environ_load: str | None) -> Iterator[Candidate]:
    """Find installed plugins, sorted by distribution and name.

    ``environ_load`` is the value of BOTKIT_LOAD_PLUGINS: None loads all plugins; a comma-separated list loads only the
    plugins it names.
    """
    found = []
    for point in _installed(_state_of_the_path()):
        distribution = point.dist.name if point.dist is not None else ""
        version = point.dist.version if point.dist is not None else ""
        found.append((distribution, point.name, point.value, version, point))
    found.sort(key=lambda row: row[:3])
    wanted = None if environ_load is None else {name.strip() for name in environ_load.split(",")} - {""}
    if wanted is not None:
        installed = {name for _, name, *_ in found}
        for name in sorted(wanted - installed):
            raise PluginError(
                f"{LOAD_VARIABLE} names the plugin `{name}`, which is not installed; {did_you_mean(name, installed)}"
            )
    for distribution, name, value, version, point in found:
        if wanted is None or name in wanted:
            yield Candidate(
                name=name,
                origin="entry point",
                file=f"{value} from {distribution or 'an unnamed distribution'}",
                load=point.load,
                distribution=distribution,
                version=version,
            )


@lru_cache(maxsize=1)
def _installed(_: tuple[tuple[str, int], ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Read the entry points of all installed distributions; this takes half of the time of loading a configuration."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


def _state_of_the_path() -> tuple[tuple[str, int], ...]:
    """Return each import folder and when it changed: an installation adds a folder and an entry to it."""
    state = []
    for place in sys.path:
        try:
            changed = Path(place).stat().st_mtime_ns
        except OSError:
            changed = 0
        state.append((place, changed))
    return tuple(state)


def folder_files(folders: Sequence[Path]) -> Iterator[Candidate]:
    """Find the plugin files in folders, in sorted order, and single files. A file that is reached by several paths is
    yielded only once. Names that start with ``_``, or with ``.`` like editors' temporary files, are ignored.
    """
    seen: set[Path] = set()
    for folder in folders:
        if not folder.exists():
            raise PluginError(f"{folder}: this plugin folder does not exist; fix `plugins:`, or create the folder")
        if folder.is_dir():
            files = [file for file in _python_files(folder) if not file.name.startswith("_") and file.is_file()]
        elif folder.suffix == ".py":
            files = [folder]
        else:
            raise PluginError(f"{folder}: a plugin is a .py file or a folder of such files; fix `plugins:`")
        for file in files:
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield Candidate(name=file.stem, origin="folder", file=str(file), load=partial(import_file, file))


def _python_files(folder: Path) -> list[Path]:
    """List a folder's visible .py files, sorted."""
    return sorted(file for file in folder.glob("*.py") if not file.name.startswith("."))


def check_own(folder: Path) -> None:
    """Refuse a plugin folder that others can write to, unless the configuration names it, because the files in it would
    be executed. Raises PluginError. On systems without POSIX permissions, every folder passes.
    """
    if os.name != "posix":
        return
    for path in (folder, *_python_files(folder)):
        found = path.stat()
        if found.st_uid not in (os.geteuid(), 0):
            why, mend = f"belongs to another user ({found.st_uid})", "check its contents"
        elif found.st_mode & 0o002 or (found.st_mode & 0o020 and not _is_own_group(found.st_gid)):
            why, mend = f"is writable by others (mode {found.st_mode & 0o777:04o})", f"run: chmod go-w {path}"
        else:
            continue
        raise PluginError(
            f"{path} {why}, so botkit refuses to run its code; {mend}, or name the folder under `plugins:`"
        )


def _is_own_group(gid: int) -> bool:
    """Return True if the user is the group's only member, as on systems that create one group per user."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def modules(names: Sequence[str]) -> Iterator[Candidate]:
    """Find dotted modules, in the configuration's order."""
    for name in dict.fromkeys(names):
        yield Candidate(name=name, origin="module", file=name, load=partial(importlib.import_module, name))


_imported: dict[Path, tuple[bytes, ModuleType]] = {}


def import_file(file: Path) -> ModuleType:
    """Import a plugin's file under its own module name. The file is imported again only if its text changes.

    This bypasses the import system's bytecode cache. The cache compares only sizes and whole seconds, so it could run
    the old code of a file that was edited twice within a second.
    """
    real = file.resolve()
    text = real.read_bytes()
    known = _imported.get(real)
    if known is not None and known[0] == text:
        return known[1]
    digest = hashlib.sha256(str(real).encode()).hexdigest()[:12]
    name = f"{PLUGIN_MODULE}{digest}_{real.stem}"
    spec = importlib.util.spec_from_file_location(name, real)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    code = compile(text, str(real), "exec", dont_inherit=True)
    before = sys.modules.get(name)
    sys.modules[name] = module  # resolving annotations and unpickling use this entry
    try:
        exec(code, module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    _imported[real] = (text, module)
    return module


def import_candidate(candidate: Candidate) -> Any:
    """Return the plugin's module or object. Raises PluginError naming the plugin, the file and line, and the remedy."""
    try:
        return candidate.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin that calls sys.exit() must not end botkit silently
        where = error_place(error, candidate.file)
        raise PluginError(
            f"{where}: the plugin `{candidate.name}` cannot be imported: {in_words(error)}; "
            f"fix it, or block it with `block: [{candidate.name}]`"
        ) from error


def error_place(error: BaseException, file: str) -> str:
    """Return ``file:line`` of the error's last frame in ``file``, or of its syntax error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    real = str(Path(file).resolve()) if file.endswith(".py") else ""
    place, outside = "", ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name in (file, real):
            place = f"{file}:{trace.tb_lineno}"
        elif not name.startswith("<") and "importlib" not in name and Path(name).parent != Path(__file__).parent:
            outside = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place or (outside if not real else "") or file


def in_words(error: BaseException) -> str:
    """Return the error as a single line of text."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({text})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def file_of(thing: Any) -> str:
    """Return the file of a module, class or object, or its name if it has no file."""
    if isinstance(thing, ModuleType):
        return getattr(thing, "__file__", None) or thing.__name__
    module = sys.modules.get(getattr(thing, "__module__", None) or type(thing).__module__)
    return (getattr(module, "__file__", None) if module is not None else None) or repr(type(thing).__name__)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion for a misspelled word, or the list of known words."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(names)}" if names else "none are known"
