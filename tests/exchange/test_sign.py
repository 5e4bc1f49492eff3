"""Signatures compared with the documented vectors, nonces, and secrecy of credentials."""

from __future__ import annotations

import copy
import json
import pickle
import threading

import pytest

from botkit.exchange.bitopro.sign import (
    HEADER_KEY,
    HEADER_PAYLOAD,
    HEADER_SIGNATURE,
    Credentials,
    decode_payload,
    encode_payload,
    next_nonce,
    nonce_headers,
    signed_headers,
)
from botkit.exchange.bitopro.wire.bodies import decode_nonce_payload
from botkit.exchange.bitopro.wire.codec import WireError
from tests.exchange.recorded import EXAMPLES

DOCUMENTED = [
    # (secret, JSON text, payload, signature) from the API documentation and its archive, 2.4
    (
        '{"identity":"support@bitoex.com","nonce":1554380909131}',
        "eyJpZGVudGl0eSI6InN1cHBvcnRAYml0b2V4LmNvbSIsIm5vbmNlIjoxNTU0MzgwOTA5MTMxfQ==",
        "98ddf62831afaa56fcd64220a2b60712a3990b404a5f28a8cf37069dc3cb77d634f576895906e238e36ba50c626dfadb",
    ),
    (
        '{"identity":"hcmlinj@gmail.com","nonce":1554380909131}',
        "eyJpZGVudGl0eSI6ImhjbWxpbmpAZ21haWwuY29tIiwibm9uY2UiOjE1NTQzODA5MDkxMzF9",
        "01a85a9083db47c20da7196380598f3feacd3c76a9077aaf7ffaf08ce0091abf65b61778792607b010921adfe1c2941a",
    ),
    (
        '{"action":"BUY","type":"limit","price":"1.123456789","amount":"666","timestamp":1554380909131}',
        "eyJhY3Rpb24iOiJCVVkiLCJ0eXBlIjoibGltaXQiLCJwcmljZSI6IjEuMTIzNDU2Nzg5IiwiYW1vdW50IjoiNjY2IiwidGltZXN0YW1wIjox"
        "NTU0MzgwOTA5MTMxfQ==",
        "6911f5f9156d89d31a45b62e9436b26a00651ee59efaff831d5ebafdc0be2879ab92882f264a2a51baa5a9bc8d658016",
    ),
    (
        '{"action":"BUY","amount":"666","price":"1.123456789","timestamp":1554380909131,"type":"limit"}',
        "eyJhY3Rpb24iOiJCVVkiLCJhbW91bnQiOiI2NjYiLCJwcmljZSI6IjEuMTIzNDU2Nzg5IiwidGltZXN0YW1wIjoxNTU0MzgwOTA5MTMxLCJ0"
        "eXBlIjoibGltaXQifQ==",
        "8426fefd73339dc8732c239c6bd7cbcd4a491627e68226053eafe9541e13847a50adb5bace625ec8c7245ec0a33a418d",
    ),
    (
        '{"action":"buy","amount":"666","price":"1.123456789","timestamp":1554380909131,"type":"limit"}',
        "eyJhY3Rpb24iOiJidXkiLCJhbW91bnQiOiI2NjYiLCJwcmljZSI6IjEuMTIzNDU2Nzg5IiwidGltZXN0YW1wIjoxNTU0MzgwOTA5MTMxLCJ0"
        "eXBlIjoibGltaXQifQ==",
        "ed6b082eb4b30fb132c613cac6fd613f8b0806c89743bd2792fe4cc04d649d2435e4301bdbd4a63c056143512c790c82",
    ),
]


@pytest.mark.parametrize(("text", "payload", "signature"), DOCUMENTED)
def test_each_documented_signature_is_reproduced(text: str, payload: str, signature: str) -> None:
    headers = signed_headers(Credentials("", "key", "bitopro"), text.encode())
    assert headers == {HEADER_KEY: "key", HEADER_PAYLOAD: payload, HEADER_SIGNATURE: signature}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    assert Credentials("", "key", "bitopro").signed_head(text.encode()) == lines


def test_every_recorded_signature_verifies_in_both_base64_alphabets() -> None:
    vectors = json.loads((EXAMPLES / "auth_vectors.json").read_text(encoding="utf-8"))
    assert len(vectors) == 10
    for vector in vectors:
        credentials = Credentials("", "key", vector["secret"])
        assert encode_payload(vector["json"].encode()) == vector["payload_standard"], vector["name"]
        for alphabet in ("standard", "urlsafe"):
            payload, signature = vector[f"payload_{alphabet}"], vector[f"signature_{alphabet}"]
            assert credentials.sign(payload) == signature, vector["name"]
            assert credentials.verify(payload, signature)
            assert not credentials.verify(payload, signature[:-1] + ("0" if signature[-1] != "0" else "1"))
            assert decode_payload(payload) == vector["json"].encode()


@pytest.mark.parametrize("payload", ["é", "a", "====", "eyJ", "e y J 9"])
def test_a_payload_that_is_not_base64_raises_a_wire_error(payload: str) -> None:
    with pytest.raises(WireError):
        decode_payload(payload)


def test_the_nonce_increases_strictly_even_if_the_clock_does_not_advance() -> None:
    key = "test_nonce_rises"
    nonces = [next_nonce(key, now) for now in (1000, 1000, 5000, 10, 5001, 9000)]
    assert nonces == [1000, 1001, 5000, 5001, 5002, 9000]
    assert next_nonce("another", 1) == 1


def test_the_nonce_increases_strictly_across_threads() -> None:
    found: list[int] = []
    lock = threading.Lock()

    def draw() -> None:
        mine = [next_nonce("threads", 1) for _ in range(500)]
        with lock:
            found.extend(mine)
        assert mine == sorted(set(mine))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 2001))


def test_a_call_without_a_body_signs_the_identity_and_the_nonce() -> None:
    headers = nonce_headers(Credentials("me@example.com", "nonce_key", "s"), 1_700_000_000_000)
    payload = decode_nonce_payload(decode_payload(headers[HEADER_PAYLOAD]))
    assert (payload.identity, payload.nonce) == ("me@example.com", 1_700_000_000_000)
    assert len(headers[HEADER_SIGNATURE]) == 96


def test_credentials_do_not_reveal_their_secrets() -> None:
    credentials = Credentials("me@example.com", "public-canary", "secret-canary")
    for text in (repr(credentials), str(credentials), f"{credentials!r}", repr([credentials])):
        assert "canary" not in text
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(credentials)
    assert not hasattr(credentials, "__dict__")


@pytest.mark.parametrize("bad", [" secret", "sec\nret-canary", "secret-canary "])
def test_a_secret_with_whitespace_is_refused_without_being_shown(bad: str) -> None:
    with pytest.raises(ValueError) as caught:
        Credentials("me@example.com", "key", bad)
    assert "canary" not in str(caught.value)
    assert "secret" in str(caught.value)
