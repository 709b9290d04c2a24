"""The ledger is written once, in order, and any change to it is noticed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from astroreel.errors import UserError
from astroreel.governance.history import (
    DEPLOYED,
    LOOK,
    VERDICT,
    deployed_versions,
    last,
    look_at,
    verdict_on,
    was_deployed,
)
from astroreel.governance.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "deployed" / "ledger.jsonl")


def written(ledger: Ledger, count: int = 3) -> Path:
    for number in range(count):
        ledger.append(DEPLOYED, "hits-rcnn", {"version": number, "bundle": f"b{number}"}, "ada")
    return ledger.path


def test_an_entry_is_read_back_as_it_was_written(ledger: Ledger) -> None:
    entry = ledger.append(VERDICT, "hits-rcnn", {"verdict": "passed", "ends": [0.5, None]}, "ada")
    assert Ledger(ledger.path).entries() == (entry,)
    assert (entry.seq, entry.event, entry.who, entry.previous) == (1, VERDICT, "ada", "")
    assert entry.time.endswith("+00:00")


def test_there_is_nothing_before_the_first_entry(ledger: Ledger) -> None:
    assert ledger.entries() == ()
    assert not ledger.path.exists()


def test_each_entry_names_the_one_before(ledger: Ledger) -> None:
    written(ledger)
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]


def edit(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace("ada", "eve"), lines[2]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edit, 2),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[1], lines[0], lines[2]], 1),
        (lambda lines: [*lines, lines[2]], 4),
        (lambda lines: [lines[0], "{}", lines[2]], 2),
        (lambda lines: [lines[0], "nonsense", lines[2]], 2),
    ],
    ids=["edited", "removed", "beheaded", "swapped", "repeated", "empty", "nonsense"],
)
def test_a_changed_ledger_is_refused_by_line_even_by_who_has_read_it(
    ledger: Ledger, change: Any, line: int
) -> None:
    path = written(ledger)
    ledger.entries()
    path.write_text("".join(f"{one}\n" for one in change(path.read_text().splitlines())))
    for reader in (ledger, Ledger(path)):
        with pytest.raises(UserError, match=rf"ledger\.jsonl: line {line} "):
            reader.entries()


def test_an_entry_with_its_own_digest_corrected_still_does_not_fit(ledger: Ledger) -> None:
    path = written(ledger)
    forged = Ledger(path.with_name("forged.jsonl")).append(DEPLOYED, "hits-rcnn", {"version": 9})
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(vars(forged))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="line 2 was changed or does not follow"):
        ledger.entries()


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_an_entry_that_a_kill_cut_short_never_was(ledger: Ledger, cut: int) -> None:
    path = written(ledger)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert len(ledger.entries()) == 2
    assert ledger.append(DEPLOYED, "hits-rcnn", {}).seq == 3
    assert [entry.seq for entry in Ledger(path).entries()] == [1, 2, 3]


def append_many(path: Path, start: Any) -> None:
    start.wait()
    for number in range(10):
        Ledger(path).append(DEPLOYED, "hits-rcnn", {"version": number})


def test_many_processes_write_one_chain(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    processes = [context.Process(target=append_many, args=(ledger.path, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [entry.seq for entry in ledger.entries()] == list(range(1, 41))


def test_the_last_entry_of_a_kind_is_found_by_its_facts(ledger: Ledger) -> None:
    written(ledger)
    found = last(ledger.entries(), "hits-rcnn", DEPLOYED, version=1)
    assert found is not None and found.seq == 2
    assert last(ledger.entries(), "hits-forest", DEPLOYED) is None
    assert was_deployed(ledger.entries(), "hits-rcnn", "b1")
    assert not was_deployed(ledger.entries(), "hits-rcnn", "b9")


def test_the_last_verdict_on_a_bundle_is_of_its_own_model(ledger: Ledger) -> None:
    for model, verdict in (("a-rcnn", "failed"), ("a-rcnn", "passed"), ("b-rcnn", "error")):
        ledger.append(VERDICT, model, {"bundle": "x", "verdict": verdict})
    found = verdict_on(ledger.entries(), "a-rcnn", "x")
    assert found is not None and found.facts["verdict"] == "passed"


def test_looks_at_a_hold_out_are_counted_by_model_and_bundle(ledger: Ledger) -> None:
    for model, bundle, holdout in (
        ("a-rcnn", "x", "h"),
        ("a-rcnn", "y", "h"),
        ("a-rcnn", "x", "h"),
        ("a-rcnn", "z", "other"),
        ("b-rcnn", "w", "h"),
    ):
        ledger.append(LOOK, model, {"bundle": bundle, "holdout": holdout})
    entries = ledger.entries()
    assert [look_at(entries, "a-rcnn", bundle, "h") for bundle in "xyz"] == [1, 2, 3]
    assert look_at(entries, "b-rcnn", "v", "h") == 2
    assert look_at(entries, "c-rcnn", "v", "h") == 1


def test_going_back_to_a_version_forgets_what_came_after_it(ledger: Ledger) -> None:
    for number in (1, 2, 3, 2, 5):
        ledger.append(DEPLOYED, "hits-rcnn", {"version": number})
    assert deployed_versions(ledger.entries(), "hits-rcnn") == [1, 2, 5]
