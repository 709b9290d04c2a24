"""Objects injected into real frames are as bright, as sharp and as noisy as they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from astroreel.errors import UserError
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.rim import RIM
from astroreel.sequences.simulate import SimulationConfig, simulate
from astroreel.study.injection import FAINT, faint, inject
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits")
PREPARATION = Preparation()


@pytest.fixture(scope="module")
def supernovae() -> SequenceSet:
    """Simulated supernovae, half of them with a host, that stand for real ones."""
    conditions = generate_conditions(SURVEY, 6, np.random.default_rng(0))
    made = simulate(SURVEY, conditions, 70, "target", SimulationConfig(seed=3), ("supernova",))
    return made.select(faint(photometry(made, PREPARATION)))


@pytest.fixture(scope="module")
def detections(supernovae: SequenceSet) -> np.ndarray:
    assert supernovae.truth is not None
    return np.asarray(supernovae.truth["alert"])


def injected(
    supernovae: SequenceSet, detections: np.ndarray, label: str, keep_host: bool = True, seed: int = 1
) -> SequenceSet:
    rng = np.random.default_rng(seed)
    return inject(supernovae, detections, label, keep_host, SURVEY, PREPARATION, rng)


def table(sequences: SequenceSet) -> tuple[np.ndarray, np.ndarray]:
    curves = photometry(sequences, PREPARATION)
    return curves.padded(curves.flux), curves.padded(curves.error)


def test_a_constant_star_scatters_as_its_errors_say(supernovae: SequenceSet, detections: np.ndarray) -> None:
    flux, error = table(injected(supernovae, detections, "non_variable"))
    level = np.nanmedian(flux, axis=1, keepdims=True)
    scatter = np.nanmean(((flux - level) / error) ** 2, axis=1)
    assert 0.7 < np.median(scatter) < 1.3


@pytest.mark.parametrize("keep_host", [True, False])
@pytest.mark.parametrize("label", ["non_variable", "rr_lyrae", "eclipsing_binary", "asteroid"])
def test_brightness_tells_nothing(
    supernovae: SequenceSet, detections: np.ndarray, label: str, keep_host: bool
) -> None:
    own = np.nanmedian(table(supernovae)[0], axis=1)
    other = np.nanmedian(table(injected(supernovae, detections, label, keep_host))[0], axis=1)
    assert np.median(other / own) == pytest.approx(1.0, abs=0.05)
    assert np.mean(other > own) == pytest.approx(0.5, abs=0.25)


def test_a_variable_star_varies_more_than_a_constant_one(
    supernovae: SequenceSet, detections: np.ndarray
) -> None:
    spread = [
        np.nanmedian(np.nanstd(table(injected(supernovae, detections, label))[0], axis=1))
        for label in ("non_variable", "eclipsing_binary", "rr_lyrae")
    ]
    assert spread[0] < spread[1] < spread[2]


def test_an_asteroid_is_seen_once_where_the_supernova_was_detected(
    supernovae: SequenceSet, detections: np.ndarray
) -> None:
    flux, error = table(injected(supernovae, detections, "asteroid"))
    excess = (flux - np.nanmedian(flux, axis=1, keepdims=True)) / error
    there = np.arange(flux.shape[1]) == detections[:, None]
    assert np.nanmedian(excess[there]) > 2.5
    assert abs(np.nanmedian(excess[~there])) < 0.3


def test_an_injected_supernova_is_fainter_before_the_detection_than_after(
    supernovae: SequenceSet, detections: np.ndarray
) -> None:
    flux, error = table(injected(supernovae, detections, "supernova"))
    early = np.arange(flux.shape[1]) < detections[:, None]
    seen = detections > 0
    after, before = (np.where(which, flux, np.nan)[seen] for which in (~early, early))
    risen = np.nanmean(after, axis=1) - np.nanmean(before, axis=1)
    assert np.mean(risen > np.nanmedian(error[seen], axis=1)) > 0.8


def test_all_but_the_light_stays(supernovae: SequenceSet, detections: np.ndarray) -> None:
    made = injected(supernovae, detections, "rr_lyrae")
    assert set(made.labels) == {"rr_lyrae"}
    assert set(made.objects["label_source"]) == {"injected into real frames"}
    np.testing.assert_array_equal(made.epochs, supernovae.epochs)
    np.testing.assert_array_equal(made.objects["field"], supernovae.objects["field"])
    # Far from the centre there is next to none of the point's light.
    corner = np.abs(made.stamps[:, 0, 0] - supernovae.stamps[:, 0, 0])
    assert np.percentile(corner, 90) < 2.0


def test_a_host_that_is_removed_leaves_a_point(supernovae: SequenceSet, detections: np.ndarray) -> None:
    assert supernovae.truth is not None
    hosted = np.flatnonzero(supernovae.truth["host"] != "")
    some, found = supernovae.select(hosted), detections[hosted]
    beside = np.zeros((21, 21), bool)
    beside[4:17, 4:17] = True
    beside[7:14, 7:14] = False
    light = []
    for keep_host in (True, False):
        made = injected(some, found, "non_variable", keep_host)
        level = np.nanmedian(made.stamps[:, RIM], axis=1)
        light.append(np.nanmean(made.stamps[:, beside], axis=1) - level)
    assert np.mean(light[1]) < 0.6 * np.mean(light[0])


def test_the_same_seed_gives_the_same_bytes(supernovae: SequenceSet, detections: np.ndarray) -> None:
    first, again, other = (
        injected(supernovae.select([0, 1]), detections[:2], "eclipsing_binary", seed=seed).stamps[:]
        for seed in (5, 5, 6)
    )
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_only_faint_objects_that_can_be_seen_are_in_the_arena(supernovae: SequenceSet) -> None:
    curves = photometry(supernovae, PREPARATION)
    ratio = np.nanmedian(curves.padded(curves.flux / curves.error), axis=1)
    assert len(ratio) > 20
    assert ratio.min() >= FAINT[0] and ratio.max() <= FAINT[1]


def test_an_unknown_class_is_refused(supernovae: SequenceSet, detections: np.ndarray) -> None:
    with pytest.raises(UserError, match="no light-curve model of class 'quasar'"):
        injected(supernovae, detections, "quasar")
