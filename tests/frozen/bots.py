"""The bot for each seed: its strategies, balances, risk rules, limits, fees and latencies as JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from botkit.model.clock import NS_PER_S, format_time
from tests.frozen.tapes import MINUTES, PAIRS, START

_STRATEGIES = Path(__file__).parent / "strategies"
_LOSS_RULES = ({"usdt": 40}, {"usdt": 400})


#: seconds of the tape that a lockstep run covers: from before the bids vanish until after the end of a bar
_LOCKSTEP_S = (120, 190)


def config(seed: int, tape: str, folder: Path, *, lockstep: bool = False) -> str:
    """Return the configuration of a seed's bot on the tape ``tape`` below ``folder``.

    With ``lockstep``, the run covers only part of the tape, no strategy raises an exception, and no strategy receives
    trades, because several trades with equal timestamps arrive as one frame.
    """
    dice = Random(f"bot {seed}")
    pairs = PAIRS[:1] if tape == "books" or (tape == "candles" and seed % 2) else PAIRS
    first_s, last_s = _LOCKSTEP_S if lockstep else (0, MINUTES[tape] * 60)
    greedy = dice.random() < 0.25
    strategies = _strategies(dice, seed, tape, pairs, greedy, lockstep)
    document: dict[str, Any] = {
        "name": "frozen",
        "seed": seed,
        "plugins": [str(_STRATEGIES)],
        "strategies": strategies,
        "risk": _risk(dice),
        "limits": {"batching": dice.random() < 0.7},
        "backtest": {
            "data": str(folder / tape),
            "from": format_time(START + first_s * NS_PER_S),
            "to": format_time(START + int(last_s * NS_PER_S)),
            "balances": {
                "usdt": dice.choice(["2000", "100000"]),
                "btc": dice.choice(["0.01", "0.5"]),
                "twd": dice.choice(["100000", "3000000"]),
            },
            "fees": dice.choice([{"rank": 0}, {"rank": "auto"}, {"maker": "0", "taker": "0.0005"}]),
            "latency": {"order_ms": dice.choice([0, 1, 60, 300]), "answer_ms": dice.choice([0, 20, 300])},
            "fills": {"model": dice.choice(["queue", "queue", "optimistic", "pessimistic"])},
            "slippage": "0.0002",
        },
    }
    if tape == "books":  # no pair here can be used to value Taiwan dollars
        document["risk"].get("max_order_value", {}).pop("twd", None)
        del document["backtest"]["balances"]["twd"]
    if greedy:
        document["limits"] |= {"create_order": dice.choice([20, 60]), "cancel_order": 40, "create_batch": 6}
    if dice.random() < 0.2:
        document["reserve"] = {"usdt": "100"}
    if dice.random() < 0.2:
        document["amount_step"] = "amountPrecision"
    if dice.random() < 0.3:
        document["backtest"]["latency"] |= {"model": "lognormal", "sigma": "0.6"}
    if dice.random() < 0.2:
        document["bar_grace_ms"] = dice.choice([0, 700])
    _hand_coins_over(document, Random(f"coins {seed}"))
    return json.dumps(document, indent=1)


def _hand_coins_over(document: dict[str, Any], dice: Random) -> None:
    """Allocate the account's coins to a strategy. A bot's only strategy usually receives all balances except the
    reserve.
    """
    balances, strategies = document["backtest"]["balances"], document["strategies"]
    if len(strategies) == 1:
        if dice.random() < 0.8:
            reserve = document.get("reserve", {})
            strategies[0]["capital"] = {c: str(Decimal(v) - Decimal(reserve.get(c, 0))) for c, v in balances.items()}
        return
    owner = dice.choice(strategies)
    if not isinstance(owner.get("capital"), dict):
        owner["capital"] = {"usdt": "300"}
    owner["capital"]["btc"] = balances["btc"]


def _strategies(
    dice: Random, seed: int, tape: str, pairs: tuple[str, ...], greedy: bool, lockstep: bool
) -> list[dict[str, Any]]:
    many = dice.choice([1, 1, 2, 3])
    found = []
    for place in range(many):
        own = list(pairs) if dice.random() < 0.6 else [dice.choice(pairs)]
        params: dict[str, Any] = {
            "pairs": own,
            "shape": seed * 10 + place,
            "reads_market": tape != "candles",
            "hears_trades": not lockstep,
            "greed": dice.randint(4, 9) if greedy else dice.choice([1, 1, 2]),
            "rate": dice.choice([0.04, 0.12]) if tape != "candles" else dice.choice([0.01, 0.05]),
        }
        if seed % 16 == 5 and place == 0 and not lockstep:
            params |= {"fails_after": dice.randint(50, 300), "runs_away": seed % 32 == 5}
        strategy: dict[str, Any] = {"name": "abc"[place], "use": "anything", "params": params}
        if many > 1 and dice.random() < 0.7:
            money: Any = {"usdt": str(dice.randint(200, 600))} if "btc_usdt" in own else {"twd": "20000"}
            strategy["capital"] = dice.choice(["20%", "30%", money])
        if dice.random() < 0.3:
            strategy["risk"] = dice.choice([{"max_daily_loss": dice.choice(_LOSS_RULES)}, {"max_open_orders": 4}])
        found.append(strategy)
    return found


def _risk(dice: Random) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if dice.random() < 0.3:
        rules["max_daily_loss"] = dice.choice(_LOSS_RULES)
    if dice.random() < 0.3:
        rules["max_open_orders"] = dice.choice([3, 12])
    if dice.random() < 0.2:
        rules["max_order_value"] = {"usdt": dice.choice([150, 5_000]), "twd": 50_000}
    if dice.random() < 0.2:
        rules["max_position"] = {"btc": dice.choice(["0.02", "0.8"])}
    if dice.random() < 0.2:
        rules["price_collar_pct"] = dice.choice([0.5, 2])
    if dice.random() < 0.2:
        rules["max_orders_per_second"] = dice.choice([1, 5])
    return rules
