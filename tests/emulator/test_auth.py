"""Authentication accepts every variant of the three headers that real clients send, unless a switch makes it strict."""

from __future__ import annotations

import json

import pytest

from botkit.emulator.auth import Authenticator
from botkit.emulator.options import EmulatorAccount
from botkit.emulator.replies import RefusedError
from botkit.emulator.switches import choose
from tests.emulator.raw import EMAIL, KEY, SECRET, example, headers, sign

pytestmark = pytest.mark.virtual_time

NOW_MS = 1_790_300_000_000
NOW = NOW_MS * 10**6
ACCOUNTS = {EMAIL: EmulatorAccount(email=EMAIL, key=KEY, secret=SECRET)}


def gate(*switches: str) -> Authenticator:
    return Authenticator(ACCOUNTS, choose(switches))


def refusal(gate: Authenticator, sent: dict[str, str], body: bytes | None = None, now: int = NOW) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        gate.admit(sent, body, now)
    return caught.value.status, caught.value.text


@pytest.mark.parametrize(
    "text",
    [
        f'{{"identity":"{EMAIL}","nonce":{NOW_MS}}}',
        f'{{"nonce":{NOW_MS},"identity":"{EMAIL}"}}',
        f'{{"identity": "", "nonce": {NOW_MS}}}',
        f'{{"nonce":{NOW_MS}}}',
        f'{{"identity":"someone@else","nonce":{NOW_MS},"more":1}}',
    ],
)
@pytest.mark.parametrize("urlsafe", [False, True])
def test_nonces_are_accepted_in_every_format_that_real_clients_send(text: str, urlsafe: bool) -> None:
    assert gate().admit(headers(text.encode(), urlsafe=urlsafe), None, NOW) == EMAIL


@pytest.mark.parametrize("urlsafe", [False, True])
def test_a_body_is_accepted_in_both_base64_alphabets(urlsafe: bool) -> None:
    body = b'{"condition":">=","x":"~~~???"}'
    sent = headers(body, urlsafe=urlsafe)
    assert ("-" in sent["X-BITOPRO-PAYLOAD"] or "_" in sent["X-BITOPRO-PAYLOAD"]) == urlsafe
    assert gate().admit(sent, body, NOW) == EMAIL


def test_the_signature_covers_the_header_exactly_as_received() -> None:
    body = b'{"condition":">="}'
    standard, urlsafe = headers(body), headers(body, urlsafe=True)
    crossed = standard | {"X-BITOPRO-SIGNATURE": urlsafe["X-BITOPRO-SIGNATURE"]}
    assert refusal(gate(), crossed, body) == (401, "Invalid Signature")


def test_every_signature_vector_published_by_the_exchange_verifies() -> None:
    for vector in example("auth_vectors"):
        owner = EmulatorAccount(email=EMAIL, key=KEY, secret=vector["secret"])
        doors = Authenticator({EMAIL: owner}, choose(["payload_must_match_body=off"]))
        for kind in ("standard", "urlsafe"):
            sent = {
                "X-BITOPRO-APIKEY": KEY,
                "X-BITOPRO-PAYLOAD": vector[f"payload_{kind}"],
                "X-BITOPRO-SIGNATURE": vector[f"signature_{kind}"],
            }
            assert doors.admit(sent, b"{}", NOW) == EMAIL, vector["name"]


def test_a_body_may_be_formatted_differently_but_must_equal_the_signed_payload() -> None:
    sent = headers(b'{"a": 1, "b": [2]}')
    assert gate().admit(sent, b'{"b":[2],"a":1}', NOW) == EMAIL
    assert refusal(gate(), sent, b'{"a":2,"b":[2]}') == (422, "Invalid payload")
    assert gate("payload_must_match_body=off").admit(sent, b'{"a":2}', NOW) == EMAIL


@pytest.mark.parametrize(
    "broken",
    [
        {"X-BITOPRO-APIKEY": "other"},
        {"X-BITOPRO-SIGNATURE": "0" * 96},
        {"X-BITOPRO-SIGNATURE": ""},
        {"X-BITOPRO-SIGNATURE": "é" * 96},
        {"X-BITOPRO-PAYLOAD": "%%%"},
    ],
)
def test_an_incorrect_header_is_reported_as_an_invalid_signature(broken: dict[str, str]) -> None:
    sent = headers(json.dumps({"nonce": NOW_MS}).encode()) | broken
    assert refusal(gate(), sent) == (401, "Invalid Signature")


def test_a_correctly_signed_payload_without_a_nonce_is_reported_as_a_bad_body() -> None:
    for text in (b"[]", b"{}", b'{"nonce":"1"}', b'{"nonce":1.5}', b"\xff", b'{"nonce":NaN}'):
        assert refusal(gate(), headers(text)) == (422, "Invalid body")
    odd = {"X-BITOPRO-APIKEY": KEY, "X-BITOPRO-PAYLOAD": "a", "X-BITOPRO-SIGNATURE": sign("a")}
    assert refusal(gate(), odd) == (422, "Invalid body")


def test_a_nonce_too_far_from_the_clock_is_reported_as_a_conflict() -> None:
    def sent(ahead_s: int) -> dict[str, str]:
        return headers(json.dumps({"nonce": NOW_MS + ahead_s * 1000}).encode())

    assert gate().admit(sent(60), None, NOW) == EMAIL
    assert gate().admit(sent(-60), None, NOW) == EMAIL
    assert refusal(gate(), sent(61)) == (409, "Conflict")
    assert refusal(gate("skew_window_s=5"), sent(-6)) == (409, "Conflict")


def test_a_client_that_uses_the_machines_clock_is_accepted_if_emulator_time_is_accelerated() -> None:
    sent = headers(json.dumps({"nonce": NOW_MS}).encode())
    ahead = NOW + 3600 * 10**9
    assert refusal(gate(), sent, now=ahead) == (409, "Conflict")
    assert gate().admit(sent, None, ahead, NOW) == EMAIL


def test_with_accelerated_time_the_maximum_request_delay_is_measured_in_machine_time() -> None:
    sent = headers(json.dumps({"nonce": NOW_MS}).encode())
    speed, second = 600.0, 10**9
    a_tenth_of_a_second, too_long = NOW + 61 * second, NOW + 3700 * second
    assert refusal(gate(), sent, now=a_tenth_of_a_second) == (409, "Conflict")
    assert gate().admit(sent, None, a_tenth_of_a_second, NOW + 7200 * second, speed) == EMAIL
    gate().check_time(NOW_MS, a_tenth_of_a_second, NOW + 7200 * second, speed)
    for now in (too_long, NOW - 61 * second):  # a late request, and a timestamp in the future
        with pytest.raises(RefusedError, match="Conflict"):
            gate().admit(sent, None, now, NOW + 7200 * second, speed)


def test_strict_switches_refuse_old_nonces_repeated_posts_and_mismatched_identities() -> None:
    strict = gate("nonce=increasing", "identity=registered")
    first = headers(json.dumps({"identity": EMAIL, "nonce": NOW_MS}).encode())
    assert strict.admit(first, None, NOW) == EMAIL
    assert refusal(strict, first) == (409, "Conflict")
    assert refusal(strict, headers(json.dumps({"nonce": NOW_MS + 1}).encode())) == (401, "Invalid Signature")
    body = b'{"amount":"1"}'
    assert strict.admit(headers(body), body, NOW) == EMAIL
    assert refusal(strict, headers(body), body) == (409, "Conflict")
