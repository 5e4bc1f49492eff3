"""The heat map of two searched parameters, including its peak and its plateau."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from botkit.research.search.heat_map import heat_map
from botkit.research.search.page import study_map

AXES = ("s.x", "s.y")


def tried(cells: list[list[float | None]]) -> list[tuple[dict[str, int], float | None]]:
    """Return the trials for a heat map with these rows."""
    return [({"s.x": x, "s.y": y}, value) for y, row in enumerate(cells) for x, value in enumerate(row)]  # type: ignore[misc]


def test_the_plateau_ignores_an_isolated_peak() -> None:
    cells: list[list[float | None]] = [
        [9.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 3.0, 3.0],
        [0.0, 0.0, 3.0, 3.0],
    ]
    found = heat_map(AXES, tried(cells))
    assert found is not None
    assert found.peak == (0, 0)
    assert found.plateau is not None
    assert found.plateau[1] >= 2
    assert found.plateaus[0][0] == 0.0
    assert found.plateaus[2][3] == 3.0


def test_the_peak_is_the_lowest_value_if_the_objective_is_minimized() -> None:
    found = heat_map(AXES, tried([[0.3, 0.2], [0.1, 0.4]]), sign=-1)
    assert found is not None
    assert found.peak == (1, 0)


def test_values_are_averaged_over_the_other_parameters() -> None:
    trials = [({"s.x": x, "s.y": y, "s.z": z}, float(z)) for x in (1, 2) for y in (1, 2) for z in (1, 5)]
    found = heat_map((*AXES, "s.z"), trials)
    assert found is not None
    assert found.cells == ((3.0, 3.0), (3.0, 3.0))


def test_a_cell_without_a_trial_is_empty() -> None:
    found = heat_map(AXES, tried([[1.0, None], [2.0, 3.0]]))
    assert found is not None
    assert found.cells[0][1] is None
    shown = study_map(AXES, tried([[1.0, None], [2.0, 3.0]]), "return")
    assert shown is not None
    assert [cell.text for row in shown.rows for cell in row] == ["100.00 %", "–", "200.00 %", "300.00 %"]
    assert [cell.share for row in shown.rows for cell in row] == [0.0, None, 0.5, 1.0]


def test_with_one_axis_or_one_value_there_is_no_heat_map() -> None:
    assert heat_map(("s.x",), [({"s.x": 1}, 1.0)]) is None
    assert heat_map(AXES, tried([[1.0], [2.0]])) is None
    assert heat_map(AXES, tried([[None, None], [None, None]])) is None


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=3, max_size=3), min_size=2, max_size=4))
def test_the_peak_is_the_maximum_and_plateaus_are_within_the_range_of_values(cells: list[list[float | None]]) -> None:
    known = [value for row in cells for value in row if value is not None]
    found = heat_map(AXES, tried(cells))
    if not known:
        assert found is None
        return
    assert found is not None
    assert found.peak is not None
    assert found.cells[found.peak[0]][found.peak[1]] == max(known)
    for row in found.plateaus:
        assert all(value is None or min(known) <= value <= max(known) for value in row)
