"""The faint arena, where brightness tells nothing: real supernovae against objects injected into real frames.

Semi-real: the frames are those of the supernovae, the objects in them are not (`study.injection`). Every
supernova meets stars that do not vary, RR Lyrae, binaries and asteroids of its own median brightness in its
own frames. In one arm these have its host too, and nothing but how the light varies tells them apart; in the
other they have none. All are tested by models that never saw their field.

That an asteroid crosses a source that stays, lest brightness tell it, no model has been taught: its own
recall says little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.classes import CLASSES
from astroreel.evaluation.bootstrap import Resampling
from astroreel.evaluation.metrics import EPOCHS_SINCE, N_SAMPLES
from astroreel.evaluation.tested import Tested
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import TRANSIENT
from astroreel.study.bench import Bench
from astroreel.study.injection import faint, inject
from astroreel.study.leaves import tree_of
from astroreel.study.probe import MODELS, cross_fitted, resampling_of, stages, tested, tuned_key
from astroreel.study.resampled import Resampled, auc, mean, mean_over, recall_at, resample
from astroreel.study.section import Section
from astroreel.study.units import Unit

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

#: Classes that are injected beside the supernovae.
RIVALS = ("non_variable", "rr_lyrae", "eclipsing_binary", "asteroid")

#: Share of the others that may be called supernovae where recalls are compared.
FALSE_ALARMS = 0.05

#: Objects of each class that are injected into the frames of one supernova.
_COPIES = 2

_FEWEST = 10  # supernovae that a number is given of
_SUPERNOVA = CLASSES.index(TRANSIENT)


@dataclass(frozen=True)
class Arena:
    """N objects, real and injected.

    Attributes
    ----------
    objects
        The real supernovae first, then all others, a class after the other.
    real
        (N,) which are real.
    folds
        (N,) fold of the field in whose frames each is.
    since
        (N,) sample at which the supernova in whose frames it is was first detected.
    """

    objects: Tested
    real: NDArray[np.bool_]
    folds: Ints
    since: Ints

    @property
    def rivals(self) -> NDArray[np.bool_]:
        """Those that are no supernova, (N,)."""
        return self.objects.sequences.labels != TRANSIENT


def arena(bench: Bench, keep_host: bool) -> Arena | None:
    """The arena of the target's supernovae; None where there are too few.

    ``keep_host`` tells whether injected objects have the hosts of the supernovae whose frames they are in.
    """
    target = bench.target
    detected = (target.sequences.labels == TRANSIENT) & (target.detections >= 0)
    chosen = np.flatnonzero(detected & faint(target.features.curves))
    if len(chosen) < _FEWEST:
        return None
    real = target.select(chosen)
    injected = [
        _injected(bench, real, label, keep_host or label == TRANSIENT, copy)
        for label in (*RIVALS, TRANSIENT)
        for copy in range(_COPIES)
    ]
    sequences = SequenceSet.concatenate([real.sequences, *injected])
    times = 1 + len(injected)
    since = np.tile(real.detections, times)
    detections = np.where(sequences.labels == TRANSIENT, since, -1)
    return Arena(
        tested(bench, target.domain, sequences, detections),
        np.arange(len(sequences)) < len(real),
        np.tile(bench.folds[chosen], times),
        since,
    )


def _injected(bench: Bench, real: Tested, label: str, keep_host: bool, copy: int) -> SequenceSet:
    rng = np.random.default_rng((bench.config.seed, CLASSES.index(label), copy))
    preparation = bench.parameters.preparation
    made = inject(real.sequences, real.detections, label, keep_host, bench.survey, preparation, rng)
    made.objects["name"] = [f"{name}-{copy}" for name in made.objects["name"]]
    return made


def measure_arena(bench: Bench, keep_host: bool) -> dict[str, Any]:
    """Both models at both stages, their difference, and brightness alone."""
    made = arena(bench, keep_host)
    if made is None:
        return {}
    resampling = resampling_of(bench, made.objects)
    answers = cross_fitted(bench, made.objects, made.folds)
    tree: dict[str, Any] = {"magnitude": _leaves(_ranked(_brightness(made)[None], made, resampling))}
    for stage in stages(answers):
        both = [_measured(answers[model, stage], made, resampling) for model in MODELS]
        lead = {name: both[0][name] - both[1][name] for name in both[0]}
        tree[stage] = {"difference": _leaves(lead, shares=False)}
        tree[stage] |= {model: _leaves(one) for model, one in zip(MODELS, both, strict=True)}
    return tree


def _measured(probabilities: Floats, made: Arena, resampling: Resampling) -> dict[str, Resampled]:
    """All numbers of one model, by slash-joined names."""
    labels = made.objects.features.labels
    hits = probabilities[:, :, -1].argmax(axis=-1) == labels
    contest = np.flatnonzero(made.real | made.rivals)
    recalls = {
        f"recall/{label}": resample(mean, hits[:, which], resampling, which)
        for label in (TRANSIENT, *RIVALS)
        if len(which := np.flatnonzero((labels == CLASSES.index(label)) & (made.real | made.rivals)))
    }
    injected = np.flatnonzero(~made.rivals & ~made.real)
    return {
        **_ranked(probabilities[..., _SUPERNOVA], made, resampling),
        "mean_recall": resample(mean_over(labels[contest]), hits[:, contest], resampling, contest),
        **recalls,
        "injected_supernovae/recall": resample(mean, hits[:, injected], resampling, injected),
        "injected_supernovae/auc": _real_against_injected(probabilities, made, resampling),
    }


def _real_against_injected(probabilities: Floats, made: Arena, resampling: Resampling) -> Resampled:
    """Whether real supernovae score otherwise than those that were injected: half where they do not."""
    both = np.flatnonzero(~made.rivals)
    return resample(auc(made.real[both]), probabilities[:, both, -1, _SUPERNOVA], resampling, both)


def _ranked(scores: Floats, made: Arena, resampling: Resampling) -> dict[str, Resampled]:
    """How scores (D, N, 22) tell real supernovae from their rivals, at the end and since the detection."""
    contest = made.real | made.rivals
    ends = {"": np.full(len(made.since), N_SAMPLES - 1)}
    ends |= {f"since_detection/{epoch}/": made.since + epoch for epoch in EPOCHS_SINCE}
    lengths = made.objects.sequences.lengths
    numbers: dict[str, Resampled] = {}
    for name, sample in ends.items():
        seen = contest & ((sample < np.minimum(lengths, N_SAMPLES)) | (name == ""))
        which = np.flatnonzero(seen)
        if np.sum(made.real[which]) < _FEWEST:
            continue
        values, real = scores[:, which, sample[which]], made.real[which]
        numbers[f"{name}auc"] = resample(auc(real), values, resampling, which)
        numbers[f"{name}recall_at_5_percent_false_alarms"] = resample(
            recall_at(real, FALSE_ALARMS), values, resampling, which
        )
    return numbers


def _brightness(made: Arena) -> Floats:
    """How faint the median of the first n fluxes is, n = 1 .. 22, (N, 22): faint is what supernovae are."""
    curves = made.objects.features.curves
    flux = curves.padded(curves.flux)[:, :N_SAMPLES]
    flux = np.pad(flux, ((0, 0), (0, N_SAMPLES - flux.shape[1])), constant_values=np.nan)
    return -np.stack([np.nanmedian(flux[:, : n + 1], axis=1) for n in range(N_SAMPLES)], axis=1)


def _leaves(numbers: Mapping[str, Resampled], shares: bool = True) -> dict[str, Any]:
    return tree_of({name: one.share() if shares else one.estimate() for name, one in numbers.items()})


def plan(bench: Bench) -> list[Unit]:
    """One unit an arm; none where nothing is labelled."""
    if not bench.split.objects:
        return []
    key = [_COPIES, bench.config.seed, bench.parameters.evaluate.model_dump(), tuned_key(bench)]
    arms = {"host_kept": True, "host_removed": False}
    return [
        Unit(name, key, partial(measure_arena, keep_host=keep_host), guess=40.0)
        for name, keep_host in arms.items()
    ]


def run(bench: Bench) -> dict[str, Any]:
    """Both arms."""
    return bench.units("arena").do_all(plan(bench), bench)


SECTION = Section(
    "arena", "real supernovae against objects as faint injected into real frames (semi-real)", run, plan
)
