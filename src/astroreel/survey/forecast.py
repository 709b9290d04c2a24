"""Conditions of nights not observed: a season drawn from a survey's schedule and weather."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import CONDITIONS_DTYPE, ConditionsTable
from astroreel.survey.depth import limiting_magnitude
from astroreel.survey.nights import Schedule, Weather, correlation_matrix
from astroreel.survey.survey import Survey

_SIDEREAL_GAIN = 24.0 / 365.2422  # hours by which a star culminates earlier each day


def generate_conditions(survey: Survey, n_fields: int, rng: np.random.Generator) -> ConditionsTable:
    """Draw one season for each of ``n_fields`` fields.

    Every field has weather of its own, as if seen in another year, so that a set simulated on them
    meets more nights than one season has.
    """
    plan = _visits(survey.schedule)
    later = rng.uniform(0.0, survey.schedule.round, n_fields)[:, None]
    declination = rng.uniform(*survey.schedule.declinations, n_fields)[:, None]
    hour = plan["hour"] + later
    airmass = _airmass(survey.schedule, plan["day"], hour, later, declination)
    kept = (rng.random(airmass.shape) < plan["kept"]) & (airmass <= survey.schedule.max_airmass)

    rows = np.zeros(airmass.shape, CONDITIONS_DTYPE)
    rows["field"] = np.array([f"{survey.name}-{index:05d}" for index in range(n_fields)])[:, None]
    rows["mjd"] = survey.schedule.start + plan["day"] + hour / 24.0
    rows["band"] = survey.band
    rows["exptime"] = survey.exptime
    rows["airmass"] = airmass
    rows["seeing"], rows["sky"], rows["zp"] = _weather(survey.weather, plan, airmass, rng)
    difference = rng.normal(survey.weather.depth_offset, survey.weather.depth_scatter, rows.shape)
    rows["limmag"] = _formula_depth(survey, rows) + difference
    return ConditionsTable(rows[kept])


def perturb(
    conditions: ConditionsTable,
    survey: Survey,
    *,
    seeing_factor: float = 1.0,
    sky_factor: float = 1.0,
    zp_shift: float = 0.0,
) -> ConditionsTable:
    """The same exposures under other conditions: a surrogate's shift of the domain.

    The limiting magnitudes shift by as much as the noise formula's do.
    """
    rows = conditions.rows.copy()
    rows["seeing"] *= seeing_factor
    rows["sky"] *= sky_factor
    rows["zp"] += zp_shift
    rows["limmag"] += _formula_depth(survey, rows) - _formula_depth(survey, conditions.rows)
    return ConditionsTable(rows)


def _visits(schedule: Schedule) -> NDArray[np.void]:
    """All planned visits in order of time: day, hour, chance, Moon."""
    visits = [
        (day, hour, pattern.kept, pattern.moon)
        for pattern in schedule.nights
        for day in pattern.days
        for hour in pattern.hours
    ]
    return np.array(sorted(visits), dtype=[("day", "f8"), ("hour", "f8"), ("kept", "f8"), ("moon", "f8")])


def _airmass(
    schedule: Schedule,
    day: NDArray[np.float64],
    hour: NDArray[np.float64],
    later: NDArray[np.float64],
    declination: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Secant of the zenith distance; inf below the horizon."""
    hour_angle = np.radians(15.0 * (hour - schedule.transit - later + _SIDEREAL_GAIN * day))
    latitude, height = np.radians(schedule.latitude), np.radians(declination)
    cosine = np.sin(latitude) * np.sin(height) + np.cos(latitude) * np.cos(height) * np.cos(hour_angle)
    return np.where(cosine > 0.0, 1.0 / np.maximum(cosine, 1e-6), np.inf)


def _weather(
    weather: Weather, plan: NDArray[np.void], airmass: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Seeing [arcsec], sky [ADU/pixel] and zero point [mag], each (fields, visits)."""
    n_fields, _ = airmass.shape
    nights, night = np.unique(plan["day"], return_inverse=True)
    deviation = rng.multivariate_normal(weather.mean, _covariance(weather), size=(n_fields, len(nights)))
    ln_excess, ln_sky, ln_loss = np.moveaxis(deviation[:, night], -1, 0)
    noise = rng.normal(size=(3, *airmass.shape)) * np.reshape(weather.exposure_scatter, (3, 1, 1))
    height = np.minimum(airmass, 10.0)  # the rows below the horizon are dropped later
    seeing = (weather.seeing_floor + np.exp(ln_excess)) * height ** weather.airmass[0] * np.exp(noise[0])
    sky = np.exp(ln_sky + weather.airmass[1] * (height - 1.0) + plan["moon"] + noise[1])
    zp = weather.zp - np.exp(ln_loss) + weather.airmass[2] * (height - 1.0) + noise[2]
    return seeing, sky, zp


def _covariance(weather: Weather) -> NDArray[np.float64]:
    return correlation_matrix(weather.correlation) * np.outer(weather.scatter, weather.scatter)


def _formula_depth(survey: Survey, rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Limiting magnitude on a detector of median gain and read noise."""
    cameras = camera_table(survey.cameras)
    pixscale, gain, rdnoise = (float(np.median(cameras[name])) for name in ("pixscale", "gain", "rdnoise"))
    fwhm = survey.fwhm(rows["seeing"]) / pixscale
    return limiting_magnitude(fwhm, rows["sky"], rows["zp"], rows["exptime"], gain, rdnoise)
