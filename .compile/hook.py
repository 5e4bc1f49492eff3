"""Compiles part of botkit with mypyc when a wheel is built with ``BOTKIT_COMPILE=1``; otherwise the hook does nothing.

hatchling runs it (`[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml). The sources stay as they are: the
wheel holds the same .py files, and beside each module of `MODULES` its compiled form, which Python imports first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "BOTKIT_COMPILE"
#: a compiler's new version is tried out before it is used
REQUIREMENTS = ["mypy==2.4.*", "setuptools>=77", "msgspec>=0.19", "numpy>=1.26"]
#: Where the time of a backtest goes (botkit/guide/engine.md says how they were chosen). Modules with structs are never
#: among them: compiled, a struct silently loses `frozen`.
MODULES = """
    botkit/backtesting/driver.py
    botkit/engine/agenda.py
    botkit/engine/balances.py
    botkit/engine/decisions.py
    botkit/engine/engine.py
    botkit/engine/market/blocks.py
    botkit/engine/market/markets.py
    botkit/engine/market/pair_market.py
    botkit/engine/money/balance_check.py
    botkit/engine/money/ledger.py
    botkit/engine/money/portfolio.py
    botkit/engine/money/stakes.py
    botkit/engine/money/subaccounts.py
    botkit/engine/orders/agreement.py
    botkit/engine/orders/checks.py
    botkit/engine/orders/desk.py
    botkit/engine/orders/entry.py
    botkit/engine/orders/follow_ups.py
    botkit/engine/orders/quoting.py
    botkit/engine/orders/replacements.py
    botkit/engine/orders/table.py
    botkit/engine/outcome.py
    botkit/engine/risk/order_counts.py
    botkit/engine/risk/review.py
    botkit/engine/risk/worth_over_price.py
    botkit/engine/rooms.py
    botkit/engine/router/backlog.py
    botkit/engine/router/flights.py
    botkit/engine/router/pacing.py
    botkit/engine/router/queue.py
    botkit/engine/router/router.py
    botkit/engine/router/routes.py
    botkit/engine/router/sending.py
    botkit/engine/router/windows.py
    botkit/engine/spans.py
    botkit/engine/strategy/callbacks.py
    botkit/engine/strategy/record.py
    botkit/engine/strategy/untold.py
    botkit/model/money.py
    botkit/model/orders.py
    botkit/sim/account_news.py
    botkit/sim/candles.py
    botkit/sim/delays.py
    botkit/sim/desk.py
    botkit/sim/draws.py
    botkit/sim/kernel.py
    botkit/sim/ledger.py
    botkit/sim/market.py
    botkit/sim/matching.py
    botkit/sim/new_orders.py
    botkit/sim/order.py
    botkit/sim/public_news.py
    botkit/sim/publish.py
    botkit/sim/streams.py
    botkit/sim/touches.py
    botkit/sim/touching_rows.py
    botkit/sim/venue_limits.py
    botkit/sim/venue_markets.py
    botkit/sim/visibility.py
"""
#: the generated module that holds the hashes of the sources; it exists only in compiled form
SOURCES_MODULE = "botkit/_compiled_sources.py"
#: names the library that all modules share; it lies beside the package, as in every project that mypyc compiles
GROUP = "botkit"
C_FOLDER = "c"


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel. Editable installs are never compiled."""

    def dependencies(self) -> list[str]:
        """Return what the build needs in addition: nothing without the variable."""
        return REQUIREMENTS if is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling which files to add."""
        if not is_wanted():
            return
        if version == "editable":
            self.app.display_warning(f"{VARIABLE} is ignored: an editable install runs the files as they are")
            return
        self._place = tempfile.TemporaryDirectory(prefix="botkit-compile-")
        built = compiled(Path(self.root), Path(self._place.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): name for name, path in built.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if hasattr(self, "_place"):
            self._place.cleanup()


def is_wanted() -> bool:
    """Return True if the user asked for the compiled form."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def compiled(root: Path, place: Path) -> dict[str, Path]:
    """Compile in a copy of the sources and return the libraries by their paths in the wheel."""
    shutil.copytree(root / "botkit", place / "botkit", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"))
    # importing any module of botkit would let mypy follow all that the package exports
    (place / "botkit" / "__init__.py").write_text("")
    modules = MODULES.split()
    hashes = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in modules}
    (place / SOURCES_MODULE).write_text(
        f"from typing import Final\n\nSOURCES: Final[dict[str, str]] = {hashes!r}\n", encoding="utf-8"
    )
    # a process of its own, because mypyc works in the current folder and exits on errors
    done = subprocess.run([sys.executable, __file__, *modules, SOURCES_MODULE], cwd=place, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"{VARIABLE}: botkit could not be compiled (see above; a C compiler and Python's headers are needed); "
            f"without the variable it is installed as plain Python"
        )
    libraries = place / "libraries"
    return {path.relative_to(libraries).as_posix(): path for path in libraries.rglob("*") if path.is_file()}


def arguments(files: list[str]) -> list[str]:
    """Return what mypyc is told to read. The form must not depend on settings for checking types, nor on the machine's
    own mypy configuration.
    """
    options = ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases", "--no-color-output"]
    return [*options, f"--python-version={sys.version_info.major}.{sys.version_info.minor}", *files]


def extensions(files: list[str], **generated: Any) -> list[Any]:
    """Write the C of modules into the folder ``c`` and return the extensions to build from it, the shared library
    first. ``generated`` goes to mypycify, which makes the C unless it is given there.
    """
    from mypyc.build import mypycify  # type: ignore[import-not-found,unused-ignore]

    made = mypycify(
        arguments(files),
        group_name=GROUP, opt_level="2", debug_level="0", multi_file=True, target_dir=C_FOLDER, **generated,
    )  # fmt: skip
    # one multiplication and addition in one instruction would round once instead of twice, and change results
    exact = [] if sys.platform == "win32" else ["-ffp-contract=off"]
    for extension in made:
        extension.extra_compile_args = [*extension.extra_compile_args, *exact]
    return list(made)


def build(files: list[str]) -> None:
    """Compile modules in the current folder into ``libraries``. All of them share one library, so that they call each
    other directly.
    """
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class Build(build_ext):
        def build_extension(self, ext: Extension) -> None:
            """Compile an extension's files on all cores, which setuptools does not, then link them."""

            def compile_one(source: str) -> list[str]:
                flags = ext.extra_compile_args
                return self.compiler.compile(
                    [source], self.build_temp, include_dirs=ext.include_dirs, extra_postargs=flags
                )

            Path(self.build_temp, Path(ext.sources[0]).parent).mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                ext.extra_objects = [name for made in pool.map(compile_one, ext.sources) for name in made]
            ext.sources = []
            super().build_extension(ext)

    command = Build(Distribution({"name": "botkit", "ext_modules": extensions(files)}))
    command.build_lib, command.build_temp, command.parallel = "libraries", "objects", os.cpu_count()
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    build(sys.argv[1:])
