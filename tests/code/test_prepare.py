"""Preparation: equations 3.3 to 3.5 object by object, and arrays that are always numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from astroreel.classes import CLASSES
from astroreel.sequences.prepare import CONDITIONS, Preparation, background_noise, prepare, zero_point_factor
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, Sequence, SequenceSet

MakeSequence = Callable[..., Sequence]
PREPARATION = Preparation()


@pytest.fixture
def sequences(make_sequence: MakeSequence) -> SequenceSet:
    found = SequenceSet.from_sequences(
        make_sequence(epochs, seed, label=label)
        for epochs, seed, label in ((7, 1, "galaxy"), (25, 2, ""), (10, 3, "supernova"))
    )
    found.epochs["zp"] = np.linspace(24, 26, len(found.epochs))
    found.epochs["exptime"] = np.linspace(40, 160, len(found.epochs))
    return found


def test_stamps_and_conditions_are_those_of_the_thesis_object_by_object(sequences: SequenceSet) -> None:
    prepared = prepare(sequences, PREPARATION)
    assert prepared.stamps.shape == (3, 22, 21, 21)
    for row, sequence in enumerate(sequences):
        for t, (stamp, epoch) in enumerate(zip(sequence.stamps[:22], sequence.epochs[:22], strict=True)):
            gamma = 10 ** ((25.05 - epoch["zp"]) / 2.5) * 86.0 / epoch["exptime"]
            np.testing.assert_allclose(
                prepared.stamps[row, t], (stamp - epoch["sky"]) * gamma, rtol=2e-4, atol=1e-3
            )
            noise = gamma * np.sqrt(epoch["sky"] / 4.0 + (6.0 / 4.0) ** 2)
            expected = [epoch["seeing"] / 0.27, 1.2, np.log10(noise), epoch["limmag"] - 25.05]
            np.testing.assert_allclose(prepared.conditions[row, t], expected, rtol=1e-5)
            assert prepared.times[row, t] == pytest.approx(epoch["mjd"] - sequence.epochs["mjd"][0], abs=1e-4)


def test_a_star_has_the_same_counts_whatever_the_zero_point_and_exposure(make_sequence: MakeSequence) -> None:
    sequences = SequenceSet.from_sequences([make_sequence(8)])
    sequences.epochs["zp"], sequences.epochs["exptime"] = np.linspace(23, 27, 8), np.linspace(10, 300, 8)
    counts = 10 ** (0.4 * (sequences.epochs["zp"] - 20.0)) * sequences.epochs["exptime"]
    sequences.stamps[:] = sequences.epochs["sky"][:, None, None] + counts[:, None, None] / 441
    totals = prepare(sequences, PREPARATION).stamps[0].sum(axis=(1, 2))
    np.testing.assert_allclose(totals, 10 ** (0.4 * (25.05 - 20.0)) * 86.0, rtol=1e-3)


def test_what_is_beyond_a_sequence_is_zero_and_masked(sequences: SequenceSet) -> None:
    prepared = prepare(sequences, PREPARATION)
    np.testing.assert_array_equal(prepared.mask.sum(axis=1), [7, 22, 10])
    for array in (prepared.stamps, prepared.times, prepared.conditions):
        assert not array[~prepared.mask].any()


def test_labels_are_places_in_the_vocabulary(sequences: SequenceSet) -> None:
    expected = [CLASSES.index("galaxy"), -1, CLASSES.index("supernova")]
    assert prepare(sequences, PREPARATION).labels.tolist() == expected


def test_bad_pixels_become_zero(sequences: SequenceSet) -> None:
    sequences.stamps[0, 3, 4] = np.nan
    prepared = prepare(sequences, PREPARATION)
    assert prepared.stamps[0, 0, 3, 4] == 0
    assert prepared.stamps[0, 0, 3, 5] != 0


def test_the_first_epochs_alone_are_prepared_as_within_the_whole(sequences: SequenceSet) -> None:
    whole, part = prepare(sequences, PREPARATION), prepare(sequences.window(0, 7), PREPARATION)
    np.testing.assert_array_equal(part.stamps, whole.stamps[:, :7])
    np.testing.assert_array_equal(part.conditions, whole.conditions[:, :7])


def test_selecting_takes_rows_of_every_array(sequences: SequenceSet) -> None:
    chosen = np.array([2, 0])
    one, two = prepare(sequences, PREPARATION).select(chosen), prepare(sequences.select(chosen), PREPARATION)
    np.testing.assert_array_equal(one.stamps[:, :10], two.stamps)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert len(one) == 2


@pytest.mark.parametrize("lengths", [[], [0], [0, 8], [8, 0], [8, 0, 9, 0, 0]])
def test_empty_sets_and_objects_are_rows_without_epochs(
    make_sequence: MakeSequence, lengths: list[int]
) -> None:
    full = SequenceSet.from_sequences(make_sequence(9, seed) for seed in range(len(lengths)))
    prepared = prepare(full.window(0, lengths), PREPARATION)
    assert prepared.mask.sum(axis=1).tolist() == lengths
    assert prepared.times.max(initial=0) == pytest.approx(
        max((np.ptp(s.epochs["mjd"]) for s in full.window(0, lengths) if len(s)), default=0), abs=1e-4
    )


#: Whatever contract 1 lets through.
EXTREMES = st.fixed_dictionaries(
    {
        "exptime": st.floats(1e-3, 1e5),
        "seeing": st.floats(1e-2, 30),
        "airmass": st.floats(0.99, 40),
        "sky": st.floats(-1e6, 1e7),
        "zp": st.floats(0, 50),
        "limmag": st.floats(0, 50),
    }
)


@settings(max_examples=100, deadline=None)
@given(epoch=EXTREMES, rdnoise=st.floats(0, 1e3), pixel=st.floats(width=32, allow_infinity=False))
def test_every_frame_that_the_contract_allows_gives_finite_numbers(
    epoch: dict[str, float], rdnoise: float, pixel: float
) -> None:
    objects, epochs = np.zeros(1, OBJECT_DTYPE), np.zeros(6, EPOCH_DTYPE)
    objects["gain"], objects["pixscale"], objects["rdnoise"] = 4.0, 0.27, rdnoise
    for name, value in epoch.items():
        epochs[name] = value
    epochs["mjd"] = 57000 + np.arange(6)
    stamps = np.full((6, 21, 21), pixel, np.float32)
    with np.errstate(over="ignore"):
        prepared = prepare(SequenceSet(objects, np.array([0, 6]), stamps, epochs), PREPARATION)
    assert np.isfinite(prepared.stamps).all()
    assert np.isfinite(prepared.conditions).all()
    assert prepared.conditions.shape == (1, 6, len(CONDITIONS))


def test_noise_is_at_least_that_of_rounding(make_sequence: MakeSequence) -> None:
    sequences = SequenceSet.from_sequences([make_sequence(6, rdnoise=0.0)])
    sequences.epochs["sky"] = -3.0
    np.testing.assert_allclose(background_noise(sequences), np.sqrt(1 / 12))


def test_the_reference_is_left_as_it_is(make_sequence: MakeSequence) -> None:
    sequences = SequenceSet.from_sequences([make_sequence(6)])
    sequences.epochs["zp"] = PREPARATION.reference_zp
    np.testing.assert_allclose(zero_point_factor(sequences, PREPARATION), 1.0)


@pytest.mark.parametrize(
    ("key", "value"), [("reference_zp", 0), ("reference_exptime", -1), ("max_epochs", 5), ("sky", 1)]
)
def test_a_preparation_out_of_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        Preparation.model_validate({key: value})
