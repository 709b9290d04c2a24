"""Simulation: conditions, light curves and images put together into labelled sequences (thesis 3.1).

A supernova's sequence starts five epochs before its first detection (thesis 3.2.1). Every other
object takes the field and the start of one of the supernovae, so that neither the length nor the
cadence of a sequence tells its class.

A simulated alert is where a noiseless supernova rises above the 5-sigma limit of the photometry that cuts
the real sequences (`photometry.detection.first_detection`), not above the survey's own LIMMAG, which is
0.2 mag brighter in the median of HiTS and scatters by 0.6 mag about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.classes import ALERT_CLASSES, CLASSES
from astroreel.errors import UserError
from astroreel.images.profiles import Family
from astroreel.lightcurves.base import LightCurveSample
from astroreel.lightcurves.magnitudes import MagnitudeDistribution
from astroreel.lightcurves.partition import Split
from astroreel.lightcurves.registry import light_curve_model
from astroreel.sequences.record import EPOCH_DTYPE, MIN_EPOCHS, OBJECT_DTYPE, TRUTH_DTYPE, SequenceSet
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.depth import limiting_magnitude
from astroreel.survey.survey import Survey

if TYPE_CHECKING:
    from astroreel.images.noise import NoiseSource
    from astroreel.images.stamps import Scenes

#: Epochs before its alert at which a sequence starts (thesis 3.2.1).
EPOCHS_BEFORE_ALERT = 5

#: FWHM of the photometry's profile over the header's seeing, `photometry.optimal.PSF_WIDTH`. That module
#: stands above this one; a test holds the two together.
PROFILE_WIDTH = 1.1

#: Class whose alerts set when the sequences of all classes start.
WINDOW_CLASS = "supernova"

#: Objects that share the draws of their scenes and light curves.
BLOCK = 512

#: Least number of supernovae that lend their windows to a block's other objects.
_LEAST_LENDERS = 64

_WINDOW_DTYPE = np.dtype([("field", "i8"), ("start", "i8"), ("length", "i8")])

_HOSTED_CLASS = "supernova"
_GALAXY_CLASS = "galaxy"


class SimulationConfig(BaseModel):
    """The parameters of a simulation.

    Attributes
    ----------
    survey
        Name of a survey that comes with the package, or the path of a survey file.
    n_train, n_valid, n_test
        Number of objects of each set; classes are equal, to within one object.
    seed
        Seed of everything random.
    max_epochs
        Longest window (thesis: N_d = 22).
    host_fraction_supernova, host_fraction_other
        Chance of a host galaxy (thesis 3.1.3: .5 and .05).
    psf_family
        Family of the point spread functions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    survey: str = "hits"
    n_train: int = Field(7000, ge=1)
    n_valid: int = Field(700, ge=1)
    n_test: int = Field(1400, ge=1)
    seed: int = Field(1, ge=0)
    max_epochs: int = Field(22, ge=MIN_EPOCHS)
    host_fraction_supernova: float = Field(0.5, ge=0, le=1)
    host_fraction_other: float = Field(0.05, ge=0, le=1)
    psf_family: Family = "atmospheric"
    workers: int = Field(0, ge=0)
    address: str | None = None


def simulate(
    survey: Survey,
    conditions: ConditionsTable,
    n: int,
    split: Split,
    config: SimulationConfig,
    classes: tuple[str, ...] = CLASSES,
    windowed: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> SequenceSet:
    """The first n sequences of a :class:`Simulator`, which describes the parameters, with their truth.

    ``progress`` is called with the number of objects done and ``n``. Raises `UserError` where ``n`` is
    below 1.
    """
    if n < 1:
        raise UserError(f"number of objects to simulate must be at least 1, not {n}")
    simulator = Simulator(survey, conditions, split, config, classes, windowed)
    blocks = []
    for start in range(0, n, BLOCK):
        blocks.append(simulator.block(start // BLOCK, min(BLOCK, n - start)))
        if progress is not None:
            progress(min(start + BLOCK, n), n)
    return SequenceSet.concatenate(blocks)


class Simulator:
    """An endless series of labelled sequences, in blocks of :data:`BLOCK` objects.

    Object i is a function of the parameters and of i alone: whoever makes a block, and however much of it,
    gets the same bytes.

    Parameters
    ----------
    survey
        Gives the band, the detectors, the width of a point spread function for a seeing, and the seeing
        above which exposures are left out.
    conditions
        The exposures to choose from; an object is seen in all of one field's.
    split
        The set that they are for: two sets share no template, host or point spread function.
    config
        Further parameters and the seed; its numbers of objects and its survey's name are not read.
    classes
        The classes to simulate; object i is of class ``i mod len(classes)``.
    windowed
        Whether sequences are cut as above; otherwise they are a field's whole series.
    device
        Where pixels are computed. On the CPU every object's noise is a stream of its own; on a GPU that of a
        block's objects is one stream, so that its bytes are others, and those of part of a block too.

    Raises
    ------
    UserError
        Where a class is unknown or no field has six epochs that can be used.
    """

    def __init__(
        self,
        survey: Survey,
        conditions: ConditionsTable,
        split: Split,
        config: SimulationConfig,
        classes: tuple[str, ...] = CLASSES,
        windowed: bool = True,
        device: str = "cpu",
    ) -> None:
        # It brings torch, which takes longer to import than a configuration to be read.
        from astroreel.images.stamps import Imager

        self.survey, self.split, self.config, self.windowed = survey, split, config, windowed
        self.classes, self.device = classes, device
        self.cameras = camera_table(survey.cameras)
        self.imager = Imager(survey, split, config.psf_family)
        usable = conditions.select_band(survey.band).max_seeing(survey.max_seeing)
        magnitudes = MagnitudeDistribution(*survey.magnitude_limits)
        self.models = {label: light_curve_model(label, magnitudes) for label in {*classes, WINDOW_CLASS}}
        self.fields, self.epochs, self.lengths = _field_table(usable)
        self.limits = _detection_limits(self.epochs, self.cameras)

    def block(self, index: int, n: int = BLOCK) -> SequenceSet:
        """The first n objects of a block, with their truth; block ``index`` starts at ``index * BLOCK``."""
        first = index * BLOCK
        labels = np.array(self.classes)[np.arange(first, first + BLOCK) % len(self.classes)]
        rng = np.random.default_rng(self._seed(index))
        windows, curves = self._light_curves(labels, rng)
        cameras = rng.choice(self.cameras, len(labels))
        scenes = self._scenes(labels, cameras, curves, rng)

        offsets = np.concatenate([[0], np.cumsum(windows["length"])]).astype(np.int64)
        owner = np.repeat(np.arange(len(labels)), windows["length"])
        position = np.arange(offsets[-1]) + (windows["start"] - offsets[:-1])[owner]
        epochs = self.epochs[windows["field"][owner], position]
        magnitudes = curves.magnitudes[owner, position]
        frames = self.imager.observe(scenes, cameras, owner, epochs, magnitudes, rng).first(offsets[n])
        return SequenceSet(
            objects=self._objects(labels, first, windows, cameras)[:n],
            offsets=offsets[: n + 1],
            stamps=self.imager.render(frames, self._noise(index, frames.owner), self.device),
            epochs=epochs[: offsets[n]],
            truth=self._truth(windows, curves, scenes)[:n],
        )

    def _noise(self, index: int, owner: NDArray[np.int64]) -> NoiseSource:
        import torch

        from astroreel.images.noise import DeviceNoise, ObjectNoise

        if self.device == "cpu":
            seeds = [self._seed(index, number) for number in range(owner[-1] + 1)]
            return ObjectNoise([np.random.default_rng(seed) for seed in seeds], owner)
        seed = int(self._seed(index, BLOCK).generate_state(1, np.uint64)[0])
        return DeviceNoise(torch.Generator(self.device).manual_seed(seed))

    def _seed(self, *key: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.config.seed, spawn_key=(get_args(Split).index(self.split), *key))

    def _scenes(
        self,
        labels: NDArray[np.str_],
        cameras: NDArray[np.void],
        curves: LightCurveSample,
        rng: np.random.Generator,
    ) -> Scenes:
        is_galaxy = labels == _GALAXY_CLASS
        chance = np.where(
            labels == _HOSTED_CLASS, self.config.host_fraction_supernova, self.config.host_fraction_other
        )
        return self.imager.compose(
            cameras,
            hosted=(rng.random(len(labels)) < chance) & ~is_galaxy,
            redshift=curves.redshift,
            galaxy_magnitude=np.where(is_galaxy, curves.magnitude, np.nan),
            rng=rng,
            motion=curves.motion,
            motion_angle=curves.motion_angle,
        )

    def _objects(
        self, labels: NDArray[np.str_], first: int, windows: NDArray[np.void], cameras: NDArray[np.void]
    ) -> NDArray[np.void]:
        objects = np.zeros(len(labels), OBJECT_DTYPE)
        numbers = range(first, first + len(labels))
        objects["name"] = [object_name(self.survey.name, self.split, number) for number in numbers]
        objects["survey"] = self.survey.name
        objects["label"] = labels
        objects["field"] = self.fields[windows["field"]]
        for name in self.cameras.dtype.names or ():
            objects[name] = cameras[name]
        objects["ra"] = objects["dec"] = np.nan
        objects["label_source"] = "simulation"
        objects["label_confidence"] = 1.0
        return objects

    def _truth(self, windows: NDArray[np.void], curves: LightCurveSample, scenes: Scenes) -> NDArray[np.void]:
        truth = np.zeros(len(windows), TRUTH_DTYPE)
        for name in ("magnitude", "template", "redshift", "period"):
            truth[name] = getattr(curves, name)
        truth["host"] = np.where(scenes.hosted, self.imager.hosts.names[scenes.host], "")
        truth["psf"] = self.imager.psfs.names[scenes.psf]
        truth["alert"] = np.where(curves.alert < 0, -1, curves.alert - windows["start"])
        return truth

    def _light_curves(
        self, labels: NDArray[np.str_], rng: np.random.Generator
    ) -> tuple[NDArray[np.void], LightCurveSample]:
        """Windows, (n,) of :data:`_WINDOW_DTYPE`, and light curves of n objects.

        Supernovae come first: their alerts make the windows that all other objects borrow.
        """
        lends = labels == WINDOW_CLASS
        n_lenders = max(int(lends.sum()), _LEAST_LENDERS)
        series = self._whole_series(n_lenders, rng)
        lent = self._sample(WINDOW_CLASS, series, rng)
        lenders = self._cut_at_alerts(series, lent.alert) if self.windowed else series
        windows = rng.choice(lenders, len(labels))
        windows[lends] = lenders[: lends.sum()]

        samples = {
            str(label): self._sample(str(label), windows[labels == label], rng)
            for label in np.unique(labels[~lends])
        }
        return windows, _merge(labels, {**samples, WINDOW_CLASS: lent})

    def _whole_series(self, n: int, rng: np.random.Generator) -> NDArray[np.void]:
        windows = np.zeros(n, _WINDOW_DTYPE)
        windows["field"] = rng.integers(len(self.fields), size=n)
        windows["length"] = self.lengths[windows["field"]]
        return windows

    def _cut_at_alerts(self, series: NDArray[np.void], alert: NDArray[np.int64]) -> NDArray[np.void]:
        windows = series.copy()
        windows["start"] = np.clip(alert - EPOCHS_BEFORE_ALERT, 0, series["length"] - MIN_EPOCHS)
        windows["length"] = np.minimum(series["length"] - windows["start"], self.config.max_epochs)
        return windows

    def _sample(self, label: str, windows: NDArray[np.void], rng: np.random.Generator) -> LightCurveSample:
        """Light curves over whole series, such that the class can be told within the windows."""
        borrows_alert = self.windowed and label in ALERT_CLASSES and label != WINDOW_CLASS
        mask = self._alert_epochs(windows) if borrows_alert else self._window_epochs(windows)
        times, limits = self.epochs["mjd"][windows["field"]], self.limits[windows["field"]]
        return self.models[label].sample(times, mask, limits, self.survey.band, self.split, rng)

    def _window_epochs(self, windows: NDArray[np.void]) -> NDArray[np.bool_]:
        since = self._since_start(windows)
        return (since >= 0) & (since < windows["length"][:, None])

    def _alert_epochs(self, windows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Where an alert must lie for a sequence to start where it does."""
        since = self._since_start(windows)
        early = (windows["start"] == 0)[:, None]
        return (since == EPOCHS_BEFORE_ALERT) | (early & (since >= 0) & (since < EPOCHS_BEFORE_ALERT))

    def _since_start(self, windows: NDArray[np.void]) -> NDArray[np.int64]:
        return np.arange(self.epochs.shape[1]) - windows["start"][:, None]


def object_name(survey: str, split: Split, number: int) -> str:
    """The name of a simulated object."""
    return f"sim-{survey}-{split}-{number:06d}"


def _field_table(
    conditions: ConditionsTable,
) -> tuple[NDArray[np.str_], NDArray[np.void], NDArray[np.int64]]:
    """Names (F,), epochs (F, T) and numbers of epochs (F,) of the fields with enough of them.

    Shorter fields are filled up with their last epoch, so that times stay sorted.
    """
    series = {name: conditions.field(name) for name in conditions.fields}
    series = {name: epochs for name, epochs in series.items() if len(epochs) >= MIN_EPOCHS}
    if not series:
        raise UserError(
            f"conditions: no field has {MIN_EPOCHS} exposures of good seeing in the survey's band"
        )
    lengths = np.array([len(epochs) for epochs in series.values()])
    row = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    table = np.stack([epochs[row[i]] for i, epochs in enumerate(series.values())])
    return np.array(list(series)), table.astype(EPOCH_DTYPE), lengths


def _detection_limits(epochs: NDArray[np.void], cameras: NDArray[np.void]) -> NDArray[np.float64]:
    """Magnitudes that photometry measures at 5 sigma on a detector of median properties, as ``epochs``."""
    pixscale, gain, rdnoise = (float(np.median(cameras[name])) for name in ("pixscale", "gain", "rdnoise"))
    width = PROFILE_WIDTH * epochs["seeing"] / pixscale
    return limiting_magnitude(width, epochs["sky"], epochs["zp"], epochs["exptime"], gain, rdnoise)


def _merge(labels: NDArray[np.str_], samples: dict[str, LightCurveSample]) -> LightCurveSample:
    """The light curves of n objects from those of each class, of which surplus ones are left out."""
    members = {label: np.flatnonzero(labels == label) for label in samples}
    order = np.argsort(np.concatenate(list(members.values())))
    merged = {
        column.name: np.concatenate(
            [getattr(sample, column.name)[: len(members[label])] for label, sample in samples.items()]
        )[order]
        for column in fields(LightCurveSample)
    }
    return LightCurveSample(**merged)
