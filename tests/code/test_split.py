"""The split: nobody is tested by a model that saw its field, and no window tells the class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from astroreel.errors import UserError
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, cut, good_seeing, split_target
from tests.conftest import MakeSequence

LABELS = ("supernova", "rr_lyrae", "non_variable")


def _target(make_sequence: MakeSequence, per_class: int, fields: int, epochs: Iterable[int]) -> SequenceSet:
    lengths = list(epochs)
    return SequenceSet.from_sequences(
        make_sequence(
            lengths[i % len(lengths)],
            seed=i,
            name=f"{label}-{i}",
            label=label,
            field=f"field-{i % fields}",
        )
        for label in LABELS
        for i in range(per_class)
    )


def _alerts(target: SequenceSet, rng: np.random.Generator) -> np.ndarray:
    alerts = rng.integers(0, np.maximum(target.lengths - 1, 1))
    return np.where(target.labels == "supernova", alerts, -1)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), folds=st.integers(2, 4), shots=st.integers(1, 3))
def test_shots_never_lie_in_a_field_of_the_fold_they_are_tested_on(
    make_sequence: MakeSequence, seed: int, folds: int, shots: int
) -> None:
    target = _target(make_sequence, 24, 8, (20, 24))
    config = SplitConfig(folds=folds, shots=shots, draws=3, seed=seed)
    split = split_target(target, _alerts(target, np.random.default_rng(seed)), config)
    fold_of_field = {entry.field: entry.fold for entry in split.objects.values()}
    assert set(fold_of_field.values()) == set(range(folds))
    for draw in split.shots:
        for fold, names in enumerate(draw):
            assert len(names) == len(set(names)) == shots * len(LABELS)
            assert fold not in {fold_of_field[split.objects[name].field] for name in names}


def test_windows_follow_the_first_detection_of_supernovae(make_sequence: MakeSequence) -> None:
    target = _target(make_sequence, 6, 6, [26])
    alerts = np.where(target.labels == "supernova", [0, 3, 7, 12, 20, 25] * 3, -1)
    split = split_target(target, alerts, SplitConfig(shots=1, draws=1))
    windows = [(entry.start, entry.length) for entry in list(split.objects.values())[:6]]
    assert windows == [(0, 22), (0, 22), (2, 22), (7, 19), (15, 11), (20, 6)]


def test_start_and_length_do_not_tell_the_class(make_sequence: MakeSequence) -> None:
    target = _target(make_sequence, 150, 10, (23, 25, 27, 29))
    split = split_target(target, _alerts(target, np.random.default_rng(3)), SplitConfig())
    by_class = {
        label: np.array([(e.start, e.length) for e in split.objects.values() if e.label == label])
        for label in LABELS
    }
    for label in LABELS[1:]:
        for column in (0, 1):
            found = ks_2samp(by_class["supernova"][:, column], by_class[label][:, column])
            assert found.pvalue > 0.01, (label, column)


def test_a_series_shorter_than_its_lenders_window_starts_earlier_and_keeps_the_length(
    make_sequence: MakeSequence,
) -> None:
    long = _target(make_sequence, 20, 5, [26]).select(np.arange(20))
    short = SequenceSet.from_sequences(
        make_sequence(22, seed=i, name=f"short-{i}", label="non_variable", field=f"field-{i % 5}")
        for i in range(20)
    )
    target = SequenceSet.concatenate([long, short])
    alerts = np.where(target.labels == "supernova", 13, -1)
    split = split_target(target, alerts, SplitConfig(shots=2, draws=1))
    windows = {(e.label, e.start, e.length) for e in split.objects.values()}
    assert windows == {("supernova", 8, 18), ("non_variable", 4, 18)}


def test_supernovae_never_detected_are_left_out_and_named(make_sequence: MakeSequence) -> None:
    target = _target(make_sequence, 12, 6, [25])
    alerts = _alerts(target, np.random.default_rng(0))
    alerts[0] = -1
    split = split_target(target, alerts, SplitConfig(shots=1, draws=1))
    assert split.excluded == {"supernova-0": "never detected at 5 sigma"}
    assert "supernova-0" not in split.objects


def test_too_few_objects_for_the_shots_is_one_clear_line(make_sequence: MakeSequence) -> None:
    target = _target(make_sequence, 8, 4, [25])
    with pytest.raises(UserError, match=r"split.shots is 10, but non_variable has \d objects outside fold 0"):
        split_target(target, _alerts(target, np.random.default_rng(0)), SplitConfig())


def test_a_split_is_read_back_as_it_was_written_and_cuts_the_same_frames(
    make_sequence: MakeSequence, tmp_path: Path
) -> None:
    config = SplitConfig(shots=1, draws=1, max_seeing=1.5)
    target = _target(make_sequence, 8, 4, [25])
    good = good_seeing(target, config)
    split = split_target(good, _alerts(good, np.random.default_rng(0)), config)
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split
    frames = cut(target, split, config)
    assert list(frames.objects["name"]) == list(split.objects)
    assert list(frames.lengths) == [entry.length for entry in split.objects.values()]
    assert frames.epochs["seeing"].max() <= 1.5


def test_a_file_that_is_no_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text('{"objects": {"a": {"fold": 1}}}')
    with pytest.raises(UserError, match=r"split\.json: no split"):
        Split.read(tmp_path / "split.json")


def test_a_target_without_labels_has_an_empty_split(tmp_path: Path) -> None:
    split = split_target(SequenceSet.from_sequences([]), np.empty(0, np.int64), SplitConfig())
    assert (split.objects, split.excluded, split.pieces) == ({}, {}, [])
    split.write(tmp_path / "split.json")
    assert Split.read(tmp_path / "split.json") == split
    assert len(cut(SequenceSet.from_sequences([]), split, SplitConfig())) == 0


def test_every_draw_has_a_piece_for_each_fold(make_sequence: MakeSequence) -> None:
    target = _target(make_sequence, 24, 8, (20, 24))
    config = SplitConfig(folds=3, shots=2, draws=2)
    split = split_target(target, _alerts(target, np.random.default_rng(0)), config)
    assert split.pieces == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
