"""The models of one draw and fold: their few real sequences and their seed decide, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astroreel.models.bundle import load_bundle
from astroreel.models.forest import ForestConfig
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.features import features_by_epoch
from astroreel.sequences.prepare import Preparation, Prepared
from astroreel.training.config import FinetuneConfig
from astroreel.training.few_shot import FewShot
from astroreel.training.reporter import NullReporter
from tests.code.blobs import blobs


def measured(prepared: Prepared) -> FeatureSet:
    """Light curves of blobs: the brightness of their middle pixels."""
    lengths = prepared.mask.sum(axis=1)
    flux = prepared.stamps[..., 7:14, 7:14].sum(axis=(2, 3))[prepared.mask].astype(np.float64)
    curves = LightCurves(
        np.concatenate([[0], np.cumsum(lengths)]),
        prepared.times[prepared.mask].astype(np.float64),
        flux,
        np.full(len(flux), 40.0),
    )
    names = np.array([f"object-{index}" for index in range(len(prepared))])
    table = features_by_epoch(curves, range(1, lengths.max() + 1)).astype(np.float32)
    border = np.zeros((*table.shape[:2], 7), np.float32)
    return FeatureSet(names, prepared.labels, curves, table, border)


@pytest.fixture(scope="module")
def few_shot(tmp_path_factory: pytest.TempPathFactory) -> FewShot:
    folder = tmp_path_factory.mktemp("pretrained") / "rcnn"
    RcnnClassifier(build({"name": "photometric"}), Preparation()).to_bundle(folder)
    simulated, target = blobs(60, seed=1), blobs(24, seed=2)
    grown = measured(simulated)
    return FewShot(
        pretrained=load_bundle(folder),
        rows=(grown.features[:, -1], grown.labels),
        simulated=simulated,
        valid=measured(blobs(20, seed=3)),
        target=target,
        measured=measured(target),
        finetune=FinetuneConfig(iterations=2, batch_size=8, replay=4, device="cpu"),
        forest=ForestConfig(n_estimators=(5,), max_depth=(6,), truncations=1),
    )


def digests(few_shot: FewShot, folder: Path, shots: list[str], seed: int) -> tuple[str, str]:
    few_shot.train(folder, shots, seed, NullReporter())
    return load_bundle(folder / "rcnn").digest, load_bundle(folder / "forest").digest


SHOTS = [f"object-{index}" for index in range(8)]
OTHERS = [f"object-{index}" for index in range(8, 16)]


def test_the_same_shots_and_seed_make_the_same_bundles(few_shot: FewShot, tmp_path: Path) -> None:
    first = digests(few_shot, tmp_path / "a", SHOTS, 1)
    assert digests(few_shot, tmp_path / "b", SHOTS, 1) == first
    for changed in (
        digests(few_shot, tmp_path / "c", OTHERS, 1),
        digests(few_shot, tmp_path / "d", SHOTS, 2),
    ):
        assert all(one != other for one, other in zip(changed, first, strict=True))


def test_objects_that_are_no_shots_change_nothing(few_shot: FewShot, tmp_path: Path) -> None:
    spoilt = replace(
        few_shot,
        target=replace(few_shot.target, stamps=few_shot.target.stamps * _shown(24)[:, None, None, None]),
        measured=few_shot.measured.select(np.arange(8)),
    )
    first = digests(few_shot, tmp_path / "a", SHOTS, 1)
    assert digests(spoilt, tmp_path / "b", SHOTS, 1) == first


def _shown(n: int) -> np.ndarray:
    """1 for the shots, 0 for the others."""
    return (np.arange(n) < len(SHOTS)).astype(np.float32)


def test_the_bundles_keep_what_the_pretrained_one_says_of_preparation(
    few_shot: FewShot, tmp_path: Path
) -> None:
    few_shot.train(tmp_path, SHOTS, 1, NullReporter())
    for kind in ("rcnn", "forest"):
        bundle = load_bundle(tmp_path / kind)
        assert (bundle.kind, bundle.preparation) == (kind, few_shot.pretrained.preparation)
