"""The study: what is done is not done again, costs are told, and each section is written as it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from astroreel.cli import app
from astroreel.errors import UserError
from astroreel.study.bench import Bench
from astroreel.study.runner import REPORT, run_study
from astroreel.study.units import Units
from tests.code.study_project import computed, make_project, section, set_workers, square, squares


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def run(root: Path, *sections: object, names: tuple[str, ...] = ()) -> tuple[list[str], list[tuple]]:
    """What a study says and tells."""
    said: list[str] = []
    told: list[tuple] = []
    by_name = {one.name: one for one in sections}
    run_study(root, by_name, names, "quick", said.append, lambda *progress: told.append(progress))
    return said, told


def units(root: Path, inputs: str = "inputs") -> Units:
    return Units(root / "units", inputs)


def test_a_result_is_computed_once_and_stored(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        found = units(tmp_path).do("one", {"k": 10}, lambda: made.append(1) or {"value": 1.5, "names": ["a"]})
        assert found == {"value": 1.5, "names": ["a"]}
    assert len(made) == 1


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    for _ in range(2):
        found = units(tmp_path).do("one", [], lambda: arrays)
        assert set(found) == set(arrays)
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    ("inputs", "key"), [("other", 1), ("inputs", 2)], ids=["another pipeline", "another key"]
)
def test_what_depends_on_something_else_is_computed_anew(tmp_path: Path, inputs: str, key: int) -> None:
    units(tmp_path).do("one", 1, lambda: {"value": 1})
    assert units(tmp_path, inputs).do("one", key, lambda: {"value": 2}) == {"value": 2}


def test_a_damaged_result_is_computed_anew(tmp_path: Path) -> None:
    units(tmp_path).do("one", 1, lambda: {"value": 1})
    (tmp_path / "units" / "one.json").write_text("{")
    assert units(tmp_path).do("one", 1, lambda: {"value": 2}) == {"value": 2}


def test_a_unit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        units(tmp_path).do("one", 1, lambda: {"value": 1 // 0})
    assert units(tmp_path).do("one", 1, lambda: {"value": 2}) == {"value": 2}


def test_costs_are_guessed_until_one_of_the_kind_was_measured(project: Path) -> None:
    bench, plan = Bench(project), squares(5)
    kept = bench.units("s")
    assert (kept.seconds(plan), kept.is_measured(plan)) == (150.0, False)
    kept.do("square-0", 0, lambda: square(0, 0.0, bench))
    assert len(kept.left(plan)) == 4
    assert kept.seconds(plan) < 30.0
    assert kept.is_measured(plan)


def test_processes_of_their_own_give_the_same_results(project: Path) -> None:
    for workers in (1, 2):
        set_workers(project, workers)
        bench = Bench(project)
        found = bench.units(f"with-{workers}").do_all(squares(4), bench)
        assert [int(found[f"square-{n}"]["square"]) for n in range(4)] == [0, 1, 4, 9]
    assert sorted(computed(project)) == sorted(2 * list(range(4)))


def test_the_cost_comes_first_and_the_time_left_after_every_unit(project: Path) -> None:
    said, told = run(project, section("a", 3), section("b", 2))
    assert said[0].startswith("a: 3 of 3 units to do, about ")
    assert said[1].startswith("b: 2 of 2 units to do, about ")
    assert "not yet measured" in said[0]
    assert said[2].startswith("in all about ")
    assert [progress[:3] for progress in told] == [("a", n, 3) for n in (1, 2, 3)] + [
        ("b", n, 2) for n in (1, 2)
    ]
    assert told[-1][3] == 0.0


def test_nothing_is_done_twice_and_the_report_keeps_its_bytes(project: Path) -> None:
    run(project, section("a", 3))
    before = (project / REPORT).read_bytes()
    said, told = run(project, section("a", 3))
    assert "nothing to compute" in said[0]
    assert told == []
    assert (project / REPORT).read_bytes() == before
    assert sorted(computed(project)) == [0, 1, 2]


def test_more_units_are_added_to_those_that_are_done(project: Path) -> None:
    run(project, section("a", 3))
    said, _ = run(project, section("a", 5))
    assert said[0].startswith("a: 2 of 5 units to do")
    assert "as measured" in said[0]
    assert sorted(computed(project)) == [0, 1, 2, 3, 4]


def test_another_result_of_the_pipeline_makes_all_units_anew(project: Path) -> None:
    run(project, section("a", 2))
    make_project(project, split="f" * 32)
    said, _ = run(project, section("a", 2))
    assert said[0].startswith("a: 2 of 2 units to do")


def test_a_section_is_added_to_those_that_were_measured_before(project: Path) -> None:
    run(project, section("a", 3))
    run(project, section("a", 3), section("b", 2), names=("b",))
    report = json.loads((project / REPORT).read_text())
    assert report["a"]["sum"]["value"] == 5
    assert report["b"]["made_by"] == "astroreel study --section b --budget quick"


def test_a_section_is_written_before_the_next_one_fails(project: Path) -> None:
    bad = section("bad", 1)
    failing = type(bad)("bad", "fails", lambda bench: {"value": 1 // 0})
    with pytest.raises(ZeroDivisionError):
        run(project, section("a", 3), failing)
    assert set(json.loads((project / REPORT).read_text())) == {"a"}


def test_a_killed_study_goes_on_where_it_was(project: Path) -> None:
    set_workers(project, 2)
    command = [sys.executable, "-m", "tests.code.study_project", str(project), "6", "0.4"]
    here = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(here), str(here / "src")])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    ) as process:
        while not computed(project):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    time.sleep(1.5)  # its workers notice, at most one unit later
    assert not (project / REPORT).exists()
    bench = Bench(project)
    left = bench.units("slow").left(squares(6))
    assert 0 < len(left) < 6
    before = len(computed(project))
    set_workers(project, 1)
    run(project, section("slow", 6))
    assert len(computed(project)) == before + len(left)
    assert json.loads((project / REPORT).read_text())["slow"]["sum"]["value"] == 55


def test_an_unknown_section_is_refused(project: Path) -> None:
    with pytest.raises(UserError, match="--section is 'x': choose from a, b"):
        run(project, section("a", 1), section("b", 1), names=("x",))


def test_a_checkout_whose_pipeline_has_not_run_is_refused(tmp_path: Path) -> None:
    make_project(tmp_path)
    (tmp_path / "dvc.lock").unlink()
    with pytest.raises(UserError, match="the pipeline has not run here: run `make repro` first"):
        run(tmp_path, section("a", 1))


def test_the_command_knows_its_budgets(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    result = CliRunner().invoke(app, ["study", "--budget", "endless"])
    assert result.exit_code == 2
    assert "endless" in result.output
