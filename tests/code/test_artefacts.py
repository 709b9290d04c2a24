"""Artefacts: rates are met and know no class, rates of 0 change nothing, and each effect is what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import binomtest, kstest

from astroreel.classes import CLASSES
from astroreel.images.artefacts import Blemishes, draw
from astroreel.images.bleeding import bleed
from astroreel.images.crowd import Crowd
from astroreel.images.resampling import lanczos, resample
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import SimulationConfig, Simulator
from astroreel.survey.artefacts import Artefacts, Neighbours
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import EPOCH_DTYPE
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits").model_copy(update={"artefacts": Artefacts()})
OBJECTS, EPOCHS = 400, 20
M = OBJECTS * EPOCHS


def blemishes(seed: int = 1, **effects: float) -> Blemishes:
    owner = np.repeat(np.arange(OBJECTS), EPOCHS)
    epochs = np.zeros(M, EPOCH_DTYPE)
    epochs["seeing"], epochs["sky"] = 1.3, 120.0
    cameras = np.resize(camera_table(SURVEY.cameras), OBJECTS)
    return draw(Artefacts(**effects), owner, epochs, cameras, np.random.default_rng(seed))


def simulated(artefacts: Artefacts, n: int = 70) -> SequenceSet:
    survey = SURVEY.model_copy(update={"artefacts": artefacts})
    conditions = generate_conditions(SURVEY, 5, np.random.default_rng(0))
    return Simulator(survey, conditions, "train", SimulationConfig()).block(0, n)


def plausible(hits: int, n: int, rate: float) -> bool:
    return binomtest(hits, n, rate).pvalue > 1e-4


def test_the_share_of_frames_with_a_trail_is_met() -> None:
    assert plausible(len(blemishes(trails=0.1).trails), M, 0.1)


@pytest.mark.parametrize(
    ("effect", "where"), [("cosmic_rays", "spikes"), ("hot_pixels", "spikes"), ("bad_columns", "columns")]
)
def test_a_mean_number_of_events_leaves_as_many_frames_without(effect: str, where: str) -> None:
    hit = np.unique(getattr(blemishes(**{effect: 0.2}), where)["frame"])
    # A track may begin on the very rim and leave no charge, never the reverse.
    assert plausible(len(hit), M, 1.0 - np.exp(-0.2))


def test_whole_objects_are_resampled_and_all_their_frames() -> None:
    shifts = blemishes(resampled=0.5).shifts
    objects, frames = np.unique(shifts["frame"] // EPOCHS, return_counts=True)
    assert plausible(len(objects), OBJECTS, 0.5)
    assert (frames == EPOCHS).all()


def test_no_rate_depends_on_the_class() -> None:
    sequences = simulated(Artefacts(bad_columns=0.3), 512)
    hit = np.isnan(sequences.stamps).any(axis=(1, 2))
    labels = sequences.labels[sequences.owner]
    for label in CLASSES:
        assert plausible(int(hit[labels == label].sum()), int((labels == label).sum()), 1.0 - np.exp(-0.3))


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_a_part_of_the_frames_gets_what_befalls_it_in_the_whole(chunk: int) -> None:
    every = {"cosmic_rays": 0.2, "hot_pixels": 0.2, "bad_columns": 0.1, "trails": 0.1, "gradient": 1e-3}
    whole = blemishes(**every, resampled=0.5, bleeding=1.0).select(slice(0, 600))
    expected = torch.full((600, 21, 21), 500.0)
    charge = expected + torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)) * 20.0
    light = torch.zeros_like(expected)
    at_once = whole.illuminate(light.clone()), whole.strike(charge.clone(), expected)
    for start in range(0, 600, chunk):
        part, frames = whole.select(slice(start, start + chunk)), slice(start, min(start + chunk, 600))
        assert torch.equal(part.illuminate(light[frames].clone()), at_once[0][frames])
        np.testing.assert_array_equal(
            part.strike(charge[frames].clone(), expected[frames]), at_once[1][frames]
        )


def test_rates_of_zero_change_no_byte() -> None:
    none = blemishes()
    rng = np.random.default_rng(3)
    before = rng.bit_generator.state
    owner = np.zeros(3, np.int64)
    draw(Artefacts(), owner, np.zeros(3, EPOCH_DTYPE), camera_table(SURVEY.cameras)[:1], rng)
    Crowd.draw(Neighbours(), camera_table(SURVEY.cameras), rng)
    assert rng.bit_generator.state == before
    light = torch.rand(M, 21, 21)
    assert torch.equal(none.illuminate(light.clone()), light)
    assert torch.equal(none.strike(light.clone(), light), light)


def test_sizes_of_effects_that_are_off_change_no_byte() -> None:
    sizes = Artefacts(trail_brightness=1e6, hot_pixel_charge=1e6, cosmic_ray_charge=1e6, lanczos=2)
    np.testing.assert_array_equal(simulated(sizes).stamps, simulated(Artefacts()).stamps)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_resampled_noise_correlates_as_that_of_a_directly_interpolated_image(order: int) -> None:
    rng = np.random.default_rng(order)
    noise = rng.normal(size=(2000, 21, 21)).astype(np.float32)
    x, y = rng.random((2, 2000))
    ours = resample(torch.from_numpy(noise), torch.from_numpy(x), torch.from_numpy(y), order).numpy()
    direct = [interpolated(rng.normal(size=(33, 33)), *place, order) for place in zip(x, y, strict=True)]
    for lag in range(4):
        for axis in (1, 2):
            assert correlation(ours, lag, axis) == pytest.approx(
                correlation(np.array(direct), lag, axis), abs=0.01
            )


def interpolated(image: NDArray[np.float64], x: float, y: float, order: int) -> NDArray[np.float64]:
    """An image at every pixel of a shifted grid, by the definition of the kernel."""

    def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(abs(distance) < order, np.sinc(distance) * np.sinc(distance / order), 0.0)

    new, old = np.arange(6, 27)[:, None], np.arange(33)[None]
    along_y, along_x = kernel(new + y - old), kernel(new + x - old)
    along_y, along_x = (weights / weights.sum(axis=1, keepdims=True) for weights in (along_y, along_x))
    return along_y @ image @ along_x.T


def correlation(stamps: NDArray[np.floating], lag: int, axis: int) -> float:
    moved = np.moveaxis(stamps, axis, 1)
    return float(np.mean(moved[:, lag:] * moved[:, : moved.shape[1] - lag]))


def test_a_shift_by_nothing_changes_nothing_and_by_a_pixel_moves_by_one() -> None:
    noise = torch.rand(2, 21, 21)
    shift = torch.tensor([0.0, 1.0])
    same, moved = resample(noise, shift, torch.zeros(2), 3)
    torch.testing.assert_close(same, noise[0])
    torch.testing.assert_close(moved, torch.roll(noise[1], -1, 1))


@given(st.floats(0, 1), st.integers(2, 5))
def test_the_kernel_keeps_the_level(shift: float, order: int) -> None:
    distance = torch.arange(1 - order, order + 1) - shift
    assert lanczos(distance, order).sum().item() == pytest.approx(1.0, abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(1.0, 30.0))
def test_bleeding_keeps_the_charge_and_the_full_well(seed: int, excess: float) -> None:
    charge = torch.from_numpy(np.random.default_rng(seed).uniform(0, 50, (3, 21, 21)))
    charge[:, 10, 4:7] = 100.0 * excess
    well = torch.tensor([100.0, 120.0, 400.0], dtype=charge.dtype)
    spilled = bleed(charge, well, 1.0)
    assert (spilled <= well[:, None, None] + 1e-9).all()
    # What a column has room for stays in it.
    room = torch.minimum(
        (well[:, None] * 10 - charge[:, :10].sum(1)), (well[:, None] * 10 - charge[:, 11:].sum(1))
    )
    fits = (charge[:, 10] - well[:, None]).clamp(min=0.0) / 2.0 <= room
    torch.testing.assert_close(spilled.sum(1)[fits], charge.sum(1)[fits])
    assert (spilled.sum(1) <= charge.sum(1) + 1e-9).all()


def test_bleeding_flows_along_columns_and_evenly_up_and_down() -> None:
    charge = torch.zeros(1, 21, 21, dtype=torch.float64)
    charge[0, 10, 5] = 700.0
    spilled = bleed(charge, torch.tensor([100.0], dtype=torch.float64), 1.0)[0]
    np.testing.assert_allclose(spilled[7:14, 5], 100.0)
    assert spilled.sum() == spilled[7:14, 5].sum()


def test_charge_that_does_not_flow_is_lost() -> None:
    charge = torch.zeros(1, 21, 21)
    charge[0, 10, 5] = 700.0
    assert bleed(charge, torch.tensor([100.0]), 0.5).sum() == 400.0


def test_a_cosmic_ray_leaves_its_charge_along_a_line() -> None:
    spikes = blemishes(cosmic_rays=0.05, cosmic_ray_depth=10.0).spikes
    _, pieces = np.unique(spikes["frame"], return_counts=True)
    assert pieces.max() > 64  # two tracks in one frame
    one = spikes[spikes["frame"] == spikes["frame"][0]]
    assert len(np.unique(one["electrons"])) == 1
    line = np.stack([one["x"], one["y"]]).astype(float)
    line -= line.mean(axis=1, keepdims=True)
    assert np.linalg.svd(line)[1][1] / np.sqrt(len(one)) < 0.5


def test_cosmic_rays_slant_as_muons_do() -> None:
    """cos^4 of the angle of those that cross a level detector is uniform; their charge goes as 1 / cos."""
    spikes = blemishes(cosmic_rays=1.0, cosmic_ray_charge=1000.0, cosmic_ray_depth=1e-3).spikes
    charge = np.unique(spikes["electrons"]).astype(float) * 64
    rng = np.random.default_rng(5)
    drawn = 1000.0 * rng.lognormal(0, 0.5, 50_000) / rng.random(50_000) ** 0.25
    assert kstest(charge, drawn).pvalue > 1e-4


def test_a_trail_sheds_its_brightness_per_pixel_of_length() -> None:
    drawn = blemishes(trails=1.0, trail_brightness=500.0).select(slice(0, 300))
    light = drawn.illuminate(torch.zeros(300, 21, 21))
    upright = np.abs(np.cos(drawn.trails["angle"]))
    central = (upright > 0.95) & (np.abs(drawn.trails["distance"]) < 2)
    per_row = light.sum(dim=2)[:, 10].numpy()[central]
    np.testing.assert_allclose(per_row * upright[central], drawn.trails["brightness"][central], rtol=0.01)


def test_the_slope_of_the_sky_has_its_scatter_and_no_level() -> None:
    drawn = blemishes(gradient=2e-3)
    light = drawn.illuminate(torch.zeros(M, 21, 21))
    assert light.mean(dim=(1, 2)).abs().max() < 1e-3
    slope = (light[:, 10, 20] - light[:, 10, 0]) / 20.0 / 120.0
    assert slope.std().item() == pytest.approx(2e-3, rel=0.05)


def test_a_bad_column_is_without_data_from_end_to_end() -> None:
    drawn = blemishes(bad_columns=0.5).select(slice(0, 50))
    charge = drawn.strike(torch.ones(50, 21, 21), torch.ones(50, 21, 21))
    columns = torch.isnan(charge).all(dim=1)
    assert torch.equal(columns, torch.isnan(charge).any(dim=1))
    assert columns.sum() == len(np.unique(drawn.columns))


def test_neighbours_have_the_surface_density_and_the_slope_of_their_counts() -> None:
    counts = Neighbours(density=30.0, slope=0.4, limits=(19.0, 24.0))
    cameras = np.resize(camera_table(SURVEY.cameras), 5000)
    crowd = Crowd.draw(counts, cameras, np.random.default_rng(1))
    in_stamp = (np.abs(crowd.x) < 10.5) & (np.abs(crowd.y) < 10.5)
    expected = 5000 * 30.0 * (21 * 0.27 / 60) ** 2
    assert in_stamp.sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))
    brighter = np.sum(crowd.magnitude < 23.0) / len(crowd)
    assert brighter == pytest.approx((10**9.2 - 10**7.6) / (10**9.6 - 10**7.6), abs=0.02)
    assert (crowd.sigma == 0).mean() == pytest.approx(1.0 - counts.galaxies, abs=0.03)


def test_neighbours_stay_with_their_object_through_its_frames() -> None:
    cameras = np.resize(camera_table(SURVEY.cameras), 50)
    crowd = Crowd.draw(Neighbours(density=60.0), cameras, np.random.default_rng(1))
    owner = np.repeat(np.arange(50), np.arange(50) % 5)
    which, frame = crowd.frames(owner)
    assert (np.diff(frame) >= 0).all()
    np.testing.assert_array_equal(crowd.owner[which], owner[frame])
    shown = np.bincount(which, minlength=len(crowd))
    np.testing.assert_array_equal(shown, (np.arange(50) % 5)[crowd.owner])


@pytest.mark.parametrize(
    ("key", "value"),
    [("resampled", 1.5), ("gradient", 0.5), ("cosmic_rays", -1), ("lanczos", 9), ("dust", 1)],
)
def test_a_rate_outside_its_range_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        Artefacts.model_validate({key: value})


def test_limits_of_neighbours_must_rise() -> None:
    with pytest.raises(ValidationError, match="must rise"):
        Neighbours(limits=(24.0, 20.0))
