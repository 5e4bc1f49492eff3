"""The compiled form is built only on request and from the same source files. It is refused if the source files have
changed since compilation.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import shutil
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from botkit import compiled
from tests.test_architecture import PURE, kinds_of_classes

ROOT = Path(__file__).parent.parent


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_hook", ROOT / ".compile" / "hook.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(module.VARIABLE, raising=False)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a small project with the real build settings."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / ".compile", tmp_path / ".compile", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "botkit").mkdir()
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "botkit" / name, tmp_path / "botkit" / name)
    return tmp_path


def test_without_the_environment_variable_a_wheel_is_plain_python_and_needs_no_compiler(
    hook: ModuleType, project: Path
) -> None:
    builder = WheelBuilder(str(project))
    assert builder.config.dependencies == []
    (wheel,) = builder.build(directory=str(project / "dist"), versions=["standard"])
    assert wheel.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {Path(name).suffix for name in archive.namelist() if name.startswith("botkit/")} == {".py"}


def test_with_the_environment_variable_the_build_requires_the_compiler(
    hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hook.VARIABLE, "1")
    assert WheelBuilder(str(project)).config.dependencies == hook.REQUIREMENTS


def test_an_editable_install_is_never_compiled(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(hook.VARIABLE, "1")
    build_data: dict[str, Any] = {}
    builder = WheelBuilder(str(ROOT))
    hook.CompileHook(
        str(ROOT), {}, builder.config, builder.metadata, str(ROOT / "dist"), builder.PLUGIN_NAME, builder.app
    ).initialize("editable", build_data)
    assert build_data == {}
    assert "BOTKIT_COMPILE is ignored" in "".join(capsys.readouterr())


def test_a_source_distribution_contains_the_compile_hook(project: Path) -> None:
    (made,) = SdistBuilder(str(project)).build(directory=str(project / "dist"), versions=["standard"])
    shutil.unpack_archive(made, project / "unpacked")
    assert list((project / "unpacked").glob("*/.compile/hook.py"))


def test_modules_to_compile_exist_and_contain_no_structs(hook: ModuleType) -> None:
    modules = hook.MODULES.split()
    assert modules == sorted(set(modules))
    for name in modules:
        assert kinds_of_classes((ROOT / name).read_text(encoding="utf-8")) <= {"class"}, name
        assert name.split("/")[1] in (*PURE, "backtesting")


def test_a_source_file_changed_after_compilation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "botkit" / "engine.py"
    file.parent.mkdir()
    file.write_text("a = 1\n")
    sources = {"botkit/engine.py": hashlib.sha256(file.read_bytes()).hexdigest(), "botkit/not_installed.py": "0"}
    compiled.check(sources, tmp_path)
    file.write_text("a = 2\n")
    with pytest.raises(ImportError, match=re.escape(f"{file} has changed") + ".* reinstall botkit"):
        compiled.check(sources, tmp_path)


@pytest.mark.skipif(not compiled.IS_COMPILED, reason="botkit runs as plain Python")
def test_every_listed_module_is_compiled(hook: ModuleType) -> None:
    modules = hook.MODULES.split()
    assert set(compiled.SOURCES) == set(modules)
    for name in modules:
        module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
        assert Path(module.__file__ or "").suffix in (".so", ".pyd"), name
    assert compiled.form() == f"{len(modules)} modules compiled"
