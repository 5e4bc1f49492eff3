"""Parses messages to a Telegram bot, and executes commands from the configured chat and user only.

This module itself uses no clock, thread or network. `ChatDesk.take` is called with one update after another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from botkit.errors import BotkitError
from botkit.live.notifications.telegram.reach import Commanded
from botkit.model.clock import NS_PER_S, Nanos

#: commands older than this are dropped, because the situation they were meant for may have passed
AGE_MAX: Nanos = 60 * NS_PER_S
#: how long the user has to answer a question
ANSWER_MAX: Nanos = 60 * NS_PER_S
_PENDING_MAX = 20
_SHOWS = ("status", "why")
_WITH_STRATEGY = ("pause",)
_ASKS = ("stop", "panic", "resume")
COMMANDS = ("status", "why", "pause", "resume", "stop", "panic")
HELP = """/status [BOT] - money, orders, streams
/why [BOT] - why it did not trade
/pause [BOT] STRATEGY - no new orders
/resume [BOT] [STRATEGY] - lift a pause, or a panic's halt
/stop [BOT] - cancel orders and end
/panic [BOT] - halt, and cancel every order of the account"""
_MEANING = {
    "stop": "cancel its orders and end it",
    "panic": "halt it and cancel EVERY order on its account, including orders that are not the bot's",
    "resume": "lift the halt, so that it trades again",
}


class Chat(Protocol):
    """The messages that the desk sends to the user."""

    def say(self, chat: int, text: str, buttons: Sequence[tuple[str, str]] = ()) -> None:
        """Send a message. ``buttons`` are (label, data)."""
        ...

    def close_question(self, press: str, note: str, chat: int, message: int) -> None:
        """Acknowledge the press of a button, and remove the buttons from the message."""
        ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A command waiting for confirmation. The confirmation is valid once, and only for this bot and this command."""

    bot: str
    since: Nanos
    command: str
    strategy: str | None
    chat: int
    user: int
    until: Nanos

    def is_about(self, bot: Commanded) -> bool:
        """Return whether the question is about this run of the bot, not an earlier run."""
        return (self.bot, self.since) == (f"{bot.name}/{bot.mode}", bot.since)


class ChatDesk:
    """Processes the updates of one Telegram bot in order."""

    def __init__(
        self,
        *,
        bots: Callable[[int, int], Sequence[Commanded]],
        chat: Chat,
        now: Callable[[], Nanos],
        code: Callable[[], str],
    ) -> None:
        """``bots`` returns the bots that accept commands from (chat, user). ``now`` returns the machine's wall time.
        ``code`` generates unpredictable words. ``username`` must be set before the first update.
        """
        self.username = ""
        #: the numbers of updates that were not meant for this chat desk, and of updates that arrived too late
        self.foreign = 0
        self.late = 0
        self._bots = bots
        self._chat = chat
        self._now = now
        self._code = code
        self._questions: dict[str, Question] = {}
        self._late_said: Nanos = -AGE_MAX

    def take(self, update: Mapping[str, Any]) -> None:
        """Handle one update. Never raises an exception because of its content, however malformed."""
        message, press = update.get("message"), update.get("callback_query")
        if isinstance(message, dict):
            self._message(message)
        elif isinstance(press, dict):
            self._pressed(press)

    # -- messages -----------------------------------------------------------------------------------------------------

    def _message(self, message: dict[str, Any]) -> None:
        text, sent = message.get("text"), message.get("date")
        if not isinstance(text, str) or not text.startswith("/") or not isinstance(sent, int):
            return
        first, *words = text.split()
        command, _, addressee = first[1:].partition("@")
        if addressee and addressee.lower() != self.username.lower():
            return  # in a group, this command is meant for another bot
        chat, user = _number(message.get("chat")), _number(message.get("from"))
        bots = self._bots(chat, user)
        if not bots:
            self.foreign += 1
            return
        fresh = [bot for bot in bots if sent * NS_PER_S >= bot.since]
        if not fresh or abs(self._now() - sent * NS_PER_S) > AGE_MAX:
            self.late += 1
            self._refuse_late(chat, command, is_before=not fresh)
            return
        if command not in COMMANDS:
            names = ", ".join(_label(bot, fresh) for bot in fresh)
            self._chat.say(chat, f"{HELP}\n\nrunning: {names}")
            return
        self._command(command, words, fresh, chat, user)

    def _refuse_late(self, chat: int, command: str, *, is_before: bool) -> None:
        if self._now() - self._late_said < AGE_MAX:
            return  # report this only once, because many late commands may arrive together
        self._late_said = self._now()
        seconds = AGE_MAX // NS_PER_S
        why = (
            "was sent before the bot's start"
            if is_before
            else f"was not sent within the last {seconds} s, according to the clock of the bot's machine"
        )
        self._chat.say(chat, f"/{command} {why}, so nothing was done; send it again")

    def _command(self, command: str, words: list[str], bots: Sequence[Commanded], chat: int, user: int) -> None:
        named = [bot for bot in bots if words and words[0] in (bot.name, f"{bot.name}/{bot.mode}")]
        if named and not (command in _WITH_STRATEGY and len(words) == 1 and len(bots) == 1):
            words = words[1:]
        chosen = named or list(bots)
        names = ", ".join(_label(bot, bots) for bot in bots)
        if command in _SHOWS:
            if words:
                self._chat.say(chat, f"no bot {words[0]!r} is running here; running: {names}")
                return
            for bot in chosen:
                self._do(bot, command, None, chat, bots)
            return
        if len(chosen) > 1:
            self._chat.say(chat, f"which bot? Write /{command} BOT ...; running: {names}")
            return
        [bot] = chosen
        strategy = words[0] if words else None
        if len(words) > 1 or (strategy is not None and command in ("stop", "panic")):
            self._chat.say(chat, f"{words[-1]!r} is one word too many; running: {names}")
        elif strategy is None and command in _WITH_STRATEGY:
            self._chat.say(chat, f"which strategy? Write /{command} {bot.name} STRATEGY; /status lists them")
        elif command in _ASKS:
            self._ask(bot, command, strategy, chat, user, bots)
        else:
            self._do(bot, command, strategy, chat, bots)

    def _do(
        self, bot: Commanded, command: str, strategy: str | None, chat: int, bots: Sequence[Commanded], note: str = ""
    ) -> None:
        try:
            text = bot.do(command, strategy)
        except BotkitError as error:
            text = f"not done: {error}"
        self._chat.say(chat, f"{note}{_label(bot, bots)}: {text}")

    # -- questions ----------------------------------------------------------------------------------------------------

    def _ask(
        self, bot: Commanded, command: str, strategy: str | None, chat: int, user: int, bots: Sequence[Commanded]
    ) -> None:
        now = self._now()
        self._questions = {code: one for code, one in self._questions.items() if one.until > now}
        while len(self._questions) >= _PENDING_MAX:
            del self._questions[next(iter(self._questions))]
        code = self._code()
        self._questions[code] = Question(
            bot=f"{bot.name}/{bot.mode}",
            since=bot.since,
            command=command,
            strategy=strategy,
            chat=chat,
            user=user,
            until=now + ANSWER_MAX,
        )
        meaning = _MEANING[command] if strategy is None else f"let {strategy} trade again"
        seconds = ANSWER_MAX // NS_PER_S
        text = f"{command} {bot.name} ({bot.mode}): {meaning}? The button works once, for {seconds} s."
        self._chat.say(chat, text, [(f"{command} {bot.name}", f"yes {code}"), ("no", f"no {code}")])

    def _pressed(self, press: dict[str, Any]) -> None:
        message, data, identity = press.get("message"), press.get("data"), press.get("id")
        if not isinstance(message, dict) or not isinstance(data, str) or not isinstance(identity, str):
            return
        chat, user = _number(message.get("chat")), _number(press.get("from"))
        reply, _, code = data.partition(" ")
        question = self._questions.get(code)
        bots = self._bots(chat, user)
        if not bots or (question is not None and (question.chat, question.user) != (chat, user)):
            self.foreign += 1  # from another group member; the question stays open for the right user
            return
        self._questions.pop(code, None)
        number = message.get("message_id")
        if question is None or self._now() > question.until:
            note = "this button is no longer valid, so nothing was done; send the command again"
        elif reply != "yes":
            note = "nothing was done"
        else:
            note = question.command
        self._chat.close_question(identity, note, chat, number if isinstance(number, int) else 0)
        if question is None or note != question.command:
            self._chat.say(chat, note)
            return
        bot = next((bot for bot in bots if question.is_about(bot)), None)
        if bot is None:
            self._chat.say(chat, f"{question.bot} has stopped or was restarted, so nothing was done")
            return
        self._do(bot, question.command, question.strategy, chat, bots)


def _number(party: object) -> int:
    """Return the numeric id of a chat or a user, or 0, which is never a valid id."""
    found = party.get("id") if isinstance(party, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def _label(bot: Commanded, bots: Sequence[Commanded]) -> str:
    """Return a bot's name, with its mode if another bot has the same name."""
    is_unique = sum(other.name == bot.name for other in bots) == 1
    return bot.name if is_unique else f"{bot.name}/{bot.mode}"
