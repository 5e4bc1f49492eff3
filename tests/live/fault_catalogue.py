"""Which test shows what each fault comes to, and what the user reads then.

The faults are those of the catalogue that botkit is built against, section by section. `test_fault_catalogue` holds
this table against the tests: every test that is named exists, and asserts the words that the user is said to see.
"""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """What shows a fault.

    ``tests`` are names as pytest takes them, from the project's folder and without parameters. ``says`` is what the
    user reads, with ``...`` for what differs from case to case: each piece stands in the file of one of the tests.
    Empty: nothing is lost and nothing is to be done, so nothing is said.
    """

    tests: tuple[str, ...] = ()
    says: str = ""


_LIVE = "tests/live/"
_NETWORK = _LIVE + "test_faults_network.py::"
_ANSWERS = _LIVE + "test_faults_answers.py::"
_STREAMS = _LIVE + "test_faults_streams.py::"
_CREATE = _ANSWERS + "test_a_create_is_neither_lost_nor_doubled_when"
_CANCEL = _ANSWERS + "test_a_cancelled_order_ends_and_its_money_is_free_when"
_FRAMES = _STREAMS + "test_fills_are_booked_once_and_nothing_is_lost_when_frames_are"
_UNKNOWN = "is of unknown outcome; btc_usdt waits for it"

NETWORK: dict[str, Shown] = {
    "connect fails": Shown(
        (
            _NETWORK + "test_without_an_exchange_the_start_is_refused_and_says_so",
            _NETWORK + "test_an_order_to_an_exchange_that_is_gone_is_not_sent_and_its_money_is_free",
        ),
        "balances cannot be read",
    ),
    "DNS fails": Shown(),
    "request lost": Shown((_CREATE, _CANCEL), _UNKNOWN),
    "answer lost after accept": Shown((_CREATE, _CANCEL)),
    "late arrival": Shown((_CREATE,), _UNKNOWN),
    "keep-alive drop on DELETE": Shown(
        ("tests/exchange/test_transport.py::test_a_dropped_keep_alive_connection_is_not_followed_by_a_second_sending",)
    ),
    "half-open TCP": Shown(),
    "slow-drip body": Shown((_CREATE,)),
    "huge body": Shown(),
    "cross-origin redirect": Shown(),
    "bad TLS certificate": Shown(),
}

ANSWERS: dict[str, Shown] = {
    "5xx before apply": Shown((_CREATE, _CANCEL), _UNKNOWN),
    "5xx after apply": Shown((_CREATE, _CANCEL)),
    "4xx though applied": Shown((_CREATE, _CANCEL)),
    "408": Shown((_CREATE,), _UNKNOWN),
    "409 clock skew": Shown(),
    "429 storm": Shown(),
    "200 with HTML": Shown((_CREATE, _CANCEL)),
    "200 with truncated JSON": Shown((_CREATE,)),
    "200 with NaN": Shown(),
    "200 with duplicate keys": Shown(),
    "200 with another client id": Shown(),
    "200 with another amount": Shown(),
    "unknown status": Shown(),
    "unknown type": Shown(),
    "listing lags behind": Shown(),
    "listing filter ignored": Shown(),
    "paging by non-monotonic ids": Shown(),
    "ids as int and as string": Shown(),
    "clientId and clientID": Shown(),
    "stamps in seconds and milliseconds": Shown(),
    "data: null": Shown(),
    "maintenance": Shown(),
    "open-order cap reached": Shown(),
}

WEBSOCKET: dict[str, Shown] = {
    "missed pong": Shown(),
    "clean close without reason": Shown((_FRAMES,), "was lost"),
    "duplicate frame": Shown((_FRAMES,)),
    "reordered frame": Shown((_FRAMES,)),
    "dropped frame": Shown(
        (_STREAMS + "test_a_dropped_frame_of_a_fill_is_found_by_the_next_comparison",), "was open and is filled"
    ),
    "fill before the REST answer": Shown((_STREAMS + "test_the_fill_that_comes_before_the_answer_is_booked_once",)),
    "reconnect storm": Shown(),
    "frozen book on a live socket": Shown(
        (_LIVE + "test_running.py::test_a_quiet_book_is_read_and_the_second_different_reading_trips_the_breaker",)
    ),
    "frame of 10 MB": Shown(),
    "unknown event": Shown(),
}

TIME: dict[str, Shown] = {
    "wall clock jumps an hour forward": Shown(),
    "wall clock jumps an hour back": Shown(),
    "machine suspended ten minutes": Shown(),
    "seconds and milliseconds mixed": Shown(),
}

PROCESS_AND_DISK: dict[str, Shown] = {
    "kill -9 at any await": Shown(),
    "SIGTERM in the middle of a submit": Shown(),
    "two instances": Shown(),
    "journal on a full disk": Shown(),
    "journal on a read-only disk": Shown(),
    "journal on a failing disk": Shown(),
    "torn journal": Shown(),
    "corrupt journal": Shown(),
    "deleted journal": Shown(),
    "journal deleted while running": Shown(),
    "restored journal": Shown(),
}

CONFIGURATION: dict[str, Shown] = {
    "duplicate key": Shown(),
    "no, 010, 22:22, 1e3 read as something else": Shown(),
    "aliases that expand without end": Shown(),
    "unknown key": Shown(),
    "live keys with an emulator address": Shown(),
    "live mode at an emulator": Shown(),
}

PLUGINS: dict[str, Shown] = {
    "exception": Shown(),
    "BaseException": Shown(),
    "sys.exit": Shown(),
    "endless loop or time.sleep": Shown(),
    "swallowed cancellation": Shown(),
    "a million orders a second": Shown(),
    "memory growth": Shown(),
    "mutating a shared event": Shown(),
}

DATA_AND_MONEY: dict[str, Shown] = {
    "crossed book": Shown(),
    "empty book": Shown(),
    "negative book": Shown(),
    "10^12 spike": Shown(),
    "missing candle": Shown(),
    "doubled candle": Shown(),
    "NaN, 1e999999999, 1_000, Arabic digits": Shown(),
    "feeSymbol wrong on sells": Shown(),
    "USER_TRADE fee scaled by 10^8": Shown(),
    "the same trade by REST and WS": Shown(),
    "rounding past the balance": Shown(),
    "rounding under the minimum": Shown(),
    "market buy amount is quote": Shown(),
}

SECURITY: dict[str, Shown] = {
    "a secret in logs, tracebacks, argv, reports, journal": Shown(),
    "key file that others can read": Shown(),
    "path traversal in report and config paths": Shown(),
    "metrics asked from another host": Shown(),
    "emulator's control asked by a web page": Shown(),
    "a plugin that was not named": Shown(),
}

CATALOGUE: dict[str, dict[str, Shown]] = {
    "Network": NETWORK,
    "Answers": ANSWERS,
    "WebSocket": WEBSOCKET,
    "Time": TIME,
    "Process and disk": PROCESS_AND_DISK,
    "Configuration": CONFIGURATION,
    "Plugins": PLUGINS,
    "Data and money": DATA_AND_MONEY,
    "Security": SECURITY,
}
