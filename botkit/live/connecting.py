"""Connects the account's streams while a bot starts, or reports why they cannot connect."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NoReturn

from botkit.live.bot import Bot
from botkit.live.limits.protocol import LedgerUnreachable
from botkit.live.refused_key import REFUSED_STATUS, key_refused
from botkit.live.start_refused import StartRefused
from botkit.model.requests import Answer, Ending, GetBalances

_CONNECT_S = 20.0
#: if the account's streams are not connected after this time, a plain request shows whether it makes sense to keep
#: waiting
_CONNECT_SOON_S = 5.0
#: how long to wait for the exchange's explanation after it refuses a stream
_REASON_S = 5.0


async def connect(bot: Bot) -> None:
    """Connect the account's streams. Raises StartRefused if they do not connect, with the reason if a plain request
    reveals it.
    """
    bot.streams.follow_account()
    if await _is_connected(bot, _CONNECT_SOON_S):
        return
    answer = await _plain_answer(bot)
    # without a connection, or with a rejected key, there is no point in waiting longer
    is_hopeless = answer is not None and answer.outcome in (Ending.NOT_SENT, Ending.REFUSED)
    waited_s = _CONNECT_SOON_S if is_hopeless else _CONNECT_S
    if not is_hopeless and await _is_connected(bot, _CONNECT_S - _CONNECT_SOON_S):
        return
    if answer is not None and answer.status == REFUSED_STATUS:
        _refuse_key(bot, f"{answer.status} {answer.text}")
    plain = ""
    if answer is not None and answer.outcome is not Ending.OK:
        plain = f", and the account's balances cannot be fetched: {answer.text or answer.outcome.value}"
    troubles = bot.streams.troubles() or "no reason was given"
    raise StartRefused(
        f"the account's streams did not connect within {waited_s:.0f} s ({troubles}){plain}. "
        "Nothing was traded; check the address, the key and this machine's clock"
    )


async def _is_connected(bot: Bot, seconds: float) -> bool:
    """Wait for the account's streams and return whether they connected. Raises StartRefused if the exchange refuses
    them.
    """
    connected, refused = bot.streams.account_connected, bot.key_refused
    waiting = [asyncio.ensure_future(event.wait()) for event in (connected, refused)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    if refused.is_set():
        # a refused upgrade has a status code but no text
        answer = await _plain_answer(bot)
        has_words = answer is not None and answer.status == REFUSED_STATUS
        _refuse_key(bot, f"{answer.status} {answer.text}" if answer is not None and has_words else "401")
    return connected.is_set()


def _refuse_key(bot: Bot, words: str) -> NoReturn:
    raise StartRefused(f"{key_refused(words, bot.parts.address[0])}. Nothing was traded")


async def _plain_answer(bot: Bot) -> Answer | None:
    """Return the exchange's response to a plain request, or None if there was no response."""
    with contextlib.suppress(TimeoutError, LedgerUnreachable):
        async with asyncio.timeout(_REASON_S), bot.parts.outside_router() as reads:
            return await reads.send(GetBalances(id=-1))
    return None
