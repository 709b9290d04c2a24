"""Nights: when a survey visits its fields, and what weather it meets."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from astroreel.survey.config import Config, rising

Triple = tuple[float, float, float]

_Declination = Annotated[float, Field(ge=-90, le=90)]
_Scatter = Annotated[float, Field(ge=0)]
_Scatters = tuple[_Scatter, _Scatter, _Scatter]
_Correlation = Annotated[float, Field(ge=-1, le=1)]
_Correlations = tuple[_Correlation, _Correlation, _Correlation]


class NightPattern(Config):
    """Nights with the same plan.

    Attributes
    ----------
    days
        Days after the survey's start.
    hours
        When each visit to the first field begins, UT hours of the day.
    kept
        Chance that a visit to a field is made and kept.
    moon
        What the Moon adds to ln(sky) on these nights.
    """

    days: tuple[int, ...] = Field(min_length=1)
    hours: tuple[float, ...] = Field(min_length=1)
    kept: float = Field(1.0, gt=0, le=1)
    moon: float = Field(0.0, ge=0)


class Schedule(Config):
    """When fields are visited, and how high they stand then.

    Attributes
    ----------
    start
        Day 0 [MJD].
    latitude
        Latitude of the observatory [deg].
    declinations
        Range of the fields' declinations [deg].
    transit
        UT hour at which the first field culminates on day 0.
    round
        Hours that one round over all fields takes; a field later in the round culminates later.
    max_airmass
        No exposure is made at a larger airmass.
    nights
        The plan.
    """

    start: float
    latitude: float = Field(ge=-90, le=90)
    declinations: tuple[_Declination, _Declination]
    transit: float
    round: float = Field(gt=0)
    max_airmass: float = Field(2.0, gt=1)
    nights: tuple[NightPattern, ...] = Field(min_length=1)

    @field_validator("declinations")
    @classmethod
    def _must_rise(cls, declinations: tuple[float, float]) -> tuple[float, float]:
        return rising(declinations)


class Weather(Config):
    """The joint distribution of seeing, sky and transparency.

    Every triple is for (ln of the seeing above its floor [arcsec], ln sky [ADU/pixel], ln zero-point
    loss [mag]). A night has a normal deviation in all three at once, an exposure further independent
    ones in ln seeing, ln sky and the zero point itself.

    Attributes
    ----------
    mean, scatter
        Mean and standard deviation over nights, at airmass 1 and without Moon.
    correlation
        Between nights' deviations: seeing and sky, seeing and loss, sky and loss.
    seeing_floor
        Seeing that the telescope itself leaves at airmass 1 [arcsec].
    exposure_scatter
        Standard deviation over exposures of a night of ln seeing, ln sky and zero point [mag].
    airmass
        Slopes: ln seeing against ln(airmass), ln sky against (airmass - 1), zero point [mag] against
        (airmass - 1).
    zp
        Zero point at airmass 1 with no loss [mag].
    depth_offset
        Survey's limiting magnitude less that of :func:`~astroreel.survey.depth.limiting_magnitude`
        [mag].
    depth_scatter
        Standard deviation over exposures of the same difference [mag].
    """

    mean: Triple
    scatter: _Scatters
    correlation: _Correlations
    seeing_floor: float = Field(ge=0)
    exposure_scatter: _Scatters
    airmass: Triple
    zp: float
    depth_offset: float = 0.0
    depth_scatter: float = Field(0.0, ge=0)

    @field_validator("correlation")
    @classmethod
    def _must_go_together(cls, correlation: Triple) -> Triple:
        if np.linalg.eigvalsh(correlation_matrix(correlation))[0] < 0.0:
            raise ValueError("no three quantities can be so correlated: bring them closer to 0")
        return correlation


def correlation_matrix(correlation: Triple) -> NDArray[np.float64]:
    """The (3, 3) matrix of the correlations of the first with the second and third, and of these two."""
    matrix = np.eye(3)
    matrix[np.triu_indices(3, 1)] = matrix.T[np.triu_indices(3, 1)] = correlation
    return matrix
