"""What networks may be told beside the stamps: the same numbers as from the whole light curve at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from astroreel.models.features import FEATURES, Running, follow
from astroreel.models.flux import _NOMINAL_GAIN, point_source
from astroreel.models.inputs import Inputs
from astroreel.models.networks import NETWORKS, build
from astroreel.photometry.optimal import PSF_WIDTH, gaussian_profile, measure
from astroreel.sequences.prepare import Preparation, prepare
from astroreel.sequences.record import SequenceSet

CPU = torch.device("cpu")
FWHM = 2.354820
CONDITIONS = (5.0, 1.3, 0.9, -1.5)  # seeing of 5 pixels, noise of 10**0.9 ADU

# Photometry


def stars(flux: NDArray[np.float64], noise: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Stamps of point sources in the middle on a level of 3 ADU, and their conditions."""
    profile = gaussian_profile(np.full(len(flux), PSF_WIDTH * CONDITIONS[0] / FWHM))
    sky = 3.0 + noise * np.random.default_rng(seed).standard_normal(profile.shape)
    stamps = (flux[:, None, None] * profile + sky).astype(np.float32)
    return torch.from_numpy(stamps), torch.tensor(CONDITIONS).expand(len(flux), 4)


def test_a_flux_is_found_on_any_level_of_the_sky() -> None:
    flux = np.array([0.0, 100.0, 1e4, 1e6])
    found, _ = point_source(*stars(flux))
    np.testing.assert_allclose(found, flux, rtol=3e-3, atol=0.5)


def test_errors_are_those_of_repeated_measurements() -> None:
    found, error = point_source(*stars(np.full(3000, 300.0), noise=10 ** CONDITIONS[2]))
    np.testing.assert_allclose(found.std(), error.mean(), rtol=0.06)


def test_photometry_is_that_of_the_features_but_for_the_gain(make_sequence) -> None:
    """The independent estimator, told the nominal gain and the same sky, measures the same."""
    sequences = SequenceSet.from_sequences(make_sequence(12, seed) for seed in range(4))
    prepared = prepare(sequences, Preparation())
    stamps = prepared.stamps[prepared.mask]
    stamps[0, 3:6, 8:14] = 0.0  # bad pixels
    conditions = prepared.conditions[prepared.mask]
    expected = measure(
        np.where(stamps == 0, np.nan, stamps),
        PSF_WIDTH * conditions[:, 0].astype(float) / FWHM,
        10.0 ** (2.0 * conditions[:, 2].astype(float)),
        np.full(len(stamps), _NOMINAL_GAIN),
    )
    found = point_source(torch.from_numpy(stamps), torch.from_numpy(conditions))
    difference = (found[0].numpy() - expected[0]) / expected[1]
    assert np.abs(difference).max() < 0.25, "the border has a pixel less"
    assert abs(np.median(difference)) < 0.02
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-2)


def test_a_stamp_without_a_good_pixel_has_no_flux_and_a_huge_error() -> None:
    flux, error = point_source(torch.zeros(1, 21, 21), torch.tensor([CONDITIONS]))
    assert flux.item() == 0
    assert 1e5 < error.item() < np.inf


# Features


def recomputed(times: NDArray, flux: NDArray, error: NDArray) -> dict[str, float]:
    """The features after the last frame, from the whole light curve."""
    error = np.hypot(error, 0.03 * flux)
    n, now, brightest = len(flux), error[-1], np.flatnonzero(flux == flux.max())[-1]
    mean = np.average(flux, weights=error**-2)
    spread = flux.var() + np.mean(error**2)
    since = times[-1] - times[brightest]
    freedom = max(n - 1, 1)
    return {
        "frames": n,
        "mean": mean / now,
        "chi2": np.sum(((flux - mean) / error) ** 2) / freedom,
        "scatter": flux.std() / (abs(flux.mean()) + np.sqrt(np.mean(error**2))),
        "skewness": np.mean((flux - flux.mean()) ** 3) / spread**1.5,
        "von_neumann": np.sum(np.diff(flux) ** 2) / freedom / spread,
        "rise": (flux.max() - mean) / now,
        "fall": (mean - flux.min()) / now,
        "departure": (flux[-1] - mean) / now,
        "change": (flux[-1] - flux[-2]) / now if n > 1 else 0.0,
        "hours_since_brightest": 24 * since,
        "decline": (flux[brightest] - flux[-1]) / now / (since + 0.1),
    }


@settings(max_examples=30, deadline=None)
@given(
    curve=st.lists(
        st.tuples(st.floats(1e-3, 30.0), st.floats(-1e3, 1e6), st.floats(1.0, 500.0)), min_size=1, max_size=12
    ),
    first=st.integers(0, 11),
)
def test_features_that_follow_are_those_of_the_whole_light_curve(
    curve: list[tuple[float, float, float]], first: int
) -> None:
    """Whether the frames come in one call or in two."""
    gaps, flux, error = np.array(curve).T
    times = np.cumsum(gaps) - gaps[0]
    arrays = [torch.from_numpy(array)[None] for array in (times, flux, error)]
    told, state = [], Running.start(1, CPU)
    for part in (slice(0, first), slice(first, None)):
        if len(times[part]):
            rows, state = follow(*(array[:, part] for array in arrays), state)
            told.append(rows)
    expected = recomputed(times, flux, error)
    for name, value in zip(FEATURES, told[-1][0, -1].tolist(), strict=True):
        assert value == pytest.approx(expected[name], rel=1e-6, abs=1e-6), name


def test_a_constant_source_is_told_from_a_variable_one() -> None:
    rng = np.random.default_rng(1)
    times = torch.linspace(0, 20, 200)[None].double()
    noise = torch.from_numpy(rng.normal(0, 50, (1, 200)))
    error = torch.full((1, 200), 50.0)
    chi2 = [
        follow(times, 500 + signal + noise, error, Running.start(1, CPU))[0][0, -1, FEATURES.index("chi2")]
        for signal in (torch.zeros(1, 200), 200 * torch.sin(times))
    ]
    assert chi2[0].item() == pytest.approx(1, abs=0.3)
    assert chi2[1].item() > 5


# Switches


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_parameters_of_every_network(name: str) -> None:
    """Named in any order and more than once, they are the same network."""
    written = build({"name": name, "inputs": ["features", "conditions", "features"]})
    assert written.config.model_dump(mode="json")["inputs"] == ["conditions", "features"]
    bare = build({"name": name, "inputs": []})
    assert len(written.initial_state(3)) == len(bare.initial_state(3)) + len(Running._fields)


def test_inputs_learn_nothing_and_leave_the_first_weights_as_they_were() -> None:
    bare, told = (build({"name": "compact", "inputs": inputs}).state_dict() for inputs in ((), ("features",)))
    assert bare.keys() == told.keys()
    assert torch.equal(bare["reader.convolutions.0.weight"], told["reader.convolutions.0.weight"])


def test_masked_frames_are_told_nothing(make_sequence) -> None:
    sequences = SequenceSet.from_sequences([make_sequence(6, 1), make_sequence(9, 2)])
    prepared = prepare(sequences, Preparation())
    inputs = Inputs(("conditions", "light_curve", "features"))
    arrays = [torch.from_numpy(a) for a in (prepared.stamps, prepared.times, prepared.conditions)]
    mask = torch.from_numpy(prepared.mask)
    for array in arrays:
        array[~mask] = torch.nan
    told = inputs.forward(*arrays, mask)
    assert told.shape == (2, 9, inputs.width)
    assert told.isfinite().all()
    assert not told[~mask].any()
