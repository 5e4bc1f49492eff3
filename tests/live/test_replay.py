"""A recorded run is replayed decision by decision, including restarts, faults and commands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from botkit.assembly.replay import replay_run
from botkit.cli.replay import replay
from botkit.emulator import DEFAULT_ACCOUNT
from botkit.errors import BotkitError, ConfigError
from botkit.exchange.bitopro import sign
from botkit.live import commands
from botkit.live.bot import Bot
from botkit.live.disk import RealFiles
from botkit.live.journal_rows import ORDER_FIELDS
from botkit.live.ports import Appending
from botkit.live.recording import BOOK_FIELDS, FORMAT, HEADER, INPUTS
from botkit.live.replay import ReplayError, Verdict
from botkit.live.run_files import DECISIONS
from botkit.live.supervisor import Supervisor
from botkit.model import events, inputs, limits, requests
from botkit.model.order_book import OrderBook
from botkit.report import packing
from tests.live.world import UNIT, World, change_listed_rule, make_world, puppet, told, until

pytestmark = pytest.mark.virtual_time

STRATEGY = """
from botkit import Pair, Strategy, hookimpl, param

class Puppet(Strategy):
    pair: Pair
    size: float = param(0.001, gt=0, live=True)

    def on_start(self):
        self.state["starts"] = self.state.get("starts", 0) + 1
        self.series = self.subscribe_bars(self.pair, "1m", warm_up=5)
        self.subscribe_book(self.pair, depth=5)
        self.set_timer(every_s=2)

    def on_timer(self, timer):
        book = self.book(self.pair)
        if book is None or book.best_bid is None or book.best_ask is None:
            return
        draw = self.random.random()
        orders = self.open_orders(self.pair)
        if len(orders) > 8 or (orders and draw < 0.3):
            self.cancel(self.random.choice(orders))
        elif draw < 0.6:
            self.buy(self.pair, amount=self.size * self.state["starts"], price=book.best_ask)
        elif draw < 0.8:
            self.market_sell(self.pair, amount=self.size)
        else:
            self.quote(self.pair, bids=[(book.best_bid * 0.99, self.size)], asks=[(book.best_ask * 1.01, self.size)])

    def on_fill(self, fill):
        if self.random.random() < 0.3:
            self.buy(self.pair, amount=self.size, price=fill.price * 0.9, tag="after a fill")

    def on_params(self, changed):
        self.cancel_all()

@hookimpl
def botkit_register_strategies(register):
    register("puppet", Puppet)
"""


def run_folder(bot: Bot) -> Path:
    return bot.parts.folder.path / "runs" / str(bot.journal.run)


async def kept(bot: Bot, seconds: float) -> None:
    """Run the bot with its supervisor for ``seconds``, then stop it cleanly."""
    supervisor = Supervisor()
    await supervisor.run(bot, seconds)
    await supervisor.stop(bot)
    await bot.close()


@pytest.fixture
async def trading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:  # type: ignore[misc]
    monkeypatch.setattr(sign, "_nonces", sign._LastNonces())
    async with make_world(tmp_path) as world:
        (tmp_path / "plugins" / "puppet.py").write_text(STRATEGY)
        yield world


async def test_a_replay_reproduces_every_decision_of_a_run(trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 3)
    verdict = replay_run(run_folder(bot))
    assert verdict.difference is None
    assert verdict.decisions > 100
    lines = (run_folder(bot) / "decisions.jsonl").read_text().splitlines()
    kinds = {json.loads(line)["k"] for line in lines}
    assert kinds >= {"intent", "request", "answer", "fill", "state", "cancel"}
    assert verdict.decisions == len(lines)


async def test_a_recorded_run_can_be_displayed_as_a_playback(trading: World, tmp_path: Path) -> None:
    bot = await trading.start()
    await kept(bot, 3)
    run, page = run_folder(bot), tmp_path / "playback.html"
    assert replay_run(run, playback=page).is_equal
    (text,) = re.findall(r'id="data">([^<]+)<', page.read_text())
    shown: Any = packing.unpacked(text)
    lines = [json.loads(line) for line in (run / "decisions.jsonl").read_text().splitlines()]
    begin = shown["start"] - 8 * 3_600_000  # the bot's time zone is Taipei
    inside = [line for line in lines if line["t"] // 10**6 >= begin]
    kinds = [shown["steps"]["kinds"][number] for number in shown["steps"]["kind"]]
    for kind, name in (("intent", "place"), ("fill", "fill"), ("cancel", "cancel")):
        assert kinds.count(name) == sum(line["k"] == kind for line in inside) > 0
    assert shown["frames"] > 8
    # a live exchange does not report an order's queue position
    assert set(shown["standing"]["ahead"]) == {-1}
    assert any(any(step) for step in shown["pairs"][0]["bids"]["lots"])
    assert "The exchange does not report queue positions" in page.read_text()


async def test_restarts_faults_halts_and_commands_are_replayed(trading: World) -> None:
    bot = await trading.start()
    await asyncio.sleep(1)
    await trading.crash(bot)
    assert replay_run(run_folder(bot)).difference is None

    for kind in ("lost_answer", "error_before", "reset_after"):
        trading.emulator.add_fault({"kind": kind, "where": "create_order", "share": 0.1})
    trading.emulator.add_fault({"kind": "ws_abort", "share": 0.02})
    again = await trading.start()
    assert puppet(again).state == {"starts": 2}
    folder = again.parts.folder
    running = asyncio.ensure_future(kept(again, 4))
    await asyncio.sleep(1)
    set_file = commands.leave(folder, "set", strategy="p", name="size", value="0.002")
    await until(lambda: not set_file.exists())
    again.latch.set("breaker", "by the test")
    await asyncio.sleep(0.5)
    folder.clear_halt()
    commands.leave(folder, "pause", strategy="p")
    await asyncio.sleep(0.5)
    commands.leave(folder, "resume", strategy="p")
    await running
    verdict = replay_run(run_folder(again))
    assert verdict.difference is None
    text = (run_folder(again) / "decisions.jsonl").read_text()
    assert "p.size=0.002" in text
    assert verdict.decisions > 100


async def test_a_run_with_many_faults_is_replayed(trading: World) -> None:
    """The run includes lost, duplicated and reordered frames, cut sockets, refusals, deposits made outside the bot, a
    frozen book, and lifted halts. At its end, all holdings are sold.
    """
    trading.config.write_text(trading.config.read_text().replace("use: puppet,", "use: puppet, on_stop: flatten,"))
    bot = await trading.start()
    emulator, folder = trading.emulator, bot.parts.folder
    running = asyncio.ensure_future(kept(bot, 5))
    for kind in ("ws_drop", "ws_duplicate", "ws_reorder", "ws_abort", "error_after", "storm_429"):
        emulator.add_fault({"kind": kind, "share": 0.03})
    for beat in range(10):
        await asyncio.sleep(0.3)
        emulator.venue.kernel.transfer(DEFAULT_ACCOUNT.email, "usdt", 10 * UNIT)
        if beat == 2:
            emulator.add_fault({"kind": "ws_silence", "where": "order_book", "count": 1, "for_s": 20})
        if beat == 4:
            bot.latch.set("breaker", "by the test")
        if beat in (6, 8):
            folder.clear_halt()
    emulator.remove_faults()
    await running
    verdict = replay_run(run_folder(bot))
    assert verdict.difference is None
    assert verdict.decisions > 100
    assert '"tag":"flatten"' in (run_folder(bot) / "decisions.jsonl").read_text()


async def test_a_replay_reports_the_first_differing_decision(trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 2)
    plugin = trading.folder / "plugins" / "puppet.py"
    plugin.write_text(STRATEGY.replace("draw < 0.6", "draw < 1.0"))
    verdict = replay_run(run_folder(bot))
    assert verdict.difference is not None
    assert verdict.difference.recorded != verdict.difference.replayed
    assert verdict.decisions == verdict.difference.line - 1


async def test_the_recording_of_a_killed_run_is_replayed_up_to_its_end(trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 2)
    path = run_folder(bot) / INPUTS
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    verdict = replay_run(run_folder(bot))
    assert verdict.difference is None
    lines = (run_folder(bot) / "decisions.jsonl").read_text().splitlines()
    assert 0 < verdict.decisions < len(lines)
    assert verdict.end == "cut"
    assert verdict.uncompared == len(lines) - verdict.decisions
    assert not verdict.is_equal
    shown = CliRunner().invoke(replay, [str(run_folder(bot))], standalone_mode=False)
    assert shown.return_value == 1
    assert "equal" not in shown.output
    assert f"{verdict.uncompared:,} more could not be compared" in shown.output
    shown = CliRunner().invoke(replay, [str(run_folder(bot)), "--json"], standalone_mode=False)
    assert json.loads(shown.output)["equal"] is False


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_damaged_recording_is_reported_in_one_sentence_and_never_as_a_match(seed: int, trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 1)
    run, dice = run_folder(bot), random.Random(seed)
    files = {name: (run / name).read_bytes() for name in (INPUTS, HEADER, DECISIONS)}
    said = set()
    for _ in range(60):
        name = dice.choice(list(files))
        damaged = bytearray(files[name])
        at = dice.randrange(len(damaged))
        how = dice.choice(("flip", "cut", "empty", "zeros", "foreign", "gone"))
        if how == "flip":
            damaged[at] ^= 1 << dice.randrange(8)
        elif how == "zeros":
            damaged[at : at + 512] = bytes(len(damaged[at : at + 512]))
        elif how == "foreign":
            short = (b"[]", b"5", b"{}", b'{"format": %d}' % FORMAT)
            damaged[:] = dice.choice((*short, bytes(900), b"\xff" * 99, b"[" * 100_000))
        else:
            del damaged[at if how == "cut" else 0 :]
        if bytes(damaged) == files[name]:
            continue
        if how in ("flip", "zeros") and name == INPUTS and unpacked(damaged) == unpacked(files[name]):
            continue  # the corruption affected padding bits before a flush, which carry no data
        (run / name).write_bytes(damaged)
        if how == "gone":
            (run / name).unlink()
        found: Verdict | BotkitError
        try:
            found = replay_run(run)
        except BotkitError as error:
            found = error
        if isinstance(found, BotkitError):
            said.add(type(found))
            assert str(run / name) in str(found) or how == "gone", (how, name, str(found))
            assert "\n" not in str(found)
        else:
            assert not found.is_equal, (how, name)
            assert name == INPUTS, (how, name)
            assert found.difference is None, "damage must not count as a decision"
        (run / name).write_bytes(files[name])
    assert ReplayError in said
    assert replay_run(run).is_equal


def unpacked(packed: bytes | bytearray) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed)
    except zlib.error:
        return None


async def test_a_changed_configuration_and_a_missing_run_are_reported(trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 0.5)
    trading.config.write_text(trading.config.read_text() + "\n# changed\n")
    with pytest.raises(ConfigError, match="has changed since the run; use --config"):
        replay_run(run_folder(bot))
    assert replay_run(run_folder(bot), trading.config).difference is None
    with pytest.raises(ReplayError, match="contains no recorded run"):
        replay_run(trading.folder)


async def test_maintenance_and_changed_rules_are_replayed(trading: World) -> None:
    trading.emulator.add_fault({"kind": "maintenance", "where": "btc_usdt", "for_s": 150})
    bot = await trading.start()
    running = asyncio.create_task(kept(bot, 20))
    await until(lambda: "btc_usdt is open again" in told(bot), 15)
    for old, new, sentence in (
        ('"minLimitBaseAmount":"0.0001"', '"minLimitBaseAmount":"0.001"', "minLimitBaseAmount from 0.0001 to 0.001"),
        ('"quotePrecision":"2"', '"quotePrecision":"1"', "btc_usdt is halted: the exchange changed its quotePrecision"),
    ):
        trading.emulator.remove_faults()
        change_listed_rule(trading, old, new)
        trading.emulator.add_fault({"kind": "error_before", "where": "create_order", "value": 400, "count": 1})
        await until(lambda: sentence in told(bot), 15)  # noqa: B023
    await running
    verdict = replay_run(run_folder(bot))
    assert verdict.difference is None
    lines = (run_folder(bot) / DECISIONS).read_text().splitlines()
    assert sum(json.loads(line)["k"] == "rules" for line in lines) == 4


async def test_a_recording_in_another_format_is_refused_in_one_sentence(trading: World) -> None:
    bot = await trading.start()
    await kept(bot, 0.5)
    header = run_folder(bot) / HEADER
    document = json.loads(header.read_text())
    assert document["format"] == FORMAT
    header.write_text(json.dumps({**document, "format": FORMAT - 1}))
    sentence = f"was recorded in format {FORMAT - 1} by another version of botkit, and this one replays format {FORMAT}"
    with pytest.raises(ReplayError, match=sentence):
        replay_run(run_folder(bot))


def test_changing_the_fields_of_an_input_type_requires_a_new_format_version() -> None:
    shapes = {
        name: thing.__struct_fields__
        for module in (events, inputs, limits, requests)
        for name, thing in vars(module).items()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct)
    }
    # OrderBook is not a struct, because its levels are built only when they are read
    shapes[OrderBook.__name__] = BOOK_FIELDS
    described = json.dumps([sorted(shapes.items()), ORDER_FIELDS])
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    assert (FORMAT, digest) == (9, "afc06fdbf0a67df7"), "an input has another shape: raise FORMAT in live/recording.py"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
async def test_an_unwritable_recording_does_not_stop_the_bot(trading: World, monkeypatch: pytest.MonkeyPatch) -> None:
    append = RealFiles.append

    def to_a_full_disk(files: RealFiles, path: Path) -> Appending:
        return append(files, Path("/dev/full") if path.name == INPUTS else path)

    monkeypatch.setattr(RealFiles, "append", to_a_full_disk)
    bot = await trading.start()
    await kept(bot, 1.5)
    assert bot.driver.fault is None
    assert told(bot).count("this run can no longer be recorded, so it cannot be replayed") == 1
