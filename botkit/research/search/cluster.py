"""Runs trials on a Dask cluster, with `dask scheduler` on one machine and `dask worker` on each machine.

    botkit optimize CONFIG --param ... --cluster 127.0.0.1:8786

Before a worker receives trials, it repeats trial 0, and its decisions must match those of the driver exactly. A worker
whose decisions differ, for example because it has a different version of botkit or of a plugin's library, is excluded,
and the reason is reported. If a worker is lost, Dask repeats its trials on another worker.
"""

from __future__ import annotations

import ipaddress
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from botkit.errors import BotkitError, ConfigError
from botkit.research.search.interrupts import NEVER, Interrupts
from botkit.research.search.parcel import Parcel, unpack
from botkit.research.search.pool import Evaluate
from botkit.research.search.study import Evaluation, TrialRun
from botkit.research.search.worker import BenchRecipe
from botkit.version import __version__

__all__ = ["Cluster", "ClusterRecipe", "checked_address"]

#: if no worker is usable for this long, the search stops, keeping the completed trials
PATIENCE_S = 60.0
#: the maximum number of searches whose data a worker keeps in memory
STUDIES_MOST = 4
#: the number of attempts for a trial that fails for a reason outside the backtest, such as lack of memory
TRIES = 3
_CONNECT_S = 10.0
_LOOK_S = 1.0
#: the longest wait for the result of a finished trial, some kilobytes, which only its worker has
_FETCH_S = 10.0


class ClusterRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """The settings from which a worker builds its bench after receiving the parcel."""

    sha256: str
    version: str
    start: str | None
    end: str | None
    seed: int | None


class Cluster:
    """A connection to a scheduler. Workers are approved if their decisions in trial 0 match those of the driver
    exactly.
    """

    def __init__(
        self,
        address: str,
        parcel: Parcel,
        recipe: BenchRecipe,
        *,
        certificates: Path | None = None,
        is_insecure: bool = False,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Connect to the scheduler and send the parcel to every worker. Raises ConfigError."""
        try:
            import distributed
        except ImportError:
            raise ConfigError("--cluster needs Dask: pip install 'botkit[cluster]'") from None
        self._distributed = distributed
        self.address = checked_address(address, has_certificates=certificates is not None, is_insecure=is_insecure)
        security = _security(certificates) if certificates is not None else None
        try:
            self._client = distributed.Client(self.address, timeout=_CONNECT_S, security=security, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"--cluster {address}: no scheduler answers there ({_said(error)}); start one with `dask scheduler`"
            ) from None
        self._parcel = parcel
        self._recipe = ClusterRecipe(
            sha256=parcel.sha256,
            version=__version__,
            start=recipe.start,
            end=recipe.end,
            seed=recipe.seed,
        )
        self._tell = tell
        self._here = recipe
        self._reference: tuple[TrialRun, str] | None = None
        self._approved: set[str] = set()
        self._refused: dict[str, str] = {}
        self._failures: dict[int, int] = {}

    def run(
        self,
        jobs: Sequence[TrialRun],
        done: Callable[[TrialRun, Evaluation], None],
        interrupts: Interrupts = NEVER,
    ) -> None:
        """Run ``jobs`` on the approved workers. Raises ConfigError if there has been no approved worker for a
        minute.
        """
        if self._reference is None:
            self._reference = self._run_here(jobs[0])
        left = {job.number: job for job in jobs}
        running: dict[Any, TrialRun] = {}
        alone_since: float | None = None
        while left:
            interrupts.check()
            workers = self._usable()
            if not workers:
                alone_since = alone_since or time.monotonic()
                if time.monotonic() - alone_since > PATIENCE_S:
                    raise ConfigError(self._why_none())
                self._cancel(running)
                time.sleep(_LOOK_S)
                continue
            alone_since = None
            waiting = {job.number for job in running.values()}
            for number, job in left.items():
                if number not in waiting:
                    future = self._client.submit(_run_there, self._recipe, job, workers=workers, pure=False, retries=3)
                    running[future] = job
            self._collect(running, left, done)

    def close(self) -> None:
        """Disconnect from the scheduler, which cancels running trials."""
        self._client.close()

    def _collect(
        self,
        running: dict[Any, TrialRun],
        left: dict[int, TrialRun],
        done: Callable[[TrialRun, Evaluation], None],
    ) -> None:
        """Wait up to one second for trials to finish, and collect their results."""
        try:
            with self._client.as_current():
                ended = self._distributed.wait(list(running), timeout=_LOOK_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            # a trial assigned only to a lost worker would wait forever
            if self._approved - set(self._alive()):
                self._cancel(running)
            return
        for future in ended:
            job = running.pop(future)
            if future.status == "finished":
                try:
                    evaluation = future.result(timeout=_FETCH_S)
                except TimeoutError:
                    # its worker was lost between the end of the trial and now, and the result with it; the scheduler
                    # would compute it again, but perhaps only on that worker
                    future.cancel()
                    continue
                del left[job.number]
                done(job, evaluation)
            elif future.status == "error":
                self._failures[job.number] = self._failures.get(job.number, 0) + 1
                if self._failures[job.number] >= TRIES:
                    del left[job.number]
                    error = future.exception()
                    done(
                        job, Evaluation({}, "", f"failed {TRIES} times on the cluster: {type(error).__name__}: {error}")
                    )
            # run a cancelled trial again, because its worker has been lost

    @staticmethod
    def _cancel(running: dict[Any, TrialRun]) -> None:
        for future in running:
            future.cancel()
        running.clear()

    def _alive(self) -> list[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _usable(self) -> list[str]:
        """Return the approved workers, checking new workers first."""
        assert self._reference is not None
        alive = self._alive()
        self._approved &= set(alive)
        fresh = [worker for worker in alive if worker not in self._approved and worker not in self._refused]
        with warnings.catch_warnings():
            # send the parcel with each check, because scattered data is lost when the worker that stores it is lost
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            judging = {
                worker: self._client.submit(
                    _judge, self._parcel, self._recipe, *self._reference, workers=[worker], pure=False, retries=0
                )
                for worker in fresh
            }
        for worker, future in judging.items():
            try:
                reason = self._judged(worker, future)
            except Exception as error:  # any exception on an unknown machine is a reason not to use that machine
                if worker not in self._alive():
                    continue
                reason = f"{type(error).__name__}: {error}"
            if reason is None:
                continue
            if reason:
                self._refused[worker] = reason
                self._tell(f"worker {worker} is not used: {reason}")
            else:
                self._approved.add(worker)
        return sorted(self._approved)

    def _judged(self, worker: str, future: Any) -> str | None:
        """Return why a worker must not be used, "" if it may be, or None if it was lost before it had answered."""
        while True:
            try:
                return str(future.result(timeout=_LOOK_S))
            except TimeoutError:
                if worker not in self._alive():  # the check may run nowhere else, so it would wait forever
                    future.cancel()
                    return None

    def _run_here(self, job: TrialRun) -> tuple[TrialRun, str]:
        evaluation = self._here()(job)
        return job, evaluation.journal_sha256 or evaluation.error

    def _why_none(self) -> str:
        if self._refused:
            worker, reason = next(iter(self._refused.items()))
            return f"--cluster {self.address}: no worker can be used; {worker}: {reason}"
        return (
            f"--cluster {self.address}: the scheduler has had no worker for {PATIENCE_S:.0f} s; start one with "
            f"`dask worker {self.address}`; the finished trials are kept, and --continue resumes the search"
        )


def checked_address(text: str, *, has_certificates: bool, is_insecure: bool) -> str:
    """Return a scheduler's address with its protocol. Raises ConfigError for an address whose traffic other users could
    modify.

    Anyone who can modify the traffic can run code on the workers, because Dask transmits pickled Python objects.
    """
    parts = urlsplit(text if "://" in text else f"tcp://{text}")
    try:
        host, port = parts.hostname, parts.port or 8786
    except ValueError:
        host, port = None, 0
    if parts.scheme not in ("tcp", "tls") or not host or parts.path not in ("", "/"):
        raise ConfigError(f"--cluster {text}: write HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT")
    if parts.scheme == "tls" and not has_certificates:
        raise ConfigError(
            f"--cluster {text}: tls needs certificates; give --cluster-certs FOLDER with ca.pem, cert.pem and key.pem"
        )
    if parts.scheme == "tcp" and not is_insecure and not _is_loopback(host):
        raise ConfigError(
            f"--cluster {text}: anyone on the network can tamper with plain TCP and run code; use tls:// "
            "with --cluster-certs, a tunnel to this machine, or --insecure on a network you control"
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _security(folder: Path) -> Any:
    from distributed.security import Security

    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    for path in files.values():
        if not path.is_file():
            raise ConfigError(f"--cluster-certs {folder}: there is no {path.name}; it needs ca.pem, cert.pem, key.pem")
    return Security(
        require_encryption=True,
        tls_ca_file=str(files["ca"]),
        tls_client_cert=str(files["cert"]),
        tls_client_key=str(files["key"]),
    )


def _said(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


# -- on a worker ------------------------------------------------------------------------------------------------------

_benches: dict[ClusterRecipe, Evaluate] = {}  # the benches in this worker process
_one_at_a_time = threading.Lock()  # a worker may have several threads, but its plugins can serve only one bot at a time


def _run_there(recipe: ClusterRecipe, job: TrialRun) -> Evaluation:
    with _one_at_a_time:
        return _benches[recipe](job)  # the bench was created when this worker was checked


def _judge(parcel: Parcel, recipe: ClusterRecipe, job: TrialRun, reference: str) -> str:
    """Return the reason why this worker must not be used, or "" if its decisions in trial 0 match the driver's
    decisions exactly.
    """
    if recipe.version != __version__:
        return f"it has botkit {__version__}, but the driver has {recipe.version}"
    try:
        with _one_at_a_time:
            _prepare(parcel, recipe)
        evaluation = _run_there(recipe, job)
    except BotkitError as error:
        return str(error)
    found = evaluation.journal_sha256 or evaluation.error
    if found != reference:
        return f"trial {job.number} gave the decision hash {found[:16]} there, but {reference[:16]} on the driver"
    return ""


def _prepare(parcel: Parcel, recipe: ClusterRecipe) -> None:
    if recipe in _benches:
        return
    config = unpack(parcel, Path(tempfile.gettempdir()) / "botkit-cluster")
    while len(_benches) >= STUDIES_MOST:
        del _benches[next(iter(_benches))]
    shared = str(config.parent / "rows")
    _benches[recipe] = BenchRecipe(
        config=str(config), start=recipe.start, end=recipe.end, seed=recipe.seed, shared=shared
    )()
