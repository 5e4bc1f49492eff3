"""Stores the objects provided by loaded plugins, and calls their hooks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pluggy

import botkit.hookspecs as hookspecs
from botkit.errors import ConfigError, PluginError
from botkit.model.extension import ReportSection
from botkit.plugins import discovery
from botkit.plugins.checks import EVENTS, HOOKS, check_event_methods, check_hidden_names, check_plugin
from botkit.plugins.discovery import Candidate, Origin, did_you_mean, error_place, file_of, import_candidate, in_words

#: each kind of object that can be registered by name, and its hook
KINDS = {
    "strategies": "botkit_register_strategies",
    "exchanges": "botkit_register_exchanges",
    "fee_models": "botkit_register_fee_models",
    "latency_models": "botkit_register_latency_models",
    "fill_models": "botkit_register_fill_models",
    "risk_rules": "botkit_register_risk_rules",
    "tape_formats": "botkit_register_tape_formats",
    "notifiers": "botkit_register_notifiers",
}
_SINGULAR = {kind: kind.replace("_", " ").removesuffix("s").replace("strategie", "strategy") for kind in KINDS}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", re.ASCII)


class Registration(msgspec.Struct, frozen=True):
    """An object that a plugin provides under a name."""

    name: str
    thing: Any
    plugin: str
    file: str


#: the methods that objects from factories must have
_METHODS: dict[str, tuple[str, ...]] = {
    "fee_models": ("rates", "record"),
    "latency_models": ("order_ns", "answer_ns", "feed_ns"),
    "fill_models": ("on_arrival", "on_snapshot", "on_trade", "on_through"),
    "risk_rules": ("review",),
    "notifiers": ("notify",),
}


def made(kind: str, found: Registration, *arguments: Any) -> Any:
    """Create an object using a plugin's factory. ValueError, TypeError and ConfigError from the factory describe
    problems with its options and are re-raised. Any other failure raises PluginError naming the plugin's line.
    """
    what = f"the {_SINGULAR[kind]} `{found.name}` of the plugin `{found.plugin}`"
    try:
        thing = found.thing(*arguments)
    except (ValueError, TypeError, ConfigError):
        raise
    except Exception as error:
        raise PluginError(f"{error_place(error, found.file)}: {what} failed: {in_words(error)}") from error
    missing = [name for name in _METHODS[kind] if not callable(getattr(thing, name, None))]
    if missing:
        raise PluginError(f"{found.file}: {what} needs a method `{missing[0]}`, but it is {_spelled(thing)}")
    return thing


class LoadedPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin in use."""

    name: str
    origin: Origin
    file: str
    thing: Any
    distribution: str = ""
    version: str = ""


class BotPluginManager(pluggy.PluginManager):
    """Pluggy's manager, extended so that callbacks overridden by a strategy are hook implementations without needing a
    marker.
    """

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Apply pluggy's own rule to plugins. For a strategy, accept only its own ``on_*`` methods."""
        if is_strategy(plugin):
            if name not in EVENTS or not _overrides(type(plugin), name):
                return None
            return pluggy.HookimplOpts(
                wrapper=False, hookwrapper=False, optionalhook=False, tryfirst=False, trylast=False, specname=None
            )
        return super().parse_hookimpl_opts(plugin, name)


class Plugins:
    """The loaded plugins and the objects that they provide: one registry per kind, by name, in order of
    registration.
    """

    def __init__(self) -> None:
        self.manager = BotPluginManager("botkit")
        self.manager.add_hookspecs(hookspecs)
        self.loaded: list[LoadedPlugin] = []
        self.blocked: list[Candidate] = []
        self.strategies: dict[str, Registration] = {}
        self.exchanges: dict[str, Registration] = {}
        self.fee_models: dict[str, Registration] = {}
        self.latency_models: dict[str, Registration] = {}
        self.fill_models: dict[str, Registration] = {}
        self.risk_rules: dict[str, Registration] = {}
        self.tape_formats: dict[str, Registration] = {}
        self.notifiers: dict[str, Registration] = {}
        self._instances: list[Any] = []
        self._calls: dict[tuple[int, str], Callable[..., Any] | None] = {}

    # -- loading --------------------------------------------------------------------------------------------------

    def add(self, candidate: Candidate) -> None:
        """Import, validate and register a plugin. Raises PluginError."""
        other = next((plugin for plugin in self.loaded if plugin.name == candidate.name), None)
        if other is not None:
            raise PluginError(
                f"{candidate.file}: another plugin is also named `{candidate.name}`: {other.file}; "
                f"rename one of them, or remove one folder from `plugins:` (`block: [{candidate.name}]` blocks both)"
            )
        thing = import_candidate(candidate)
        if self.manager.is_registered(thing):
            return  # the same module was found twice, for example via an entry point and via `plugins:`
        file = candidate.file if candidate.origin == "folder" else file_of(thing)
        check_plugin(candidate.name, thing, file)
        try:
            self.manager.register(thing, name=candidate.name)
        except (pluggy.PluginValidationError, ValueError, TypeError) as error:
            raise PluginError(f"{file}: the plugin `{candidate.name}` cannot be used: {in_words(error)}") from error
        self.loaded.append(
            LoadedPlugin(
                name=candidate.name,
                origin=candidate.origin,
                file=file,
                thing=thing,
                distribution=candidate.distribution,
                version=candidate.version,
            )
        )

    def collect(self) -> None:
        """Call the registration hooks, one plugin at a time, in loading order. Raises PluginError."""
        self.manager.check_pending()
        for kind, hook in KINDS.items():
            for plugin, call in self._each(hook):
                call(register=self._registrar(kind, plugin))

    def _registrar(self, kind: str, plugin: LoadedPlugin) -> Callable[[str, Any], None]:
        registry: dict[str, Registration] = getattr(self, kind)
        what = _SINGULAR[kind]

        def register(name: str, thing: Any, /) -> None:
            if not isinstance(name, str) or not _NAME.match(name):
                raise PluginError(
                    f"{plugin.file}: the plugin `{plugin.name}` offers a {what} under {_spelled(name)}; "
                    "a name may contain letters, digits, - and _"
                )
            if name in registry:
                other = registry[name]
                raise PluginError(
                    f"{plugin.file}: the {what} `{name}` is offered twice, by the plugin `{other.plugin}` "
                    f"({other.file}) and by `{plugin.name}`; rename one, or block one of the plugins"
                )
            if kind == "strategies":
                _check_strategy(name, thing, plugin)
            elif kind in ("exchanges", "tape_formats"):
                method = "facts" if kind == "exchanges" else "read"
                if not callable(getattr(thing, method, None)) or isinstance(thing, type):
                    raise PluginError(
                        f"{plugin.file}: the {what} `{name}` of the plugin `{plugin.name}` must be an object with a "
                        f"method `{method}`, not {thing!r}"
                    )
            elif not callable(thing):
                raise PluginError(
                    f"{plugin.file}: the {what} `{name}` of the plugin `{plugin.name}` must be a function or class "
                    f"that creates one, not {thing!r}"
                )
            registry[name] = Registration(name, thing, plugin.name, plugin.file)

        return register

    # -- using ----------------------------------------------------------------------------------------------------

    def pick(self, kind: str, name: str, where: str = "") -> Registration:
        """Return the object registered under a name. Raises PluginError with a suggestion; ``where`` is
        ``file:line``.
        """
        registry: dict[str, Registration] = getattr(self, kind)
        found = registry.get(name)
        if found is not None:
            return found
        what = _SINGULAR[kind]
        hint = did_you_mean(name, registry)
        unoffered = self._unoffered(name) if kind == "strategies" else None
        if unoffered is not None:
            hint = unoffered
        elif not registry and kind == "strategies":
            hint = (
                "no plugin provides any; list a folder with plugins under `plugins:`, or run this command in the "
                "parent folder of ./strategies"
            )
        raise PluginError(f"{where}{': ' if where else ''}there is no {what} named `{name}`; {hint}")

    def _unoffered(self, name: str) -> str | None:
        """Return the remedy if a plugin's file defines this strategy class without registering it; otherwise return
        None.
        """
        offered = {registration.thing for registration in self.strategies.values()}
        found: dict[str, tuple[type, str]] = {}
        for plugin in self.loaded:
            if plugin.origin == "built-in" or not isinstance(plugin.thing, ModuleType):
                continue
            for value in vars(plugin.thing).values():
                own = isinstance(value, type) and value.__module__ == plugin.thing.__name__
                if own and getattr(value, "__botkit_strategy__", False) is True and value not in offered:
                    found[value.__name__] = (value, plugin.file)
        words = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls).lower(): cls for cls in found}
        meant = words.get(name.lower().replace("-", "_")) or (name if name in found else None)
        if meant is None and (len(found) != 1 or self.strategies):
            return None
        cls, file = found[meant or next(iter(found))]
        return (
            f"{file} defines the class `{cls.__name__}` but does not register it; add to the file: "
            f'@hookimpl  def botkit_register_strategies(register): register("{name}", {cls.__name__})'
        )

    def report_sections(self, result: Any) -> list[ReportSection]:
        """Return the sections that plugins add to a report. Raises PluginError naming the failed plugin."""
        found: list[ReportSection] = []
        for plugin, call in self._each("botkit_report_sections"):
            for given in call(result=result):
                sections = given or ()
                if not isinstance(sections, (list, tuple)) or any(not isinstance(s, ReportSection) for s in sections):
                    raise PluginError(
                        f"{plugin.file}: `botkit_report_sections` of the plugin `{plugin.name}` must return a list of "
                        f"ReportSection, not {_spelled(given)}"
                    )
                found += sections
        return found

    def metrics(self, snapshot: dict[str, float]) -> dict[str, float]:
        """Return the metrics that plugins add."""
        added: dict[str, float] = {}
        for _, call in self._each("botkit_metrics"):
            for figures in call(snapshot=dict(snapshot)):
                added.update(figures or {})
        return added

    def add_commands(self, group: Any) -> None:
        """Let plugins add commands to a click group."""
        for _, call in self._each("botkit_add_commands"):
            call(group=group)

    def _each(self, hook: str) -> Iterator[tuple[LoadedPlugin, Callable[..., Any]]]:
        """Yield the plugins that implement a hook, in loading order, each with a function that calls only that plugin.

        Wrappers from other plugins still apply to each call.
        """
        caller = getattr(self.manager.hook, hook)
        plain = [impl.plugin for impl in caller.get_hookimpls() if not (impl.wrapper or impl.hookwrapper)]
        for plugin in self.loaded:
            if any(thing is plugin.thing for thing in plain):
                others = [thing for thing in plain if thing is not plugin.thing]
                yield plugin, self._guarded(self.manager.subset_hook_caller(hook, others), plugin, hook)

    def _guarded(self, caller: Callable[..., Any], plugin: LoadedPlugin, hook: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            try:
                return caller(**arguments)
            except (KeyboardInterrupt, PluginError):
                raise
            except BaseException as error:
                raise PluginError(
                    f"{error_place(error, plugin.file)}: `{hook}` of the plugin `{plugin.name}` failed: "
                    f"{in_words(error)}; fix it, or block it with `block: [{plugin.name}]`"
                ) from error

        return call

    # -- events ---------------------------------------------------------------------------------------------------

    def register_strategy(self, strategy: Any, name: str) -> None:
        """Register a strategy instance: its ``on_*`` methods become hook implementations. This must precede the first
        `callbacks` call.
        """
        assert is_strategy(strategy), strategy
        assert not self._calls, "strategies must be registered before calls are resolved"
        self.manager.register(strategy, name=f"strategy:{name}")
        self._instances.append(strategy)

    def release_strategies(self) -> None:
        """Unregister an earlier bot's instances, so that another bot can be assembled from the same plugins."""
        for instance in self._instances:
            self.manager.unregister(instance)
        self._instances.clear()
        self._calls.clear()

    def has_wrappers(self, hook: str) -> bool:
        """Return True if a plugin wraps an event, so that its calls go through pluggy."""
        return any(impl.wrapper or impl.hookwrapper for impl in getattr(self.manager.hook, hook).get_hookimpls())

    def call_through(self, hook: str, strategy: Any) -> Callable[..., Any]:
        """Return a function that takes the event's positional arguments and runs the wrappers around this strategy's
        callback.
        """
        others = [instance for instance in self._instances if instance is not strategy]
        caller = self.manager.subset_hook_caller(hook, others)
        names = HOOKS[hook]

        def call(*arguments: Any) -> Any:
            return caller(**dict(zip(names, arguments, strict=True)))

        call.__name__ = hook
        return call

    def callbacks(self, strategy: Any, hook: str) -> Callable[..., Any] | None:
        """Return `call_through` if a plugin wraps the event. Otherwise return None; the engine then calls the method
        directly.
        """
        key = (id(strategy), hook)
        try:
            return self._calls[key]
        except KeyError:
            call = self.call_through(hook, strategy) if self.has_wrappers(hook) else None
            self._calls[key] = call
            return call

    # -- describing -----------------------------------------------------------------------------------------------

    def describe(self) -> list[dict[str, Any]]:
        """Return one row per plugin: name, origin, file, distribution, version, hooks, offers (names by kind) and
        blocked.
        """
        rows = []
        for plugin in self.loaded:
            callers = self.manager.get_hookcallers(plugin.thing) or []
            offers = {
                kind: names
                for kind in KINDS
                if (names := [r.name for r in getattr(self, kind).values() if r.plugin == plugin.name])
            }
            rows.append(_row(plugin, sorted(caller.name for caller in callers), offers, blocked=False))
        return rows + [_row(candidate, [], {}, blocked=True) for candidate in self.blocked]

    @staticmethod
    def describe_hooks() -> list[dict[str, str]]:
        """Return one row per hook: name, signature, text (its docstring)."""
        rows = []
        for name in HOOKS:
            function = getattr(hookspecs, name)
            signature = str(inspect.signature(function)).replace("'", "")
            rows.append({"name": name, "signature": f"{name}{signature}", "text": inspect.getdoc(function) or ""})
        return rows


def load_plugins(
    *,
    folders: Sequence[Path] = (),
    modules: Sequence[str] = (),
    block: Sequence[str] = (),
    environ_load: str | None = None,
    builtin: Sequence[tuple[str, ModuleType | object]] = (),
) -> Plugins:
    """Find, import, validate and register all plugins: built-in, installed, then those in folders and modules.

    Plugins named in ``block`` are not even imported; ``environ_load`` is the value of BOTKIT_LOAD_PLUGINS (None if it
    is not set). Raises PluginError naming the plugin, the file and the remedy.
    """
    plugins = Plugins()
    candidates = [
        *discovery.built_in(builtin),
        *discovery.entry_points(environ_load),
        *discovery.folder_files(folders),
        *discovery.modules(modules),
    ]
    known = {candidate.name for candidate in candidates}
    for name in block:
        if name not in known:
            raise PluginError(f"`block` names the plugin `{name}`, which does not exist; {did_you_mean(name, known)}")
    for candidate in candidates:
        if candidate.name in block:
            plugins.blocked.append(candidate)
        else:
            plugins.add(candidate)
    plugins.collect()
    return plugins


def is_strategy(thing: Any) -> bool:
    """Return True if an object is a strategy instance. Strategies are recognized by a marker attribute because this
    module does not import the engine.
    """
    return not isinstance(thing, (type, ModuleType)) and getattr(type(thing), "__botkit_strategy__", False) is True


def _overrides(cls: type, name: str) -> bool:
    """Return True if a class overrides the base class's method, which does nothing."""
    for owner in cls.__mro__:
        if name in vars(owner):
            return "__botkit_strategy__" not in vars(owner)
    return False


def _spelled(thing: Any) -> str:
    """Describe a value for an error message, without the module names that botkit generates for plugin files."""
    if isinstance(thing, type):
        return f"the class {thing.__qualname__}"
    if isinstance(thing, (str, int, float, type(None))):
        return repr(thing)
    return f"an object of the class {type(thing).__qualname__}"


def _check_strategy(name: str, thing: Any, plugin: LoadedPlugin) -> None:
    if not isinstance(thing, type) or getattr(thing, "__botkit_strategy__", False) is not True:
        raise PluginError(
            f"{plugin.file}: the strategy `{name}` of the plugin `{plugin.name}` must be a class derived from "
            f"botkit.Strategy, not {_spelled(thing)}"
        )
    check_event_methods(thing, plugin.file)
    check_hidden_names(thing, plugin.file)


def _row(
    plugin: LoadedPlugin | Candidate, hooks: list[str], offers: dict[str, list[str]], *, blocked: bool
) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "origin": plugin.origin,
        "file": plugin.file,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "hooks": hooks,
        "offers": offers,
        "blocked": blocked,
    }
