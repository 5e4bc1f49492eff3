"""Secrets are read only when needed, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from botkit.config.load import LoadedConfig, load_config
from botkit.config.secrets import SecretOptions, read_secrets, resolve_account
from botkit.config.show import origin_rows, resolved_yaml
from botkit.errors import ConfigError

CANARY = "canary-7f3a9b"
ACCOUNT = "account:\n  email: ${MAIL}\n  key: ${KEY}\n  secret: ${SECRET}\n"
ENVIRON = {"MAIL": "me@example.com", "KEY": "k", "SECRET": CANARY}
posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes mean nothing here")


def load(tmp_path: Path, text: str, *overrides: str) -> LoadedConfig:
    file = tmp_path / "x.yaml"
    file.write_text("strategies: [{use: a}]\n" + text, encoding="utf-8")
    file.chmod(0o600)
    return load_config(file, overrides=overrides)


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_secrets_can_be_read_from_the_environment(tmp_path: Path) -> None:
    account = resolve_account(load(tmp_path, ACCOUNT), ENVIRON)
    assert (account.email, account.key, account.secret) == ("me@example.com", "k", CANARY)


def test_loading_a_configuration_needs_no_secrets(tmp_path: Path) -> None:
    assert load(tmp_path, ACCOUNT).config.account is not None


def test_secrets_missing_from_the_environment_are_read_from_the_secrets_file(tmp_path: Path) -> None:
    private(tmp_path / "s.env", f"# mine\nexport KEY='from file'\nSECRET = {CANARY}\nMAIL=other\n")
    loaded = load(tmp_path, ACCOUNT + "  secrets_file: s.env\n")
    account = resolve_account(loaded, {"MAIL": "me@example.com"})
    assert (account.email, account.key, account.secret) == ("me@example.com", "from file", CANARY)


@posix_only
def test_a_secrets_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    private(tmp_path / "s.env", f"SECRET={CANARY}\n", 0o640)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        resolve_account(load(tmp_path, ACCOUNT + "  secrets_file: s.env\n"), {"MAIL": "m", "KEY": "k"})
    assert CANARY not in str(caught.value)
    assert "x.yaml:6" in str(caught.value)


@posix_only
def test_a_literal_secret_requires_a_private_configuration_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, f"account: {{email: m, key: k, secret: {CANARY}}}\n")
    assert resolve_account(loaded, {}).secret == CANARY
    loaded.path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        resolve_account(loaded, {})


def test_a_secret_on_the_command_line_is_refused_and_not_echoed(tmp_path: Path) -> None:
    loaded = load(tmp_path, ACCOUNT, f"account.secret={CANARY}")
    with pytest.raises(ConfigError, match="command line") as caught:
        resolve_account(loaded, ENVIRON)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "words"),
    [
        ("", {}, "`account:` is missing"),
        (ACCOUNT, {"MAIL": "m", "KEY": "k"}, "SECRET is not set"),
        (ACCOUNT, {"MAIL": "m", "KEY": "k", "SECRET": ""}, "empty"),
        (ACCOUNT, {"MAIL": "m", "KEY": "k", "SECRET": "a\r\nX-Evil: 1"}, "cannot be sent"),
        ("account: {email: m, key: k, secret: '${a b}'}\n", {}, "is not a variable name"),
        (ACCOUNT + "  secrets_file: absent.env\n", {}, "there is no file"),
    ],
)
def test_an_error_about_missing_secrets_explains_where_to_set_them(
    tmp_path: Path, text: str, environ: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        resolve_account(load(tmp_path, text), environ)
    assert "x.yaml" in str(caught.value)


def test_an_error_about_an_invalid_line_in_a_secrets_file_does_not_show_the_line(tmp_path: Path) -> None:
    file = private(tmp_path / "s.env", f"A=1\n{CANARY}\n")
    with pytest.raises(ConfigError, match=r"s\.env:2") as caught:
        read_secrets(file, "x.yaml:1")
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigError, match="set twice"):
        read_secrets(private(tmp_path / "t.env", "A=1\nA=2\n"), "x.yaml:1")


def test_notifiers_can_use_secrets(tmp_path: Path) -> None:
    loaded = load(tmp_path, "notify: [{use: apprise, url: 'tgram://${TOKEN}/1'}]\n")
    options = SecretOptions(loaded, {"TOKEN": CANARY})
    assert options.resolve(loaded.config.notify[0].options, "notify.0") == {"url": f"tgram://{CANARY}/1"}
    assert options.found == {f"tgram://{CANARY}/1"}


def test_no_output_shows_a_secret(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        f"account: {{email: m, key: {CANARY}, secret: {CANARY}}}\n"
        f"emulator: {{account: {{email: m, key: {CANARY}, secret: {CANARY}}}}}\n"
        f"notify: [{{use: mail, token: {CANARY}, deep: {{list: [{CANARY}]}}}}]\n",
    )
    account = resolve_account(loaded, {})
    shown = [repr(loaded), str(loaded), repr(loaded.config), repr(loaded.root), repr(loaded.config.account)]
    shown += [repr(account), str(account), f"{account}", resolved_yaml(loaded, with_origins=True)]
    shown += [str(origin_rows(loaded)), str(loaded.origins())]
    for text in shown:
        assert CANARY not in text


@pytest.mark.parametrize(
    "text",
    [
        f"account: {CANARY}\n",
        f"account: [{CANARY}]\n",
        f"account: {{email: m, key: k, secret: {{{CANARY}: 1}}}}\n",
        f"notify: [{{use: x, level: {CANARY}}}]\n",
        f"emulator: {{account: {CANARY}}}\n",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert CANARY not in str(caught.value)
