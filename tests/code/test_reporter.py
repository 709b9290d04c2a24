"""Run records: what is told is what is read, whatever happens to the process that tells it."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.errors import UserError
from astroreel.training.reporter import (
    FAILED,
    FINISHED,
    KILLED,
    NullReporter,
    Reporter,
    SpoolReporter,
    find_spools,
    read_spool,
)

CALLS = st.lists(
    st.tuples(
        st.dictionaries(st.text(min_size=1, max_size=5), st.floats(), min_size=1, max_size=3),
        st.none() | st.integers(0, 4),
    ),
    max_size=8,
)


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def small_run(folder: Path, rows: int = 3) -> SpoolReporter:
    reporter = SpoolReporter(folder, "pretrain")
    for step in range(rows):
        reporter.metrics({"loss": 1.0 / (step + 1)}, step)
    return reporter


@settings(max_examples=30, deadline=None)
@given(CALLS)
def test_every_value_told_is_read_back_and_the_later_of_two_counts(calls) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reporter = SpoolReporter(Path(folder, "run"), "run")
        expected = {}
        for values, step in calls:
            reporter.metrics(values, step)
            expected |= {(name, step or 0): value for name, value in values.items()}
        figures = read_spool(Path(folder, "run")).figures
    found = {(figure.name, figure.step): figure.value for figure in figures}
    assert len(figures) == len(found)
    assert found.keys() == expected.keys()
    assert all(same(found[key], expected[key]) for key in expected)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_metrics_file_cut_anywhere_gives_the_rows_before_the_cut(data) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        small_run(run, rows=5)
        content = (run / "metrics.jsonl").read_bytes()
        cut = content[: data.draw(st.integers(0, len(content)))]
        (run / "metrics.jsonl").write_bytes(cut)
        assert [figure.step for figure in read_spool(run).figures] == list(range(cut.count(b"\n")))


def test_a_run_of_all_parts_is_read_back(tmp_path: Path) -> None:
    figure = tmp_path / "curve.png"
    figure.write_bytes(b"png")
    with SpoolReporter(tmp_path / "run", "finetune") as reporter:
        reporter.params({"rate": 0.001, "network": {"width": 8, "cells": {"kind": "gru"}}})
        reporter.tags({"target": "surrogate"})
        reporter.artifact(figure)
        reporter.child("draw-0").metrics({"recall": np.float32(0.5)}, np.int64(3))
    record = read_spool(tmp_path / "run")
    assert record.params == {"rate": "0.001", "network.width": "8", "network.cells.kind": "gru"}
    assert record.tags == {"target": "surrogate"}
    assert [path.read_bytes() for path in record.artifacts] == [b"png"]
    assert record.status == FINISHED
    assert record.start_ms <= record.end_ms
    (child,) = record.children
    assert (child.name, child.status) == ("draw-0", FINISHED)
    assert [(f.name, f.value, f.step) for f in child.figures] == [("recall", 0.5, 3)]


def test_json_in_the_spool_is_strict_json_even_for_nan(tmp_path: Path) -> None:
    SpoolReporter(tmp_path / "run", "run").metrics({"a": math.nan, "b": -math.inf})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=refuse)["values"] == {"a": "nan", "b": "-inf"}


def test_a_run_never_closed_reads_as_killed_at_its_last_word(tmp_path: Path) -> None:
    small_run(tmp_path / "run")
    record = read_spool(tmp_path / "run")
    assert record.status == KILLED
    assert record.end_ms == record.figures[-1].time_ms


@pytest.mark.parametrize(("error", "status"), [(ValueError, FAILED), (KeyboardInterrupt, KILLED)])
def test_an_error_closes_the_run_with_its_status(tmp_path: Path, error, status: str) -> None:
    with pytest.raises(error), SpoolReporter(tmp_path / "run", "run") as reporter:
        reporter.child("trial")
        raise error
    record = read_spool(tmp_path / "run")
    assert (record.status, record.children[0].status) == (status, status)


def test_a_status_given_first_stays(tmp_path: Path) -> None:
    with SpoolReporter(tmp_path / "run", "run") as reporter:
        reporter.close(FAILED)
    assert read_spool(tmp_path / "run").status == FAILED


def test_a_resumed_run_keeps_key_and_start_and_retells_steps_once(tmp_path: Path) -> None:
    small_run(tmp_path / "run", rows=3)
    before = read_spool(tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 3, "time_')
    with SpoolReporter(tmp_path / "run", "pretrain", resume=True) as reporter:
        reporter.metrics({"loss": 9.0}, 2)
        reporter.metrics({"loss": 8.0}, 3)
    after = read_spool(tmp_path / "run")
    assert (after.key, after.start_ms, after.status) == (before.key, before.start_ms, FINISHED)
    assert [(f.step, f.value) for f in after.figures] == [(0, 1.0), (1, 0.5), (2, 9.0), (3, 8.0)]


def test_without_resume_a_run_is_replaced_whole(tmp_path: Path) -> None:
    small_run(tmp_path / "run").child("old")
    before = read_spool(tmp_path / "run")
    SpoolReporter(tmp_path / "run", "pretrain").close()
    after = read_spool(tmp_path / "run")
    assert after.key != before.key
    assert (after.figures, after.children) == ((), ())


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UserError, match="no run to replace"):
        SpoolReporter(tmp_path, "run")
    assert (tmp_path / "precious.txt").read_text() == "x"


@pytest.mark.parametrize("name", ["a/b", "..", "", ".hidden"])
def test_a_child_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    reporter = SpoolReporter(tmp_path / "run", "run")
    with pytest.raises(ValueError, match="cannot name a nested run"):
        reporter.child(name)


def test_a_damaged_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    small_run(tmp_path / "run", rows=1)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 1}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2 is no metrics row"):
        read_spool(tmp_path / "run")


def test_a_damaged_run_file_is_named(tmp_path: Path) -> None:
    small_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json: not a run record"):
        read_spool(tmp_path / "run")


def test_runs_are_found_at_any_depth_and_nested_ones_left_to_theirs(tmp_path: Path) -> None:
    small_run(tmp_path / "runs" / "pretrain").child("inner")
    small_run(tmp_path / "runs" / "finetune" / "k10")
    found = find_spools(tmp_path / "runs")
    assert found == [tmp_path / "runs" / "finetune" / "k10", tmp_path / "runs" / "pretrain"]
    assert find_spools(tmp_path / "nowhere") == []


def test_the_null_reporter_takes_every_call_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reporter: Reporter = NullReporter().child("x")
    reporter.params({"a": 1})
    reporter.metrics({"a": 1.0}, 1)
    reporter.tags({"a": "b"})
    reporter.artifact(tmp_path / "absent")
    reporter.close()
    assert list(tmp_path.iterdir()) == []
