"""How real simulated stamps are: real objects of HiTS 2015 beside their twins (`photometry.twins`).

    astroreel convert hits SOURCE --out as_read --no-resample
    python benchmarks/bench_realism.py as_read

Non-variable stars are simulated at their own magnitudes, centroids and conditions. Side by side: how much
their fluxes scatter, their FWHM and the noise of their borders. Two classifiers, a random forest on a fixed
list of statistics and a small convolutional network, try to tell real stamps from simulated ones in fields
that they were not trained on; an AUC of 0.5 is chance. The real stars lie in some 25 visits, and all stars of
a visit share its optics: two simulations, in one of which they do, are told apart at 0.73.

No point spread function of the simulation is made from a star's image. Then the same for the noise of real
supernovae, which were resampled.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from record import record
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from stamp_statistics import IN_BORDER, correlations, fwhm, statistics
from torch import nn

from astroreel.errors import UserError
from astroreel.photometry.optimal import photometry
from astroreel.photometry.twins import twins
from astroreel.sequences.file import read_folder
from astroreel.sequences.prepare import Preparation, background_noise
from astroreel.sequences.record import SequenceSet
from astroreel.survey.survey import Survey, load_survey

FOLDS, SEED = 5, 1
TREES, FRAMES_A_TREE, LEAF = 100, 4000, 10
EPOCHS, BATCH, RATE = 4, 64, 2e-3
RESAMPLES = 200
FRAMES_EXPLAINED, LEADING = 1000, 6
GROUPS = {
    "border": ("border", "slope", "smooth", "correlation"),
    "profile": ("share", "size", "kurtosis"),
    "shape": ("e1", "e2", "coma", "trefoil", "squareness"),
}

Floats = NDArray[np.float64]


def main(folder: Path) -> None:
    survey = load_survey("hits")
    real = read_folder(folder)
    real = real.keep_frames(real.epochs["seeing"] <= survey.max_seeing)
    stars, supernovae = _of_class(real, "non_variable"), _of_class(real, "supernova")
    as_read, resampled = _resampled(survey, 0.0), _resampled(survey, 1.0)
    figures = _figures(stars, twins(stars, as_read, SEED), survey)
    figures |= _texture(twins(supernovae, as_read, SEED), "twins_as_read")
    figures |= _texture(twins(supernovae, resampled, SEED), "twins_resampled")
    figures |= _texture(supernovae, "real")
    for name, value in figures.items():
        print(f"{name:42s} {value if isinstance(value, str) else format(value, '10.3f')}")
    record("realism", figures)


def _resampled(survey: Survey, share: float) -> Survey:
    """The survey with a share of resampled objects: of HiTS's real ones, all supernovae and no stars."""
    return survey.model_copy(update={"artefacts": survey.artefacts.model_copy(update={"resampled": share})})


def _of_class(sequences: SequenceSet, label: str) -> SequenceSet:
    bad = np.isnan(sequences.stamps).any(axis=(1, 2))
    chosen = sequences.keep_frames(~bad)
    chosen = chosen.select((chosen.labels == label) & (chosen.lengths > 0))
    if not len(chosen):
        raise UserError(
            f"no real object of class {label}: the folder must hold the sequence files of HiTS 2015"
        )
    return chosen


def _figures(real: SequenceSet, simulated: SequenceSet, survey: Survey) -> dict[str, float | str]:
    figures: dict[str, float | str] = {"stars": float(len(real)), "frames": float(len(real.epochs))}
    measured = {"real": statistics(real, survey), "twins": statistics(simulated, survey)}
    for name, sequences in (("real", real), ("twins", simulated)):
        figures |= {
            f"flux_scatter_{name}": _flux_scatter(sequences),
            f"fwhm_pixels_{name}": float(np.median(fwhm(sequences, survey))),
            f"border_noise_{name}": float(np.median(np.exp(measured[name]["border_noise"]))),
        }
    names = list(measured["real"])
    table = np.concatenate([np.stack([part[name] for name in names], axis=1) for part in measured.values()])
    figures |= _told_apart(real, table, _Forest(names), "forest")
    for group, prefixes in GROUPS.items():
        part = [index for index, name in enumerate(names) if name.startswith(prefixes)]
        forest = _Forest([names[index] for index in part])
        figures |= _told_apart(real, table[:, part], forest, f"forest_{group}")
    images = np.concatenate([_images(real), _images(simulated)])
    return figures | _told_apart(real, images, _Network(), "network")


def _flux_scatter(sequences: SequenceSet) -> float:
    """Median over stars of the robust relative scatter of a star's fluxes."""
    curves = photometry(sequences, Preparation())
    stars = np.split(curves.flux, sequences.offsets[1:-1])
    return float(np.median([1.4826 * np.median(np.abs(flux / np.median(flux) - 1.0)) for flux in stars]))


def _texture(sequences: SequenceSet, name: str) -> dict[str, float | str]:
    """Noise of the borders over that expected, and the correlation of pixels 1, 2 and 3 apart."""
    border = np.asarray(sequences.stamps)[:, IN_BORDER] / background_noise(sequences)[:, None]
    variance, covariance = correlations(border)
    # Hosts and neighbours that a smooth surface does not follow say nothing of the noise.
    plain = variance < np.quantile(variance, 0.75)
    correlation = covariance[plain].mean(axis=0).reshape(2, 3).mean(axis=0) / variance[plain].mean()
    return {
        f"supernova_noise_{name}": float(np.sqrt(np.median(variance))),
        **{f"supernova_correlation_{lag}_{name}": float(r) for lag, r in enumerate(correlation, start=1)},
    }


def _images(sequences: SequenceSet) -> NDArray[np.float32]:
    """Stamps in units of the noise, the bright compressed, (M, 1, 21, 21)."""
    level = np.median(np.asarray(sequences.stamps)[:, IN_BORDER], axis=1)
    signal = (sequences.stamps - level[:, None, None]) / background_noise(sequences)[:, None, None]
    return np.arcsinh(signal / 2.0).astype(np.float32)[:, None]


def _told_apart(
    real: SequenceSet, values: NDArray[np.floating], classifier: _Forest | _Network, name: str
) -> dict[str, float | str]:
    """AUC of telling simulated from real frames of fields not trained on, with a 95 % interval over stars."""
    labels = np.repeat([0, 1], len(real.epochs))
    fields = np.tile(real.objects["field"][real.owner], 2)
    scores = np.empty(len(labels))
    for train, test in GroupKFold(FOLDS).split(values, labels, fields):
        scores[test] = classifier.scores(values[train], labels[train], values[test], labels[test])
    stars = np.tile(real.owner, 2)
    rng = np.random.default_rng(SEED)
    resampled = [
        roc_auc_score(labels, scores, sample_weight=weights[stars])
        for weights in rng.multinomial(len(real), np.full(len(real), 1.0 / len(real)), RESAMPLES)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    figures: dict[str, float | str] = {f"auc_{name}": float(roc_auc_score(labels, scores))}
    figures |= {f"auc_{name}_low": float(low), f"auc_{name}_high": float(high)}
    return figures | {f"auc_{name}_{what}": text for what, text in classifier.explained().items()}


class _Forest:
    """A random forest on statistics, and what it goes by."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._importance = np.zeros(len(names))

    def scores(self, values: Floats, labels: Floats, test: Floats, truth: Floats) -> Floats:
        forest = RandomForestClassifier(
            TREES, min_samples_leaf=LEAF, max_features=0.3, max_samples=FRAMES_A_TREE, random_state=SEED
        ).fit(values, labels)
        few = np.random.default_rng(SEED).permutation(len(test))[:FRAMES_EXPLAINED]
        if len(np.unique(truth[few])) == 2:
            explained = permutation_importance(
                forest, test[few], truth[few], scoring="roc_auc", n_repeats=2, random_state=SEED
            )
            self._importance += explained.importances_mean * len(test)
        return forest.predict_proba(test)[:, 1]

    def explained(self) -> dict[str, str]:
        leading = np.argsort(-self._importance)[:LEADING]
        return {"driven_by": ", ".join(self._names[index] for index in leading)}


class _Network:
    """A small convolutional network on stamps."""

    def scores(self, values: Floats, labels: Floats, test: Floats, truth: Floats) -> Floats:
        torch.manual_seed(SEED)
        network = nn.Sequential(
            *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32), nn.ReLU()),
            nn.Linear(32, 1),
        )
        images, targets = torch.from_numpy(values), torch.from_numpy(labels).float()
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(images)).split(BATCH):
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(images[batch]).squeeze(1), targets[batch]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            return network(torch.from_numpy(test)).squeeze(1).numpy()

    def explained(self) -> dict[str, str]:
        return {}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
