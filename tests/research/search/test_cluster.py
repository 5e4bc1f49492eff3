"""A search on a Dask cluster: real schedulers and workers on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from botkit.cli.main import main
from botkit.config.load import load_config
from botkit.errors import ConfigError
from botkit.research.search import cluster as clusters
from botkit.research.search.cluster import checked_address
from botkit.research.search.parcel import pack, unpack
from botkit.research.search.study import Evaluation, TrialRun
from tests.backtest_world import run
from tests.waiting import PATIENCE_S, wait_for

# found, but not imported, which would take every worker half a second while it collects the tests
pytestmark = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs botkit[cluster]")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTKIT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with Path("dask.log").open("ab") as log:
        started = subprocess.Popen([sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
                                   stdout=log, stderr=log)  # fmt: skip
        try:
            yield started
        finally:
            started.kill()
            started.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """Return the address of a scheduler without workers."""
    file = tmp_path / "scheduler.json"
    with process(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    ):

        def address() -> str:
            try:
                return str(json.loads(file.read_text())["address"])
            except (OSError, ValueError):  # the file does not exist yet, or is only partly written
                return ""

        wait_for(address)
        yield address()


@contextmanager
def workers(scheduler: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                process(
                    "dask_worker", scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"
                )
            )
            for _ in range(count)
        ]


def optimize(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> dict[str, Any]:
    code = main(["optimize", str(config), "--param", "s.fast=3:9:2", "--param", "s.slow=10:40:10", "--objective",
                 "return", "--min-trades", "1", "--json", *arguments])  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_cluster_finds_the_same_result_as_one_core_even_if_a_worker_is_killed(
    crossing: Path, scheduler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = optimize(capsys, crossing, "--jobs", "1")
    with workers(scheduler, 2) as started:
        real = clusters.Cluster.run

        def killing(self: clusters.Cluster, jobs: Any, done: Any, *others: Any) -> None:
            ended: list[int] = []

            def kill_one(job: TrialRun, evaluation: Evaluation) -> None:
                ended.append(job.number)
                if len(ended) == 4:
                    started[0].send_signal(signal.SIGKILL)
                done(job, evaluation)

            real(self, jobs, kill_one, *others)

        monkeypatch.setattr(clusters.Cluster, "run", killing)
        two = optimize(capsys, crossing, "--cluster", scheduler)
        assert started[0].wait(PATIENCE_S) == -signal.SIGKILL
    assert two["trials"] == one["trials"]


def test_a_result_that_is_lost_with_its_worker_is_computed_again(
    crossing: Path, scheduler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = optimize(capsys, crossing, "--jobs", "1")
    monkeypatch.setattr(clusters, "_FETCH_S", 2.0)
    lost: list[str] = []
    real, usable = clusters.Cluster._collect, clusters.Cluster._usable
    # so that only the worker that will be lost may compute the first trials
    monkeypatch.setattr(clusters.Cluster, "_usable", lambda self: usable(self) if lost else usable(self)[:1])

    def collect(self: clusters.Cluster, running: Any, left: Any, done: Any) -> None:
        distributed, client = self._distributed, self._client

        def kill_after(futures: Any, **options: Any) -> Any:
            found = distributed.wait(futures, **options)
            if len(left) < 14 and not lost:
                future = next(iter(found.done))
                (worker,) = client.who_has([future])[future.key]
                lost.append(worker)
                os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)
                wait_for(lambda: worker not in self._alive())
            return found

        self._distributed = SimpleNamespace(wait=kill_after)
        try:
            real(self, running, left, done)
        finally:
            self._distributed = distributed

    monkeypatch.setattr(clusters.Cluster, "_collect", collect)
    with workers(scheduler, 2):
        two = optimize(capsys, crossing, "--cluster", scheduler)
    assert lost
    assert two["trials"] == one["trials"]


def test_a_worker_with_a_different_botkit_version_is_excluded_and_the_reason_is_given(
    crossing: Path, scheduler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "__version__", "99.0")
    monkeypatch.setattr(clusters, "PATIENCE_S", 0.0)
    with workers(scheduler, 1):
        from distributed import Client

        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=PATIENCE_S)
        assert main(["optimize", str(crossing), "--param", "s.fast=3,5", "--cluster", scheduler]) == 2
    err = capsys.readouterr().err
    assert "no worker can be used" in err
    assert "but the driver has 99.0" in err


def test_a_scheduler_without_workers_is_reported(
    crossing: Path, scheduler: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "PATIENCE_S", 0.0)
    assert main(["optimize", str(crossing), "--param", "s.fast=3,5", "--cluster", scheduler]) == 2
    assert f"start one with `dask worker {scheduler}`" in capsys.readouterr().err


def test_an_unreachable_cluster_is_reported(
    crossing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_CONNECT_S", 0.5)
    assert main(["optimize", str(crossing), "--param", "s.fast=3,5", "--cluster", "127.0.0.1:1"]) == 2
    assert "no scheduler answers there" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("localhost", "tcp://localhost:8786"),
        ("tcp://[::1]:9", "tcp://[::1]:9"),
    ],
)
def test_unencrypted_tcp_is_allowed_on_the_local_machine(text: str, address: str) -> None:
    assert checked_address(text, has_certificates=False, is_insecure=False) == address


@pytest.mark.parametrize("text", ["10.0.0.5:8786", "node7:8786", "tcp://127.0.0.1.evil.example:1", "0.0.0.0:8786"])
def test_unencrypted_tcp_to_another_machine_requires_the_insecure_option(text: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        checked_address(text, has_certificates=False, is_insecure=False)
    assert checked_address(text, has_certificates=False, is_insecure=True).startswith("tcp://")


@pytest.mark.parametrize("text", ["http://127.0.0.1:1", "127.0.0.1:x", "tcp://", "tcp://127.0.0.1:1/path"])
def test_an_invalid_address_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        checked_address(text, has_certificates=False, is_insecure=False)


def test_tls_requires_certificates() -> None:
    with pytest.raises(ConfigError, match="--cluster-certs"):
        checked_address("tls://node7:8786", has_certificates=False, is_insecure=True)
    assert checked_address("tls://node7", has_certificates=True, is_insecure=False) == "tls://node7:8786"


def test_a_parcel_contains_no_secrets(crossing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTFY", "https://hooks.example/s3cret")
    text = crossing.read_text()
    crossing.write_text(
        text
        + "account: {email: me@example.com, key: k3y-of-mine, secret: s3cret-of-mine}\n"
        + "notify: [{use: apprise, url: '${NTFY}'}]\nlimits: {ledger: 'redis://:${NTFY}@node7'}\n"
    )
    parcel = pack(load_config(crossing))
    with zipfile.ZipFile(BytesIO(parcel.content)) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert set(contents) == {"bot.yaml", "plugins0/scripted.py", "data0.csv"}
    for secret in (b"s3cret", b"k3y", b"me@example", b"NTFY", b"node7", str(crossing.parent).encode()):
        assert not any(secret in content for content in contents.values()), secret


def test_an_unpacked_parcel_makes_the_same_decisions_as_the_original(crossing: Path, tmp_path: Path) -> None:
    loaded = load_config(crossing, overrides=["s.fast=4"])
    parcel = pack(loaded)
    assert parcel.sha256 == pack(loaded).sha256
    config = unpack(parcel, tmp_path / "there")
    assert unpack(parcel, tmp_path / "there") == config
    original = run(crossing, overrides=["s.fast=4"])
    crossing.unlink()
    (tmp_path / "candles.csv").unlink()
    assert run(config).summary["journal_sha256"] == original.summary["journal_sha256"]


def test_a_parcel_with_different_data_has_a_different_hash(crossing: Path, tmp_path: Path) -> None:
    before = pack(load_config(crossing)).sha256
    with (tmp_path / "candles.csv").open("a") as file:
        file.write("1704267200000,1,1,1,1,1\n")
    assert pack(load_config(crossing)).sha256 != before
