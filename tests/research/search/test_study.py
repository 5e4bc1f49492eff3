"""A search tries the same points and produces the same ranking, regardless of how its trials are executed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import pytest

from botkit.errors import ConfigError
from botkit.research.search.axes import Axis, Choices, Range
from botkit.research.search.interrupts import NEVER, Interrupts
from botkit.research.search.objectives import Objective
from botkit.research.search.samplers import SAMPLERS, grid_size, make_sampler
from botkit.research.search.study import BATCH, RUNGS, Evaluation, Study, Trial, TrialRun, explain_no_value, ranked
from botkit.research.search.where import Where

AXES: list[Axis] = [Choices("s.a", tuple(range(10)), is_ordered=True), Choices("s.b", ("x", "y"), is_ordered=False)]
WIDE: list[Axis] = [*AXES, Range("s.c", 0.0, 1.0, is_log=False, is_whole=False)]


def earn(job: TrialRun) -> Evaluation:
    """Return a made-up backtest result. Its return is highest at a=7, b=y, c=0.25, and it has 10 trades for each unit
    of ``a``.
    """
    a, b, c = int(job.point["s.a"]), job.point["s.b"], float(job.point.get("s.c", 0.25))
    value = -((a - 7) ** 2) - (0 if b == "y" else 5) - (c - 0.25) ** 2
    return Evaluation({"return": value * job.share, "round_trips": 10 * a}, f"hash {sorted(job.point.items())}")


class Shuffled:
    """Finishes jobs in a random order, as multiple workers would."""

    def __init__(self, seed: int, run: Callable[[TrialRun], Evaluation] = earn) -> None:
        self._random = random.Random(seed)
        self._run = run
        self.ran: list[tuple[int, float]] = []

    def run(
        self, jobs: Sequence[TrialRun], done: Callable[[TrialRun, Evaluation], None], interrupts: Interrupts = NEVER
    ) -> None:
        for job in self._random.sample(list(jobs), len(jobs)):
            self.ran.append((job.number, job.share))
            done(job, self._run(job))


def search(
    kind: str = "random",
    *,
    axes: Sequence[Axis] = AXES,
    where: Where | None = None,
    runner: Shuffled | None = None,
    trials: int = 1000,
    min_trades: int = 0,
    prune: bool = False,
    known: Mapping[tuple[int, float], Evaluation] | None = None,
    heard: list[tuple[TrialRun, Evaluation]] | None = None,
    seed: int = 1,
) -> list[Trial]:
    evaluations = heard if heard is not None else []
    study = Study(
        make_sampler(kind, axes, where, {}, seed),
        Objective("return"),
        runner or Shuffled(1),
        trials=trials,
        min_trades=min_trades,
        prune=prune,
        known=known or {},
        on_evaluation=lambda job, evaluation: evaluations.append((job, evaluation)),
        on_trial=lambda trial: None,
    )
    return study.run()


def needs(kind: str) -> None:
    if kind == "tpe":
        pytest.importorskip("optuna")


def test_a_grid_search_visits_every_point_once() -> None:
    trials = search("grid")
    assert [tuple(trial.params.values()) for trial in trials] == [(a, b) for a in range(10) for b in ("x", "y")]


def test_a_grid_search_omits_points_excluded_by_the_where_option() -> None:
    where = Where("s.a < 3", {"s.a": 0, "s.b": ""})
    assert len(search("grid", where=where)) == 6 == grid_size(AXES, where, {})


def test_a_random_search_never_repeats_a_point_and_stops_when_no_points_are_left() -> None:
    points = [tuple(trial.params.values()) for trial in search("random")]
    assert len(points) == len(set(points)) == 20


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_search_does_not_depend_on_the_order_in_which_trials_finish(kind: str) -> None:
    needs(kind)
    axes = AXES if kind == "grid" else WIDE
    first = search(kind, axes=axes, runner=Shuffled(1), trials=60)
    assert first == search(kind, axes=axes, runner=Shuffled(2), trials=60)
    assert len(first) == (20 if kind == "grid" else 60)


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_different_seed_searches_different_points(kind: str) -> None:
    needs(kind)
    assert search(kind, axes=WIDE, trials=20, seed=1) != search(kind, axes=WIDE, trials=20, seed=2)


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_continued_search_equals_an_uninterrupted_one(kind: str, prune: bool) -> None:
    needs(kind)
    axes = AXES if kind == "grid" else WIDE
    heard: list[tuple[TrialRun, Evaluation]] = []
    whole = search(kind, axes=axes, trials=50, prune=prune, heard=heard)
    for kept in (0, 1, 17, len(heard) - 1, len(heard)):
        known = {(job.number, job.share): evaluation for job, evaluation in heard[:kept]}
        runner = Shuffled(5)
        assert search(kind, axes=axes, trials=50, prune=prune, known=known, runner=runner) == whole
        assert not set(runner.ran) & set(known)


class Counting(Shuffled):
    """Notes how many jobs it is given at once."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given: list[int] = []

    def run(
        self, jobs: Sequence[TrialRun], done: Callable[[TrialRun, Evaluation], None], interrupts: Interrupts = NEVER
    ) -> None:
        self.given.append(len(jobs))
        super().run(jobs, done, interrupts)


@pytest.mark.parametrize(
    ("kind", "prune", "most"), [("random", False, 128), ("grid", False, 128), ("random", True, 16), ("tpe", False, 16)]
)
def test_workers_wait_for_a_batch_only_if_the_next_trials_depend_on_it(kind: str, prune: bool, most: int) -> None:
    needs(kind)
    runner, axes = Counting(), (Choices("s.a", tuple(range(100)), True), Choices("s.b", ("x", "y"), False))
    count = 40 if kind == "tpe" else 150
    trials = search(kind, axes=axes, runner=runner, prune=prune, trials=count)
    assert [trial.number for trial in trials] == list(range(count))
    assert max(runner.given) == most
    drawn = make_sampler(kind, axes, None, {}, 1)
    if kind != "tpe":  # the points are those of batches of sixteen
        expected = [point for _ in range(10) for point in drawn.ask(16)][:150]
        assert [trial.params for trial in trials] == expected


class InOrder(Shuffled):
    """Finishes jobs in a given order, and then Ctrl-C is pressed."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__(1)
        self._order = order

    def run(
        self, jobs: Sequence[TrialRun], done: Callable[[TrialRun, Evaluation], None], interrupts: Interrupts = NEVER
    ) -> None:
        for number in self._order:
            done(jobs[number], earn(jobs[number]))
        raise KeyboardInterrupt


def test_trials_are_reported_in_order_at_once_and_ctrl_c_keeps_all_that_have_finished() -> None:
    told: list[tuple[str, int]] = []
    study = Study(
        make_sampler("grid", AXES, None, {}, 1),
        Objective("return"),
        InOrder([1, 0, 2, 5, 4]),
        trials=20,
        min_trades=0,
        prune=False,
        known={},
        on_evaluation=lambda job, evaluation: told.append(("ended", job.number)),
        on_trial=lambda trial: told.append(("trial", trial.number)),
    )
    with pytest.raises(KeyboardInterrupt):
        study.run()
    numbers = [1, 0, 2, 5, 4]
    at_once = {0: [0, 1], 2: [2]}
    expected = [row for n in numbers for row in (("ended", n), *(("trial", t) for t in at_once.get(n, [])))]
    assert told == [*expected, ("trial", 4), ("trial", 5)]
    assert [trial.number for trial in study.trials] == [0, 1, 2, 4, 5]


def test_tpe_finds_better_points_than_a_random_search() -> None:
    needs("tpe")
    best = [ranked(search("tpe", axes=WIDE, trials=80, seed=seed), Objective("return"))[0].value for seed in range(5)]
    drawn = [
        ranked(search("random", axes=WIDE, trials=80, seed=seed), Objective("return"))[0].value for seed in range(5)
    ]
    assert sum(map(float, map(str, best))) > sum(map(float, map(str, drawn)))


def test_a_batch_has_sixteen_trials_regardless_of_the_total_number_of_trials() -> None:
    assert BATCH == 16
    sizes: list[int] = []

    class Counting(Shuffled):
        def run(
            self,
            jobs: Sequence[TrialRun],
            done: Callable[[TrialRun, Evaluation], None],
            interrupts: Interrupts = NEVER,
        ) -> None:
            sizes.extend([len(jobs)] if jobs[0].share == RUNGS[0] else [])
            super().run(jobs, done, interrupts)

    search("random", axes=WIDE, trials=40, runner=Counting(1), prune=True)
    assert sizes == [16, 16, 8]


def test_a_trial_with_few_trades_ranks_last() -> None:
    trials = search("grid", min_trades=30)
    order = ranked(trials, Objective("return"))
    assert [(trial.params["s.a"], trial.state) for trial in order[:1]] == [(7, "done")]
    assert {trial.params["s.a"] for trial in order[-6:]} == {0, 1, 2}
    assert order[-1].reason == "20 trades, fewer than 30"


def test_pruned_trials_do_not_run_on_the_rest_of_the_time_span() -> None:
    runner = Shuffled(1)
    trials = search("grid", prune=True, runner=runner)
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert "pruned after 25% of the span" in pruned[0].reason
    whole = {number for number, share in runner.ran if share == 1.0}
    assert whole == {trial.number for trial in trials} - {trial.number for trial in pruned}
    assert ranked(trials, Objective("return"))[0].params == {"s.a": 7, "s.b": "y"}


def test_a_trial_that_cannot_run_reports_its_reason_and_the_search_continues() -> None:
    def run(job: TrialRun) -> Evaluation:
        return Evaluation({}, "", "fast is 9 and slow is 3") if job.point["s.a"] == 9 else earn(job)

    trials = search("grid", runner=Shuffled(1, run))
    assert [trial.state for trial in trials[-2:]] == ["failed", "failed"]
    assert trials[-1].reason == "fast is 9 and slow is 3"
    assert trials[0].state == "done"


def test_if_no_trial_has_a_value_the_most_frequent_reason_is_reported() -> None:
    trials = search("grid", min_trades=1000)
    assert explain_no_value(trials, Objective("return")).startswith(
        "none of 20 trials has a value for return; the most"
    )


def test_an_objective_for_which_lower_is_better_is_minimized() -> None:
    objective = Objective("max_drawdown")
    trials = [Trial(n, {}, "done", value, "", {}, "") for n, value in enumerate((0.3, 0.1, 0.2))]
    assert [trial.number for trial in ranked(trials, objective)] == [1, 2, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sharp", "did you mean sharpe?"),
        ("no_such_module_here:f", "cannot be imported"),
        ("json:no_such", "json has no function 'no_such'"),
    ],
)
def test_an_unknown_objective_is_named_in_the_error(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Objective(text)
    assert says in str(raised.value)


def test_an_objective_that_raises_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="--objective json:loads: it raised TypeError"):
        Objective("json:loads").figure({})


def test_an_unknown_sampler_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match="choose grid, random, tpe"):
        make_sampler("bayes", AXES, None, {}, 1)


@pytest.mark.parametrize(
    ("objective", "summary", "why"),
    [
        ("profit_factor", {"profit_factor": None, "win_rate": 1.0}, "no trade lost"),
        ("sortino", {"sortino": None, "cagr": 0.5}, "no day lost"),
        ("calmar", {"calmar": None, "cagr": 0.5}, "equity never fell"),
        ("sortino", {"sortino": None, "cagr": None}, None),  # too few days
        ("profit_factor", {"profit_factor": None, "win_rate": None}, None),  # no trades
        ("profit_factor", {"profit_factor": 1.2, "win_rate": 0.5}, None),
        ("sharpe", {"sharpe": None, "cagr": 0.5}, None),
    ],
)
def test_a_ratio_to_losses_says_when_there_were_none(
    objective: str, summary: dict[str, float | None], why: str | None
) -> None:
    assert Objective(objective).nothing_lost(summary) == why
