"""A survey: everything about it that does not change from night to night, read from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from astroreel.errors import UserError
from astroreel.survey.camera import Camera

_CONFIGS = Path(__file__).parent / "configs"

Triple = tuple[float, float, float]


class _Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NightPattern(_Config):
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


class Schedule(_Config):
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
    declinations: tuple[float, float]
    transit: float
    round: float = Field(gt=0)
    max_airmass: float = Field(2.0, gt=1)
    nights: tuple[NightPattern, ...] = Field(min_length=1)


class Weather(_Config):
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
    """

    mean: Triple
    scatter: Triple
    correlation: Triple
    seeing_floor: float = Field(ge=0)
    exposure_scatter: Triple
    airmass: Triple
    zp: float
    depth_offset: float = 0.0


class ImageScatter(_Config):
    """Standard deviations of what a header does not tell of an image.

    Attributes
    ----------
    fwhm
        Of the logarithm of a star's FWHM.
    ellipticity
        Of each of the two components of a star's ellipticity.
    wings
        Of the exponent beta of a Moffat profile; see `PsfLibrary.gaussians` for other profiles.
    sky
        Of the logarithm of the sky level.
    zero_point
        Of the zero point [mag].
    """

    fwhm: float = Field(0.0, ge=0, le=0.5)
    ellipticity: float = Field(0.0, ge=0, le=0.3)
    wings: float = Field(0.0, ge=0, le=1.5)
    sky: float = Field(0.0, ge=0, le=0.5)
    zero_point: float = Field(0.0, ge=0, le=0.5)


class Survey(_Config):
    """One survey in one band.

    Attributes
    ----------
    name
        What it is called in files.
    band
        Photometric band.
    exptime
        Usual exposure time [s]; also the reference that stamps are brought to.
    reference_zp
        Zero point that stamps are brought to [mag].
    seeing_to_fwhm, seeing_excess
        See :meth:`fwhm`; the excess is in arcsec.
    max_seeing
        Exposures with a larger seeing are left out [arcsec].
    magnitude_limits
        Magnitude of the brightest unsaturated stars, and that at which the simulated numbers are cut
        to half (thesis section 3.1.2, m_cutoff) [mag].
    sky_to_background
        Level of a stamp's background over the sky that an exposure's header gives.
    place, night, exposure
        How images scatter about their headers: by the place in the focal plane, the same in all
        exposures; from night to night; and from exposure to exposure.
    cameras
        The detectors.
    schedule, weather
        What conditions of nights not observed are drawn from.
    """

    name: str = Field(pattern=r"^[a-z0-9_]{1,24}$")
    band: str = Field(min_length=1, max_length=4)
    exptime: float = Field(gt=0)
    reference_zp: float = Field(gt=0)
    seeing_to_fwhm: float = Field(gt=0)
    seeing_excess: float = Field(0.0, ge=0)
    max_seeing: float = Field(gt=0)
    magnitude_limits: tuple[float, float]
    sky_to_background: float = Field(1.0, gt=0)
    place: ImageScatter = ImageScatter()
    night: ImageScatter = ImageScatter()
    exposure: ImageScatter = ImageScatter()
    cameras: tuple[Camera, ...] = Field(min_length=1)
    schedule: Schedule
    weather: Weather

    @field_validator("magnitude_limits")
    @classmethod
    def _must_rise(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not limits[0] < limits[1]:
            raise ValueError("must rise")
        return limits

    def fwhm(self, seeing: ArrayLike) -> NDArray[np.float64]:
        """FWHM [arcsec] of the Gaussian that fits a star, for the seeing in its exposure's header [arcsec].

        ``seeing_to_fwhm * sqrt(seeing^2 - seeing_excess^2)``: a pipeline may count in a width that no
        star has. Of a seeing not far above the excess no more than half is taken for it.
        """
        squared = np.square(np.asarray(seeing, dtype=float))
        return self.seeing_to_fwhm * np.sqrt(np.maximum(squared - self.seeing_excess**2, 0.25 * squared))


def survey_names() -> tuple[str, ...]:
    """Names of the surveys that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _CONFIGS.glob("*.yaml")))


def load_survey(name_or_path: str | Path) -> Survey:
    """Read a survey that comes with the package, by its name, or a user's own, by its file.

    Raises `UserError` for an unknown name, listing the choices, and for a file that is missing or
    breaks a rule, naming the key, the rule and the value.
    """
    if name_or_path in survey_names():
        return _read(_CONFIGS / f"{name_or_path}.yaml")
    path = Path(name_or_path)
    if not path.is_file():
        raise UserError(
            f"unknown survey {str(name_or_path)!r}: choose from {', '.join(survey_names())} "
            "or give the path of a survey file"
        )
    return _read(path)


def _read(path: Path) -> Survey:
    try:
        values: Any = YAML(typ="safe").load(path)
        return Survey.model_validate(values)
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "survey"
        value = "" if first["type"] == "missing" else f", not {first['input']!r:.80}"
        raise UserError(f"{path}: {key}: {first['msg']}{value}") from error
