"""A survey: everything about it that does not change from night to night, read from one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from astroreel.errors import UserError
from astroreel.survey.artefacts import Artefacts
from astroreel.survey.camera import Camera
from astroreel.survey.config import Config, rising
from astroreel.survey.nights import Schedule, Weather

_CONFIGS = Path(__file__).parent / "configs"


def _one_for_both(value: Any) -> Any:
    return (value, value) if isinstance(value, int | float) else value


#: A figure for each of two components; one number stands for both.
Pair = Annotated[tuple[float, float], BeforeValidator(_one_for_both)]
_Scatter = Annotated[float, Field(ge=0, le=0.5)]
ScatterPair = Annotated[tuple[_Scatter, _Scatter], BeforeValidator(_one_for_both)]


class ImageScatter(Config):
    """Standard deviations of what a header does not tell of an image.

    Attributes
    ----------
    fwhm
        Of the logarithm of a star's FWHM.
    ellipticity
        Of a star's ellipticity, along x and y and along the diagonals.
    coma
        Of how far its wings lie off its core, along x and y [arcsec].
    twist
        Of how much more elliptic its wings are than its core, each component.
    wings
        Of the exponent beta of a Moffat profile; see `PsfLibrary.gaussians` for other profiles.
    sky
        Of the logarithm of the sky level.
    zero_point
        Of the zero point [mag].
    """

    fwhm: float = Field(0.0, ge=0, le=0.5)
    ellipticity: ScatterPair = (0.0, 0.0)
    coma: ScatterPair = (0.0, 0.0)
    twist: float = Field(0.0, ge=0, le=1)
    wings: float = Field(0.0, ge=0, le=1.5)
    sky: float = Field(0.0, ge=0, le=0.5)
    zero_point: float = Field(0.0, ge=0, le=0.5)


class Survey(Config):
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
    coma
        Mean of how far a star's wings lie off its core, along x and y [arcsec].
    place, night, exposure
        How images scatter about their headers: by the place in the focal plane, the same in all
        exposures; from night to night; and from exposure to exposure.
    artefacts
        What else images show, and how often.
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
    coma: Pair = (0.0, 0.0)
    place: ImageScatter = ImageScatter()
    night: ImageScatter = ImageScatter()
    exposure: ImageScatter = ImageScatter()
    artefacts: Artefacts = Artefacts()
    cameras: tuple[Camera, ...] = Field(min_length=1)
    schedule: Schedule
    weather: Weather

    @field_validator("magnitude_limits")
    @classmethod
    def _must_rise(cls, limits: tuple[float, float]) -> tuple[float, float]:
        return rising(limits)

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
