"""The command ``botkit limits``: its table, the sources of the limits, and conflicts between these sources."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from botkit.cli.limits import limits
from botkit.live.limits.broker_client import BrokerLink
from botkit.live.limits.protocol import Join, LedgerUnreachable, Report, SharedPool, SharedWindow, Sync


def run(*arguments: str) -> str:
    result = CliRunner().invoke(limits, list(arguments), env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def rows(*arguments: str) -> dict[str, dict[str, object]]:
    return {row["endpoint"]: row for row in json.loads(run("--json", *arguments))["endpoints"]}


def test_the_table_shows_counters_limits_sources_and_conflicts() -> None:
    text = run()
    for piece in (
        "create_batch",
        "90 in 60 s per ip and account",
        "(archive)",
        "Sources",
        "Where the sources disagree",
    ):
        assert piece in text


def test_json_contains_every_documented_limit_with_its_source() -> None:
    batch = rows()["create_batch"]
    assert batch["windows"] == [
        {"requests": 90, "per_s": 60, "scope": "ip"},
        {"requests": 90, "per_s": 60, "scope": "account"},
    ]
    assert batch["disputed"] is True
    assert {"requests": 60, "per_s": 60, "scope": "ip", "source": "archive"} in batch["documented"]  # type: ignore[operator]
    assert {figure["source"] for figure in batch["documented"]} <= set(json.loads(run("--json"))["sources"])  # type: ignore[attr-defined]


def test_the_strict_option_shows_the_limits_that_would_be_used() -> None:
    assert rows("--strict")["cancel_batch"]["windows"] == [{"requests": 1, "per_s": 1, "scope": "ip"}]


def test_an_overridden_limit_is_shown() -> None:
    chosen = rows("--choose", "public=1200", "--choose", "create_batch=archive")
    assert chosen["tickers"]["windows"] == [{"requests": 1200, "per_s": 60, "scope": "ip"}]
    assert chosen["create_batch"]["windows"] == [{"requests": 60, "per_s": 60, "scope": "ip"}]


def test_limits_set_in_the_configuration_are_shown(tmp_path: Path) -> None:
    config = tmp_path / "bot.yaml"
    config.write_text(
        "name: demo\nexchange: bitopro\nplugins: []\nlimits: strict\n"
        "strategies:\n  - {name: a, use: sma_cross, params: {pair: btc_usdt}}\n",
        encoding="utf-8",
    )
    assert rows(str(config)) == rows("--strict")


def test_a_malformed_override_is_refused_with_an_example() -> None:
    result = CliRunner().invoke(limits, ["--choose", "public"])
    assert result.exit_code == 2
    assert "ROW=CHOICE" in result.output


def test_if_redis_is_unreachable_usage_prints_its_address_and_the_remedy(tmp_path: Path) -> None:
    pytest.importorskip("redis")
    config = tmp_path / "bot.yaml"
    config.write_text("name: c\nstrategies: [{use: dca}]\nlimits: {ledger: 'redis://:hush@127.0.0.1:1/0'}\n")
    config.chmod(0o600)
    down = CliRunner().invoke(limits, [str(config), "--usage"])
    assert isinstance(down.exception, LedgerUnreachable)
    told = str(down.exception)
    assert told.startswith("the ledger at redis://127.0.0.1:1/0 cannot be reached (")
    assert told.endswith("so its bots' usage is unknown; start it, or correct `limits: {ledger: ...}`")
    assert "hush" not in told


def test_usage_shows_the_slots_held_by_bots_that_share_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTKIT_BROKER", str(tmp_path / "b"))
    nobody = CliRunner().invoke(limits, ["--usage"])
    assert isinstance(nobody.exception, LedgerUnreachable)  # querying the current usage does not start a broker
    assert "no bot on this machine is sharing its limits" in str(nobody.exception)

    async def share() -> None:
        link = BrokerLink()
        window = SharedWindow("bitopro|ip=shared|create_order|1200/60s", 1200, 60)
        await link.call(Join("bot", "", (SharedPool("create_order", 1, 0, (window,)),)))
        await link.call(Sync("bot", 1, (Report(pool=0, wanted_urgently=12),)))
        await link.close()

    asyncio.run(share())
    (row,) = json.loads(run("--usage", "--json"))["windows"]
    assert (row["venue"], row["counter"], row["scope"], row["bots"]) == ("bitopro", "create_order", "ip", 1)
    assert (row["limit"], row["held"], row["leased"], row["percent"]) == (1200, 12, 12, 1.0)
    for piece in ("1,200 in 60 s", "12", "1.0 %", "the limits broker of this machine"):
        assert piece in run("--usage")
