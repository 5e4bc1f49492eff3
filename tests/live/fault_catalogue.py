"""Lists the test and the message for each fault.

The faults are those that botkit must withstand, section by section. `test_fault_catalogue` compares this table with the
tests: every test named here must exist, and must assert the message that the user is said to see.
"""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """The tests that cover a fault, and its message.

    ``tests`` are names as pytest takes them, from the project's folder and without parameters. ``says`` is what the
    user reads, with ``...`` for parts that vary. Each piece must occur in the file of one of the tests. It is empty if
    nothing is lost and there is nothing to do, so that nothing is said.
    """

    tests: tuple[str, ...] = ()
    says: str = ""


_LIVE = "tests/live/"
_NETWORK = _LIVE + "test_faults_network.py::"
_ANSWERS = _LIVE + "test_faults_answers.py::"
_LISTINGS = _LIVE + "test_faults_listings.py::"
_STREAMS = _LIVE + "test_faults_streams.py::"
_KEY = _LIVE + "test_faults_key.py::"
_TRANSPORT = "tests/exchange/test_transport.py::"
_CREATE = _ANSWERS + "test_a_create_is_neither_lost_nor_doubled"
_CANCEL = _ANSWERS + "test_a_cancelled_order_ends_and_frees_its_money"
_UNBELIEVED = _ANSWERS + "test_an_order_with_an_untrustworthy_answer_is_looked_up"
_FORMS = _LISTINGS + "test_books_are_right_in_every_form_of_the_wire"
_SWITCHES = _LISTINGS + "test_books_are_right_whatever_the_documentation_leaves_open"
_FRAMES = _STREAMS + "test_fills_are_booked_once_and_nothing_is_lost_whatever_happens_to_frames"
_ENDED = _STREAMS + "test_events_missed_by_a_closed_connection_are_read"
_UNKNOWN = (
    "is unknown, and btc_usdt takes no new orders meanwhile"
    "...looked up until it is found or proved absent, and never sent again"
)
_KNOWN = "is now known"
_MISSED = "whatever it misses is read once it is back"
_UNREADABLE = (
    "sent data that cannot be read...it was skipped, and the bot is reconciled with the exchange. "
    "Check whether there is"
)

NETWORK: dict[str, Shown] = {
    "connect fails": Shown(
        (
            _NETWORK + "test_without_an_exchange_the_start_is_refused_with_a_reason",
            _NETWORK + "test_an_order_to_an_unreachable_exchange_is_not_sent_and_frees_its_money",
        ),
        "open orders cannot be read...Nothing was traded; check the address...was not sent: ClientConnectorError",
    ),
    "DNS fails": Shown(
        (
            _NETWORK + "test_an_unresolvable_name_refuses_the_start",
            _NETWORK + "test_while_names_cannot_be_resolved_nothing_is_sent_and_then_trading_continues",
        ),
        "Nothing was traded; check the address...was not sent: ClientConnectorDNSError",
    ),
    "request lost": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "answer lost after accept": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "late arrival": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "keep-alive drop on DELETE": Shown(
        (_TRANSPORT + "test_a_request_is_not_resent_after_a_dropped_keep_alive_connection", _CANCEL)
    ),
    "half-open TCP": Shown(
        (_NETWORK + "test_a_silent_connection_is_dropped_and_the_missed_events_are_read",),
        "was lost: nothing was received for 2.5 s",
    ),
    "slow-drip body": Shown((_CREATE, _TRANSPORT + "test_a_broken_answer_ends_within_the_timeout")),
    "huge body": Shown(
        (
            _NETWORK + "test_an_endless_answer_is_cut_off_and_read_again",
            _UNBELIEVED,
            _TRANSPORT + "test_a_huge_body_is_cut_off",
        ),
        "the open orders cannot be read: the answer has more than 4194304 bytes",
    ),
    "cross-origin redirect": Shown(
        (
            _NETWORK + "test_a_redirect_does_not_send_the_key_to_another_origin",
            _NETWORK + "test_a_redirect_at_the_start_refuses_it",
        ),
        "a redirect, which botkit does not follow...the server sent a redirect, which botkit does not",
    ),
    "bad TLS certificate": Shown(
        (
            _NETWORK + "test_an_untrusted_certificate_gets_no_byte_of_a_request",
            _NETWORK + "test_an_untrusted_certificate_gets_no_signed_upgrade",
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
            _NETWORK + "test_a_clock_outside_the_exchanges_window_halts_the_bot_and_gives_the_difference",
            _NETWORK + "test_with_a_wrong_clock_the_start_is_refused_with_the_difference",
        ),
        "ms behind the exchange's; set it",
    ),
    "401: the key was deleted, has expired or is wrong": Shown(
        (
            _KEY + "test_an_expiring_key_halts_the_bot_for_good_and_leaves_its_orders",
            _KEY + "test_a_wrong_key_ends_the_start_within_seconds",
        ),
        "does not accept the account's key...check the address, the key and this machine's clock"
        "...Open orders stay as they are; `botkit resume` lifts it",
    ),
    "429 storm": Shown(
        (
            _ANSWERS + "test_a_storm_of_429s_delays_orders_and_loses_none",
            _ANSWERS + "test_cancels_have_room_while_creates_get_429",
            _ANSWERS + "test_cancels_that_get_429_are_repeated_until_they_succeed",
        ),
        "429 at create_order: somebody else uses this account or address",
    ),
    "200 with HTML": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "200 with truncated JSON": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "200 with NaN": Shown((_UNBELIEVED,), _UNKNOWN),
    "200 with duplicate keys": Shown(
        (
            _UNBELIEVED,
            "tests/exchange/test_client.py::test_a_reply_to_a_write_with_a_repeated_name_has_an_unknown_outcome",
        ),
        _UNKNOWN + "...appears twice",
    ),
    "200 with another client id": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "200 with another amount": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "unknown status": Shown(
        (
            _LISTINGS + "test_a_pushed_row_of_an_unknown_kind_is_skipped_reported_and_followed_by_a_comparison",
            _LISTINGS + "test_a_listing_of_an_unknown_kind_is_rejected_and_reported",
        ),
        _UNREADABLE + "...has the unknown type 'LIMIT' or status 9",
    ),
    "unknown type": Shown(
        (
            _LISTINGS + "test_a_pushed_row_of_an_unknown_kind_is_skipped_reported_and_followed_by_a_comparison",
            _LISTINGS + "test_a_listing_of_an_unknown_kind_is_rejected_and_reported",
            _LISTINGS + "test_someone_elses_order_of_an_unknown_kind_refuses_the_start_and_is_named",
        ),
        _UNREADABLE + "...has the unknown type 'ICEBERG' or status 0",
    ),
    "listing lags behind": Shown(
        (
            _LISTINGS + "test_an_order_missing_from_early_listings_is_not_declared_absent",
            _LISTINGS + "test_balances_older_than_a_fill_do_not_contradict_it",
        ),
        _KNOWN,
    ),
    "listing filter ignored": Shown(
        (_LISTINGS + "test_a_listing_that_ignores_its_filter_finds_the_right_order_or_none",), _KNOWN
    ),
    "paging by non-monotonic ids": Shown((_LISTINGS + "test_pages_with_rows_in_any_order_are_all_read",)),
    "ids as int and as string": Shown((_FORMS,)),
    "clientId and clientID": Shown((_FORMS,)),
    "stamps in seconds and milliseconds": Shown((_FORMS, _SWITCHES)),
    "data: null": Shown(
        (
            _FORMS,
            _SWITCHES,
            _LISTINGS + "test_a_missing_balance_list_is_not_a_balance_of_zero",
            _LISTINGS + "test_without_a_balance_list_the_start_is_refused",
        ),
        "the account's balances cannot be read: balance: the answer lists no currency",
    ),
    "maintenance": Shown(
        (_ANSWERS + "test_a_suspended_pair_is_rejected_in_the_exchanges_words",),
        "was rejected by the exchange: Trading pair btc_usdt is under maintenance",
    ),
    "open-order cap reached": Shown(
        (_ANSWERS + "test_an_order_beyond_the_open_order_cap_is_rejected_and_reported",),
        "was rejected by the exchange: Open orders of btc_usdt exceed the limit of",
    ),
}

WEBSOCKET: dict[str, Shown] = {
    "missed pong": Shown((_ENDED,), "was lost: the connection was closed, code 1006; reconnecting..." + _MISSED),
    "clean close without reason": Shown(
        (_ENDED, _FRAMES), "was lost: the connection was closed, code 1000; reconnecting..." + _MISSED
    ),
    "duplicate frame": Shown((_FRAMES,)),
    "reordered frame": Shown(
        (
            _FRAMES,
            _STREAMS + "test_the_newest_of_reordered_balances_counts",
            _STREAMS + "test_a_balance_change_reported_only_by_a_stream_is_compared_soon",
        )
    ),
    "dropped frame": Shown(
        (_STREAMS + "test_a_dropped_fill_frame_is_found_by_the_next_comparison",), "was open and is filled"
    ),
    "fill before the REST answer": Shown((_STREAMS + "test_a_fill_that_arrives_before_its_answer_is_booked_once",)),
    "reconnect storm": Shown(
        (_STREAMS + "test_repeated_disconnects_lead_to_longer_and_longer_pauses",), "was lost...is back"
    ),
    "frozen book on a live socket": Shown(
        (
            _STREAMS + "test_a_frozen_book_on_a_live_socket_halts_the_bot",
            _LIVE + "test_running.py::test_a_quiet_book_is_read_and_the_second_differing_read_trips_the_breaker",
        ),
        "halted: the book of btc_usdt changes, but the stream does not show it. Open orders are cancelled",
    ),
    "frame of 10 MB": Shown((_ENDED,), "was lost: a frame larger than 4 MB was rejected..." + _MISSED),
    "unknown event": Shown(
        (_STREAMS + "test_an_unknown_event_loses_nothing_and_is_reported_once",),
        "frames with the unknown event USER_TRADE_V2 are ignored, and everything else continues; check for",
    ),
}

_TIME = _LIVE + "test_faults_time.py::"
_KILLS = _LIVE + "test_kills.py::"
_DISK = _LIVE + "test_faults_disk.py::"
_LOG = _LIVE + "test_journal_log.py::"
_OUTPUT = "tests/cli/test_run_output.py::"
_GUARD = _LIVE + "test_guard.py::"
_PLUGINS = _LIVE + "test_faults_plugins.py::"
_DATA = _LIVE + "test_faults_data.py::"
_QUARANTINE = "tests/engine/test_quarantine.py::"
_SOURCE = "tests/config/test_source.py::"
_JUMP = _TIME + "test_a_wall_clock_jump_of_an_hour_moves_neither_timers_nor_timestamps_and_is_reported"
_JUMPED = "this machine's clock was set 3,600 s...; the bot keeps its own"
_FAILS = _PLUGINS + "test_a_failing_strategy_is_stopped_alone_and_reported_with_its_line"
_NO_JOURNAL = "not sent: the journal...No new orders are sent until it can be written, but cancels continue"
_FEES = _DATA + "test_fees_are_booked_correctly_whatever_their_name_and_scale_on_the_wire"
_PLAIN_YAML = _SOURCE + "test_anything_but_plain_yaml_is_refused_with_its_line"

TIME: dict[str, Shown] = {
    "wall clock jumps an hour forward": Shown((_JUMP,), _JUMPED),
    "wall clock jumps an hour back": Shown((_JUMP,), _JUMPED),
    "wall clock wrong from the start": Shown(
        (_TIME + "test_a_wrong_clock_at_the_start_halts_the_bot_and_gives_the_difference",),
        "this machine's clock is...ms ahead of the exchange's; set it, restart the bot, then resume",
    ),
    "machine suspended ten minutes": Shown(
        (
            _TIME + "test_after_ten_minutes_of_sleep_the_bot_reconciles_before_it_sends_anything",
            _TIME + "test_cancels_go_out_at_once_after_a_sleep",
        ),
        "the bot was suspended for...it reconnects, and sends no new order until it is reconciled",
    ),
    "seconds and milliseconds mixed": Shown(
        (
            _TIME + "test_a_timestamps_size_decides_between_seconds_and_milliseconds",
            _TIME + "test_an_impossible_timestamp_is_refused",
        )
    ),
}

PROCESS_AND_DISK: dict[str, Shown] = {
    "kill -9 at any await": Shown(
        (
            _KILLS + "test_no_order_is_lost_doubled_or_orphaned_wherever_the_bot_is_killed",
            _KILLS + "test_a_third_of_the_kills_fall_between_journal_row_and_answer_and_each_phase_has_its_share",
        )
    ),
    "SIGTERM in the middle of a submit": Shown(
        (
            _DISK + "test_a_stop_in_the_middle_of_a_submit_leaves_no_order_behind",
            _LIVE + "test_modes.py::test_sigterm_stops_cleanly_and_leaves_the_final_status",
        )
    ),
    "the terminal is closed (SIGHUP)": Shown(
        (
            _OUTPUT + "test_a_bot_continues_without_its_output_and_a_hangup_stops_it_cleanly",
            _OUTPUT + "test_a_second_interrupt_quits_at_once_but_a_second_hangup_does_not",
        )
    ),
    "nothing can be printed": Shown(
        (
            _OUTPUT + "test_a_bot_continues_without_its_output_and_a_hangup_stops_it_cleanly",
            _OUTPUT + "test_unprintable_lines_are_dropped_and_logged_once",
        ),
        "cannot write to standard output",
    ),
    "the bot is silent": Shown(
        (
            _GUARD + "test_a_dead_bots_orders_are_cancelled_once_and_the_guard_leaves",
            _GUARD + "test_a_bot_that_wakes_up_is_guarded_again",
            _GUARD + "test_a_bot_that_wakes_up_learns_what_its_guard_did_and_reconciles",
        ),
        "the guard cancelled 1 of this bot's orders",
    ),
    "the guard dies": Shown(
        (_GUARD + "test_a_dead_guard_is_reported_and_replaced",),
        "the guard of this bot has ended (signal 9); another one takes its place",
    ),
    "orders that could not be cancelled at the end": Shown(
        (_LIVE + "test_several.py::test_a_bot_that_leaves_orders_behind_reports_them_unless_it_should_keep_them",),
        "1 order may still be open at the exchange; `botkit panic",
    ),
    "two instances": Shown(
        (_DISK + "test_a_second_instance_is_refused_and_names_the_first",),
        "this bot is already running, as process...stop it",
    ),
    "journal on a full disk": Shown(
        (
            _DISK + "test_on_a_really_full_disk_the_bot_survives_and_sends_no_new_orders",
            _DISK + "test_on_a_full_disk_no_new_orders_are_sent_cancels_continue_and_the_bot_recovers",
        ),
        _NO_JOURNAL,
    ),
    "journal on a read-only disk": Shown(
        (
            _DISK + "test_a_journal_that_becomes_read_only_is_reported_and_so_is_its_recovery",
            _DISK + "test_an_unwritable_state_folder_refuses_the_start_with_a_reason",
        ),
        _NO_JOURNAL + "...can be written again; new orders are allowed",
    ),
    "journal on a failing disk": Shown(
        (_DISK + "test_while_no_file_can_be_written_the_bot_survives_and_sends_no_new_orders",),
        _NO_JOURNAL + "...the halt could not be written",
    ),
    "journal held by another program": Shown(
        (_DISK + "test_a_journal_locked_by_another_program_delays_orders_and_sends_none_unwritten",), "locked"
    ),
    "torn journal": Shown(
        (
            _DISK + "test_a_torn_end_of_the_journals_log_loses_no_order",
            _DISK + "test_a_torn_write_ahead_log_loses_no_order",
            _LOG + "test_a_torn_write_leaves_exactly_the_acknowledged_records",
            _LOG + "test_a_crash_at_any_step_of_filling_and_rotating_loses_nothing",
        )
    ),
    "damage in the journal's log": Shown(
        (
            _DISK + "test_lost_commits_halt_the_bot_until_the_user_has_checked",
            _LOG + "test_a_flipped_bit_loses_at_most_the_last_commit_or_is_reported",
            _LOG + "test_a_truncated_or_emptied_log_is_reported",
        ),
        "has lost its latest commits (its log journal.sqlite-log-00000001...`botkit resume` lifts it",
    ),
    "a changed cell in the journal": Shown(
        (_LOG + "test_a_changed_cell_counts_as_damage",), "has changed since it was written"
    ),
    "corrupt journal": Shown(
        (_DISK + "test_a_damaged_journal_refuses_the_start_and_names_the_fix",),
        "is damaged...To start over, move it away...check your open orders first",
    ),
    "another bot counts the same money": Shown(
        ("tests/live/test_claims.py::test_two_pools_on_one_account_are_refused_before_anything_is_sent",),
        "the bot a runs on this account and pools its usdt too",
    ),
    "another bot owns the same coins": Shown(
        ("tests/live/test_claims.py::test_coins_claimed_beyond_what_the_account_holds_are_refused",),
        "the account has 1 btc, of which 0.7 belong to the bot a, and this bot would take 0.7",
    ),
    "the account holds less than its capital": Shown(
        ("tests/live/test_capital.py::test_capital_that_the_account_does_not_cover_is_reported_at_the_first_start",),
        "is left of the account's 100000 usdt",
    ),
    "deleted journal": Shown(
        (_DISK + "test_a_deleted_journal_leaves_its_orders_foreign_and_untouched",),
        "is new, but this bot has traded before...2 open orders are not this bot's and will not be touched",
    ),
    "journal deleted while running": Shown(
        (_DISK + "test_a_journal_removed_under_the_bot_blocks_new_orders_until_it_is_back",),
        "was deleted or replaced while the bot was running. Writes to it are lost...is back; new orders are allowed",
    ),
    "restored journal": Shown(
        (_DISK + "test_a_journal_restored_from_a_copy_halts_the_bot_and_reuses_no_id",),
        "has lost its latest commits (it does not know some client ids that were used)...1 open order is not",
    ),
    "journal without its latest commits": Shown(
        (
            _DISK + "test_without_its_write_ahead_log_a_first_journal_halts_the_bot",
            _DISK + "test_orders_missing_from_the_journal_but_at_the_exchange_halt_the_bot",
        ),
        "has lost its latest commits...the exchange has an order of this bot's that the journal does not know",
    ),
}

CONFIGURATION: dict[str, Shown] = {
    "duplicate key": Shown((_PLAIN_YAML,), "`a` appears a second time; the first is on line 1"),
    "no, 010, 22:22, 1e3 read as something else": Shown(
        (
            _SOURCE + "test_bare_words_mean_what_they_look_like",
            _SOURCE + "test_ambiguous_spellings_get_a_suggestion",
        ),
        "write false...write 10...quotes...write it out: 1000",
    ),
    "aliases that expand without end": Shown(
        (_SOURCE + "test_an_alias_bomb_is_refused_at_once", _PLAIN_YAML), "alias *x"
    ),
    "unknown key": Shown(
        ("tests/config/test_load.py::test_each_mistake_has_its_line_and_a_remedy",),
        "unknown key `stratgies`; did you mean `strategies`?",
    ),
    "live keys with an emulator address": Shown(
        (_LIVE + "test_modes.py::test_live_mode_refuses_an_emulator_and_emulator_mode_refuses_the_exchange",),
        "use --mode emulator",
    ),
    "live mode at an emulator": Shown(
        (_LIVE + "test_modes.py::test_live_mode_refuses_an_emulator_and_emulator_mode_refuses_the_exchange",),
        "only reaches this machine",
    ),
}

PLUGINS: dict[str, Shown] = {
    "exception": Shown((_FAILS,), "strategy 'r' was stopped: ...KeyError: 'what'...in on_book at"),
    "BaseException": Shown((_FAILS,), "BaseException: as such"),
    "sys.exit": Shown(
        (_FAILS, _PLUGINS + "test_a_notifier_that_calls_exit_ends_neither_the_bot_nor_itself"), "SystemExit: 3"
    ),
    "endless loop or time.sleep": Shown(
        (_PLUGINS + "test_a_hanging_callback_is_reported_with_its_line_within_two_seconds",),
        "rogue has blocked the bot for...s at",
    ),
    "swallowed cancellation": Shown(
        (_FAILS, _LIVE + "test_notify.py::test_a_hanging_notifier_delays_neither_the_bot_nor_the_others"),
        "CancelledError",
    ),
    "a million orders a second": Shown(
        (
            _PLUGINS + "test_a_million_orders_in_one_callback_end_in_a_stop_with_few_requests",
            _PLUGINS + "test_orders_above_the_strategys_own_rate_are_refused_with_a_reason",
            _PLUGINS + "test_a_loss_above_the_strategys_own_limit_stops_it_with_a_reason",
        ),
        "over 100 orders were refused in one turn...orders in the last second, max_orders_per_second is 5",
    ),
    "callbacks that cause each other": Shown(
        (
            "tests/engine/test_strategy_failures.py::"
            "test_callbacks_that_trigger_each_other_endlessly_stop_only_their_strategy",
        ),
        "its callbacks trigger each other endlessly",
    ),
    "memory growth": Shown(
        (
            _PLUGINS + "test_doubled_memory_is_reported_with_figures",
            _PLUGINS + "test_a_running_bot_checks_its_memory",
        ),
        "the bot uses...MB of memory, up from 90 MB at its start",
    ),
    "mutating a shared event": Shown(
        (_FAILS,), "AttributeError: property 'bid_levels' of 'OrderBook' object has no setter"
    ),
}

DATA_AND_MONEY: dict[str, Shown] = {
    "crossed book": Shown(
        (
            _DATA + "test_a_crossed_book_is_withheld_and_read_over_rest_instead",
            _QUARANTINE + "test_an_impossible_book_is_never_accepted_however_often_it_arrives",
        ),
        "the order book is crossed or shows no prices...cannot be trusted, and reading it over REST did not help",
    ),
    "empty book": Shown(
        (_DATA + "test_an_empty_book_refuses_market_orders_with_a_reason_and_does_no_harm",),
        "the book of btc_usdt shows no asks to trade with",
    ),
    "negative book": Shown(
        (
            _DATA + "test_a_book_with_a_negative_level_is_rejected",
            _QUARANTINE + "test_an_impossible_book_is_never_accepted_however_often_it_arrives",
        ),
        "a level of...the order book is crossed or shows no prices",
    ),
    "10^12 spike": Shown(
        (
            _DATA + "test_a_single_spike_of_a_trillion_trips_no_loss_limit_and_is_reported",
            _DATA + "test_a_real_price_jump_is_accepted_after_two_confirmations",
            "tests/properties/test_spans.py::test_spans_and_turns_make_the_same_decisions",
        ),
        "is far from the last price...withheld from strategies, valuations and loss limits until 2 later ones agree",
    ),
    "missing candle": Shown(
        (
            "tests/engine/test_bars.py::test_a_gap_between_candles_gives_flat_bars",
            "tests/cli/test_download.py::test_candles_that_the_exchange_leaves_out_are_gaps_within_and_between_requests",
        ),
        "the exchange left out 25 intervals without trades",
    ),
    "doubled candle": Shown(
        (
            "tests/engine/test_bars.py::test_a_candle_for_a_closed_bar_is_only_counted",
            "tests/cli/test_data.py::test_doubled_candles_are_skipped_on_request",
        ),
        "a second candle",
    ),
    "NaN, 1e999999999, 1_000, Arabic digits": Shown(
        (
            _DATA + "test_only_plain_decimals_are_accepted_as_numbers",
            _QUARANTINE + "test_an_invalid_price_is_never_accepted",
        )
    ),
    "feeSymbol wrong on sells": Shown(
        (_FEES, "tests/exchange/test_translate.py::test_a_sells_fee_is_in_quote_whatever_fee_symbol_says")
    ),
    "USER_TRADE fee scaled by 10^8": Shown((_FEES,)),
    "the same trade by REST and WS": Shown((_FEES,)),
    "rounding past the balance": Shown(
        (_DATA + "test_the_whole_balance_but_not_a_unit_more_can_be_spent",), "usdt, 100000 available"
    ),
    "rounding under the minimum": Shown(
        (_DATA + "test_an_amount_that_rounds_below_the_minimum_is_refused_before_it_is_sent",), "is below the minimum"
    ),
    "market buy amount is quote": Shown((_DATA + "test_a_market_buy_spends_quote_rather_than_buying_that_many_coins",)),
}

_CANARY = _LIVE + "test_canary.py::test_no_secret_is_left_behind"

SECURITY: dict[str, Shown] = {
    "a secret in logs, tracebacks, argv, reports, journal": Shown(
        (
            _CANARY,
            _LIVE + "test_canary.py::test_a_parameter_containing_a_secret_is_not_recorded",
            "tests/config/test_secrets.py::test_no_output_shows_a_secret",
        )
    ),
    "a secret in metrics, notifications and recordings": Shown(
        (_CANARY, _LIVE + "test_notify.py::test_the_last_messages_are_sent_before_the_end_without_secrets")
    ),
    "key file that others can read": Shown(
        (
            "tests/config/test_secrets.py::test_a_secrets_file_that_others_can_read_is_refused",
            "tests/config/test_secrets.py::test_a_literal_secret_needs_a_private_configuration",
        ),
        "chmod 600",
    ),
    "path traversal in report and config paths": Shown(
        (
            "tests/config/test_load.py::test_each_mistake_has_its_line_and_a_remedy",
            "tests/tape/test_tape.py::test_a_manifest_that_points_outside_the_tape_is_refused",
        ),
        "a name is 1 to 64...is outside the tape",
    ),
    "metrics asked from another host": Shown((_LIVE + "test_metrics.py::test_only_this_machine_gets_an_answer",)),
    "emulator's control asked by a web page": Shown(
        ("tests/emulator/test_control.py::test_a_web_page_cannot_reach_the_control_interface",)
    ),
    "a plugin that was not named": Shown(
        (
            "tests/test_plugins.py::test_a_blocked_plugin_is_not_even_imported",
            "tests/test_plugins.py::test_the_environment_restricts_installed_plugins",
        )
    ),
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
