"""Images: GalSim is the independent oracle for light, the variance formula for noise."""

from __future__ import annotations

from typing import Any, get_args

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from astroreel.images.departures import Departures
from astroreel.images.detector import expose
from astroreel.images.galaxy import HOSTS, HostLibrary
from astroreel.images.gaussians import FWHM_OF_SIGMA, PIXEL_VARIANCE, STAMP_SIZE, Gaussians
from astroreel.images.psf import SHAPES, Family, PsfLibrary, fitted_variance, moffat
from astroreel.images.stamps import NO_HOST, Imager, Scenes, counts
from astroreel.lightcurves.partition import Split
from astroreel.sequences.record import STAMP_SIZE as RECORD_STAMP_SIZE
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import EPOCH_DTYPE
from astroreel.survey.survey import ImageScatter, load_survey

SPLITS: tuple[Split, ...] = get_args(Split)
SURVEY = load_survey("hits")
NONE = ImageScatter()
#: HiTS with images that are just what the headers say.
EXACT = SURVEY.model_copy(update={"place": NONE, "night": NONE, "exposure": NONE, "sky_to_background": 1.0})
Y, X = np.mgrid[:STAMP_SIZE, :STAMP_SIZE] - STAMP_SIZE // 2


def draw(profile: galsim.GSObject) -> NDArray[np.float32]:
    """GalSim's pixel integrals of a profile."""
    return profile.drawImage(nx=STAMP_SIZE, ny=STAMP_SIZE, scale=1.0, dtype=np.float32).array


def fit_gaussian(image: NDArray[np.float32]) -> tuple[float, float, float]:
    """Centre and FWHM [pixel] of the best round Gaussian without background."""

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (p[0] * np.exp(-((X - p[1]) ** 2 + (Y - p[2]) ** 2) / (2.0 * p[3] ** 2)) - image).ravel()

    _, x, y, sigma = least_squares(residual, [image.max(), 0.0, 0.0, 2.0]).x
    return x, y, abs(sigma) * FWHM_OF_SIGMA


def rows(n: int, dtype: np.dtype, **values: object) -> NDArray[np.void]:
    """A structured array with constant columns."""
    table = np.zeros(n, dtype)
    for name, value in values.items():
        table[name] = value
    return table


def epochs(n: int, **values: object) -> NDArray[np.void]:
    """Ordinary HiTS exposures, but for the columns given."""
    usual = {"exptime": 86.0, "seeing": 1.3, "airmass": 1.2, "sky": 120.0, "zp": 25.05, "limmag": 23.5}
    return rows(n, EPOCH_DTYPE, band="g", **(usual | values))


def scenes(n: int, **values: object) -> Scenes:
    """Centred sources without hosts, but for the attributes given."""
    usual: dict[str, object] = dict.fromkeys(Scenes.__dataclass_fields__, 0.0)
    usual |= {"psf": 0, "host": NO_HOST, "host_magnitude": np.inf} | values
    columns: dict[str, Any] = {name: np.full(n, value) for name, value in usual.items()}
    columns["place"] = Departures.draw(n, NONE, np.random.default_rng(0))
    return Scenes(**columns)


def test_a_stamp_has_the_size_that_the_record_asks_for() -> None:
    assert STAMP_SIZE == RECORD_STAMP_SIZE


# Point spread functions


@pytest.mark.parametrize("fwhm", [2.6, 3.5, 5.0, 7.0])
@pytest.mark.parametrize("beta", [3.0, 4.0, 5.5])
def test_a_star_is_galsims_moffat_profile(beta: float, fwhm: float) -> None:
    flux, variance = moffat(np.array([beta]))
    axis_ratio, angle, x, y = 0.85, 0.6, 0.3, -0.2
    major = fwhm**2 / FWHM_OF_SIGMA**2 * variance / fitted_variance(flux, variance) / axis_ratio
    mine = Gaussians.elliptical(flux, major, [axis_ratio], [angle]).render(np.array([x]), np.array([y]))[0]
    scale = np.sqrt(major[0, 0] * axis_ratio / variance[0, 0])
    profile = galsim.Moffat(beta=beta, scale_radius=scale).shear(q=axis_ratio, beta=angle * galsim.radians)
    theirs = draw(profile.shift(x, y))

    np.testing.assert_allclose(mine, theirs, atol=0.004 * theirs.max())
    assert mine.sum() == pytest.approx(theirs.sum(), abs=0.012)
    np.testing.assert_allclose(fit_gaussian(mine), fit_gaussian(theirs), rtol=0.005, atol=0.002)


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize("fwhm", [2.8, 3.5, 5.0, 7.0])
def test_the_width_of_a_star_is_what_a_gaussian_fit_gives(family: Family, fwhm: float) -> None:
    shape = np.arange(0, SHAPES, 25)
    zero = np.zeros(len(shape))
    stars = PsfLibrary(family, "train").render(shape, np.full(len(shape), fwhm), zero, zero, zero)
    widths = np.array([fit_gaussian(star)[2] for star in stars])
    np.testing.assert_allclose(widths, fwhm, rtol=0.015)


@given(
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    fwhm=st.floats(2.5, 6.0),
    angle=st.floats(0.0, 6.3),
    shape=st.integers(0, SHAPES - 1),
)
def test_a_star_has_unit_flux_at_its_centre(
    x: float, y: float, fwhm: float, angle: float, shape: int
) -> None:
    psf = PsfLibrary("double_gaussian", "valid")
    star = psf.render(*(np.array([v]) for v in (shape, fwhm, x, y, angle)))[0].astype(float)
    assert star.sum() == pytest.approx(1.0, abs=0.05)  # the wings that fall outside
    near = np.hypot(X - x, Y - y) < 4.0
    centre = [np.average(axis[near], weights=star[near]) for axis in (X, Y)]
    np.testing.assert_allclose(centre, [x, y], atol=0.15)
    assert np.unravel_index(star.argmax(), star.shape) == pytest.approx((10, 10), abs=1)


def test_turning_a_point_spread_function_by_a_right_angle_swaps_its_axes() -> None:
    psf = PsfLibrary("moffat", "train")
    shape, zero, fwhm = np.array([3]), np.zeros(1), np.array([4.0])
    lying = psf.render(shape, fwhm, zero, zero, zero, axis_ratio=0.8)[0]
    standing = psf.render(shape, fwhm, zero, zero, zero + np.pi / 2, axis_ratio=0.8)[0]
    np.testing.assert_allclose(standing, lying.T, rtol=1e-4)
    assert lying[10, 14] > 1.2 * lying[14, 10]


@given(wings=st.floats(-1.5, 0.4), fwhm=st.floats(3.0, 6.0))
@settings(deadline=None, max_examples=30)
def test_stronger_wings_are_a_moffat_profile_of_smaller_beta(wings: float, fwhm: float) -> None:
    psf, zero = PsfLibrary("moffat", "train"), np.zeros(1)
    shape = np.array([int(psf.flux[:, 0].argmin())])
    mine = psf.render(shape, np.array([fwhm]), zero, zero, zero, wings=wings)[0]
    # The first two moments of 1 / variance over a shape's fluxes give its beta: it is Gamma distributed.
    rate = 1.0 / psf.variance[shape[0]]
    mean = np.average(rate, weights=psf.flux[shape[0]])
    variance = np.average((rate - mean) ** 2, weights=psf.flux[shape[0]])
    flux, shape_variance = moffat(np.array([mean**2 / variance + 1.0 - wings]))
    scaled = fwhm**2 / FWHM_OF_SIGMA**2 - PIXEL_VARIANCE
    other = Gaussians.elliptical(
        flux, shape_variance * scaled / fitted_variance(flux, shape_variance)[:, None], [1.0], [0.0]
    )
    theirs = other.render(zero, zero)[0]
    np.testing.assert_allclose(mine, theirs, atol=0.02 * theirs.max())
    assert fit_gaussian(mine)[2] == pytest.approx(fwhm, rel=0.015)


@pytest.mark.parametrize("family", get_args(Family))
def test_sets_share_no_point_spread_function(family: Family) -> None:
    libraries = [PsfLibrary(family, split) for split in SPLITS]
    assert len(np.unique(np.concatenate([library.names for library in libraries]))) == SHAPES * len(SPLITS)
    assert len(np.unique(np.concatenate([library.variance[:, 0] for library in libraries]))) == (
        SHAPES * len(SPLITS)
    )


# Galaxies


@pytest.mark.parametrize("index", range(0, 200, 20))
def test_a_galaxy_is_galsims_disc_and_bulge_through_a_moffat(index: int) -> None:
    hosts, angle, pixscale, fwhm, x, y = HostLibrary("train"), 1.1, 0.27, 4.5, 1.7, -0.4
    flux, variance = moffat(np.array([4.0]))
    psf = Gaussians.elliptical(flux, variance * (fwhm / FWHM_OF_SIGMA) ** 2, [1.0], [0.0])
    host = np.array([index])
    galaxy = hosts.gaussians(host, np.array([angle]), np.array([pixscale]))
    mine = psf.convolve(galaxy).render(np.array([x]), np.array([y]))[0]

    def component(profile: galsim.GSObject, radius: float, axis_ratio: float) -> galsim.GSObject:
        # GalSim's shear keeps the area; here the half-light radius is that of the major axis.
        round_one = profile.dilate(radius / pixscale * np.sqrt(axis_ratio))
        return round_one.shear(q=axis_ratio, beta=angle * galsim.radians)

    disc = component(
        galsim.Exponential(half_light_radius=1.0), hosts.disc_radius[index], hosts.disc_axis_ratio[index]
    )
    bulge = component(
        galsim.DeVaucouleurs(half_light_radius=1.0), hosts.bulge_radius[index], hosts.bulge_axis_ratio[index]
    )
    share = float(hosts.bulge_fraction[index])
    star = galsim.Moffat(beta=4.0, scale_radius=fwhm / FWHM_OF_SIGMA)
    theirs = draw(galsim.Convolve(share * bulge + (1.0 - share) * disc, star).shift(x, y))
    np.testing.assert_allclose(mine, theirs, atol=0.02 * theirs.max())


def test_a_convolution_multiplies_fluxes_and_adds_variances() -> None:
    one = Gaussians.elliptical([[1.0, 2.0]], [[4.0, 9.0]], [0.5], [0.3])
    other = Gaussians.elliptical([[3.0, 5.0]], [[1.0, 2.0]], [0.8], [2.0])
    both = one.convolve(other)
    np.testing.assert_allclose(both.flux, [[3.0, 5.0, 6.0, 10.0]])
    np.testing.assert_allclose(both.xy[0, 1], one.xy[0, 0] + other.xy[0, 1])
    np.testing.assert_allclose((both.xx + both.yy)[0, 3], 9.0 * 1.25 + 2.0 * 1.64)


def test_a_galaxy_is_chosen_near_the_redshift_or_the_magnitude_asked_for() -> None:
    hosts, rng = HostLibrary("test"), np.random.default_rng(1)
    redshift, magnitude = rng.uniform(0.1, 0.5, 200), rng.uniform(19.0, 24.0, 200)
    np.testing.assert_allclose(hosts.redshift[hosts.near("redshift", redshift, rng)], redshift, atol=0.02)
    np.testing.assert_allclose(hosts.magnitude[hosts.near("magnitude", magnitude, rng)], magnitude, atol=0.25)


def test_a_distant_galaxy_is_smaller_and_fainter() -> None:
    hosts = HostLibrary("train")
    near, far = hosts.redshift < 0.2, hosts.redshift > 0.5
    assert np.median(hosts.disc_radius[near]) > 1.5 * np.median(hosts.disc_radius[far])
    assert np.median(hosts.magnitude[far]) - np.median(hosts.magnitude[near]) > 2.0


def test_transients_follow_the_light_of_the_disc() -> None:
    hosts, n, pixscale = HostLibrary("train"), 20_000, np.full(20_000, 0.27)
    host, angle = np.full(n, 7), np.full(n, 0.8)
    x, y = hosts.offset(host, angle, pixscale, np.random.default_rng(3))
    along, across = x * np.cos(0.8) + y * np.sin(0.8), y * np.cos(0.8) - x * np.sin(0.8)
    radius = np.hypot(along, across / hosts.disc_axis_ratio[7]) * 0.27
    assert np.median(radius) == pytest.approx(hosts.disc_radius[7], rel=0.03)  # half of the light
    assert np.mean(x) == pytest.approx(0.0, abs=0.2)


def test_sets_share_no_galaxy() -> None:
    libraries = [HostLibrary(split) for split in SPLITS]
    assert len(np.unique(np.concatenate([library.names for library in libraries]))) == HOSTS * len(SPLITS)
    assert len(np.unique(np.concatenate([library.magnitude for library in libraries]))) == HOSTS * len(SPLITS)


def test_a_library_is_the_same_whenever_it_is_made() -> None:
    np.testing.assert_array_equal(HostLibrary("train").disc_radius, HostLibrary("train").disc_radius)
    np.testing.assert_array_equal(PsfLibrary("moffat", "test").flux, PsfLibrary("moffat", "test").flux)


# Detector


def exposed(level: float, sky: float, n: int = 200, **options: float) -> NDArray[np.float32]:
    """Flat stamps at a gain of 4, a read noise of 6 and a saturation level of 40,000."""
    light = np.full((n, STAMP_SIZE, STAMP_SIZE), level, np.float32)
    column = np.ones(n)
    rng = np.random.default_rng(5)
    return expose(light, sky * column, 4.0 * column, 6.0 * column, 40_000.0 * column, rng, **options)


@pytest.mark.parametrize(("level", "sky"), [(0.0, 120.0), (900.0, 120.0), (0.0, 2.0), (20_000.0, 600.0)])
def test_noise_is_that_of_electrons_and_of_reading(level: float, sky: float) -> None:
    stamps = exposed(level, sky).astype(float)
    assert stamps.var() == pytest.approx((level + sky) / 4.0 + (6.0 / 4.0) ** 2, rel=0.02)
    assert stamps.mean() == pytest.approx(level + sky, rel=0.01)


def test_noise_of_pixels_is_independent() -> None:
    noise = exposed(0.0, 120.0) - 120.0
    for shifted in (noise[:, 1:] * noise[:, :-1], noise[:, :, 1:] * noise[:, :, :-1], noise[1:] * noise[:-1]):
        assert shifted.mean() / noise.var() == pytest.approx(0.0, abs=0.02)


def test_resampling_correlates_neighbours_and_weakens_noise() -> None:
    weight = 0.15
    noise = exposed(0.0, 120.0, correlation=weight) - 120.0
    kept = 1.0 - 2.0 * weight
    energy = kept**2 + 2.0 * weight**2
    assert noise.var() == pytest.approx((120.0 / 4.0 + 2.25) * energy**2, rel=0.03)
    neighbours = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / noise.var()
    assert neighbours == pytest.approx(2.0 * kept * weight / energy, rel=0.05)
    assert noise.mean() == pytest.approx(0.0, abs=0.1)


def test_pixels_above_saturation_are_cut_to_it() -> None:
    stamps = exposed(60_000.0, 100.0)
    assert (stamps == 40_000.0).all()


# Stamps


@given(magnitude=st.floats(14.0, 26.0), zp=st.floats(20.0, 28.0), exptime=st.floats(1.0, 600.0))
def test_counts_invert_equation_3_1(magnitude: float, zp: float, exptime: float) -> None:
    flux = counts(magnitude, zp, exptime)
    assert zp - 2.5 * np.log10(flux / exptime) == pytest.approx(magnitude)


def test_no_light_is_no_counts() -> None:
    assert counts(np.inf, 25.0, 86.0) == 0.0


def test_a_stars_flux_is_found_in_its_stamps() -> None:
    n = 400
    imager = Imager(EXACT, "train", "double_gaussian")
    cameras = np.repeat(camera_table(SURVEY.cameras)[:1], n)
    frames = epochs(n, zp=np.linspace(24.5, 25.2, n))
    stamps = imager.render(
        scenes(n, wander=1.0), cameras, np.arange(n), frames, np.full(n, 19.0), np.random.default_rng(2)
    )
    flux = (stamps - 120.0).sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(
        np.mean(frames["zp"] - 2.5 * np.log10(flux / frames["exptime"])), 19.0, atol=0.01
    )


def test_an_empty_stamp_is_sky() -> None:
    n = 300
    cameras = np.repeat(camera_table(SURVEY.cameras)[:1], n)
    sky = np.linspace(80.0, 600.0, n)
    stamps = Imager(EXACT, "train").render(
        scenes(n), cameras, np.arange(n), epochs(n, sky=sky), np.full(n, np.inf), np.random.default_rng(2)
    )
    np.testing.assert_allclose(np.median(stamps, axis=(1, 2)), sky, rtol=0.02)
    assert stamps.dtype == np.float32


def spread(exposures: int, objects: int, **scatter: ImageScatter) -> NDArray[np.float64]:
    """Logarithms of the flux of equal stars seen with a scatter, (objects, exposures), four a night."""
    n = objects * exposures
    owner = np.repeat(np.arange(objects), exposures)
    mjd = np.tile(57070.0 + np.arange(exposures) // 4 + 0.07 * (np.arange(exposures) % 4), objects)
    cameras = np.repeat(camera_table(SURVEY.cameras)[:1], objects)
    imager, rng = Imager(EXACT.model_copy(update=scatter), "train"), np.random.default_rng(11)
    none = np.full(objects, np.nan)
    scene = imager.compose(cameras, np.zeros(objects, bool), none, none, rng)
    stamps = imager.render(scene, cameras, owner, epochs(n, mjd=mjd), np.full(n, 17.5), rng)
    return np.log((stamps - 120.0).sum(axis=(1, 2), dtype=float)).reshape(objects, exposures)


def test_zero_points_are_off_by_night_and_by_exposure() -> None:
    error = ImageScatter(zero_point=0.1)
    by_exposure, by_night = spread(16, 40, exposure=error), spread(16, 40, night=error)
    size = 0.1 * np.log(10.0) / 2.5
    assert by_exposure.std(axis=1).mean() == pytest.approx(size, rel=0.1)
    nights = by_night.reshape(40, 4, 4)
    assert nights.std(axis=2).mean() < 0.1 * size
    assert nights.mean(axis=2).std() == pytest.approx(size, rel=0.25)
    assert spread(16, 40, place=error).std(axis=1).mean() < 0.1 * size


def test_widths_scatter_about_the_header_by_place_and_by_exposure() -> None:
    objects, exposures = 30, 12
    update = {"place": ImageScatter(fwhm=0.1), "exposure": ImageScatter(fwhm=0.05)}
    imager, rng = Imager(EXACT.model_copy(update=update), "train"), np.random.default_rng(12)
    cameras, none = np.repeat(camera_table(SURVEY.cameras)[:1], objects), np.full(objects, np.nan)
    scene = imager.compose(cameras, np.zeros(objects, bool), none, none, rng)
    owner = np.repeat(np.arange(objects), exposures)
    magnitudes = np.full(len(owner), 18.0)
    stamps = imager.render(scene, cameras, owner, epochs(len(owner)), magnitudes, rng)
    width = np.log([fit_gaussian(stamp - 120.0)[2] for stamp in stamps]).reshape(objects, exposures)
    assert np.median(width) == pytest.approx(np.log(SURVEY.fwhm(1.3) / 0.27), abs=0.05)
    assert width.mean(axis=1).std() == pytest.approx(0.1, rel=0.3)
    assert width.std(axis=1).mean() == pytest.approx(0.05, rel=0.2)


def test_ellipticities_of_departures_are_turned_and_sized_as_their_components() -> None:
    none, component = np.zeros(3), np.array([0.1, -0.1, 0.0])
    stretched = Departures(none, component, np.array([0.0, 0.0, 0.2]), none, none, none)
    np.testing.assert_allclose(stretched.axis_ratio, [0.9, 0.9, 0.8])
    np.testing.assert_allclose(stretched.angle, [0.0, np.pi / 2, np.pi / 4])
    np.testing.assert_allclose((stretched + stretched).e1, 2.0 * component)


def test_a_host_stays_where_it_is_while_the_seeing_changes() -> None:
    n = 40
    imager = Imager(EXACT, "train")
    host = int(np.argmin(np.abs(imager.hosts.magnitude - 19.5)))
    scene = scenes(1, host=host, host_magnitude=19.5, host_x=3.0, host_y=-2.0)
    stamps = imager.render(
        scene,
        camera_table(SURVEY.cameras)[:1],
        np.zeros(n, np.int64),
        epochs(n, seeing=np.linspace(0.8, 2.0, n)),
        np.full(n, np.inf),
        np.random.default_rng(4),
    )
    centres = np.array([fit_gaussian(stamp - 120.0)[:2] for stamp in stamps])
    np.testing.assert_allclose(centres, np.tile([3.0, -2.0], (n, 1)), atol=0.3)


def test_stamps_that_wander_fill_the_central_pixel_and_others_stay() -> None:
    n = 300
    imager, rng = Imager(EXACT, "train"), np.random.default_rng(6)
    owner = np.repeat([0, 1], n // 2)
    scene = scenes(2, wander=np.array([0.0, 1.0]), x=0.4)
    stamps = imager.render(scene, camera_table(SURVEY.cameras)[:2], owner, epochs(n), np.full(n, 17.5), rng)
    centres = np.array([fit_gaussian(stamp - 120.0)[:2] for stamp in stamps])
    np.testing.assert_allclose(centres[: n // 2], np.tile([0.4, 0.0], (n // 2, 1)), atol=0.05)
    np.testing.assert_allclose(centres[n // 2 :].std(axis=0), 1 / np.sqrt(12.0), rtol=0.15)
    assert np.abs(centres).max() < 0.55


def test_composing_gives_hosts_to_whom_they_belong() -> None:
    n, rng = 90, np.random.default_rng(8)
    imager = Imager(SURVEY, "valid")
    kind = np.arange(n) % 3  # a lone star, a supernova in a galaxy, a galaxy
    redshift = np.where(kind == 1, 0.2, np.nan)
    magnitude = np.where(kind == 2, 21.0, np.nan)
    cameras = rng.choice(camera_table(SURVEY.cameras), n)
    scene = imager.compose(cameras, kind == 1, redshift, magnitude, rng)
    assert (scene.host[kind == 0] == NO_HOST).all()
    assert np.isinf(scene.host_magnitude[kind == 0]).all()
    np.testing.assert_allclose(imager.hosts.redshift[scene.host[kind == 1]], 0.2, atol=0.02)
    np.testing.assert_array_equal(scene.host_magnitude[kind == 2], 21.0)
    assert (np.hypot(scene.host_x, scene.host_y)[kind == 2] == 0.0).all()
    assert (np.hypot(scene.host_x, scene.host_y)[kind == 1] > 0.0).all()
