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
_LISTINGS = _LIVE + "test_faults_listings.py::"
_STREAMS = _LIVE + "test_faults_streams.py::"
_TRANSPORT = "tests/exchange/test_transport.py::"
_CREATE = _ANSWERS + "test_a_create_is_neither_lost_nor_doubled_when"
_CANCEL = _ANSWERS + "test_a_cancelled_order_ends_and_its_money_is_free_when"
_UNBELIEVED = _ANSWERS + "test_an_answer_that_cannot_be_believed_is_looked_up_when"
_FORMS = _LISTINGS + "test_books_are_right_in_every_form_of_the_wire"
_SWITCHES = _LISTINGS + "test_books_are_right_whatever_the_documents_leave_open"
_FRAMES = _STREAMS + "test_fills_are_booked_once_and_nothing_is_lost_when_frames_are"
_ENDED = _STREAMS + "test_what_a_connection_that_ends_would_have_said_is_read"
_UNKNOWN = (
    "is of unknown outcome; btc_usdt waits for it...looked up until it is found or proved absent, and never sent again"
)
_KNOWN = "its outcome is known now"
_MISSED = "what it missed is read when it is back"
_UNREADABLE = (
    "sent what cannot be read...it was left out, and the books are compared with the exchange's. Look whether there is"
)

NETWORK: dict[str, Shown] = {
    "connect fails": Shown(
        (
            _NETWORK + "test_without_an_exchange_the_start_is_refused_and_says_so",
            _NETWORK + "test_an_order_to_an_exchange_that_is_gone_is_not_sent_and_its_money_is_free",
        ),
        "balances cannot be read...Nothing was traded; check the address and the...was not sent: ClientConnectorError",
    ),
    "DNS fails": Shown(
        (
            _NETWORK + "test_a_name_that_is_not_found_refuses_the_start",
            _NETWORK + "test_while_names_are_not_found_nothing_is_sent_and_afterwards_the_bot_trades_on",
        ),
        "Nothing was traded; check the address and the...was not sent: ClientConnectorDNSError",
    ),
    "request lost": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "answer lost after accept": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "late arrival": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "keep-alive drop on DELETE": Shown(
        (_TRANSPORT + "test_a_dropped_keep_alive_connection_is_not_followed_by_a_second_sending", _CANCEL)
    ),
    "half-open TCP": Shown(
        (_NETWORK + "test_a_connection_on_which_nothing_comes_any_more_is_left_and_what_it_missed_is_read",),
        "was lost: nothing was received for 2.5 s",
    ),
    "slow-drip body": Shown((_CREATE, _TRANSPORT + "test_a_broken_answer_ends_within_the_timeout")),
    "huge body": Shown(
        (
            _NETWORK + "test_an_answer_without_end_is_cut_off_and_read_again",
            _UNBELIEVED,
            _TRANSPORT + "test_a_huge_body_is_cut_off",
        ),
        "the open orders could not be read: an answer of more than 4194304 bytes",
    ),
    "cross-origin redirect": Shown(
        (
            _NETWORK + "test_a_redirect_takes_no_key_to_another_origin",
            _NETWORK + "test_a_redirect_at_the_start_refuses_it",
        ),
        "a redirect, which is not followed...the server redirects, which is not followed; connecting again",
    ),
    "bad TLS certificate": Shown(
        (
            _NETWORK + "test_a_certificate_that_nobody_vouches_for_gets_no_byte_of_a_request",
            _NETWORK + "test_nor_does_it_get_a_signed_upgrade",
        ),
        "CERTIFICATE_VERIFY_FAILED...there is no switch to trust a bad one",
    ),
}

ANSWERS: dict[str, Shown] = {
    "5xx before apply": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "5xx after apply": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "4xx though applied": Shown((_CREATE, _CANCEL)),
    "408": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "409 clock skew": Shown(
        (
            _NETWORK + "test_a_clock_beyond_the_exchanges_window_halts_the_bot_and_says_by_how_much",
            _NETWORK + "test_with_a_clock_that_is_off_the_start_is_refused_and_says_by_how_much",
        ),
        "ms behind the exchange's; set it",
    ),
    "429 storm": Shown(
        (
            _ANSWERS + "test_a_storm_of_429_delays_orders_and_loses_none",
            _ANSWERS + "test_cancels_have_room_while_creates_are_answered_429",
            _ANSWERS + "test_cancels_that_are_answered_429_are_repeated_until_they_are_heard",
        ),
        "429 at create_order: somebody else uses this account or address",
    ),
    "200 with HTML": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "200 with truncated JSON": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "200 with NaN": Shown((_UNBELIEVED,), _UNKNOWN),
    "200 with duplicate keys": Shown(
        (
            _UNBELIEVED,
            "tests/exchange/test_client.py::test_a_reply_to_a_write_that_says_something_twice_is_of_unknown_outcome",
        ),
        _UNKNOWN + "...is there twice",
    ),
    "200 with another client id": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "200 with another amount": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "unknown status": Shown(
        (
            _LISTINGS + "test_a_push_of_an_unknown_kind_is_left_out_told_of_and_compared_after",
            _LISTINGS + "test_a_listing_of_an_unknown_kind_is_no_listing_and_the_user_hears_of_it",
        ),
        _UNREADABLE + "...has the unknown type 'LIMIT' or status 9",
    ),
    "unknown type": Shown(
        (
            _LISTINGS + "test_a_push_of_an_unknown_kind_is_left_out_told_of_and_compared_after",
            _LISTINGS + "test_a_listing_of_an_unknown_kind_is_no_listing_and_the_user_hears_of_it",
            _LISTINGS + "test_an_unknown_order_of_somebody_elses_refuses_the_start_and_is_named",
        ),
        _UNREADABLE + "...has the unknown type 'ICEBERG' or status 0",
    ),
    "listing lags behind": Shown(
        (
            _LISTINGS + "test_an_order_that_listings_do_not_show_yet_is_not_taken_for_absent",
            _LISTINGS + "test_balances_from_before_a_fill_do_not_deny_it",
        ),
        _KNOWN,
    ),
    "listing filter ignored": Shown(
        (_LISTINGS + "test_a_listing_that_ignores_its_filter_leads_to_the_right_order_or_to_none",), _KNOWN
    ),
    "paging by non-monotonic ids": Shown((_LISTINGS + "test_pages_whose_rows_come_in_any_order_are_all_read",)),
    "ids as int and as string": Shown((_FORMS,)),
    "clientId and clientID": Shown((_FORMS,)),
    "stamps in seconds and milliseconds": Shown((_FORMS, _SWITCHES)),
    "data: null": Shown(
        (
            _FORMS,
            _SWITCHES,
            _LISTINGS + "test_no_list_of_balances_is_no_balance_of_nothing",
            _LISTINGS + "test_without_a_list_of_balances_the_start_is_refused",
        ),
        "the balances could not be read: balance: the answer lists no currency",
    ),
    "maintenance": Shown(
        (_ANSWERS + "test_a_suspended_pair_rejects_with_the_exchanges_words",),
        "was rejected by the exchange: Trading pair btc_usdt is under maintenance",
    ),
    "open-order cap reached": Shown(
        (_ANSWERS + "test_an_order_beyond_the_cap_of_open_orders_is_rejected_and_told_of",),
        "was rejected by the exchange: Open orders of btc_usdt exceed the limit of",
    ),
}

WEBSOCKET: dict[str, Shown] = {
    "missed pong": Shown((_ENDED,), "was lost: the connection was closed, code 1006; connecting again..." + _MISSED),
    "clean close without reason": Shown(
        (_ENDED, _FRAMES), "was lost: the connection was closed, code 1000; connecting again..." + _MISSED
    ),
    "duplicate frame": Shown((_FRAMES,)),
    "reordered frame": Shown(
        (
            _FRAMES,
            _STREAMS + "test_balances_that_come_out_of_order_leave_the_newest_standing",
            _STREAMS + "test_money_that_a_stream_alone_speaks_of_is_compared_soon",
        )
    ),
    "dropped frame": Shown(
        (_STREAMS + "test_a_dropped_frame_of_a_fill_is_found_by_the_next_comparison",), "was open and is filled"
    ),
    "fill before the REST answer": Shown((_STREAMS + "test_the_fill_that_comes_before_the_answer_is_booked_once",)),
    "reconnect storm": Shown(
        (_STREAMS + "test_a_storm_of_cuts_is_met_with_ever_rarer_connections",), "was lost...is back"
    ),
    "frozen book on a live socket": Shown(
        (
            _STREAMS + "test_a_book_that_stands_still_on_a_live_socket_halts_the_bot",
            _LIVE + "test_running.py::test_a_quiet_book_is_read_and_the_second_different_reading_trips_the_breaker",
        ),
        "halted: the book of btc_usdt moves on, and the stream shows nothing of it. Open orders are cancelled",
    ),
    "frame of 10 MB": Shown((_ENDED,), "was lost: a frame of more than 4 MB was not taken in..." + _MISSED),
    "unknown event": Shown(
        (_STREAMS + "test_an_event_that_nobody_knows_costs_nothing_and_is_told_once",),
        "frames of the unknown event USER_TRADE_V2 are left out, what botkit knows goes on; look whether",
    ),
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
