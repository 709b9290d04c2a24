"""What images show beside sources, sky and noise, and how often.

Every rate is that of a frame or of an object, whatever its class, and is 0 by default: a survey switches on
what its images have.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from astroreel.survey.config import Config


class Neighbours(Config):
    """Stars and galaxies around a target, by their counts.

    Attributes
    ----------
    density
        Sources down to the faint limit [1/arcmin^2].
    slope
        Of the logarithm (base 10) of the counts against magnitude.
    limits
        Magnitudes of the brightest and of the faintest [mag].
    galaxies
        Share of galaxies, seen as Gaussians.
    radius
        Median half-light radius of the galaxies [arcsec]; its logarithm scatters by 0.4.
    """

    density: float = Field(0.0, ge=0, le=200)
    slope: float = Field(0.35, gt=0, le=1)
    limits: tuple[float, float] = (18.0, 24.5)
    galaxies: float = Field(0.8, ge=0, le=1)
    radius: float = Field(0.5, gt=0, le=5)

    @field_validator("limits")
    @classmethod
    def _must_rise(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if not limits[0] < limits[1]:
            raise ValueError("must rise")
        return limits


class Artefacts(Config):
    """Rates and sizes of the effects; a size matters only where its rate is above 0.

    Attributes
    ----------
    neighbours
        Sources beside the target, the same in all frames of an object.
    resampled
        Share of the objects whose frames a pipeline has resampled to a common grid, each by its own
        fraction of a pixel, with a Lanczos kernel. Their noise is correlated and weaker.
    lanczos
        Order of the kernel.
    bleeding
        Share of the charge above the full well that flows along the column; the rest is lost.
    cosmic_rays
        Mean number of tracks that start in a stamp.
    cosmic_ray_charge
        Median charge of a track straight through the detector [e-]; its logarithm scatters by 0.5. A slanted
        track leaves more, with its way through the silicon.
    cosmic_ray_depth
        Thickness of the silicon [pixel]: a track at an angle t is ``depth * tan(t)`` long.
    hot_pixels
        Mean number of hot pixels in a stamp.
    hot_pixel_charge
        Median charge of a hot pixel [e-]; its logarithm scatters by 1.
    bad_columns
        Mean number of columns without data in a stamp.
    gradient
        Standard deviation of the sky's relative slope [1/pixel], along x and along y.
    trails
        Share of the frames that a satellite crosses.
    trail_brightness
        Median brightness of a trail [ADU per pixel of its length]; its logarithm scatters by 1.
    """

    neighbours: Neighbours = Neighbours()
    resampled: float = Field(0.0, ge=0, le=1)
    lanczos: int = Field(3, ge=2, le=5)
    bleeding: float = Field(0.0, ge=0, le=1)
    cosmic_rays: float = Field(0.0, ge=0, le=10)
    cosmic_ray_charge: float = Field(20000.0, gt=0)
    cosmic_ray_depth: float = Field(16.7, gt=0, le=50)
    hot_pixels: float = Field(0.0, ge=0, le=50)
    hot_pixel_charge: float = Field(1000.0, gt=0)
    bad_columns: float = Field(0.0, ge=0, le=5)
    gradient: float = Field(0.0, ge=0, le=0.02)
    trails: float = Field(0.0, ge=0, le=1)
    trail_brightness: float = Field(300.0, gt=0)
