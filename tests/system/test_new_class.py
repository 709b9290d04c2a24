"""A class from another package: one file and one entry point, and everything knows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.bundle import load_bundle
from astroreel.sequences.file import InvalidSequence, read_sequence

#: A star below and a rise by up to 3 mag that decays within half an hour: the whole of a new class.
FLARE = """
import numpy as np

from astroreel.lightcurves.base import LightCurveModel, LightCurveSample, require_exposures
from astroreel.lightcurves.registry import register

DECAY = 0.02  # d


@register
class MDwarfFlare(LightCurveModel):
    name = "m_dwarf_flare"

    def sample(self, times, mask, limits, band, split, rng):
        require_exposures(self.name, mask)
        quiet = self.magnitudes.sample(len(times), rng)
        seen = np.argmax(np.where(mask, rng.random(mask.shape), -1.0), axis=1)
        start = times[np.arange(len(times)), seen] - rng.exponential(DECAY, len(times))
        since = times - start[:, None]
        peak = 10.0 ** (0.4 * rng.uniform(0.5, 3.0, (len(times), 1))) - 1.0
        flare = np.where(since > 0.0, peak * np.exp(-np.maximum(since, 0.0) / DECAY), 0.0)
        return LightCurveSample.of(quiet[:, None] - 2.5 * np.log10(1.0 + flare), quiet)
"""

#: A network of every kind and a forest learn nothing, but answer; argv: a store and a folder for bundles.
MODELS = """
import sys
from pathlib import Path

import numpy as np

from astroreel.classes import CLASSES, class_indices
from astroreel.models.forest import ForestClassifier, ForestConfig, train_forest
from astroreel.models.load import load_classifier
from astroreel.models.networks import NETWORKS, build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.features import features
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.store import load_store

store, bundles = map(Path, sys.argv[1:])
sequences, preparation = load_store(store), Preparation()
columns, labels = features(photometry(sequences, preparation)), class_indices(sequences.labels)
config = ForestConfig(n_estimators=(5,), max_depth=(5,))
forest, _ = train_forest(columns, labels, columns, labels, config)
ForestClassifier(forest, preparation).save(bundles / "forest")
for name in NETWORKS:
    RcnnClassifier(build({"name": name}), preparation).to_bundle(bundles / name)
for bundle in bundles.iterdir():
    probability = load_classifier(bundle).predict(sequences)
    assert probability.shape == (len(sequences.epochs), len(CLASSES))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-5)
"""


def install(site: Path, name: str = "m_dwarf_flare", content: str = FLARE) -> None:
    """What installing a package of one module leaves in a folder of packages."""
    site.mkdir()
    (site / "flares.py").write_text(content)
    info = site / "flares-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flares\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[astroreel.lightcurves]\n{name} = flares\n")


def run(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def simulate(site: Path, out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return run(site, "-m", "astroreel.cli", "simulate", "--workers", 1, "--out", out, *options)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("flares") / "site"
    install(site)
    return site


@pytest.fixture(scope="module")
def flares(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    flares = tmp_path_factory.mktemp("simulated") / "flares"
    made = simulate(site, flares, "--n", 8, "--class", "m_dwarf_flare", "--format", "fits")
    assert made.returncode == 0, made.stderr
    return flares


def test_a_class_of_another_package_is_simulated_to_valid_files(site: Path, flares: Path) -> None:
    read = "import sys; from pathlib import Path; from astroreel.sequences.file import read_folder\n"
    read += "print(*read_folder(Path(sys.argv[1])).labels)"
    assert run(site, "-c", read, flares).stdout.split() == ["m_dwarf_flare"] * 8


def test_where_the_package_is_missing_its_class_is_refused(flares: Path) -> None:
    with pytest.raises(InvalidSequence, match="LABEL is 'm_dwarf_flare'"):
        read_sequence(next(flares.glob("*.fits")))


@pytest.fixture(scope="module")
def store(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("all") / "store"
    made = simulate(site, store, "--n", 2 * (len(CLASSES) + 1))
    assert made.returncode == 0, made.stderr
    return store


def test_it_comes_after_the_seven_and_as_often_as_they(site: Path, store: Path) -> None:
    code = "import sys; from pathlib import Path; from astroreel.classes import CLASSES\n"
    code += "from astroreel.sequences.store import load_store\n"
    code += "print(*CLASSES); print(*load_store(Path(sys.argv[1])).labels)"
    classes, labels = run(site, "-c", code, store).stdout.splitlines()
    assert classes.split() == [*CLASSES, "m_dwarf_flare"]
    names, counts = np.unique(labels.split(), return_counts=True)
    assert set(names) == {*CLASSES, "m_dwarf_flare"}
    assert (counts == 2).all()


def test_models_learn_it_and_are_refused_where_it_is_unknown(site: Path, store: Path, tmp_path: Path) -> None:
    made = run(site, "-c", MODELS, store, tmp_path)
    assert made.returncode == 0, made.stderr
    for bundle in tmp_path.iterdir():
        with pytest.raises(UserError, match="made for other classes"):
            load_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("quasar", FLARE, "entry point 'quasar' of astroreel.lightcurves: flares registers no model"),
        ("M-Dwarf", FLARE, "entry point 'M-Dwarf' of astroreel.lightcurves: a class name has 1 to 24 small"),
    ],
)
def test_a_package_that_keeps_no_promise_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    install(tmp_path / "site", name, content)
    refused = simulate(tmp_path / "site", tmp_path / "out", "--n", 7)
    assert refused.returncode == 2
    assert said in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
