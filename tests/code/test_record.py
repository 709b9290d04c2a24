"""Many objects laid end to end: what is chosen of them is what one would choose object by object."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, TRUTH_DTYPE, Sequence, SequenceSet
from astroreel.sequences.store import load_store, save_store

FAST = settings(max_examples=60, deadline=None)


def make_set(lengths: list[int], seed: int = 0, truth: bool = True) -> SequenceSet:
    """A set with objects of the given lengths, every frame of which can be told from all others."""
    rng = np.random.default_rng(seed)
    n, frames = len(lengths), sum(lengths)
    objects = np.zeros(n, OBJECT_DTYPE)
    objects["name"] = [f"{seed}-{index}" for index in range(n)]
    objects["label"] = rng.choice(["supernova", "asteroid", ""], n)
    epochs = np.zeros(frames, EPOCH_DTYPE)
    epochs["mjd"], epochs["band"] = np.arange(frames) + 1000.0 * seed, "g"
    truths = np.zeros(n, TRUTH_DTYPE)
    truths["magnitude"] = rng.random(n)
    return SequenceSet(
        objects,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        rng.random((frames, 21, 21), np.float32),
        epochs,
        truths if truth else None,
    )


def same(one: SequenceSet, two: SequenceSet) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in ("objects", "offsets", "stamps")
    ) and bool((one.epochs == two.epochs).all() and np.array_equal(one.truth, two.truth))


def frames(sequence: Sequence) -> list[float]:
    """What tells the frames of an object."""
    assert len(sequence.stamps) == len(sequence.epochs)
    return sequence.epochs["mjd"].tolist()


sets = st.builds(make_set, st.lists(st.integers(0, 5), max_size=6), st.integers(0, 3), st.booleans())


@FAST
@given(sequences=sets)
def test_taking_a_set_apart_and_laying_it_end_to_end_gives_it_back(sequences: SequenceSet) -> None:
    again = SequenceSet.from_sequences(sequences)
    assert again.truth is None
    assert same(again, SequenceSet(**{**vars(sequences), "truth": None}))


@FAST
@given(sequences=sets, data=st.data())
def test_joining_the_parts_of_a_set_gives_it_back(sequences: SequenceSet, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(sequences)))
    parts = [sequences.select(range(cut)), sequences.select(range(cut, len(sequences)))]
    assert same(SequenceSet.concatenate(parts), sequences)


@FAST
@given(sequences=sets, data=st.data())
def test_selecting_takes_the_named_objects_in_order(sequences: SequenceSet, data: st.DataObject) -> None:
    n = len(sequences)
    chosen = data.draw(st.lists(st.integers(0, n - 1), max_size=6) if n else st.just([]))
    found = sequences.select(chosen)
    assert found.objects["name"].tolist() == [sequences[i].name for i in chosen]
    assert [frames(sequence) for sequence in found] == [frames(sequences[i]) for i in chosen]
    if sequences.truth is not None:
        assert found.truth is not None
        assert found.truth["magnitude"].tolist() == sequences.truth["magnitude"][chosen].tolist()


@FAST
@given(sequences=sets, data=st.data())
def test_a_mask_selects_what_its_indices_select(sequences: SequenceSet, data: st.DataObject) -> None:
    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(sequences), max_size=len(sequences))), bool
    )
    assert same(sequences.select(mask), sequences.select(np.flatnonzero(mask)))


@FAST
@given(sequences=sets, data=st.data())
def test_a_window_is_a_slice_of_every_object(sequences: SequenceSet, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(0, 7), min_size=len(sequences), max_size=len(sequences))
    start, length = data.draw(numbers), data.draw(numbers)
    expected = [
        frames(sequence)[first : first + count]
        for sequence, first, count in zip(sequences, start, length, strict=True)
    ]
    found = sequences.window(start, length)
    assert [frames(sequence) for sequence in found] == expected
    np.testing.assert_array_equal(found.objects, sequences.objects)


@FAST
@given(sequences=sets, start=st.integers(0, 3), length=st.integers(0, 4))
def test_one_window_holds_for_all_objects(sequences: SequenceSet, start: int, length: int) -> None:
    n = len(sequences)
    assert same(sequences.window(start, length), sequences.window([start] * n, [length] * n))


@pytest.mark.parametrize(("start", "length"), [([0, -1], 2), (0, [2, -1])])
def test_a_window_never_reaches_into_the_object_before(start: object, length: object) -> None:
    with pytest.raises(ValueError, match="starts at 0 or later"):
        make_set([3, 3]).window(start, length)


@FAST
@given(sequences=sets, data=st.data())
def test_kept_frames_stay_with_their_object_and_in_order(sequences: SequenceSet, data: st.DataObject) -> None:
    m = len(sequences.epochs)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=m, max_size=m)), bool)
    kept = set(sequences.epochs["mjd"][keep].tolist())
    found = sequences.keep_frames(keep)
    assert [frames(s) for s in found] == [[t for t in frames(s) if t in kept] for s in sequences]
    np.testing.assert_array_equal(found.objects, sequences.objects)


@FAST
@given(sequences=sets)
def test_every_frame_knows_its_object_and_its_place_there(sequences: SequenceSet) -> None:
    pairs = [(i, j) for i, length in enumerate(sequences.lengths) for j in range(length)]
    assert list(zip(sequences.owner.tolist(), sequences.position.tolist(), strict=True)) == pairs


def test_no_sets_join_to_an_empty_one() -> None:
    assert len(SequenceSet.concatenate([])) == 0


def test_a_truth_that_one_set_lacks_is_dropped() -> None:
    assert SequenceSet.concatenate([make_set([2]), make_set([2], truth=False)]).truth is None


@settings(max_examples=20, deadline=None)
@given(sequences=sets)
def test_a_store_gives_back_what_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, sequences: SequenceSet
) -> None:
    folder = tmp_path_factory.mktemp("store")
    save_store(folder / "set", sequences)
    assert same(load_store(folder / "set"), sequences)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _pickle(path: Path) -> None:
    content: NDArray[np.object_] = np.array([{}], dtype=object)
    np.save(path, content, allow_pickle=True)


@pytest.mark.parametrize("name", ["objects", "offsets", "stamps", "epochs", "truth"])
@pytest.mark.parametrize("damage", [_truncate, _empty, _pickle])
def test_a_damaged_array_of_a_store_is_named(tmp_path: Path, name: str, damage: object) -> None:
    save_store(tmp_path / "set", make_set([3, 4]))
    assert callable(damage)
    damage(tmp_path / "set" / f"{name}.npy")
    with pytest.raises(UserError, match=rf"{name}\.npy: damaged array"):
        load_store(tmp_path / "set")


def test_a_folder_that_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="this folder is no sequence store"):
        load_store(tmp_path)
