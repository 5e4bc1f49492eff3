"""Telegram over real sockets: messages, commands, one poller for all bots, and a token that never appears in any
output.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from botkit.assembly.outputs import bot_outputs
from botkit.errors import ConfigError
from botkit.live.machine import this_machine
from botkit.live.notifications import notify
from botkit.live.notifications.notify import NotSent, TryLater
from botkit.live.notifications.outbox import LEVELS
from botkit.live.notifications.telegram.api import BotApi, TelegramError, mark_of
from botkit.live.notifications.telegram.notifier import TelegramNotifier
from botkit.live.notifications.telegram.reach import Access, ReachableBot, allow, reachable
from botkit.live.notifications.telegram.sender import TelegramSender
from botkit.live.panic import hold_back
from botkit.live.state_folder import KeptHalt, StateFolder
from botkit.project.project import Project
from tests.live.bot_api import CHAT, PATIENCE_S, TOKEN, USER, BotApiServer
from tests.live.world import World, far_buy, kept, settled, until

SECRET_PART = TOKEN.partition(":")[2]


def notifier_at(server: BotApiServer, **more: Any) -> TelegramNotifier:
    return TelegramNotifier({"token": TOKEN, "chat": CHAT, "address": server.address, **more})


def whole(error: BaseException) -> str:
    """Return all text that could be visible in an error and its causes."""
    texts = [repr(error), str(error), "".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        texts.append(repr(vars(seen)) + repr(seen.args))
        seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


# -- messages ---------------------------------------------------------------------------------------------------------


async def test_a_message_arrives_as_plain_text_and_info_messages_are_silent() -> None:
    async with BotApiServer(per_second=None) as server:
        mine = notifier_at(server)
        await asyncio.to_thread(mine.notify, "info", "demo: info", "bought *1* <b>btc</b> https://example.org")
    [sent] = server.sent
    assert sent == {
        "chat_id": CHAT,
        "text": "demo: info\nbought *1* <b>btc</b> https://example.org",
        "disable_notification": True,
        "link_preview_options": {"is_disabled": True},
    }, "no parse_mode, so nothing in the text is read as markup"


async def test_a_burst_of_messages_is_delivered_completely_without_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    # without retries, a refused message would be lost
    monkeypatch.setattr(notify, "_RETRIES_S", dict.fromkeys(LEVELS, ()))
    async with BotApiServer() as server:
        told = notify.Notifications(
            [notify.Channel("telegram", notifier_at(server), notify.Policy(digest_s=0))],
            name="bot",
            clock=_Wall(),
            day_start=lambda now: 0,
        )
        told.start()
        for number in range(3):
            told.tell("error", f"error {number}")
        await until(lambda: len(server.sent) == 3)
        await asyncio.to_thread(told.close)
    assert [text.split("\n")[1] for text in server.texts] == ["error 0", "error 1", "error 2"]
    assert server.refusals == 0
    assert told.figures == {"sent": 3, "failed": 0, "dropped": 0}


class _Wall:
    def now(self) -> int:
        return this_machine().clock.wall_ns()


async def test_a_pause_that_telegram_requests_is_observed_by_all_bots_with_the_token() -> None:
    async with BotApiServer(per_second=None) as server:
        one, two = notifier_at(server), notifier_at(server, chat=CHAT + 1)
        server.scripted.append((429, {"retry_after": 17}))
        with pytest.raises(TryLater) as caught:
            await asyncio.to_thread(one.notify, "error", "t", "x")
        assert caught.value.pause_s == 17
        with pytest.raises(TryLater) as caught:
            await asyncio.to_thread(two.notify, "error", "t", "x")
        assert 16 < caught.value.pause_s <= 17
        assert server.calls == ["sendMessage"], "the second one did not even ask"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((400, {"description": "Bad Request: chat not found"}), "Telegram refuses: Bad Request: chat not found"),
        ((400, {"description": "upgraded", "migrate_to_chat_id": -1001}), "become a supergroup; write `chat: -1001`"),
        ((403, {"description": "Forbidden: bot was blocked by the user"}), "Forbidden: bot was blocked by the user"),
    ],
)
async def test_the_error_for_a_refused_message_explains_the_reason(
    answer: tuple[int, dict[str, Any]], sentence: str
) -> None:
    async with BotApiServer() as server:
        server.scripted.append(answer)
        with pytest.raises(NotSent, match=sentence):
            await asyncio.to_thread(notifier_at(server).notify, "error", "t", "x")


# -- the token --------------------------------------------------------------------------------------------------------


ANSWERS: dict[str, Callable[[], web.Response]] = {
    "garbage": lambda: web.Response(text=f"not json /bot{TOKEN}/sendMessage"),
    "a list": lambda: web.json_response([TOKEN]),
    "its own words": lambda: web.json_response({"ok": False, "error_code": 400, "description": f"/bot{TOKEN}/x"}),
    "a redirect": lambda: web.Response(status=307, headers={"Location": f"http://127.0.0.1:9/bot{TOKEN}/x"}),
    "nothing": lambda: web.Response(status=502),
    "a number": lambda: web.Response(text="9" * 5_000),
    "a deep answer": lambda: web.Response(text="[" * 200_000),
}


@pytest.mark.parametrize("place", ANSWERS)
async def test_no_error_shows_the_token_regardless_of_the_servers_response(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with BotApiServer() as server:
        server.instead = ANSWERS[place]
        with pytest.raises(NotSent) as caught:
            await asyncio.to_thread(TelegramSender(TOKEN, server.address).send, CHAT, "x")
        with pytest.raises(TelegramError) as direct:
            await asyncio.to_thread(BotApi(TOKEN, server.address).call, "getMe")
    for error in (caught.value, direct.value):
        assert SECRET_PART not in whole(error)
    mine = [record for record in caplog.records if record.name.startswith(("botkit", "http", "urllib"))]
    assert not any(SECRET_PART in record.getMessage() for record in mine)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://no-such-host.invalid"])
def test_no_error_shows_the_token_if_the_server_does_not_respond(address: str) -> None:
    with pytest.raises(TelegramError, match="cannot be reached") as caught:
        BotApi(TOKEN, address).call("getMe")
    assert SECRET_PART not in whole(caught.value)


async def test_no_part_of_the_token_is_sent_to_a_server_without_tls() -> None:
    async with BotApiServer() as server:
        with pytest.raises(TelegramError) as caught:
            await asyncio.to_thread(BotApi(TOKEN, server.address.replace("http:", "https:")).call, "getMe")
    assert server.calls == []
    assert SECRET_PART not in whole(caught.value)


def test_no_repr_shows_the_token() -> None:
    mine = TelegramNotifier({"token": TOKEN, "chat": CHAT, "user": USER})
    for thing in (mine, mine._sender, BotApi(TOKEN), vars(mine._sender)):
        assert SECRET_PART not in repr(thing)
    assert SECRET_PART not in mark_of(TOKEN)


# -- the configuration ------------------------------------------------------------------------------------------------

STRATEGY = """
from botkit import Strategy, Pair, hookimpl
class Idle(Strategy):
    pair: Pair
@hookimpl
def botkit_register_strategies(register): register("idle", Idle)
"""


@pytest.mark.parametrize(
    ("options", "line", "message"),
    [
        ("{use: telegram}", 6, "token: it is missing; get a token from @BotFather"),
        ("{use: telegram, token: '${BAD}', chat: 5}", 6, "token: this is not a Telegram token"),
        ("{use: telegram, token: '${TOKEN}'}", 6, "chat: it is missing"),
        ("{use: telegram, token: '${TOKEN}', chat: '@mine'}", 6, "chat: write the numeric Telegram ID"),
        ("{use: telegram, token: '${TOKEN}', chat: 5, user: -3}", 6, "user: user IDs are positive"),
        ("{use: telegram, token: '${TOKEN}', chat: 5, usr: 3}", 6, "usr: unknown key"),
        ("{use: telegram, token: '${TOKEN}', chat: 5, address: 'http://10.0.0.1'}", 6, "must start with https://"),
        ("{use: telegram, token: '${TOKEN}', chat: 5, address: 'https://'}", 6, "write the address of a Bot API"),
        ("\n    use: telegram\n    token: ${TOKEN}\n    chat: true", 9, "chat: write the numeric"),
        ("{use: telegram, token: 'TOKEN_ITSELF', chat: 5}", 6, "contains secrets and others can read it"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="other systems have no file modes")
def test_the_error_for_an_invalid_option_names_its_line_but_not_the_token(
    tmp_path: Path, options: str, line: int, message: str
) -> None:
    path = _configured(tmp_path, options.replace("TOKEN_ITSELF", TOKEN))
    with pytest.raises(ConfigError) as caught:
        bot_outputs(Project.load(path), "emulator", environ={"TOKEN": TOKEN, "BAD": SECRET_PART})
    assert message in str(caught.value)
    assert f"bot.yaml:{line}" in str(caught.value)
    assert SECRET_PART not in whole(caught.value)


def _configured(folder: Path, options: str) -> Path:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "idle.py").write_text(STRATEGY)
    path = folder / "bot.yaml"
    path.write_text(
        "name: mine\nplugins: [plugins]\nstrategies:\n  - {use: idle, params: {pair: btc_twd}}\n"
        f"notify:\n  - {options}\n"
    )
    path.chmod(0o644)
    return path


def test_a_token_in_a_private_file_is_accepted_and_redacted(tmp_path: Path) -> None:
    path = _configured(tmp_path, f"{{use: telegram, token: '{TOKEN}', chat: '-5'}}")
    path.chmod(0o600)
    outputs = bot_outputs(Project.load(path), "emulator", environ={})
    assert outputs.notifications
    [worker] = outputs.notifications._workers
    assert worker._redactor.clean(f"see {TOKEN}") == "see [hidden]"


# -- which bots -------------------------------------------------------------------------------------------------------


def test_commands_reach_only_running_bots_with_this_token_chat_and_user(tmp_path: Path) -> None:
    disk, mark = this_machine().disk, mark_of(TOKEN)
    folders = {
        name: StateFolder(tmp_path / name / "live" / "account", disk, tmp_path)
        for name in ("mine", "other", "ended", "silent")
    }
    for folder in folders.values():
        folder.lock()
    allow(folders["mine"], Access(mark=mark, chat=CHAT, user=USER), 5)
    allow(folders["mine"], Access(mark=mark, chat=CHAT, user=USER + 1), 5)
    allow(folders["other"], Access(mark=mark_of("1:" + "b" * 30), chat=CHAT, user=USER), 5)
    allow(folders["ended"], Access(mark=mark, chat=CHAT, user=USER), 5)
    folders["ended"].unlock()
    (tmp_path / ".claims").mkdir()
    (tmp_path / "a file").write_text("x")

    def names(chat: int, user: int, of: str = mark) -> list[str]:
        return [bot.name for bot in reachable(tmp_path, disk, of, chat, user)]

    try:
        assert names(CHAT, USER) == names(CHAT, USER + 1) == ["mine"]
        assert names(CHAT + 1, USER) == names(USER, CHAT) == names(CHAT, USER, mark_of("1:x")) == []
    finally:
        for folder in folders.values():
            folder.unlock()


def test_a_chat_can_lift_a_halt_caused_by_a_panic_but_no_other_halt(tmp_path: Path) -> None:
    disk = this_machine().disk
    folder = StateFolder(tmp_path / "mine" / "live" / "account", disk, tmp_path)
    folder.lock()
    try:
        allow(folder, Access(mark="m", chat=CHAT, user=USER), 5)
        [bot] = reachable(tmp_path, disk, "m", CHAT, USER)
        assert bot.do("resume", None) == "the bot is not halted"
        assert hold_back(folder, 5, lambda text: None)
        assert bot.do("resume", None) == "lifted (panic): botkit panic"
        for kind in ("loss", "breaker", "key", "journal"):
            folder.clear_halt()
            folder.set_halt(KeptHalt(kind=kind, reason="r", time=5))
            with pytest.raises(Exception, match="Only `botkit resume` on the bot's machine lifts this"):
                bot.do("resume", None)
            assert folder.is_halted()
    finally:
        folder.unlock()


async def test_a_panic_from_the_chat_halts_the_bot_and_cancels_all_orders_of_the_account(world: World) -> None:
    """The command is executed by the bot's process, which has the key. It has the same effect as `botkit panic`."""
    bot = await world.start()
    order = far_buy(bot)
    await settled(order)
    allow(bot.parts.folder, Access(mark="m", chat=CHAT, user=USER), 5)
    async with kept(bot):
        said = await asyncio.to_thread(ReachableBot(bot.parts.folder, 5).do, "panic", None)
        await until(lambda: order.state.value == "cancelled")
    assert said.startswith("new orders are blocked until `botkit resume`")
    assert "none still open" in said
    assert bot.parts.folder.is_halted()
    assert not world.exchange_orders(open_only=True)


# -- whole bots -------------------------------------------------------------------------------------------------------

TALKS = """
from botkit import Strategy, Pair, hookimpl
class Talks(Strategy):
    pair: Pair
    def on_start(self):
        self.subscribe_book(self.pair)
        self.set_timer(every_s=5)
        self.count = 0
    def on_timer(self, timer):
        self.count += 1
        if self.count == 1:
            self.notify(f"{self.name} has begun")
        self.skip("waiting")
@hookimpl
def botkit_register_strategies(register): register("talks", Talks)
"""


class Bots:
    """`botkit run` processes whose bots share one Telegram bot."""

    def __init__(self, folder: Path, server: BotApiServer) -> None:
        self.folder = folder
        self.server = server
        self.processes: list[asyncio.subprocess.Process] = []
        (folder / "plugins").mkdir()
        (folder / "plugins" / "talks.py").write_text(TALKS)
        self.environ = {**os.environ, "BOTKIT_STATE": str(folder / "state"), "TG_TOKEN": TOKEN}

    async def run(self, *names: str) -> asyncio.subprocess.Process:
        paths = []
        for name in names:
            path = self.folder / f"{name}.yaml"
            path.write_text(
                f"name: {name}\nplugins: [plugins]\n"
                f"strategies:\n  - {{name: t{name}, use: talks, params: {{pair: btc_usdt}}}}\n"
                f"log: {{file: {name}.log, level: debug}}\n"
                f"notify:\n  - {{use: telegram, token: '${{TG_TOKEN}}', chat: {CHAT}, user: {USER}, level: error,\n"
                f"     digest_s: 0, address: '{self.server.address}'}}\n"
            )
            paths.append(str(path))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "botkit", "run", *paths, "--plain", "--duration", "600s",
            env=self.environ, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.processes.append(process)
        return process

    async def take_commands(self, *names: str) -> None:
        """Wait until these bots accept new commands. This may happen later than the first messages from their
        strategies.
        """
        for name in names:
            path = self.folder / f"state/{name}/emulator/inside/telegram.json"
            async with asyncio.timeout(PATIENCE_S):
                while not path.exists():
                    await asyncio.sleep(0.01)

    async def end(self) -> str:
        printed = b""
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
            printed += out
        return printed.decode()


@pytest.mark.skipif(os.name != "posix", reason="the test kills processes with signals")
async def test_one_process_receives_the_commands_for_all_bots_and_another_replaces_it_when_it_exits(
    tmp_path: Path,
) -> None:
    async with BotApiServer(per_second=None) as server:
        bots = Bots(tmp_path, server)
        try:
            first = await bots.run("one", "two")
            await server.answer("tone has begun")  # self.notify ignores `level: error`
            await server.answer("ttwo has begun")
            await bots.run("three")
            await server.answer("tthree has begun")
            await bots.take_commands("one", "two", "three")

            server.write("/status")
            for name in ("one", "two", "three"):
                assert "running" in await server.answer(f"{name}: ", "mode emulator")
            server.write("/why three")
            await server.answer("three: tthree:", "waiting")
            server.write("/pause three tthree")
            await server.answer("three: tthree is paused; its open orders are being cancelled")
            server.write("/pause one nobody")
            await server.answer("one: not done: ", "nobody")
            server.write("/stop two", user=USER + 1)
            server.write("/stop two", age_s=61)
            await server.answer("/stop was ", "so nothing was done; send it again")

            server.write("/stop two")
            stop = await server.button("stop two")
            server.press(stop, user=USER + 1)
            server.press(stop)
            await server.answer("two: stopping")
            server.press(stop)
            await server.answer("no longer valid")
            assert {row["method"] for row in server.answered} == {"answerCallbackQuery", "editMessageReplyMarkup"}

            first.kill()  # this process held the lock because it started first
            await first.wait()
            count = len(server.sent)
            server.write("/status")
            await server.answer("three: ", "running", after=count)
            assert not any(text.startswith("one: running") for text in server.texts[count:])
            assert server.conflicts <= 1, "at most the killed process's own call was still open"
        finally:
            printed = await bots.end()
    assert bots.processes[1].returncode == 0, printed
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        assert SECRET_PART.encode() not in path.read_bytes(), path
    assert SECRET_PART not in printed
    assert json.loads((tmp_path / "state/three/emulator/inside/telegram.json").read_text())["access"][0]["chat"] == CHAT
