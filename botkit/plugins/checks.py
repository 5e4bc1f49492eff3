"""Reports plugin and strategy mistakes that would otherwise go unnoticed: misspelled hooks, missing markers, wrong
arguments.

Pluggy calls the names that match and ignores the rest, so a misspelled callback would never run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import botkit.hookspecs as hookspecs
from botkit.errors import PluginError
from botkit.plugins.discovery import did_you_mean

#: the arguments of each hook, in order
HOOKS: dict[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)
    for name, function in vars(hookspecs).items()
    if name.startswith(("botkit_", "on_")) and inspect.isfunction(function)
}
EVENTS = frozenset(name for name in HOOKS if name.startswith("on_"))

_MARK = "botkit_impl"


def check_plugin(name: str, thing: Any, file: str) -> None:
    """Refuse functions that look like hook implementations but are not valid ones. Raises PluginError."""
    for attribute in dir(thing):
        # a plugin's attributes may be of any type, but only functions are examined
        function = inspect.getattr_static(thing, attribute, None)
        if isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        if not inspect.isfunction(function):
            continue
        options = getattr(function, _MARK, None)
        if options is None:
            own = not isinstance(thing, ModuleType) or function.__module__ == thing.__name__
            if attribute.startswith("botkit_") and own:
                raise PluginError(
                    f"{_line(function, file)}: `{attribute}` of the plugin `{name}` is not marked, so it would never "
                    "be called; put @hookimpl above it, or rename it"
                )
            continue
        hook = options.get("specname") or attribute
        _check_hook(name, hook, function, options, file)


def _check_hook(name: str, hook: str, function: Callable[..., Any], options: dict[str, Any], file: str) -> None:
    where = _line(function, file)
    if hook not in HOOKS:
        if options.get("optionalhook"):
            return
        raise PluginError(
            f"{where}: `{hook}` of the plugin `{name}` is not a hook; {did_you_mean(hook, HOOKS)} "
            "(`botkit plugins --hooks` describes them)"
        )
    arguments = [n for n in inspect.signature(function).parameters if n != "self"]
    wrong = [argument for argument in arguments if argument not in HOOKS[hook]]
    if wrong:
        raise PluginError(
            f"{where}: `{hook}` of the plugin `{name}` takes `{wrong[0]}`, which the hook does not have; "
            f"its arguments are ({', '.join(HOOKS[hook])})"
        )
    if hook in EVENTS and not (options.get("wrapper") or options.get("hookwrapper")):
        raise PluginError(
            f"{where}: the plugin `{name}` implements the event `{hook}`, which only strategies can; to wrap "
            "the strategies' callbacks, write @hookimpl(wrapper=True) and `return (yield)`"
        )


def check_event_methods(cls: type, file: str) -> None:
    """Refuse a strategy's public ``on_*`` methods that no event would call, or that an event would call with different
    arguments.

    Raises PluginError with the method's line and a suggestion. ``file`` is used if the line is not known.
    """
    for owner in reversed(cls.__mro__):
        if owner is object or "__botkit_strategy__" in vars(owner):
            continue
        for name, value in vars(owner).items():
            if name.startswith("on_"):
                _check_event_method(cls, name, value, file)


def check_hidden_names(cls: type, file: str) -> None:
    """Refuse a strategy's methods and attributes that would replace a member of the base class. For example, a method
    named ``close`` would silently replace the order method. Parameters are validated where they are read.

    Raises PluginError with the method's line. ``file`` is used if the line is not known.
    """
    base = next((owner for owner in cls.__mro__ if "__botkit_strategy__" in vars(owner)), None)
    if base is None:
        return
    for owner in cls.__mro__:
        if owner in base.__mro__:
            continue
        parameters = vars(owner).get("__annotations__", {})
        for name, value in vars(owner).items():
            if name.startswith("on_") or (name.startswith("__") and name.endswith("__")) or name in parameters:
                continue
            if hasattr(base, name) or name in vars(base).get("__annotations__", {}):
                raise PluginError(
                    f"{_line(value, file)}: `{name}` of the strategy `{cls.__name__}` would hide an attribute that "
                    "every strategy has; rename it"
                )


def _check_event_method(cls: type, name: str, value: Any, file: str) -> None:
    where = _line(value, file)
    if name not in EVENTS:
        raise PluginError(
            f"{where}: `{name}` of the strategy `{cls.__name__}` is not an event; {did_you_mean(name, EVENTS)} "
            "A method passed to `subscribe_bars(..., on=...)` must not start with on_: rename it"
        )
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value) or inspect.isgeneratorfunction(value):
        raise PluginError(
            f"{where}: `{name}` of the strategy `{cls.__name__}` is async or a generator, so it would never run; "
            f"write a plain `def {name}`"
        )
    if not inspect.isfunction(value):
        raise PluginError(
            f"{where}: `{name}` of the strategy `{cls.__name__}` is not a plain method; "
            f"write `def {name}({', '.join(('self', *HOOKS[name]))})`"
        )
    parameters = list(inspect.signature(value).parameters.values())[1:]
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    odd = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if tuple(p.name for p in needed) != HOOKS[name] or odd:
        raise PluginError(
            f"{where}: `{name}` of the strategy `{cls.__name__}` must take exactly these arguments, under these names: "
            f"write `def {name}({', '.join(('self', *HOOKS[name]))})`"
        )


def _line(function: Any, file: str) -> str:
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else file
