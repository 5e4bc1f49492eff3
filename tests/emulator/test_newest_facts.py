"""Changes in the latest version of the exchange's documentation: clientId 0, orderIDs, error messages, and fees by
account.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from botkit.config.load import load_config
from botkit.emulator import DEFAULT_ACCOUNT, Emulator, EmulatorOptions
from botkit.emulator.switches import choose
from botkit.errors import ConfigError, Refused
from botkit.exchange.bitopro import BitoProClient
from botkit.exchange.bitopro.wire.bodies import CreateBody
from botkit.project.project import Project

pytestmark = pytest.mark.virtual_time

UNIT = 10**8
ROOT = Path(__file__).parents[2]
BOT = f"plugins: [{ROOT / 'strategies'}]\nstrategies: [{{use: market_maker, params: {{pair: btc_usdt}}}}]\n"


def facts(folder: Path) -> Project:
    path = folder / "bot.yaml"
    path.write_text(f"name: facts\n{BOT}")
    return Project.load(path)


def client(emulator: Emulator) -> BitoProClient:
    account = DEFAULT_ACCOUNT
    return BitoProClient(account.email, account.key, account.secret, rest_url=emulator.rest, ws_url=emulator.ws)


@pytest.mark.parametrize("filters", ["on", "off"])
async def test_the_client_detects_whether_orders_can_be_filtered_by_id(tmp_path: Path, filters: str) -> None:
    options = EmulatorOptions(
        balances={"usdt": 100_000 * UNIT}, seed=3, history_days=0.02, switches=choose({"order_ids_filter": filters})
    )
    async with Emulator(facts(tmp_path).facts, options) as emulator, client(emulator) as bot:
        ids = []
        for number in range(3):
            reply = await bot.create_order(
                "btc_usdt", "BUY", "LIMIT", price="1000", amount="0.01", client_id=number + 1
            )
            ids.append(str(reply.order_id))
        assert await bot.filters_order_ids("btc_usdt", ids[0]) is (filters == "on")
        rows = await bot.orders("btc_usdt", order_ids=ids[1:])
        assert {row.order_id for row in rows} == set(ids[1:] if filters == "on" else ids)


async def test_client_id_0_means_none_and_is_never_sent(tmp_path: Path) -> None:
    options = EmulatorOptions(balances={"usdt": 100_000 * UNIT}, seed=3, history_days=0.02)
    async with Emulator(facts(tmp_path).facts, options) as emulator, client(emulator) as bot:
        for wrong in (0, -1, 2**31):
            with pytest.raises(Refused, match="omit it to send none"):
                await bot.create_order("btc_usdt", "BUY", "LIMIT", price="1000", amount="0.01", client_id=wrong)
        now = bot.clock.now() // 10**6
        for given in (0, None):  # other clients may send 0
            await bot.post_order(
                "btc_usdt",
                CreateBody(action="BUY", type="LIMIT", price="1000", amount="0.01", timestamp=now, client_id=given),
            )
        rows = await bot.orders("btc_usdt", client_id=0)
        assert [row.client_id for row in rows] == [None, None]


def test_fees_are_configured_for_the_account(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text(f"name: facts\n{BOT}live: {{fees: {{maker: 0, taker: 0.002}}}}\n")
    project = Project.load(path)
    model = project.fee_model(project.config.live.fees, "live.fees")
    assert model.rates(0).maker_e8 == 0
    assert model.rates(0).taker_e8 == 200_000


def test_an_invalid_key_creation_date_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    keys = "email: a@example.org, key: k, secret: s"
    path.write_text(f"name: facts\n{BOT}account: {{{keys}, created: 2026-01-31}}\n")
    account = load_config(path).config.account
    assert account is not None
    assert str(account.key_day) == "2026-01-31"
    path.write_text(f"name: facts\n{BOT}account: {{{keys}, created: 31.1.2026}}\n")
    with pytest.raises(ConfigError, match=r"is not a date; write one such as 2026-01-31"):
        load_config(path)
