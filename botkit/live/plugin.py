"""Registers the built-in notifiers."""

from __future__ import annotations

from collections.abc import Callable

from botkit.model.extension import Notifier, Options, hookimpl


@hookimpl
def botkit_register_notifiers(register: Callable[[str, Callable[[Options], Notifier]], None]) -> None:
    """Register three notifiers: ``bell`` rings the terminal bell, ``telegram`` also accepts commands, and ``apprise``
    reaches other phone and chat services.
    """
    register("bell", _bell)
    register("telegram", _telegram)
    register("apprise", _apprise)


def _bell(options: Options) -> Notifier:
    from botkit.live.notifications.notify import Bell

    if options:
        raise ValueError(f"bell takes no options, but got {next(iter(options))!r}")
    return Bell()


def _telegram(options: Options) -> Notifier:
    from botkit.live.notifications.telegram.notifier import TelegramNotifier

    return TelegramNotifier(options)


def _check_telegram(options: Options) -> None:
    from botkit.live.notifications.telegram.notifier import check_options

    check_options(options)


def _apprise(options: Options) -> Notifier:
    from botkit.live.notifications.notify import AppriseNotifier

    return AppriseNotifier(options)


#: the options that each notifier takes, besides those of every notifier; also checked before secrets are read
_bell.takes = ()  # type: ignore[attr-defined]
_telegram.takes = ("token", "chat", "user", "address")  # type: ignore[attr-defined]
_apprise.takes = ("url", "urls")  # type: ignore[attr-defined]
#: the options that a configuration must set, with the complaint if one is absent; checked before secrets are read
_telegram.required = {  # type: ignore[attr-defined]
    "token": "it is missing; get a token from @BotFather",
    "chat": "it is missing",
}
#: checks the values of those options that a configuration contains as plain text; also called before secrets are read
_telegram.check = _check_telegram  # type: ignore[attr-defined]
