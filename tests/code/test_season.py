"""A season is what it was planned to be, and what became of its files is told rightly."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.arrivals.folders import Folders
from astroreel.arrivals.inbox import Inbox
from astroreel.errors import UserError
from astroreel.schedule.damage import KINDS
from astroreel.schedule.season import Season, account
from astroreel.schedule.season_config import SeasonConfig
from astroreel.sequences.file import read_sequence, write_sequence
from astroreel.sequences.split import SplitObject
from tests.conftest import MakeSequence

LABELS = ("supernova", "rr_lyrae", "non_variable")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _objects(n: int, fields: int) -> dict[str, SplitObject]:
    return {f"object-{i}": SplitObject(LABELS[i % 3], f"field-{i % fields}", 1, 0, 10, -1) for i in range(n)}


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 80), fields=st.integers(1, 12), batches=st.integers(1, 12), seed=st.integers(0, 99))
def test_every_object_arrives_once_with_its_field_and_the_shares_are_kept(
    n: int, fields: int, batches: int, seed: int
) -> None:
    objects = _objects(n, fields)
    config = SeasonConfig(batches=batches, seed=seed)
    if min(n, fields) < batches:
        with pytest.raises(UserError, match=r"rehearse\.batches is"):
            Season.plan(objects, config)
        return
    season = Season.plan(objects, config)
    own = [[arrival.name for arrival in batch] for batch in season.own]
    assert sorted(name for batch in own for name in batch) == sorted(objects)
    whose = [{objects[name].field for name in batch} for batch in own]
    assert all(whose) and sum(map(len, whose)) == len(set.union(*whose))
    counts = Counter(arrival.kind for arrival in season)
    several = len({one.label for one in objects.values()}) > 1
    assert counts["damaged"] == round(0.10 * n) and counts["duplicate"] == round(0.05 * n)
    assert counts["mislabelled"] == (round(0.05 * n) if several else 0)
    for arrival in season:
        assert (arrival.label != objects[arrival.name].label) <= (
            arrival.kind in ("mislabelled", "duplicate")
        )
    files = [arrival.file for arrival in season]
    assert files == sorted(set(files))


def test_a_season_is_that_of_its_seed() -> None:
    objects = _objects(60, 8)
    one, same = (Season.plan(objects, SeasonConfig(batches=4, seed=3)) for _ in range(2))
    assert one == same
    assert one != Season.plan(objects, SeasonConfig(batches=4, seed=4))


@pytest.fixture
def target(make_sequence: MakeSequence, tmp_path: Path) -> tuple[Path, dict[str, SplitObject]]:
    """Files of objects, and what the split says of them."""
    objects = _objects(40, 5)
    folder = tmp_path / "target"
    folder.mkdir()
    for i, (name, one) in enumerate(objects.items()):
        sequence = make_sequence(seed=i, name=name, label=one.label, field=one.field)
        write_sequence(folder / f"{name}.fits", sequence)
    return folder, objects


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_is_seen_by_the_inbox(
    kind: str, make_sequence: MakeSequence, tmp_path: Path
) -> None:
    inbox = Inbox(tmp_path)
    inbox.folders.inbox.mkdir()
    file = inbox.folders.inbox / "a.fits"
    for seed in range(20):
        write_sequence(file, make_sequence(seed=seed))
        file.write_bytes(KINDS[kind](file.read_bytes(), np.random.default_rng(seed)))
        (receipt,) = inbox.receive(NOW)
        assert receipt.outcome == "quarantined"


def test_a_season_through_the_inbox_is_accounted_for(
    target: tuple[Path, dict[str, SplitObject]], tmp_path: Path
) -> None:
    folder, objects = target
    config = SeasonConfig(batches=3, damaged=0.5, mislabelled=0.2, duplicated=0.4)
    season = Season.plan(objects, config)
    folders = Folders(tmp_path / "arrivals")
    folders.inbox.mkdir(parents=True)
    for number, batch in enumerate(season.batches, start=1):
        for arrival in batch:
            arrival.write(folder, folders.inbox)
        Inbox(folders.root).receive(NOW)
        found = account(season, number, folders.root)
        assert (found.slipped, found.refused, found.lost) == ([], {}, [])
        assert found.labelled == sum(map(len, season.own[:number]))
    assert found.arrived == {"damaged": 20, "duplicate": 16, "mislabelled": 8, "whole": 32}
    assert found.mislabelled == 8
    assert sum(found.reasons.values()) == 20


def test_what_went_missing_is_named(target: tuple[Path, dict[str, SplitObject]], tmp_path: Path) -> None:
    folder, objects = target
    season = Season.plan(objects, SeasonConfig(batches=1, mislabelled=0.0))
    folders = Folders(tmp_path / "arrivals")
    folders.inbox.mkdir(parents=True)
    for arrival in season:
        arrival.write(folder, folders.inbox)
    Inbox(folders.root).receive(NOW)
    gone = season.own[0][0]
    (folders.labelled / Folders.file_name(gone.name)).unlink()
    damaged = next(folders.quarantine.iterdir())
    (damaged / "reason.json").unlink()
    found = account(season, 1, folders.root)
    assert found.lost == [gone.file]
    assert len(found.slipped) == 1


def test_an_arrival_is_the_same_file_each_time(
    target: tuple[Path, dict[str, SplitObject]], tmp_path: Path
) -> None:
    folder, objects = target
    season = Season.plan(objects, SeasonConfig(batches=1, duplicated=0.2))
    written = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        for arrival in season:
            arrival.write(folder, tmp_path / place)
        written.append({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()})
    assert written[0] == written[1]
    wrong = next(arrival for arrival in season if arrival.kind == "mislabelled")
    assert read_sequence(tmp_path / "one" / wrong.file).label == wrong.label != objects[wrong.name].label
