"""The password of a shared ledger is read from the environment or a private file, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from botkit.config.ledger_address import shown_address
from botkit.config.load import LoadedConfig, load_config
from botkit.config.secrets import ledger_of_option, resolve_ledger
from botkit.config.show import origin_rows, resolved_yaml
from botkit.errors import ConfigError

CANARY = "canary-7f3a9b"
posix_only = pytest.mark.skipif(os.name != "posix", reason="file modes mean nothing here")


def load(tmp_path: Path, ledger: str, more: str = "", *overrides: str, mode: int = 0o600) -> LoadedConfig:
    file = tmp_path / "x.yaml"
    file.write_text(f'strategies: [{{use: a}}]\nlimits:\n  ledger: "{ledger}"\n{more}', encoding="utf-8")
    file.chmod(mode)
    return load_config(file, overrides=overrides)


def outputs(loaded: LoadedConfig) -> str:
    return "\n".join(
        [resolved_yaml(loaded), resolved_yaml(loaded, with_origins=True), str(origin_rows(loaded)), repr(loaded)]
    )


def test_a_password_from_the_environment_is_url_encoded_in_the_address(tmp_path: Path) -> None:
    loaded = load(tmp_path, "redis://bots:${RP}@host:7000/2")
    assert resolve_ledger(loaded, {"RP": "p@ss/wo#rd"}) == "redis://bots:p%40ss%2Fwo%23rd@host:7000/2"
    assert 'ledger: "redis://bots:${RP}@host:7000/2"' in resolved_yaml(loaded)


def test_the_entire_address_can_come_from_a_variable(tmp_path: Path) -> None:
    loaded = load(tmp_path, "${REDIS_URL}")
    assert resolve_ledger(loaded, {"REDIS_URL": "rediss://:a%40b@host/0"}) == "rediss://:a%40b@host/0"


def test_a_password_can_also_be_read_from_the_accounts_secrets_file(tmp_path: Path) -> None:
    secrets = tmp_path / "s.env"
    secrets.write_text(f"RP={CANARY}\n", encoding="utf-8")
    secrets.chmod(0o600)
    account = "account: {email: a, key: b, secret: '${S}', secrets_file: s.env}\n"
    assert resolve_ledger(load(tmp_path, "redis://:${RP}@h/0", account), {}) == f"redis://:{CANARY}@h/0"


def test_an_error_about_an_unset_variable_states_the_variable_and_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml:3: the environment variable RP is not set"):
        resolve_ledger(load(tmp_path, "redis://:${RP}@h/0"), {})


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"redis://:{CANARY}@host:6379/0", "redis://:(hidden)@host:6379/0"),
        (f"redis://user:{CANARY}@host", "redis://user:(hidden)@host"),
        (f"redis://:x${{RP}}{CANARY}@host/0", "redis://:(hidden)@host/0"),
        (f"redis://host/0?password={CANARY}", "redis://host/0?(hidden)"),
        (f"redis://:{CANARY}/half@host/0", "(hidden)"),
        (f"redis://:{CANARY}#half@host/0", "(hidden)"),
        (f"{CANARY}@host", "(hidden)"),
    ],
)
def test_a_password_in_the_configuration_is_never_shown(tmp_path: Path, address: str, shown: str) -> None:
    loaded = load(tmp_path, address)
    assert CANARY not in outputs(loaded)
    assert shown_address(address) == shown


@pytest.mark.parametrize("address", ["none", "redis://host:6379/0", "redis://user@host/0", "rediss://:${A}${B}@h:1/0"])
def test_an_address_without_a_password_is_shown_unchanged(address: str) -> None:
    if "${A}" not in address:
        assert shown_address(address) == address
    else:
        assert shown_address(address) == "rediss://:(hidden)@h:1/0"


@posix_only
def test_a_password_in_the_configuration_requires_a_private_file(tmp_path: Path) -> None:
    address = f"redis://:{CANARY}@host/0"
    assert resolve_ledger(load(tmp_path, address), {}) == address
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        resolve_ledger(load(tmp_path, address, mode=0o644), {})
    assert CANARY not in str(caught.value)


def test_a_password_on_the_command_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must not be on the command line") as caught:
        load(tmp_path, "none", "", f"limits.ledger=redis://:{CANARY}@host/0")
    assert CANARY not in str(caught.value)
    loaded = load(tmp_path, "none", "", "limits.ledger=redis://:${RP}@host/0")
    assert resolve_ledger(loaded, {"RP": "x"}) == "redis://:x@host/0"
    with pytest.raises(ConfigError, match="must not be on the command line") as caught:
        ledger_of_option(f"redis://:{CANARY}@host/0", {})
    assert CANARY not in str(caught.value)
    assert ledger_of_option("redis://:${RP}@host/0", {"RP": "a/b"}) == "redis://:a%2Fb@host/0"
    with pytest.raises(ConfigError, match="RP is not set"):
        ledger_of_option("redis://:${RP}@host/0", {})


def test_an_error_about_a_misspelled_section_in_a_set_option_shows_no_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set accounts.secret=\.\.\.: `accounts` is neither") as caught:
        load(tmp_path, "none", "", f"accounts.secret={CANARY}")
    assert CANARY not in str(caught.value)


def test_an_error_about_an_unparseable_address_does_not_reveal_any_part_of_a_password() -> None:
    pytest.importorskip("redis", reason="the extra botkit[redis] is not installed")
    from botkit.live.limits.sharing import ledger_link

    for address in (f"redis://:{CANARY}/half@host/0", f"redis://host/0?socket_timeout={CANARY}", f"{CANARY}://host"):
        with pytest.raises(ConfigError) as caught:
            ledger_link(address)
        assert CANARY not in str(caught.value), address
        assert caught.value.__cause__ is None
