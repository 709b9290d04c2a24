"""Simulated sequences: classes, windows, sets and seeds."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.stats import ks_2samp

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.lightcurves.partition import Split
from astroreel.photometry.detection import first_detection
from astroreel.photometry.optimal import PSF_WIDTH, photometry
from astroreel.sequences.prepare import Preparation, background_noise
from astroreel.sequences.record import MIN_EPOCHS, SequenceSet
from astroreel.sequences.simulate import (
    BLOCK,
    EPOCHS_BEFORE_ALERT,
    PROFILE_WIDTH,
    SimulationConfig,
    Simulator,
    simulate,
)
from astroreel.sequences.surrogate import SurrogateConfig, simulate_surrogate
from astroreel.survey.artefacts import Artefacts
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits")
CONFIG = SimulationConfig()


@pytest.fixture(scope="module")
def conditions() -> ConditionsTable:
    return generate_conditions(SURVEY, 30, np.random.default_rng(0))


@pytest.fixture(scope="module")
def sequences(conditions: ConditionsTable) -> SequenceSet:
    return simulate(SURVEY, conditions, 2100, "train", CONFIG)


def truth_of(sequences: SequenceSet) -> NDArray[np.void]:
    assert sequences.truth is not None
    return sequences.truth


def usable(conditions: ConditionsTable, field: str) -> NDArray[np.void]:
    return conditions.max_seeing(SURVEY.max_seeing).field(field)


def starts(sequences: SequenceSet, conditions: ConditionsTable) -> NDArray[np.int64]:
    """Which epoch of its field each object starts at."""
    mjd = {name: usable(conditions, name)["mjd"] for name in conditions.fields}
    first = sequences.epochs["mjd"][sequences.offsets[:-1]]
    fields = sequences.objects["field"]
    return np.array([np.searchsorted(mjd[f], t) for f, t in zip(fields, first, strict=True)])


def border(sequences: SequenceSet) -> NDArray[np.float32]:
    """The outermost pixels of every frame, (M, 84)."""
    stamps = sequences.stamps
    return np.concatenate([stamps[:, 0], stamps[:, -1], stamps[:, :, 0], stamps[:, :, -1]], axis=1)


def excess(sequences: SequenceSet) -> NDArray[np.float64]:
    """Light above the border in the middle 11 by 11 pixels of every frame [ADU], (M,)."""
    middle = sequences.stamps[:, 5:16, 5:16] - border(sequences).mean(axis=1)[:, None, None]
    return middle.sum(axis=(1, 2), dtype=float)


# What every sequence is


def test_every_sequence_is_a_run_of_its_fields_good_exposures(
    sequences: SequenceSet, conditions: ConditionsTable
) -> None:
    for sequence, start in zip(sequences, starts(sequences, conditions), strict=True):
        series = usable(conditions, str(sequence.header["field"]))
        np.testing.assert_array_equal(sequence.epochs, series[start : start + len(sequence)])
        assert MIN_EPOCHS <= len(sequence) == min(len(series) - start, CONFIG.max_epochs)


def test_stamps_are_finite_and_not_above_saturation(sequences: SequenceSet) -> None:
    brightest = sequences.stamps.max(axis=(1, 2))
    assert np.isfinite(sequences.stamps).all()
    assert (brightest <= sequences.objects["saturate"].astype(np.float32)[sequences.owner]).all()


def test_borders_of_lone_sources_are_sky_with_its_noise(conditions: ConditionsTable) -> None:
    clean = SURVEY.model_copy(update={"artefacts": Artefacts()})
    sequences = simulate(clean, conditions, 1000, "train", CONFIG)
    faint = (truth_of(sequences)["host"] == "") & (truth_of(sequences)["magnitude"] > 21.0)
    lone = sequences.select(faint)
    level = border(lone).mean(axis=1)
    noise = background_noise(lone)
    pull = (border(lone) - level[:, None]) / noise[:, None]
    assert pull.std() == pytest.approx(1.0, abs=0.02)
    ratio = level / lone.epochs["sky"]
    assert np.median(ratio) == pytest.approx(SURVEY.sky_to_background, abs=0.003)
    scatter = [getattr(SURVEY, part).sky for part in ("place", "night", "exposure")]
    by_noise = np.median(noise / lone.epochs["sky"]) / np.sqrt(84.0)
    assert ratio.std() == pytest.approx(np.hypot(np.linalg.norm(scatter), by_noise), rel=0.15)


def test_classes_are_equal_to_within_one(conditions: ConditionsTable) -> None:
    made = simulate(SURVEY, conditions, 100, "valid", CONFIG)
    counts = [int((made.labels == label).sum()) for label in CLASSES]
    assert sum(counts) == 100
    assert max(counts) - min(counts) <= 1


def test_names_are_unique_and_tell_survey_and_set(sequences: SequenceSet) -> None:
    names = sequences.objects["name"]
    assert len(np.unique(names)) == len(sequences)
    assert names[123] == "sim-hits-train-000123"


def test_magnitudes_can_be_measured_back(sequences: SequenceSet) -> None:
    truth = truth_of(sequences)
    bright = (sequences.labels == "non_variable") & (truth["host"] == "")
    bright &= (truth["magnitude"] > 17.5) & (truth["magnitude"] < 20.0)
    stars = sequences.select(bright)
    measured = stars.epochs["zp"] - 2.5 * np.log10(excess(stars) / stars.epochs["exptime"])
    difference = measured - truth["magnitude"][bright][stars.owner]
    assert np.median(difference) == pytest.approx(0.065, abs=0.04)  # the wings beyond 11 pixels
    assert np.percentile(np.abs(difference), 99.0) < 0.3


def test_bright_constant_stars_scatter_as_those_of_hits_and_nights_share_a_part(
    sequences: SequenceSet,
) -> None:
    """382 real ones, g 17.8 to 19.6: 2.1 % in all; 1.7 % within nights and 1.7 % between them.

    Their seeing is 1.05 to 1.9 arcsec (5 and 95 %); a season made up may have much less even ones.
    """
    truth = truth_of(sequences)
    bright = (sequences.labels == "non_variable") & (truth["host"] == "")
    stars = sequences.select(bright & (truth["magnitude"] > 17.8) & (truth["magnitude"] < 19.6))
    curves = photometry(stars, Preparation())
    curves.flux[(stars.epochs["seeing"] < 1.05) | (stars.epochs["seeing"] > 1.6)] = np.nan
    flux, mjd = curves.padded(np.log(curves.flux)), curves.padded(curves.mjd)
    assert np.median(np.nanstd(flux, axis=1)) == pytest.approx(0.021, abs=0.004)
    change, elapsed = np.diff(flux, axis=1), np.diff(mjd, axis=1)
    within, between = change[elapsed < 0.4], change[elapsed > 0.4]
    assert np.nanstd(within) < 0.9 * np.nanstd(between)


# Windows


def test_a_supernova_starts_five_epochs_before_its_alert_or_with_its_field(
    sequences: SequenceSet, conditions: ConditionsTable
) -> None:
    supernovae = sequences.select(sequences.labels == "supernova")
    alert, start = truth_of(supernovae)["alert"], starts(supernovae, conditions)
    assert (alert[start > 0] == EPOCHS_BEFORE_ALERT).all()
    assert (alert[start == 0] <= EPOCHS_BEFORE_ALERT).all()
    assert (start > 0).any()
    assert (alert >= 0).all()


def test_an_asteroid_shines_once_at_an_alert_that_suits_its_start(
    sequences: SequenceSet, conditions: ConditionsTable
) -> None:
    truth = truth_of(sequences)
    lone = (sequences.labels == "asteroid") & (truth["host"] == "") & (truth["magnitude"] < 21.0)
    asteroids = sequences.select(lone)
    alert, start = truth["alert"][lone], starts(asteroids, conditions)
    assert (alert[start > 0] == EPOCHS_BEFORE_ALERT).all()
    assert ((alert >= 0) & (alert <= EPOCHS_BEFORE_ALERT)).all()
    shines = asteroids.position == alert[asteroids.owner]
    light = excess(asteroids)
    assert light[shines].min() > 800.0
    assert np.percentile(np.abs(light[~shines]), 99.0) < 800.0


def test_alerts_are_where_the_photometry_that_cuts_real_sequences_detects(
    conditions: ConditionsTable,
) -> None:
    assert PROFILE_WIDTH == PSF_WIDTH
    config = SimulationConfig(host_fraction_supernova=0.0)
    made = simulate(SURVEY, conditions, 200, "train", config, classes=("supernova",), windowed=False)
    late = first_detection(photometry(made, Preparation()), made.epochs["seeing"]) - truth_of(made)["alert"]
    # Half of them are on their way up at the first exposure, where a slow rise may pass 5 sigma later.
    assert np.mean(late == 0) > 0.4
    assert np.mean(np.abs(late) <= 2) > 0.65
    assert abs(np.median(late)) <= 1


@pytest.mark.parametrize("label", CLASSES[1:])
def test_neither_length_nor_start_tells_the_class(
    label: str, sequences: SequenceSet, conditions: ConditionsTable
) -> None:
    start = starts(sequences, conditions)
    mine, supernova = sequences.labels == label, sequences.labels == "supernova"
    assert ks_2samp(start[mine], start[supernova]).pvalue > 1e-3
    assert ks_2samp(sequences.lengths[mine], sequences.lengths[supernova]).pvalue > 1e-3


def test_whole_series_are_given_where_no_windows_are_asked_for(conditions: ConditionsTable) -> None:
    made = simulate(SURVEY, conditions, 21, "target", CONFIG, windowed=False)
    expected = [len(usable(conditions, str(field))) for field in made.objects["field"]]
    np.testing.assert_array_equal(made.lengths, expected)
    alert = truth_of(made)["alert"]
    assert (alert[made.labels == "supernova"] > EPOCHS_BEFORE_ALERT).any()


def test_one_class_alone_takes_the_windows_of_supernovae_that_are_not_made(
    conditions: ConditionsTable, sequences: SequenceSet
) -> None:
    made = simulate(SURVEY, conditions, 300, "train", CONFIG, classes=("rr_lyrae",))
    supernovae = sequences.select(sequences.labels == "supernova")
    assert set(made.labels) == {"rr_lyrae"}
    assert ks_2samp(starts(made, conditions), starts(supernovae, conditions)).pvalue > 1e-3


# Hosts


def test_half_of_the_supernovae_and_a_twentieth_of_the_others_have_hosts(sequences: SequenceSet) -> None:
    hosted = truth_of(sequences)["host"] != ""
    kind = sequences.labels
    others = ~np.isin(kind, ("supernova", "galaxy"))
    assert hosted[kind == "supernova"].mean() == pytest.approx(0.5, abs=0.1)
    assert hosted[others].mean() == pytest.approx(0.05, abs=0.025)
    assert hosted[kind == "galaxy"].all()


def test_a_galaxys_light_is_its_hosts(sequences: SequenceSet) -> None:
    truth = truth_of(sequences)
    bright = (sequences.labels == "galaxy") & (truth["magnitude"] < 21.0)
    galaxies = sequences.select(bright)
    measured = galaxies.epochs["zp"] - 2.5 * np.log10(excess(galaxies) / galaxies.epochs["exptime"])
    lost = measured - truth["magnitude"][bright][galaxies.owner]
    assert 0.0 < np.median(lost) < 0.8  # outside the middle of the stamp


# Sets and seeds


def test_sets_share_no_template_host_or_point_spread_function(conditions: ConditionsTable) -> None:
    splits: tuple[Split, ...] = get_args(Split)
    made = [simulate(SURVEY, conditions, 210, s, CONFIG) for s in splits]
    for column in ("template", "host", "psf"):
        names = [set(truth_of(one)[column]) - {""} for one in made]
        assert all(names)
        assert len(set.union(*names)) == sum(map(len, names))


def test_a_seed_gives_the_same_bytes_and_another_does_not(conditions: ConditionsTable) -> None:
    first, again, other = (
        simulate(SURVEY, conditions, 30, "train", SimulationConfig(seed=seed)) for seed in (6, 6, 7)
    )
    for name in ("objects", "offsets", "stamps", "epochs", "truth"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.stamps[:100].tobytes() != other.stamps[:100].tobytes()


def test_an_object_is_the_same_however_many_are_made(conditions: ConditionsTable) -> None:
    short, long = (simulate(SURVEY, conditions, n, "train", CONFIG) for n in (14, BLOCK + 3))
    beginning = long.select(np.arange(14))
    for name in ("objects", "offsets", "stamps", "epochs", "truth"):
        assert getattr(short, name).tobytes() == getattr(beginning, name).tobytes()
    alone = Simulator(SURVEY, conditions, "train", CONFIG).block(1, 3)
    assert alone.stamps.tobytes() == long.select(np.arange(BLOCK, BLOCK + 3)).stamps.tobytes()
    assert alone.objects["name"].tolist() == [f"sim-hits-train-{i:06d}" for i in range(BLOCK, BLOCK + 3)]
    assert alone.labels.tolist() == [CLASSES[i % len(CLASSES)] for i in range(BLOCK, BLOCK + 3)]
    assert alone.stamps[:60].tobytes() != short.stamps[:60].tobytes()


def test_progress_tells_the_objects_done(conditions: ConditionsTable) -> None:
    told: list[tuple[int, int]] = []
    simulate(SURVEY, conditions, BLOCK + 5, "train", CONFIG, progress=lambda *done: told.append(done))
    assert told == [(BLOCK, BLOCK + 5), (BLOCK + 5, BLOCK + 5)]


def test_a_surrogates_noise_is_correlated_and_its_stars_are_of_another_family() -> None:
    made = simulate_surrogate(SURVEY, SurrogateConfig(n=40, n_fields=4))
    empty = made.select(truth_of(made)["host"] == "")
    border = empty.stamps[:, 0] - np.median(empty.stamps[:, 0], axis=1, keepdims=True)
    border /= border.std(axis=1, keepdims=True)
    assert np.median((border[:, 1:] * border[:, :-1]).mean(axis=1)) > 0.04
    assert all(str(name).startswith("double_gaussian-target-") for name in truth_of(made)["psf"])
    assert set(made.objects["survey"]) == {"surrogate"}


def test_stamps_are_whole_numbers_in_a_plain_survey(conditions: ConditionsTable) -> None:
    stamps = simulate(SURVEY, conditions, 14, "train", CONFIG).stamps
    seen = stamps[np.isfinite(stamps)]
    assert stamps.dtype == np.float32
    np.testing.assert_array_equal(seen, np.round(seen))


def test_an_asteroid_leaves_a_trail_along_its_way(conditions: ConditionsTable) -> None:
    asteroids = simulate(SURVEY, conditions, 200, "train", CONFIG, classes=("asteroid",))
    stars = simulate(SURVEY, conditions, 200, "train", CONFIG, classes=("non_variable",))

    def elongation(sequences: SequenceSet, bright: float) -> float:
        """Median ratio of the axes of the central light."""
        light = sequences.stamps[:, 3:18, 3:18] - border(sequences).mean(axis=1)[:, None, None]
        y, x = np.mgrid[-7:8, -7:8]
        chosen = light[light.sum(axis=(1, 2)) > bright]
        weight = np.maximum(chosen, 0.0) * np.exp(-(x**2 + y**2) / 18.0)
        total = weight.sum(axis=(1, 2))
        xx, yy, xy = ((weight * form).sum(axis=(1, 2)) / total for form in (x * x, y * y, x * y))
        spread = np.hypot(xx - yy, 2.0 * xy)
        return float(np.median(np.sqrt((xx + yy + spread) / (xx + yy - spread))))

    assert elongation(asteroids, 4000.0) > elongation(stars, 4000.0) + 0.03


# What is refused


def test_no_objects_are_refused(conditions: ConditionsTable) -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        simulate(SURVEY, conditions, 0, "train", CONFIG)


def test_an_unknown_class_is_refused(conditions: ConditionsTable) -> None:
    with pytest.raises(UserError, match=r"quasar.*choose from"):
        simulate(SURVEY, conditions, 7, "train", CONFIG, classes=("quasar",))


def test_conditions_without_a_field_to_use_are_refused(conditions: ConditionsTable) -> None:
    rows = conditions.rows.copy()
    rows["seeing"] += 5.0
    with pytest.raises(UserError, match="no field has 6 exposures"):
        simulate(SURVEY, ConditionsTable(rows), 7, "train", CONFIG)


@pytest.mark.parametrize(
    "wrong", [{"n_train": 0}, {"host_fraction_other": 1.5}, {"psf_family": "airy"}, {"sede": 1}]
)
def test_a_parameter_out_of_its_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SimulationConfig.model_validate(wrong)
