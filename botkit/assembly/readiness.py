"""Checks everything that a run refuses before it connects. `botkit run` and `botkit config check --mode` share the
checks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from botkit.assembly.live_parts import Mode, engine_maker
from botkit.assembly.outputs import check_notifier, notify_channels
from botkit.config.addresses import check_emulator, chosen_address
from botkit.config.money import check_reserve, opening_units, paper_balances
from botkit.config.real_money import check_real_money
from botkit.config.secrets import AccountKeys, SecretOptions, resolve_account, resolve_ledger
from botkit.engine.decisions import DecisionLog
from botkit.engine.money.valuation import Valuation
from botkit.engine.outcome import Outcome
from botkit.model.clock import NS_PER_S
from botkit.model.extension import FeeModel
from botkit.model.inputs import Begin, Restore
from botkit.project.fee_coin import configured_fee_pairs, fee_coin_of
from botkit.project.project import Project


def account_of_run(
    project: Project, mode: Mode, address: tuple[str | None, str | None], environ: Mapping[str, str]
) -> AccountKeys | None:
    """Return the account that the configuration names for a mode, or None if the mode needs none. Everything else that
    a request would need is checked as well. Raises ConfigError.
    """
    loaded = project.loaded
    if mode == "emulator":
        if not any(address):
            return None
        check_emulator(*address)
        return resolve_account(loaded, environ, section="emulator.account")
    if mode == "paper":
        check_reserve(loaded)
    else:
        check_real_money(loaded, *address)
    resolve_ledger(loaded, environ)
    return resolve_account(loaded, environ) if mode == "live" else None


def check_settings(project: Project) -> None:
    """Check all settings that can be checked without knowing a mode. Raises ConfigError."""
    project.check_limits_of_run()
    project.check_capital_of_run(configured_fee_pairs(project).values())
    project.check_money()
    project.check_choices()
    for index in range(len(project.config.notify)):
        check_notifier(project, index)


def check_run(
    project: Project, mode: Mode | Literal["backtest"], *, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Check everything that a run in this mode would refuse before it connects, up to and including the strategies'
    ``on_start``. Sends nothing. Returns warnings about fees that the run would charge or value differently. Raises
    BotkitError.
    """
    if mode == "backtest":
        # imported here because a running bot, which shares this module's other checks, needs no backtest in memory
        from botkit.assembly.backtest import backtest_parts
        from botkit.backtesting.cautions import cautions_of_fees
        from botkit.backtesting.session import Run

        parts = backtest_parts(project)
        run = Run(parts, parts.reading, DecisionLog(), lambda level, text, now: None)
        return [caution.text for caution in cautions_of_fees(run.plan, parts)]
    notify_channels(project, SecretOptions(project.loaded, environ))
    address = chosen_address(project.config, None, None)
    account_of_run(project, mode, address, environ)
    if mode == "emulator" and not any(address):
        from botkit.assembly.embedded import embedded_emulator

        embedded_emulator([project], None)
    fees = project.fee_model(
        *((project.config.live.fees, "live.fees") if mode == "live" else project.config.simulated_fees)
    )
    _start_strategies(project, mode, fees)
    return _unvalued_fees(project)


def _unvalued_fees(project: Project) -> list[str]:
    """Return a warning if no pairs value the exchange's coin, so that fees in it would be in no figure."""
    coin = project.facts.discount_currency
    is_traded = Valuation(project.priced_pairs()).find_path(coin, project.currency) is not None
    if not coin or is_traded or fee_coin_of(project) is not None:
        return []
    return [
        f"fees in {coin.upper()} would be in no profit, equity or loss limit, as no pairs of the exchange value "
        f"{coin.upper()} in {project.currency.upper()}"
    ]


def _start_strategies(project: Project, mode: Mode, fees: FeeModel) -> None:
    config = project.config
    section: Any = config.live if mode == "live" else config.emulator
    engine = engine_maker(
        project,
        fees,
        speed=1.0,
        latest_accept_ns=int(section.latest_accept_s * NS_PER_S),
    )(DecisionLog(), 1, None)
    # what a real account holds is not known here; a strategy is shown what it asks for
    balances = paper_balances(config, project.currency)
    for currency, units in (opening_units(config, None) or {}).items():
        balances[currency] = max(units, balances.get(currency, 0))
    out = Outcome()
    engine.turn(Restore(balances=balances), 0, out)
    engine.turn(Begin(reads_history=True), 0, out)
    if out.failures:
        from botkit.backtesting.driver import raise_failure

        raise_failure(out.failures[0])
