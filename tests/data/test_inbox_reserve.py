"""Hold-out and training: a field is one or the other, for ever, and the two never mix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroreel.arrivals.config import InboxConfig
from astroreel.arrivals.freeze import freeze
from astroreel.arrivals.inbox import Inbox, open_inbox
from astroreel.arrivals.reserve import Reserve
from astroreel.errors import UserError
from astroreel.files import read_json
from astroreel.governance.holdout import read_holdout
from astroreel.sequences.file import read_folder, read_sequence, write_sequence
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import Sequence
from astroreel.sequences.split import Split, SplitConfig, SplitObject
from tests.conftest import MakeSequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path, make_sequence: MakeSequence) -> tuple[Path, Any]:
    """A project with four objects, two in a field that is learned from and two in one that is held out."""
    objects = {}
    for seed, field in enumerate(("free", "held", "free", "held")):
        name = f"o{seed}"
        write_sequence(
            tmp_path / "data" / "target" / f"{name}.fits", make_sequence(seed=seed, name=name, field=field)
        )
        objects[name] = SplitObject("rr_lyrae", field, int(field == "held"), 1, 7, -1)
    Split(objects, {}, []).write(tmp_path / "data" / "split.json")
    parameters = SimpleNamespace(
        source=SimpleNamespace(target="hits"),
        registry=SimpleNamespace(fold=1),
        split=SplitConfig(),
        preparation=Preparation(),
        inbox=InboxConfig(reserve=0.5),
    )
    return tmp_path, parameters


@pytest.fixture
def drop(project: tuple[Path, Any], make_sequence: MakeSequence) -> Callable[..., str]:
    """A function that drops one sequence into the project's inbox, opened anew, and has it received."""
    count = iter(range(1000))

    def dropped(seed: int, sequence: Sequence | None = None, **header: object) -> str:
        inbox = open_inbox(*project)
        sequence = sequence or make_sequence(seed=seed, **header)
        write_sequence(inbox.folders.inbox / f"{next(count)}.fits", sequence)
        (receipt,) = inbox.receive(NOW)
        return receipt.rule or receipt.outcome

    return dropped


def test_a_held_out_field_is_reserved_and_one_that_is_learned_from_is_not(drop) -> None:
    assert drop(10, field="held") == "reserved"
    assert drop(11, field="free") == "labelled"
    assert drop(12, field="held", label="") == "unlabelled"


@pytest.mark.parametrize("header", [{}, {"name": "another"}, {"name": "another", "field": "free"}])
def test_an_object_of_the_hold_out_is_never_learned_from(
    drop, project: tuple[Path, Any], header: dict[str, object]
) -> None:
    held = read_sequence(project[0] / "data" / "target" / "o1.fits")
    for name, value in header.items():
        held.header[name] = value
    assert drop(0, held) == "held_out"
    assert not open_inbox(*project).status(NOW).labelled


@given(st.text(min_size=1, max_size=24), st.floats(0, 0.98), st.floats(0, 0.01))
def test_a_larger_share_reserves_the_same_fields_and_more(name: str, share: float, more: float) -> None:
    assert Reserve(share).reserved(name) == Reserve(share).reserved(name)
    assert Reserve(share).reserved(name) <= Reserve(share + more).reserved(name)


def test_the_share_of_new_fields_is_reserved() -> None:
    names = [f"Blind{number:05d}" for number in range(4000)]
    reserved = sum(Reserve(0.2).reserved(name) for name in names)
    assert abs(reserved / len(names) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(names))


def test_the_two_never_mix_whatever_the_share_becomes(tmp_path: Path, make_sequence: MakeSequence) -> None:
    rng = np.random.default_rng(1)
    for share in (0.0, 0.9, 0.3):
        inbox = Inbox(tmp_path, Reserve(share))
        for _ in range(15):
            seed = int(rng.integers(1000))
            sequence = make_sequence(seed=seed, field=f"f{seed % 24}")
            write_sequence(inbox.folders.inbox / f"{seed}.fits", sequence)
        inbox.receive(NOW)
    learned, reserved = (read_folder(home) for home in (inbox.folders.labelled, inbox.folders.reserved))
    assert len(learned) and len(reserved)
    assert not {*learned.objects["field"]} & {*reserved.objects["field"]}


def test_another_field_does_not_move_an_object_from_one_side_to_the_other(drop) -> None:
    assert drop(10, field="held", label_confidence=0.5) == "reserved"
    assert drop(10, field="free", label_confidence=0.9, label="supernova") == "field"
    assert drop(10, field="held", label_confidence=0.9, label="supernova") == "relabelled"


def test_freezing_makes_a_version_that_the_gate_reads_and_its_digest_names(
    drop, project: tuple[Path, Any]
) -> None:
    root, parameters = project
    before = read_holdout(root, parameters)
    drop(10, field="held", label="asteroid")
    drop(11, field="free", label="asteroid")
    assert read_holdout(root, parameters).digest == before.digest, "reserving alone changes nothing"
    frozen = freeze(root, parameters, "vera", NOW)
    assert (frozen.version, frozen.added, frozen.classes) == (2, 1, {"asteroid": 1, "rr_lyrae": 2})
    after = read_holdout(root, parameters)
    assert (before.version, after.version) == (1, 2)
    assert after.digest == frozen.digest != before.digest
    assert after.sequences.objects["name"].tolist() == ["o1", "o3", "object-10"]
    assert after.sequences.lengths[:2].tolist() == [7, 7], "cut as before"
    record = read_json(root / "arrivals" / "holdout" / "2" / "record.json")
    assert (record["who"], record["previous"], record["digest"]) == ("vera", before.digest, after.digest)


def test_a_frozen_version_stays_what_it_is(drop, project: tuple[Path, Any]) -> None:
    root, parameters = project
    drop(10, field="held", label_confidence=0.5)
    freeze(root, parameters, "vera", NOW)
    before = read_holdout(root, parameters).digest
    drop(10, field="held", label="supernova", label_confidence=1.0)
    (root / "data" / "target" / "o1.fits").unlink()
    assert read_holdout(root, parameters).digest == before


def test_there_is_nothing_to_freeze_twice(drop, project: tuple[Path, Any]) -> None:
    with pytest.raises(UserError, match="nothing that version 1 of the hold-out does not have"):
        freeze(*project, "vera", NOW)
    drop(10, field="held")
    freeze(*project, "vera", NOW)
    with pytest.raises(UserError, match="nothing that version 2 of the hold-out does not have"):
        freeze(*project, "vera", NOW)


@pytest.mark.parametrize("change", ["changed", "removed", "split"])
def test_a_frozen_version_that_was_touched_is_not_read(drop, project: tuple[Path, Any], change: str) -> None:
    root, parameters = project
    drop(10, field="held")
    freeze(root, parameters, "vera", NOW)
    file = root / "arrivals" / "holdout" / "2" / ("split.json" if change == "split" else "o3.fits")
    if change == "removed":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(UserError, match=rf"{file.name}: not the file that was frozen: restore it"):
        read_holdout(root, parameters)


def test_a_reserved_object_that_cannot_be_cut_is_left_out_and_named(
    drop, project: tuple[Path, Any], make_sequence: MakeSequence
) -> None:
    blurred = make_sequence(seed=10, field="held")
    blurred.epochs["seeing"][:5] = 2.5
    drop(10, blurred)
    drop(11, field="held")
    frozen = freeze(*project, "vera", NOW)
    assert frozen.added == 1
    assert frozen.excluded == {"object-10": "5 epochs of good seeing, at least 6 are needed"}
