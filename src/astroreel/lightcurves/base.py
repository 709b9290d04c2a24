"""What a light-curve model is given and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.lightcurves.magnitudes import MagnitudeDistribution
from astroreel.lightcurves.partition import Split

#: `LightCurveSample.template` of a model that has nothing that two sets could share.
NO_TEMPLATE = ""


@dataclass(frozen=True)
class LightCurveSample:
    """Noise-free light curves of n objects at T epochs each.

    Attributes
    ----------
    magnitudes
        (n, T) apparent magnitude of the point source at every epoch, masked ones included; inf
        where it gives no light.
    template
        (n,) str, name of the template, :data:`NO_TEMPLATE` where the model has none.
    magnitude
        (n,) mean apparent magnitude; of a supernova or an asteroid the brightest over its epochs; of
        a galaxy the magnitude of the whole galaxy.
    redshift
        (n,), NaN where it has none.
    period
        (n,) [d], NaN where it has none.
    alert
        (n,) int64, first epoch at which it is detected for a class whose sequences start at an alert
        (supernova, asteroid), else -1.
    motion
        (n,) [arcsec/h] how fast it moves over the sky, 0 for what stands still.
    motion_angle
        (n,) [rad] where it moves to, from a stamp's x axis towards its y axis.
    """

    magnitudes: NDArray[np.float64]
    template: NDArray[np.str_]
    magnitude: NDArray[np.float64]
    redshift: NDArray[np.float64]
    period: NDArray[np.float64]
    alert: NDArray[np.int64]
    motion: NDArray[np.float64]
    motion_angle: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        magnitudes: NDArray[np.float64],
        magnitude: NDArray[np.float64],
        template: NDArray[np.str_] | None = None,
        redshift: NDArray[np.float64] | None = None,
        period: NDArray[np.float64] | None = None,
        alert: NDArray[np.int64] | None = None,
        motion: NDArray[np.float64] | None = None,
        motion_angle: NDArray[np.float64] | None = None,
    ) -> LightCurveSample:
        """A sample in which whatever is not given is set to "has none"."""
        n = len(magnitude)
        return cls(
            magnitudes=magnitudes,
            magnitude=magnitude,
            template=np.full(n, NO_TEMPLATE) if template is None else template,
            redshift=np.full(n, np.nan) if redshift is None else redshift,
            period=np.full(n, np.nan) if period is None else period,
            alert=np.full(n, -1, dtype=np.int64) if alert is None else alert,
            motion=np.zeros(n) if motion is None else motion,
            motion_angle=np.zeros(n) if motion_angle is None else motion_angle,
        )


class LightCurveModel(ABC):
    """The one thing that a new class needs: a name and :meth:`sample`.

    Attributes
    ----------
    name
        The class name.
    magnitudes
        How many objects there are of each magnitude.
    """

    name: ClassVar[str]

    def __init__(self, magnitudes: MagnitudeDistribution) -> None:
        self.magnitudes = magnitudes

    @abstractmethod
    def sample(
        self,
        times: NDArray[np.float64],
        mask: NDArray[np.bool_],
        limits: NDArray[np.float64],
        band: str,
        split: Split,
        rng: np.random.Generator,
    ) -> LightCurveSample:
        """Draw the light curves of n objects.

        Parameters
        ----------
        times
            (n, T) instants of the exposures [d], sorted within an object.
        mask
            (n, T) true where there is an exposure; what else the arrays hold elsewhere means nothing.
        limits
            (n, T) 5-sigma limiting magnitudes [mag].
        band
            Name of the photometric band.
        split
            The set that the objects are for: two sets share no template.
        rng
            Source of all randomness.

        Raises
        ------
        UserError
            The model knows no such band, an object has no exposure, or the exposures are such that
            an object of the class cannot be detected in them.
        """


def require_band(model: str, band: str, known: Collection[str]) -> None:
    """Raise `UserError` for a band that a model has no figures for."""
    if band not in known:
        raise UserError(f"{model}: no light curves in band {band!r}: choose from {', '.join(known)}")


def require_exposures(model: str, mask: NDArray[np.bool_]) -> None:
    """Raise `UserError` for an object without a single exposure."""
    empty = ~mask.any(axis=1)
    if empty.any():
        raise UserError(f"{model}: object {int(np.argmax(empty))} has no exposure to be seen in")


def first_true(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index of the first true of each row, -1 where there is none; (n, T) to (n,)."""
    return np.where(flags.any(axis=1), np.argmax(flags, axis=1), -1)
