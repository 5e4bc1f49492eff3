"""The control interface under ``/_emulator/``, for tests and drivers, on loopback only.

    curl -s $E/_emulator/state                                   accounts, orders, balances, market, sockets
    curl -s $E/_emulator/counters                                requests, refusals, busiest window by endpoint
    curl -s $E/_emulator/time                                    the exchange's time, its speed, whether it is held
    curl -s $E/_emulator/switches                                the value of every switch
    curl -s $E/_emulator/faults                                  active faults, all kinds, occurrences of each
    curl -s -X POST $E/_emulator/faults -d '{"kind": "lost_answer", "where": "create_order", "count": 1}'
    curl -s -X POST $E/_emulator/faults -d '{"kind": "storm_429", "for_s": 30, "share": 0.5}'
    curl -s -X DELETE $E/_emulator/faults                        remove all; /_emulator/faults/3 removes one
    curl -s -X POST $E/_emulator/cut                             cut every WebSocket
    curl -s -X POST $E/_emulator/deposit -d '{"account": "a@b.c", "currency": "twd", "amount": "1000"}'
    curl -s -X POST $E/_emulator/hold                            stop the clock (lockstep)
    curl -s -X POST $E/_emulator/step -d '{"until": 1790300000000000000}'
    curl -s -X POST $E/_emulator/resume -d '{"speed": 60}'       restart the clock

``$E`` is ``http://127.0.0.1:PORT``. ``step`` advances time to the first delivery at or before ``until`` (ns), and
returns ``{"now", "received", "delivered": [...]}``. Deliveries are in the order in which a bot must process them:
answers identified by their request number, frames by their eventID. ``"requests": n`` first waits for the nth request
since the start; ``"whole": true`` continues to ``until``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from botkit.emulator.faults import KINDS
from botkit.errors import BotkitError
from botkit.model.money import format_units, to_units

if TYPE_CHECKING:
    from botkit.emulator.server import Emulator

_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_STEP_MOST = 1 << 62


class _StepBody(msgspec.Struct, forbid_unknown_fields=True):
    until: int
    requests: int | None = None
    whole: bool = False
    still: bool = False
    more: bool = False


class _Deposit(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    currency: str
    amount: str


class _Resume(msgspec.Struct, forbid_unknown_fields=True):
    speed: float | None = None


async def control(emulator: Emulator, request: web.BaseRequest) -> web.Response:
    """Answer a control request with 200 and JSON, 400 and ``{"error"}``, 403 for an unexpected Host header, or 404."""
    # otherwise a web page could access this interface through a host name that resolves to loopback
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    if host not in _HOSTS or request.headers.get("Origin"):
        return _json({"error": "the control interface only accepts loopback connections"}, 403)
    parts = request.path.strip("/").split("/")[1:]
    body = await request.read() or b"{}"
    try:
        found = await _route(emulator, request.method, parts, body)
    except TimeoutError:
        return _json({"error": "the requests that this step waits for did not arrive"}, 408)
    except RecursionError:
        return _json({"error": "the body is nested too deeply"}, 400)
    except (BotkitError, ValueError, TypeError, OverflowError) as error:
        return _json({"error": str(error)}, 400)
    return _json({"error": f"there is no {request.method} {request.path}"}, 404) if found is None else _json(found)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value) + b"\n", status=status, content_type="application/json")


async def _route(emulator: Emulator, method: str, parts: list[str], body: bytes) -> Any:
    match method, parts:
        case "GET", ["state"]:
            return state(emulator)
        case "GET", ["counters"]:
            return counters(emulator)
        case "GET", ["time"]:
            return _time(emulator)
        case "GET", ["switches"]:
            return emulator.options.switches.values
        case "GET", ["faults"]:
            return {"faults": emulator.faults.rules, "fired": emulator.faults.fired, "kinds": KINDS}
        case "POST", ["faults"]:
            spec = msgspec.json.decode(body)
            if not isinstance(spec, dict):
                raise ValueError('fault: write it as {"kind": "lost_answer", "where": "create_order", "count": 1}')
            return emulator.add_fault(spec)
        case "DELETE", ["faults"]:
            return {"removed": emulator.remove_faults()}
        case "DELETE", ["faults", number] if number.isascii() and number.isdigit():
            return {"removed": emulator.remove_faults(int(number))}
        case "POST", [verb]:
            return await _act(emulator, verb, body)
    return None


async def _act(emulator: Emulator, verb: str, body: bytes) -> Any:
    match verb:
        case "step":
            step = msgspec.json.decode(body, type=_StepBody)
            if not 0 <= step.until < _STEP_MOST:
                raise ValueError("until must be a time in nanoseconds")
            now, told = await emulator.step(
                step.until, requests=step.requests, whole=step.whole, still=step.still, more=step.more
            )
            return {"now": now, "received": emulator.received, "delivered": told}
        case "hold":
            emulator.advance()
            emulator.clock.hold()
            return _time(emulator)
        case "resume":
            resume = msgspec.json.decode(body, type=_Resume)
            if resume.speed is not None and not 0 < resume.speed <= 100_000:
                raise ValueError("speed must be a factor above 0")
            emulator.clock.resume(resume.speed)
            return _time(emulator)
        case "cut":
            return {"cut": emulator.cut_sockets()}
        case "deposit":
            return _deposit(emulator, msgspec.json.decode(body, type=_Deposit))
    return None


def _deposit(emulator: Emulator, deposit: _Deposit) -> Any:
    if deposit.account not in emulator.venue.accounts:
        raise ValueError("there is no such account")
    units = to_units(deposit.amount)
    currency = deposit.currency.lower()
    if currency not in emulator.venue.currencies or units <= 0:
        raise ValueError(
            f"{deposit.amount} {deposit.currency} cannot be deposited; use a positive amount of a listed currency"
        )
    made = emulator.wallet.deposit(deposit.account, currency, units)
    if not emulator.clock.held:
        emulator.advance(emulator.venue.now)
    return {"serial": made.serial}


def _time(emulator: Emulator) -> dict[str, Any]:
    clock = emulator.clock
    return {"now": clock.now(), "speed": clock.speed, "held": clock.held, "started": emulator.venue.started}


def counters(emulator: Emulator) -> dict[str, Any]:
    """Return requests, refusals and the busiest window for each endpoint, and the total number of frames."""
    limits = emulator.venue.limits
    return {
        "received": emulator.received,
        "refused_429": limits.refused,
        "frames": emulator.hub.frames,
        "endpoints": dict(limits.counts),
    }


def state(emulator: Emulator) -> dict[str, Any]:
    """Return balances, open orders and totals for every account, the market and the sockets, but never keys or
    secrets.
    """
    venue = emulator.venue
    accounts = {}
    for email, rows in venue.rows.items():
        account = rows.account
        text: Callable[[int], str] = format_units
        accounts[email] = {
            "balances": {
                currency: {"total": text(total), "available": text(account.available(currency))}
                for currency, total in account.total.items()
                if total
            },
            "open_orders": [rows.order(order.report()) for order in account.open.values()],
            "orders": len(account.orders),
            "trades": account.trades.total,
            "transfers": emulator.wallet.figures()[email],
        }
    return {
        "time": _time(emulator),
        "market": {
            "name": venue.market_name,
            "synthetic": venue.is_synthetic,
            "ended": venue.market_ended,
            "pairs": list(venue.pairs),
        },
        "accounts": accounts,
        "sockets": emulator.sockets,
        "frames": emulator.hub.frames,
        "tasks": len(asyncio.all_tasks()),
    }
