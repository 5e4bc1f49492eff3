"""Lists the tests and the user message for each fault that botkit must withstand.

The faults are grouped by section. `test_fault_catalogue` compares this table with the tests: every test listed here
must exist and must assert the message in the table.
"""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """The tests that cover a fault, and the user message for it.

    ``tests`` are pytest names relative to the project's folder, without parameters. ``says`` is the message shown to
    the user, with ``...`` for variable parts. Each fixed part must occur in the file of one of the tests. ``says`` is
    empty if no message is sent, because nothing is lost and the user has nothing to do.
    """

    tests: tuple[str, ...] = ()
    says: str = ""


_LIVE = "tests/live/"
_NETWORK = _LIVE + "test_faults_network.py::"
_ANSWERS = _LIVE + "test_faults_answers.py::"
_LISTINGS = _LIVE + "test_faults_listings.py::"
_STREAMS = _LIVE + "test_faults_streams.py::"
_RULES = _LIVE + "test_listed_rules.py::"
_KEY = _LIVE + "test_faults_key.py::"
_TRANSPORT = "tests/exchange/test_transport.py::"
_CREATE = _ANSWERS + "test_a_create_is_neither_lost_nor_doubled"
_CANCEL = _ANSWERS + "test_a_cancelled_order_becomes_final_and_frees_its_money"
_UNBELIEVED = _ANSWERS + "test_an_order_whose_response_cannot_be_trusted_is_looked_up"
_FORMS = _LISTINGS + "test_the_bots_records_are_correct_in_every_observed_wire_format"
_SWITCHES = _LISTINGS + "test_the_bots_records_are_correct_in_every_case_that_the_documentation_leaves_open"
_FRAMES = _STREAMS + "test_each_fill_is_booked_exactly_once_when_frames_are_garbled_duplicated_or_reordered"
_ENDED = _STREAMS + "test_events_missed_while_a_connection_was_closed_are_recovered_by_reads"
_UNKNOWN = (
    "is unknown, and btc_usdt accepts no new orders until it is known"
    "...looked up until it is found or proved absent, and is never resent"
)
_KNOWN = "is now known"
_MISSED = "missed data is fetched once it is back"
_UNREADABLE = (
    "sent data that cannot be read...it was skipped, and the bot is reconciled with the exchange. "
    "Check whether there is"
)

NETWORK: dict[str, Shown] = {
    "connect fails": Shown(
        (
            _NETWORK + "test_the_start_is_refused_with_a_reason_if_the_exchange_is_unreachable",
            _NETWORK + "test_an_order_to_an_unreachable_exchange_is_not_sent_and_its_money_is_freed",
        ),
        "open orders cannot be fetched...Nothing was traded; check the address...was not sent: ClientConnectorError",
    ),
    "DNS fails": Shown(
        (
            _NETWORK + "test_the_start_is_refused_if_the_host_name_cannot_be_resolved",
            _NETWORK + "test_nothing_is_sent_while_names_cannot_be_resolved_and_trading_resumes_afterward",
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
        (_NETWORK + "test_a_silent_connection_is_dropped_and_the_missed_events_are_recovered_by_reads",),
        "was lost: no data was received for 2.5 s",
    ),
    "slow-drip body": Shown(
        (_CREATE, _TRANSPORT + "test_a_call_that_receives_a_broken_response_fails_within_the_timeout")
    ),
    "huge body": Shown(
        (
            _NETWORK + "test_an_oversized_response_is_aborted_and_the_read_is_retried",
            _UNBELIEVED,
            _TRANSPORT + "test_an_oversized_body_is_cut_off",
        ),
        "the open orders cannot be fetched: the answer has more than 4194304 bytes",
    ),
    "cross-origin redirect": Shown(
        (
            _NETWORK + "test_the_key_is_not_sent_to_another_origin_by_a_redirect",
            _NETWORK + "test_the_start_is_refused_if_the_exchange_responds_with_a_redirect",
        ),
        "a redirect, which botkit does not follow...the server sent a redirect, which botkit does not",
    ),
    "bad TLS certificate": Shown(
        (
            _NETWORK + "test_no_part_of_a_request_is_sent_to_a_server_with_an_untrusted_certificate",
            _NETWORK + "test_no_signed_upgrade_is_sent_to_a_server_with_an_untrusted_certificate",
        ),
        "CERTIFICATE_VERIFY_FAILED...invalid certificates are never accepted",
    ),
}

ANSWERS: dict[str, Shown] = {
    "5xx before apply": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "5xx after apply": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "4xx though applied": Shown((_CREATE, _CANCEL)),
    "408": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "409 clock skew": Shown(
        (
            _NETWORK + "test_a_clock_outside_the_exchanges_tolerance_halts_the_bot_and_the_difference_is_reported",
            _NETWORK + "test_the_start_is_refused_with_the_clock_difference_if_the_clock_is_wrong",
        ),
        "ms behind the exchange's; set it",
    ),
    "401: the key was deleted, has expired or is wrong": Shown(
        (
            _KEY + "test_an_expired_key_halts_the_bot_until_resumed_and_leaves_its_orders_open",
            _KEY + "test_a_start_with_a_wrong_key_is_refused_within_seconds",
        ),
        "does not accept the account's key...check the address, the key and this machine's clock"
        "...Open orders stay as they are; `botkit resume` lifts it",
    ),
    "429 storm": Shown(
        (
            _ANSWERS + "test_a_storm_of_429s_delays_orders_but_loses_none",
            _ANSWERS + "test_cancels_are_still_sent_while_creates_receive_429",
            _ANSWERS + "test_cancels_that_receive_429_are_retried_until_they_succeed",
        ),
        "429 at create_order: another program is using this account or IP address",
    ),
    "200 with HTML": Shown((_CREATE, _CANCEL, _UNBELIEVED), _UNKNOWN),
    "200 with truncated JSON": Shown((_CREATE, _UNBELIEVED), _UNKNOWN),
    "200 with NaN": Shown((_UNBELIEVED,), _UNKNOWN),
    "200 with duplicate keys": Shown(
        (
            _UNBELIEVED,
            "tests/exchange/test_client.py::test_the_outcome_of_a_write_is_unknown_if_the_response_contains_a_duplicate_key",
        ),
        _UNKNOWN + "...appears twice",
    ),
    "200 with another client id": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "200 with another amount": Shown((_UNBELIEVED,), _UNKNOWN + "...for another order"),
    "unknown status": Shown(
        (
            _LISTINGS + "test_a_pushed_frame_with_only_a_row_of_an_unknown_type_is_reported_and_triggers_a_comparison",
            _LISTINGS + "test_a_listing_with_a_row_of_an_unknown_type_is_rejected_and_reported",
        ),
        _UNREADABLE + "...has the unknown type 'LIMIT' or status 9",
    ),
    "unknown type": Shown(
        (
            _LISTINGS + "test_a_pushed_frame_with_only_a_row_of_an_unknown_type_is_reported_and_triggers_a_comparison",
            _LISTINGS + "test_a_pushed_row_of_an_unknown_type_is_skipped_and_the_other_rows_of_its_frame_are_used",
            _LISTINGS + "test_a_listing_with_a_row_of_an_unknown_type_is_rejected_and_reported",
            _LISTINGS + "test_a_listing_with_a_row_of_an_unknown_type_shows_our_orders_but_proves_none_absent",
            _LISTINGS + "test_an_unreadable_open_order_on_the_account_prevents_the_start_with_the_reason",
        ),
        _UNREADABLE + "...has the unknown type 'ICEBERG' or status 0",
    ),
    "listing lags behind": Shown(
        (
            _LISTINGS + "test_an_order_missing_from_early_listings_is_not_considered_absent",
            _LISTINGS + "test_balances_older_than_a_fill_are_not_treated_as_a_discrepancy",
        ),
        _KNOWN,
    ),
    "listing filter ignored": Shown(
        (_LISTINGS + "test_in_an_unfiltered_listing_each_order_is_matched_to_the_right_row_or_to_none",), _KNOWN
    ),
    "paging by non-monotonic ids": Shown((_LISTINGS + "test_all_pages_are_read_regardless_of_row_order",)),
    "ids as int and as string": Shown((_FORMS,)),
    "clientId and clientID": Shown((_FORMS,)),
    "stamps in seconds and milliseconds": Shown((_FORMS, _SWITCHES)),
    "data: null": Shown(
        (
            _FORMS,
            _SWITCHES,
            _LISTINGS + "test_a_missing_balance_list_is_not_mistaken_for_zero_balances",
            _LISTINGS + "test_the_start_is_refused_if_the_balances_cannot_be_read",
        ),
        "the account's balances cannot be fetched: balance: the answer lists no currency",
    ),
    "maintenance": Shown(
        (
            _ANSWERS + "test_an_order_for_a_suspended_pair_is_rejected_with_the_exchanges_message",
            _RULES + "test_a_bot_that_starts_during_maintenance_trades_once_it_has_ended",
            _RULES + "test_another_pair_trades_during_maintenance",
            _RULES + "test_a_grid_of_orders_in_the_only_pair_does_not_halt_the_bot_when_maintenance_begins",
            _RULES + "test_a_paper_bot_knows_of_maintenance_from_its_start",
        ),
        "was rejected by the exchange: Trading pair btc_usdt is under maintenance...btc_usdt is in maintenance"
        "...is open again: its orders are sent",
    ),
    "changed minima": Shown(
        (
            _RULES + "test_a_changed_minimum_applies_to_the_next_order",
            _RULES + "test_the_exchange_of_a_paper_bot_follows_changed_minima",
        ),
        "btc_usdt: the exchange changed its minLimitBaseAmount from",
    ),
    "ticks of another size": Shown(
        (_RULES + "test_ticks_of_another_size_halt_the_pair_and_cancel_its_orders",),
        "btc_usdt is halted: the exchange changed its",
    ),
    "ticks of another size at a restart": Shown(
        (
            _LIVE + "test_changed_precision.py::test_orders_fills_and_books_stay_worth_the_same",
            _LIVE + "test_changed_precision.py::"
            "test_a_pair_that_was_halted_because_its_precision_changed_trades_after_a_restart",
            _LIVE + "test_journal_decimals.py::test_a_process_killed_at_any_statement_leaves_all_or_nothing",
            _LIVE + "test_journal_decimals.py::test_a_power_cut_leaves_all_or_nothing",
        ),
        "the exchange has changed the precision of",
    ),
    "every order in one pair is rejected": Shown(
        (_LIVE + "test_running.py::test_a_pair_that_rejects_all_orders_is_held_while_another_trades",),
        "btc_usdt is held since",
    ),
    "every order is rejected": Shown(
        (_LIVE + "test_running.py::test_consecutive_rejections_trip_the_breaker",),
        "the exchange rejected...orders in a row",
    ),
    "a pair's steps are finer than money": Shown(
        (
            "tests/model/test_pairs_from_wire.py::test_a_strategy_whose_pair_can_no_longer_be_traded_gets_the_reason",
            "tests/exchange/test_client.py::"
            "test_a_pair_with_a_precision_that_cannot_be_traded_is_named_and_leaves_the_others_usable",
        ),
        "cannot be traded: its",
    ),
    "open-order cap reached": Shown(
        (_ANSWERS + "test_an_order_above_the_exchanges_open_order_cap_is_rejected_and_reported",),
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
            _STREAMS + "test_the_newest_balance_takes_effect_when_balance_frames_are_reordered",
            _STREAMS + "test_a_balance_change_reported_only_by_a_stream_soon_triggers_a_comparison",
        )
    ),
    "dropped frame": Shown(
        (_STREAMS + "test_a_fill_whose_frame_was_dropped_is_found_by_the_next_comparison",), "was open and is filled"
    ),
    "fill before the REST answer": Shown(
        (_STREAMS + "test_a_fill_that_arrives_before_the_create_response_is_booked_once",)
    ),
    "reconnect storm": Shown((_STREAMS + "test_repeated_disconnects_lead_to_increasing_pauses",), "was lost...is back"),
    "frozen book on a live socket": Shown(
        (
            _STREAMS + "test_a_frozen_book_on_an_open_connection_halts_the_bot",
            _LIVE + "test_running.py::test_a_quiet_book_is_read_and_a_second_differing_read_trips_the_breaker",
        ),
        "halted: the book of btc_usdt is changing, but the stream does not show it. Open orders are cancelled",
    ),
    "frame of 10 MB": Shown((_ENDED,), "was lost: a frame larger than 4 MB was rejected..." + _MISSED),
    "unknown event": Shown(
        (_STREAMS + "test_a_frame_with_an_unknown_event_loses_no_data_and_is_reported_once",),
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
_JUMP = _TIME + "test_a_one_hour_wall_clock_jump_is_reported_but_changes_neither_timers_nor_timestamps"
_JUMPED = "this machine's clock was set 3,600 s...; the bot's own clock"
_FAILS = _PLUGINS + "test_a_failing_strategy_is_stopped_and_reported_with_its_line_without_affecting_others"
_NO_JOURNAL = "not sent: the journal...No new orders are sent until it can be written, but cancels continue"
_FEES = _DATA + "test_fees_are_booked_correctly_regardless_of_their_currency_name_and_scale_on_the_wire"
_PLAIN_YAML = _SOURCE + "test_constructs_beyond_plain_yaml_are_refused_with_their_line"

TIME: dict[str, Shown] = {
    "wall clock jumps an hour forward": Shown((_JUMP,), _JUMPED),
    "wall clock jumps an hour back": Shown((_JUMP,), _JUMPED),
    "wall clock wrong from the start": Shown(
        (_TIME + "test_a_wrong_clock_halts_the_bot_and_the_difference_is_reported",),
        "this machine's clock is...ms ahead of the exchange's; set it, restart the bot, then resume",
    ),
    "machine suspended ten minutes": Shown(
        (
            _TIME + "test_after_ten_minutes_of_sleep_the_bot_reconciles_before_it_sends_any_new_order",
            _TIME + "test_cancels_are_sent_immediately_after_the_machine_wakes_up",
        ),
        "the bot was suspended for...it is reconnecting, and sends no new orders until it is reconciled",
    ),
    "seconds and milliseconds mixed": Shown(
        (
            _TIME + "test_the_magnitude_of_a_timestamp_distinguishes_seconds_from_milliseconds",
            _TIME + "test_an_impossible_timestamp_is_refused",
        )
    ),
}

PROCESS_AND_DISK: dict[str, Shown] = {
    "kill -9 at any await": Shown(
        (
            _KILLS + "test_no_order_is_lost_doubled_or_orphaned_wherever_the_bot_is_killed",
            _KILLS + "test_a_third_of_the_kills_fall_between_journal_write_and_response_and_all_phases_are_covered",
        )
    ),
    "SIGTERM in the middle of a submit": Shown(
        (
            _DISK + "test_stopping_during_a_create_leaves_no_open_order_behind",
            _LIVE + "test_modes.py::test_sigterm_stops_the_bot_cleanly_and_the_final_status_is_saved",
        )
    ),
    "the terminal is closed (SIGHUP)": Shown(
        (
            _OUTPUT + "test_a_bot_keeps_running_without_its_output_and_a_hangup_stops_it_cleanly",
            _OUTPUT + "test_a_second_interrupt_quits_immediately_but_a_second_hangup_does_not",
        )
    ),
    "nothing can be printed": Shown(
        (
            _OUTPUT + "test_a_bot_keeps_running_without_its_output_and_a_hangup_stops_it_cleanly",
            _OUTPUT + "test_lines_that_cannot_be_printed_are_dropped_with_a_single_logged_warning",
        ),
        "cannot write to standard output",
    ),
    "the bot is silent": Shown(
        (
            _GUARD + "test_a_dead_bots_orders_are_cancelled_once_and_its_guard_exits",
            _GUARD + "test_a_bot_that_resumes_after_a_silence_is_guarded_again",
            _GUARD + "test_a_bot_that_resumes_reports_the_guards_cancels_and_reconciles",
        ),
        "the guard cancelled 1 of this bot's orders",
    ),
    "the guard dies": Shown(
        (_GUARD + "test_a_guard_that_has_exited_is_reported_and_replaced",),
        "this bot's guard has exited (signal 9); starting a new one",
    ),
    "orders that could not be cancelled at the end": Shown(
        (_LIVE + "test_several.py::test_leftover_open_orders_are_reported_unless_the_bot_is_configured_to_keep_them",),
        "1 order may still be open at the exchange; `botkit panic",
    ),
    "two instances": Shown(
        (_DISK + "test_a_second_instance_is_refused_with_the_process_id_of_the_first",),
        "this bot is already running, as process...stop it",
    ),
    "journal on a full disk": Shown(
        (
            _DISK + "test_on_a_completely_full_disk_the_bot_keeps_running_and_sends_no_new_orders",
            _DISK + "test_on_a_full_disk_only_cancels_are_sent_and_the_bot_recovers_once_there_is_room",
        ),
        _NO_JOURNAL,
    ),
    "journal on a read-only disk": Shown(
        (
            _DISK + "test_a_journal_becoming_read_only_and_its_recovery_are_both_reported",
            _DISK + "test_an_unwritable_state_folder_prevents_the_start_and_the_reason_is_reported",
        ),
        _NO_JOURNAL + "...can be written again; new orders are allowed",
    ),
    "journal on a failing disk": Shown(
        (_DISK + "test_while_no_file_can_be_written_the_bot_keeps_running_and_sends_no_new_orders",),
        _NO_JOURNAL + "...the halt could not be written",
    ),
    "journal held by another program": Shown(
        (_DISK + "test_no_unjournaled_order_is_sent_while_another_program_locks_the_journal",), "locked"
    ),
    "torn journal": Shown(
        (
            _DISK + "test_no_order_is_lost_if_the_last_record_of_the_journals_log_is_torn",
            _DISK + "test_no_order_is_lost_if_the_write_ahead_log_is_torn",
            _LOG + "test_after_a_torn_write_exactly_the_acknowledged_records_can_be_read",
            _LOG + "test_a_crash_at_any_step_of_copying_to_sqlite_and_deleting_logs_loses_nothing",
        )
    ),
    "damage in the journal's log": Shown(
        (
            _DISK + "test_lost_commits_halt_the_bot_until_the_user_has_checked_the_account",
            _LOG + "test_a_flipped_bit_loses_at_most_the_last_commit_or_is_reported_as_damage",
            _LOG + "test_a_truncated_or_emptied_log_is_reported_as_damaged",
        ),
        "has lost its latest commits (its log journal.sqlite-log-00000001...`botkit resume` lifts it",
    ),
    "a changed cell in the journal": Shown(
        (_LOG + "test_a_modified_database_cell_is_treated_as_damage",), "has changed since it was written"
    ),
    "corrupt journal": Shown(
        (_DISK + "test_a_damaged_journal_prevents_the_start_with_an_error_that_suggests_a_fix",),
        "is damaged...To start over, move it elsewhere...check your open orders first",
    ),
    "another bot counts the same money": Shown(
        ("tests/live/test_claims.py::test_a_second_pool_on_one_account_is_refused_before_any_request_is_sent",),
        "the bot a runs on this account and pools its usdt too",
    ),
    "another bot owns the same coins": Shown(
        ("tests/live/test_claims.py::test_claims_that_exceed_the_accounts_coins_are_refused",),
        "the account has 1 btc, of which 0.7 belongs to the bot a, and this bot would take 0.7",
    ),
    "the account holds less than its capital": Shown(
        ("tests/live/test_capital.py::test_capital_that_exceeds_the_account_balance_is_reported_at_the_first_start",),
        "is left of the account's 100000 usdt",
    ),
    "deleted journal": Shown(
        (_DISK + "test_orders_from_a_deleted_journal_are_treated_as_foreign_and_not_changed",),
        "is new, but this bot has traded before...2 open orders are not this bot's and will not be touched",
    ),
    "journal deleted while running": Shown(
        (_DISK + "test_a_journal_removed_while_the_bot_runs_blocks_new_orders_until_it_is_restored",),
        "was deleted or replaced while the bot was running. Writes to it are lost...is back; new orders are allowed",
    ),
    "restored journal": Shown(
        (_DISK + "test_a_journal_restored_from_a_copy_halts_the_bot_and_no_client_id_is_reused",),
        "has lost its latest commits (it is missing some client ids that were used)...1 open order is not",
    ),
    "journal without its latest commits": Shown(
        (
            _DISK + "test_the_bots_first_journal_without_its_write_ahead_log_halts_the_bot",
            _DISK + "test_orders_at_the_exchange_that_are_missing_from_the_journal_halt_the_bot",
            _DISK + "test_an_order_that_is_missing_from_the_journal_and_arrives_after_the_start_is_reported",
        ),
        "has lost its latest commits...the exchange has an order of this bot that the journal does not contain",
    ),
}

CONFIGURATION: dict[str, Shown] = {
    "duplicate key": Shown((_PLAIN_YAML,), "`a` appears twice; the first is on line 1"),
    "no, 010, 22:22, 1e3 read as something else": Shown(
        (
            _SOURCE + "test_unquoted_values_are_not_converted_to_surprising_types",
            _SOURCE + "test_ambiguous_notations_get_a_suggestion",
        ),
        "write false...write 10...quotes...write it out: 1000",
    ),
    "aliases that expand without end": Shown(
        (_SOURCE + "test_an_alias_bomb_is_refused_without_expanding_it", _PLAIN_YAML), "alias *x"
    ),
    "unknown key": Shown(
        ("tests/config/test_load.py::test_each_mistake_is_reported_with_its_line_and_a_remedy",),
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
        (_FAILS, _PLUGINS + "test_a_notifier_that_calls_exit_stops_neither_the_bot_nor_the_notifications"),
        "SystemExit: 3",
    ),
    "endless loop or time.sleep": Shown(
        (_PLUGINS + "test_a_hanging_callback_is_reported_with_its_line_within_two_seconds",),
        "rogue has blocked the bot for...s at",
    ),
    "swallowed cancellation": Shown(
        (_FAILS, _LIVE + "test_notify.py::test_a_hanging_notifier_delays_neither_the_bot_nor_other_notifiers"),
        "CancelledError",
    ),
    "a million orders a second": Shown(
        (
            _PLUGINS + "test_placing_a_million_orders_in_one_callback_stops_the_strategy_after_a_few_requests",
            _PLUGINS + "test_orders_above_the_strategys_order_rate_limit_are_refused_with_a_reason",
            _PLUGINS + "test_a_loss_above_the_strategys_loss_limit_stops_the_strategy_with_a_reason",
        ),
        "more than 100 orders were refused in one turn...orders in the last second, max_orders_per_second is 5",
    ),
    "callbacks that cause each other": Shown(
        (
            "tests/engine/test_strategy_failures.py::"
            "test_timers_that_trigger_each_other_endlessly_stop_only_their_strategy",
        ),
        "trigger each other endlessly",
    ),
    "memory growth": Shown(
        (
            _PLUGINS + "test_a_doubling_of_memory_use_is_reported_with_figures",
            _PLUGINS + "test_a_running_bot_monitors_its_memory_use",
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
            _DATA + "test_a_crossed_book_is_withheld_and_the_book_is_read_over_rest_instead",
            _QUARANTINE + "test_an_impossible_book_is_never_accepted_no_matter_how_often_it_arrives",
        ),
        "the order book is crossed or shows no prices...cannot be trusted, and fetching it over REST did not help",
    ),
    "empty book": Shown(
        (_DATA + "test_an_empty_book_has_no_effect_except_that_market_orders_are_refused",),
        "the book of btc_usdt shows no asks to trade against",
    ),
    "negative book": Shown(
        (
            _DATA + "test_a_book_with_a_negative_price_or_amount_is_rejected",
            _QUARANTINE + "test_an_impossible_book_is_never_accepted_no_matter_how_often_it_arrives",
        ),
        "a level of...the order book is crossed or shows no prices",
    ),
    "10^12 spike": Shown(
        (
            _DATA + "test_a_single_price_spike_to_a_trillion_triggers_no_loss_limit_and_is_reported",
            _DATA + "test_a_genuine_price_jump_is_accepted_after_two_confirmations",
            "tests/properties/test_spans.py::test_spans_and_turns_yield_identical_decisions",
        ),
        "is far from the last price...withheld from strategies, valuations and loss limits until 2 later ones agree",
    ),
    "missing candle": Shown(
        (
            "tests/engine/test_bars.py::test_a_gap_between_candles_is_filled_with_flat_bars",
            "tests/cli/test_download.py::test_candles_missing_on_the_exchange_become_gaps_within_and_between_requests",
        ),
        "the exchange omitted 25 intervals without trades",
    ),
    "duplicate candle": Shown(
        (
            "tests/engine/test_bars.py::test_a_candle_for_an_already_closed_bar_is_counted_but_ignored",
            "tests/cli/test_data.py::test_duplicate_candles_are_skipped_if_requested",
        ),
        "a second candle",
    ),
    "NaN, 1e999999999, 1_000, Arabic digits": Shown(
        (
            _DATA + "test_only_plain_decimals_are_accepted_as_numbers_on_the_wire",
            _QUARANTINE + "test_an_invalid_price_is_never_accepted",
        )
    ),
    "feeSymbol wrong on sells": Shown(
        (
            _FEES,
            "tests/exchange/test_translate.py::test_a_sells_fee_is_in_the_quote_currency_regardless_of_the_fee_symbol",
        )
    ),
    "USER_TRADE fee scaled by 10^8": Shown((_FEES,)),
    "the same trade by REST and WS": Shown((_FEES,)),
    "rounding past the balance": Shown(
        (_DATA + "test_the_full_balance_can_be_spent_but_not_one_unit_more",), "usdt, 100000 available"
    ),
    "money of a strategy withdrawn while the bot is down": Shown(
        (_LIVE + "test_capital.py::test_money_withdrawn_while_the_bot_was_down_blocks_new_orders_from_the_start",),
        "only orders that reduce a position are allowed: the account has...less than its strategies own",
    ),
    "rounding under the minimum": Shown(
        (_DATA + "test_an_amount_that_rounds_to_below_the_minimum_is_refused_before_it_is_sent",),
        "is below the minimum",
    ),
    "market buy amount is quote": Shown(
        (_DATA + "test_a_market_buy_amount_is_spent_in_quote_currency_rather_than_bought_in_coins",)
    ),
}

_CANARY = _LIVE + "test_canary.py::test_no_secret_appears_in_outputs_files_or_arguments"

SECURITY: dict[str, Shown] = {
    "a secret in logs, tracebacks, argv, reports, journal": Shown(
        (
            _CANARY,
            _LIVE + "test_canary.py::test_a_parameter_containing_a_secret_is_not_recorded",
            "tests/config/test_secrets.py::test_no_output_shows_a_secret",
        )
    ),
    "a secret in metrics, notifications and recordings": Shown(
        (_CANARY, _LIVE + "test_notify.py::test_the_last_messages_are_sent_before_shutdown_with_secrets_redacted")
    ),
    "key file that others can read": Shown(
        (
            "tests/config/test_secrets.py::test_a_secrets_file_readable_by_others_is_refused",
            "tests/config/test_secrets.py::test_a_literal_secret_requires_a_private_configuration_file",
        ),
        "chmod 600",
    ),
    "path traversal in report and config paths": Shown(
        (
            "tests/config/test_load.py::test_each_mistake_is_reported_with_its_line_and_a_remedy",
            "tests/tape/test_tape.py::test_a_manifest_that_refers_to_files_outside_the_tape_is_refused",
        ),
        "a name is 1 to 64...is outside the tape",
    ),
    "metrics asked from another host": Shown((_LIVE + "test_metrics.py::test_only_local_requests_are_served",)),
    "emulator's control asked by a web page": Shown(
        ("tests/emulator/test_control.py::test_a_web_page_cannot_reach_the_control_interface",)
    ),
    "a plugin that was not named": Shown(
        (
            "tests/test_plugins.py::test_a_blocked_plugin_is_not_imported",
            "tests/test_plugins.py::test_the_environment_variable_restricts_installed_plugins",
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
