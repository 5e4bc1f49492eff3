"""Plugin discovery and ordering, every kind of mistake in a plugin, and event dispatch through wrappers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from botkit.errors import PluginError
from botkit.model.extension import ReportSection, hookimpl
from botkit.plugins import Plugins, check_event_methods, load_plugins
from botkit.plugins.discovery import import_file

STRATEGY = """\
from botkit.model.extension import hookimpl

class Base:
    __botkit_strategy__ = True
    def on_bar(self, bar): ...

class Mine(Base):
    def on_bar(self, bar): ...

@hookimpl
def botkit_register_strategies(register):
    register("{name}", Mine)
"""


class Base:
    """A stand-in for the engine's Strategy class. Plugins recognize the class solely by its marker."""

    __botkit_strategy__ = True

    def on_bar(self, bar: Any) -> None: ...

    def on_stop(self) -> None: ...


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refused(**arguments: Any) -> str:
    with pytest.raises(PluginError) as caught:
        load_plugins(environ_load="", **arguments)
    return str(caught.value)


def load(**arguments: Any) -> Plugins:
    return load_plugins(environ_load=arguments.pop("environ_load", ""), **arguments)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install two distributions whose entry points are not discovered in alphabetical order."""
    for distribution, module in (("zeta", "zeta_plugin"), ("alpha", "alpha_plugin")):
        info = tmp_path / "site" / f"{distribution}-1.5.dist-info"
        write(info, "METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        write(info, "entry_points.txt", f"[botkit]\n{distribution}_two = {module}\n{distribution}_one = {module}_b\n")
        for name in (module, f"{module}_b"):
            write(tmp_path / "site", f"{name}.py", "from botkit.model.extension import hookimpl\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for name in ("zeta_plugin", "zeta_plugin_b", "alpha_plugin", "alpha_plugin_b"):
        sys.modules.pop(name, None)


# -- discovery and order ----------------------------------------------------------------------------------------------


def test_plugins_are_loaded_in_the_order_built_in_then_installed_then_folders_then_modules(
    tmp_path: Path, installed: Path
) -> None:
    write(tmp_path / "p", "b.py", "")
    write(tmp_path / "p", "a.py", "")
    write(tmp_path / "p", "_part.py", "raise RuntimeError")
    write(installed, "dotted_plugin.py", "")
    plugins = load(
        builtin=[("core", SimpleNamespace())], folders=[tmp_path / "p"], modules=["dotted_plugin"], environ_load=None
    )
    names = [row["name"] for row in plugins.describe()]
    assert names == ["core", "alpha_one", "alpha_two", "zeta_one", "zeta_two", "a", "b", "dotted_plugin"]
    row = plugins.describe()[1]
    assert (row["origin"], row["distribution"], row["version"]) == ("entry point", "alpha", "1.5")


@pytest.mark.parametrize(
    ("value", "names"), [("", []), ("zeta_one", ["zeta_one"]), (" zeta_two , alpha_one,", ["alpha_one", "zeta_two"])]
)
def test_the_environment_variable_restricts_installed_plugins(installed: Path, value: str, names: list[str]) -> None:
    assert [row["name"] for row in load(environ_load=value).describe()] == names


def test_a_distribution_installed_or_removed_while_a_process_runs_is_noticed(installed: Path) -> None:
    def names() -> list[str]:
        return [row["name"] for row in load(environ_load=None).describe()]

    assert names() == ["alpha_one", "alpha_two", "zeta_one", "zeta_two"]
    folder, elsewhere = installed / "zeta-1.5.dist-info", installed.parent / "elsewhere"
    for changed, (source, target, left) in enumerate([(folder, elsewhere, 2), (elsewhere, folder, 4)]):
        source.rename(target)
        os.utime(installed, ns=(changed, changed))  # both may happen within one tick of the file system's clock
        assert len(names()) == left


def test_a_misspelled_name_in_the_environment_variable_is_refused(installed: Path) -> None:
    with pytest.raises(PluginError, match="did you mean `zeta_one`"):
        load(environ_load="zeta_on")


def test_a_folder_given_by_several_paths_is_loaded_once(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    write(folder, "mine.py", STRATEGY.format(name="mine"))
    try:
        (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    except OSError:  # requires a privilege on Windows
        write(tmp_path / "link", "_empty.py", "")
    plugins = load(folders=[folder, folder / ".." / "p", tmp_path / "link", folder / "mine.py"])
    assert list(plugins.strategies) == ["mine"]
    assert len(plugins.loaded) == 1


def test_a_file_is_imported_once_and_reimported_only_after_a_change(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", "value = [1]\n")
    first = import_file(file)
    assert import_file(file) is first
    file.write_text("value = [2]\n", encoding="utf-8")
    assert import_file(file).value == [2]


def test_a_module_that_is_also_installed_is_loaded_once(installed: Path) -> None:
    plugins = load(environ_load="zeta_two", modules=["zeta_plugin"])
    assert [row["name"] for row in plugins.describe()] == ["zeta_two"]


def test_a_blocked_plugin_is_not_imported(tmp_path: Path) -> None:
    write(tmp_path, "bad.py", "raise RuntimeError('must not run')\n")
    plugins = load(folders=[tmp_path], block=["bad", "core"], builtin=[("core", SimpleNamespace())])
    assert plugins.loaded == []
    assert [(row["name"], row["blocked"]) for row in plugins.describe()] == [("core", True), ("bad", True)]


def test_objects_registered_by_plugins_are_kept_by_name_with_their_origin(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", STRATEGY.format(name="dip"))
    plugins = load(folders=[tmp_path])
    found = plugins.pick("strategies", "dip")
    assert (found.plugin, found.file, found.thing.__name__) == ("mine", str(file), "Mine")
    (row,) = plugins.describe()
    assert row["offers"] == {"strategies": ["dip"]}
    assert row["hooks"] == ["botkit_register_strategies"]
    with pytest.raises(PluginError, match=r"^x\.yaml:3: there is no strategy named `dpi`; did you mean `dip`"):
        plugins.pick("strategies", "dpi", "x.yaml:3")


def test_hooks_are_described_by_their_docstrings() -> None:
    rows = {row["name"]: row for row in Plugins.describe_hooks()}
    assert rows["on_bar"]["signature"] == "on_bar(bar: Bar) -> None"
    assert "configuration selects one" in rows["botkit_register_strategies"]["text"]
    assert all(row["text"] for row in rows.values())


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("x = 1\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("import no_such_module_anywhere\n", 1, "No module named"),
        ("import sys\nsys.exit(3)\n", 2, "sys.exit(3)"),
        ("class Odd(BaseException): ...\nraise Odd('x')\n", 2, "Odd: x"),
        ("def f():\n    raise ValueError('deep')\nf()\n", 2, "ValueError: deep"),
        ("# \x00\n", 0, "cannot be imported"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    file = write(tmp_path, "mine.py", text)
    message = refused(folders=[tmp_path])
    assert message.startswith(f"{file}:{line}: " if line else str(file))
    assert words in message
    assert "plugin `mine`" in message
    assert "block: [mine]" in message


def test_a_failed_import_leaves_no_module_in_memory(tmp_path: Path) -> None:
    write(tmp_path, "half_made.py", "1 / 0\n")
    refused(folders=[tmp_path])
    assert not [name for name in sys.modules if "half_made" in name]


def test_an_interrupt_is_not_swallowed(tmp_path: Path) -> None:
    write(tmp_path, "mine.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load(folders=[tmp_path])


HEAD = "from botkit.model.extension import hookimpl\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            HEAD + "@hookimpl\ndef botkit_register_stratgies(register): ...\n",
            "did you mean `botkit_register_strategies`?",
        ),
        (HEAD + "@hookimpl\ndef botkit_register_strategies(rgister): ...\n", "its arguments are (register)"),
        (HEAD + "def x(): ...\ndef botkit_register_strategies(register): ...\n", "put @hookimpl above it"),
        (HEAD + "@hookimpl\ndef on_bar(bar): ...\n", "@hookimpl(wrapper=True)"),
        (HEAD + "@hookimpl(wrapper=True)\ndef on_bar(bar): ...\n", "cannot be used"),
        (HEAD + "@hookimpl\ndef botkit_register_strategies(register):\n    register('a', 1 / 0)\n", "division by zero"),
        (HEAD + "@hookimpl\ndef botkit_register_strategies(register):\n    register('a', int)\n", "derived from"),
        (
            HEAD + "@hookimpl\ndef botkit_register_strategies(register):\n    register('a b', int)\n",
            "a name may contain letters",
        ),
        (
            HEAD + "@hookimpl\ndef botkit_register_exchanges(register):\n    register('a', object())\n",
            "a method `facts`",
        ),
        (HEAD + "@hookimpl\ndef botkit_register_fee_models(register):\n    register('a', 1)\n", "a function or class"),
    ],
)
def test_a_plugin_that_would_be_ignored_or_fail_later_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = write(tmp_path, "mine.py", text)
    message = refused(folders=[tmp_path])
    assert message.startswith(str(file))
    assert words in message
    assert "mine" in message


def test_two_plugins_with_the_same_name_are_refused(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", "mine.py", ""), write(tmp_path / "b", "mine.py", "")
    message = refused(folders=[tmp_path / "a", tmp_path / "b"])
    assert str(first) in message
    assert str(second) in message
    assert "rename one" in message


def test_a_name_that_is_registered_twice_is_refused_with_both_files(tmp_path: Path) -> None:
    first = write(tmp_path, "a.py", STRATEGY.format(name="dip"))
    second = write(tmp_path, "b.py", STRATEGY.format(name="dip"))
    message = refused(folders=[tmp_path])
    assert "strategy `dip` is offered twice" in message
    assert str(first) in message
    assert str(second) in message


def test_missing_folders_missing_modules_and_unknown_blocked_names_are_refused(tmp_path: Path) -> None:
    assert "this plugin folder does not exist" in refused(folders=[tmp_path / "absent"])
    assert "No module named" in refused(modules=["absent_module_x"])
    write(tmp_path, "mine.py", "")
    assert "did you mean `mine`?" in refused(folders=[tmp_path], block=["mime"])
    assert "a .py file" in refused(folders=[write(tmp_path, "x.txt", "")])


def test_an_entry_point_that_fails_is_named_in_the_error(installed: Path) -> None:
    write(installed, "zeta_plugin.py", "import sys\n\nsys.exit()\n")
    with pytest.raises(PluginError, match=r"zeta_plugin\.py:3: the plugin `zeta_two`"):
        load(environ_load="zeta_two")


# -- callbacks of strategies ------------------------------------------------------------------------------------------


def event_error(**methods: Any) -> str:
    with pytest.raises(PluginError) as caught:
        check_event_methods(type("Mine", (Base,), methods), "mine.py")
    return str(caught.value)


def test_a_misspelled_callback_is_refused_with_a_suggestion() -> None:
    assert "did you mean `on_trade`?" in event_error(on_trades=lambda self, trade: None)
    assert "must not start with on_" in event_error(on_hourly=lambda self, bar: None)


def test_callbacks_accept_exactly_the_arguments_of_their_event() -> None:
    right = "def on_bar(self, bar)"
    assert right in event_error(on_bar=lambda self, candle: None)
    assert right in event_error(on_bar=lambda self: None)
    assert right in event_error(on_bar=lambda self, bar, more: None)
    assert right in event_error(on_bar=property(lambda self: None))
    assert right in event_error(on_bar=staticmethod(lambda bar: None))

    async def on_bar(self: Any, bar: Any) -> None: ...

    assert "async" in event_error(on_bar=on_bar)
    check_event_methods(type("Mine", (Base,), {"on_bar": lambda self, bar, cache=None: None}), "mine.py")


def test_private_methods_and_the_base_class_are_not_checked() -> None:
    check_event_methods(type("Mine", (Base,), {"_on_whatever": lambda self: None, "once": 1}), "mine.py")


# -- events through wrappers ------------------------------------------------------------------------------------------


class Recorder(Base):
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def on_bar(self, bar: Any) -> None:
        self.log.append(f"{self.name} {bar}")


def test_without_wrappers_the_engine_calls_the_method_directly() -> None:
    plugins = load()
    strategy = Recorder("a", [])
    plugins.register_strategy(strategy, "a")
    assert not plugins.has_wrappers("on_bar")
    assert plugins.callbacks(strategy, "on_bar") is None


def test_wrappers_are_called_separately_around_each_strategy() -> None:
    log: list[str] = []

    class Watch:
        @hookimpl(wrapper=True)
        def on_bar(self, bar: Any) -> Iterator[None]:
            log.append("before")
            try:
                return (yield)
            finally:
                log.append("after")

    plugins = load(builtin=[("watch", Watch())])
    first, second = Recorder("a", log), Recorder("b", log)
    plugins.register_strategy(first, "a")
    plugins.register_strategy(second, "b")
    assert plugins.has_wrappers("on_bar")
    assert not plugins.has_wrappers("on_stop")
    call = plugins.callbacks(first, "on_bar")
    assert call is not None
    call(1)
    assert log == ["before", "a 1", "after"]
    log.clear()
    other = plugins.callbacks(second, "on_bar")
    assert other is not None
    other(2)
    assert log == ["before", "b 2", "after"]
    assert plugins.callbacks(first, "on_stop") is None


def test_an_exception_raised_by_a_strategy_passes_through_its_wrappers() -> None:
    class Watch:
        @hookimpl(wrapper=True)
        def on_bar(self, bar: Any) -> Iterator[None]:
            return (yield)

    class Broken(Base):
        def on_bar(self, bar: Any) -> None:
            raise ZeroDivisionError

    plugins = load(builtin=[("watch", Watch())])
    strategy = Broken()
    plugins.register_strategy(strategy, "a")
    call = plugins.callbacks(strategy, "on_bar")
    assert call is not None
    with pytest.raises(ZeroDivisionError):
        call(1)


def test_registering_a_strategy_does_not_read_its_properties() -> None:
    class Careful(Base):
        @property
        def now(self) -> int:
            raise AssertionError("read before the strategy was started")

    load().register_strategy(Careful(), "a")


def test_after_strategies_are_released_another_bot_can_register_the_same_names() -> None:
    plugins = load()
    plugins.register_strategy(Recorder("a", []), "a")
    plugins.release_strategies()
    plugins.register_strategy(Recorder("a", []), "a")


# -- calls through other hooks ----------------------------------------------------------------------------------------


def test_sections_and_metrics_are_collected_in_plugin_load_order() -> None:
    def plugin(name: str) -> Any:
        class Plugin:
            @hookimpl
            def botkit_report_sections(self, result: Any) -> list[ReportSection]:
                return [ReportSection(name, str(result))]

            @hookimpl
            def botkit_metrics(self, snapshot: dict[str, float]) -> dict[str, float]:
                return {name: snapshot["x"] + 1}

        return Plugin()

    plugins = load(builtin=[("a", plugin("a")), ("b", plugin("b"))])
    assert plugins.report_sections(1) == [ReportSection("a", "1"), ReportSection("b", "1")]
    assert plugins.metrics({"x": 1.0}) == {"a": 2.0, "b": 2.0}


def test_a_plugin_whose_hook_fails_is_named_in_the_error(tmp_path: Path) -> None:
    file = write(tmp_path, "mine.py", HEAD + "@hookimpl\ndef botkit_report_sections(result):\n    1 / 0\n")
    plugins = load(folders=[tmp_path])
    with pytest.raises(PluginError, match="block it") as caught:
        plugins.report_sections(None)
    assert str(caught.value).startswith(f"{file}:4: `botkit_report_sections` of the plugin `mine` failed")


def test_only_callbacks_overridden_by_a_strategy_are_hook_implementations() -> None:
    plugins = load()
    strategy = Recorder("a", [])
    plugins.register_strategy(strategy, "a")
    callers = plugins.manager.get_hookcallers(strategy) or []
    assert [caller.name for caller in callers] == ["on_bar"]


def test_a_plugin_can_add_a_command(tmp_path: Path) -> None:
    text = HEAD + (
        "import click\n@hookimpl\ndef botkit_add_commands(group):\n    group.add_command(click.Command('mine'))\n"
    )
    write(tmp_path, "mine.py", text)
    group = click.Group()
    load(folders=[tmp_path]).add_commands(group)
    assert list(group.commands) == ["mine"]
