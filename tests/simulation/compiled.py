"""The compiled form of this checkout in a folder of its own, where a changed module is compiled without the others.

All compiled modules share one library, and mypyc makes the C of all of them at once. Here mypy remembers what it read
of everything else (5 s instead of 25 s of CPU), and the C compiler gets only the files whose text is new. What comes
out is what a wheel holds: the same C, flags and library.

    place/tree       the checkout with the libraries beside its sources; commands run here
    place/build      where mypyc works
    place/objects    the machine code of every C file so far, by content

A fault is in effect in the copy, not only in its source: the C of the changed module must differ, only C files that
were compiled from their present text are linked, and the process that hunts for the fault compares the hash in the
library that it has loaded with the changed source's.
"""

from __future__ import annotations

import hashlib
import importlib.util
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.simulation.mutants import Mutant, chosen

ROOT = Path(__file__).parent.parent.parent
_COPIED = (".compile", "botkit", "strategies", "configs", "tests", "pyproject.toml")
_FORK = multiprocessing.get_context("fork")
#: headers declare the table of literals with its size, which no code that uses the table depends on
_TABLE_SIZE = re.compile(r"(extern PyObject \*CPyStatics)\[\d+\]")


class CompiledCopy:
    """A compiled copy of this checkout."""

    def __init__(self, place: Path) -> None:
        """Copy the checkout. What was compiled in this place before is not compiled again. Nothing is compiled before
        `compile`.
        """
        self.tree, self._build, self._objects = place / "tree", place / "build", place / "objects"
        self._objects.mkdir(parents=True, exist_ok=True)
        for stale in (self.tree, self._build / "botkit", self._build / "libraries"):
            shutil.rmtree(stale, ignore_errors=True)
        unwanted = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.tree / name, ignore=unwanted)
            else:
                shutil.copy(ROOT / name, self.tree / name)
        shutil.copytree(self.tree / "botkit", self._build / "botkit")
        # as in the hook: importing any module would let mypy follow all that the package exports
        (self._build / "botkit" / "__init__.py").write_text("")
        self._hook = _hook()
        self._sources = {name: (ROOT / name).read_text(encoding="utf-8") for name in self._hook.MODULES.split()}

    def compile(self, changed: Mapping[str, str]) -> dict[str, str]:
        """Compile with other texts for some modules, and put sources and libraries into `tree`. Return the SHA-256 of
        each module's C. Modules are named by their paths in the checkout.
        """
        hashes = {}
        for name in self._sources:
            source = changed.get(name, self._sources[name]).encode()
            hashes[name] = hashlib.sha256(source).hexdigest()
            for folder in (self._build, self.tree):
                if (folder / name).read_bytes() != source:
                    (folder / name).write_bytes(source)
        (self._build / self._hook.SOURCES_MODULE).write_text(
            f"from typing import Final\n\nSOURCES: Final[dict[str, str]] = {hashes!r}\n", encoding="utf-8"
        )
        # a process of its own, because mypyc works in the current folder and exits on errors
        here, there = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=self._built, args=([*self._sources, self._hook.SOURCES_MODULE], there))
        process.start()
        there.close()
        try:
            made: dict[str, str] = here.recv()
        except EOFError:
            process.join()
            raise SystemExit(
                f"these modules could not be compiled: {', '.join(changed) or 'all'} (see above)"
            ) from None
        process.join()
        libraries = self._build / "libraries"
        for path in libraries.rglob("*"):
            if path.is_file():
                target = self.tree / path.relative_to(libraries)
                # another file, since a running process may have the old one mapped
                target.unlink(missing_ok=True)
                shutil.copy(path, target)
        return made

    def plant(self, mutant: Mutant, sound: Mapping[str, str]) -> str:
        """Compile a fault in. ``sound`` is what `compile` returned without one. Return the SHA-256 of the source
        with the fault.
        """
        faulty = mutant.changed(self._sources[mutant.path])
        made = self.compile({mutant.path: faulty})
        assert made[mutant.path] != sound[mutant.path], f"{mutant.name}: the C of {mutant.module} stays the same"
        return hashlib.sha256(faulty.encode()).hexdigest()

    def run(self, arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``python`` with these arguments in the copy."""
        environment = {**os.environ, "PYTHONPATH": str(self.tree)}
        return subprocess.run([sys.executable, *arguments], cwd=self.tree, env=environment, text=True, **options)

    def _built(self, files: list[str], pipe: Connection) -> None:
        from mypyc.namegen import exported_name

        os.chdir(self._build)
        # mypyc and setuptools print what they do
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        texts, dependencies = _c_of(self._hook, files)
        self._link(self._hook.extensions(files, skip_cgen_input=([texts], dependencies)))
        made = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts}
        names = {name: exported_name(name.removesuffix(".py").replace("/", ".")) for name in self._sources}
        pipe.send({name: made[f"__native_{module}.c"] for name, module in names.items()})

    def _link(self, extensions: list[Any]) -> None:
        from setuptools import Distribution
        from setuptools.command.build_ext import build_ext

        objects = self._objects
        headers = "".join(sorted(path.read_text() for path in Path(self._hook.C_FOLDER).rglob("*.h")))
        headers = _TABLE_SIZE.sub(r"\1[]", headers)

        class Build(build_ext):
            def build_extension(self, ext: Any) -> None:
                """Compile the C files whose text is new, then link."""

                def compile_one(source: str) -> str:
                    text = Path(source).read_text()
                    words = [text, headers if "__native" in text else "", *ext.extra_compile_args]
                    kept = objects / f"{hashlib.sha256(repr(words).encode()).hexdigest()}.o"
                    if not kept.exists():
                        (made,) = self.compiler.compile(
                            [source],
                            str(objects / "new"),
                            include_dirs=ext.include_dirs,
                            extra_postargs=ext.extra_compile_args,
                        )
                        Path(made).rename(kept)
                    return str(kept)

                for source in ext.sources:
                    (objects / "new" / source).parent.mkdir(parents=True, exist_ok=True)
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    ext.extra_objects = list(pool.map(compile_one, ext.sources))
                ext.sources = []
                super().build_extension(ext)

        # the other extensions only point to the shared library, and never change
        is_first = not Path("libraries").exists()
        command = Build(Distribution({"name": "botkit", "ext_modules": extensions if is_first else extensions[:1]}))
        command.build_lib, command.build_temp, command.force = "libraries", "linked", True
        command.ensure_finalized()
        command.run()


def _c_of(hook: ModuleType, files: list[str]) -> tuple[list[tuple[str, str]], list[tuple[str, list[str], bool]]]:
    """Return the C files (name, text) of modules in the current folder, as mypycify makes them, and what they depend on
    of mypyc's library. The only difference: mypy keeps what it has read for the next time.
    """
    from mypy.fscache import FileSystemCache
    from mypyc.build import construct_groups, get_mypy_config
    from mypyc.codegen import emitmodule
    from mypyc.errors import Errors
    from mypyc.options import CompilerOptions

    compiler = CompilerOptions(multi_file=True, target_dir=hook.C_FOLDER, group_name=hook.GROUP)
    cache = FileSystemCache()
    sources, everything, options = get_mypy_config(hook.arguments(files), None, compiler, cache)
    options.incremental, options.cache_dir = True, "read"
    groups = construct_groups(sources, False, True, hook.GROUP)
    result = emitmodule.parse_and_typecheck(everything, options, compiler, groups, cache)
    errors = Errors(options)
    modules, texts, _ = emitmodule.compile_modules_to_c(result, compiler_options=compiler, errors=errors, groups=groups)
    result.manager.metastore.close()
    if result.errors or errors.num_errors:
        raise SystemExit("\n".join([*result.errors, *errors.new_messages()]))
    depends = sorted(emitmodule.collect_source_dependencies(modules), key=lambda one: one.path)
    return texts[0], [(one.path, one.include_dirs, one.internal) for one in depends]


def _hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_hook", ROOT / ".compile" / "hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hunt_compiled(copy: CompiledCopy, seeds: int, first: int, part: str) -> int:
    """Search for each planted fault, as `tests.simulation.mutants.hunt` does, but in the compiled copy. Return 1 if a
    fault survived.
    """
    sound = copy.compile({})
    lived = 0
    for mutant in chosen(part):
        arguments = ["-m", "tests.simulation", "--mutants", "--part", mutant.name]
        arguments += ["--seeds", str(seeds), "--from", str(first)]
        if mutant.path in sound:
            arguments += ["--planted", copy.plant(mutant, sound)]
        else:
            copy.compile({})
        lived += copy.run(arguments).returncode
    return 1 if lived else 0
