"""Images: GalSim is the independent oracle for light, scipy's distributions for noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import galsim
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.stats import kstest, norm, poisson

from astroreel.images.crowd import Crowd
from astroreel.images.departures import Departures
from astroreel.images.detector import FEW_ELECTRONS, collect, read_out
from astroreel.images.galaxy import HOSTS, HostLibrary
from astroreel.images.gaussians import FWHM_OF_SIGMA, PIXEL_VARIANCE, STAMP_SIZE, Gaussians
from astroreel.images.noise import DeviceNoise, ObjectNoise
from astroreel.images.profiles import Family, moffat, sersic
from astroreel.images.psf import SHAPES, PsfLibrary, fitted_variance
from astroreel.images.stamps import NO_HOST, Imager, Scenes, counts
from astroreel.lightcurves.partition import Split
from astroreel.sequences.record import STAMP_SIZE as RECORD_STAMP_SIZE
from astroreel.survey.artefacts import Artefacts, Neighbours
from astroreel.survey.camera import CAMERA_DTYPE, camera_table
from astroreel.survey.conditions import EPOCH_DTYPE
from astroreel.survey.survey import ImageScatter, load_survey

SPLITS: tuple[Split, ...] = get_args(Split)
SURVEY = load_survey("hits")
NONE = ImageScatter()
#: HiTS with images that are just what the headers say.
EXACT = SURVEY.model_copy(
    update={
        "place": NONE,
        "night": NONE,
        "exposure": NONE,
        "sky_to_background": 1.0,
        "coma": (0.0, 0.0),
        "artefacts": Artefacts(),
    }
)
PIXSCALE = SURVEY.cameras[0].pixscale
Y, X = np.mgrid[:STAMP_SIZE, :STAMP_SIZE] - STAMP_SIZE // 2


def draw(profile: galsim.GSObject) -> NDArray[np.float64]:
    """GalSim's pixel integrals of a profile."""
    return profile.drawImage(nx=STAMP_SIZE, ny=STAMP_SIZE, scale=1.0, dtype=float).array


def tensor(values: ArrayLike) -> torch.Tensor:
    return torch.as_tensor(np.atleast_1d(np.asarray(values, float)))


def assert_drawn_alike(mine: Any, theirs: NDArray[np.float64]) -> None:
    """Pixels within 0.5 % of the peak, and the flux in the stamp within 0.3 %."""
    mine = np.asarray(mine, float)
    np.testing.assert_allclose(mine, theirs, rtol=0.0, atol=0.005 * theirs.max())
    assert mine.sum() == pytest.approx(theirs.sum(), rel=0.003)


def fit_gaussian(image: NDArray[Any]) -> list[float]:
    """Centre and FWHM [pixel] of the best round Gaussian without background."""

    def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return (p[0] * np.exp(-((X - p[1]) ** 2 + (Y - p[2]) ** 2) / (2.0 * p[3] ** 2)) - image).ravel()

    _, x, y, sigma = least_squares(residual, [image.max(), 0.0, 0.0, 2.0]).x
    return [x, y, abs(sigma) * FWHM_OF_SIGMA]


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
    rng = np.random.default_rng(0)
    columns["place"] = Departures.draw(n, NONE, rng)
    columns["crowd"] = Crowd.draw(Neighbours(), rows(n, CAMERA_DTYPE), rng)
    return Scenes(**columns)


def take(imager: Imager, scene: Scenes, cameras: Any, owner: Any, frames: Any, *rest: Any) -> Any:
    """The stamps of some frames with a noise of their own; the rest are magnitudes and a generator."""
    seen = imager.observe(scene, cameras, owner, frames, *rest)
    return imager.render(seen, object_noise(owner))


def object_noise(owner: NDArray[np.int64]) -> ObjectNoise:
    return ObjectNoise([np.random.default_rng([7, number]) for number in range(owner[-1] + 1)], owner)


def stars(
    family: Family, shape: Any, fwhm: ArrayLike, angle: ArrayLike = 0.0, ratio: ArrayLike = 1.0, **more: Any
) -> NDArray[np.float32]:
    """Point sources of unit flux, by default round ones at the centre."""
    shapes = torch.as_tensor(np.atleast_1d(shape))
    columns = {"x": 0.0, "y": 0.0, "wings": 0.0} | more
    x, y, wings, width, angles, ratios = (
        tensor(column).broadcast_to(shapes.shape) for column in (*columns.values(), fwhm, angle, ratio)
    )
    library = PsfLibrary(family, "train")
    return library.gaussians(shapes, width, angles, ratios, wings).render(x, y).numpy()


def test_a_stamp_has_the_size_that_the_record_asks_for() -> None:
    assert STAMP_SIZE == RECORD_STAMP_SIZE


# Point spread functions


@pytest.mark.parametrize("seeing", [0.8, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("beta", [3.0, 4.0, 5.5])
def test_a_star_is_galsims_moffat_profile(beta: float, seeing: float) -> None:
    flux, variance = moffat(np.array([beta]))
    axis_ratio, angle, x, y = 0.85, 0.6, 0.3, -0.2
    scale = seeing / PIXSCALE / FWHM_OF_SIGMA / np.sqrt(fitted_variance(flux, variance)[0])
    star = Gaussians.elliptical(
        torch.as_tensor(flux), torch.as_tensor(variance * scale**2 / axis_ratio), tensor(0.85), tensor(0.6)
    )
    mine = star.render(tensor(x), tensor(y))[0]
    profile = galsim.Moffat(beta=beta, scale_radius=scale).shear(q=axis_ratio, beta=angle * galsim.radians)
    theirs = draw(profile.shift(x, y))
    assert_drawn_alike(mine, theirs)
    np.testing.assert_allclose(fit_gaussian(mine.numpy()), fit_gaussian(theirs), rtol=0.005, atol=0.002)


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize("fwhm", [2.8, 3.5, 5.0, 7.0])
def test_the_width_of_a_star_is_what_a_gaussian_fit_gives(family: Family, fwhm: float) -> None:
    widths = np.array([fit_gaussian(star)[2] for star in stars(family, np.arange(0, SHAPES, 25), fwhm)])
    np.testing.assert_allclose(widths, fwhm, rtol=0.015)


@given(
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    fwhm=st.floats(2.5, 6.0),
    angle=st.floats(0.0, 6.3),
    shape=st.integers(0, SHAPES - 1),
)
@settings(deadline=None)
def test_a_star_has_unit_flux_at_its_centre(
    x: float, y: float, fwhm: float, angle: float, shape: int
) -> None:
    star = stars("double_gaussian", shape, fwhm, angle, x=x, y=y)[0].astype(float)
    assert star.sum() == pytest.approx(1.0, abs=0.05)  # the wings that fall outside
    near = np.hypot(X - x, Y - y) < 4.0
    centre = [np.average(axis[near], weights=star[near]) for axis in (X, Y)]
    np.testing.assert_allclose(centre, [x, y], atol=0.15)
    assert np.unravel_index(star.argmax(), star.shape) == pytest.approx((10, 10), abs=1)


def test_turning_a_point_spread_function_by_a_right_angle_swaps_its_axes() -> None:
    lying, standing = (stars("moffat", 3, 4.0, angle, 0.8)[0] for angle in (0.0, np.pi / 2))
    np.testing.assert_allclose(standing, lying.T, rtol=1e-4, atol=1e-9)
    assert lying[10, 14] > 1.2 * lying[14, 10]


@given(wings=st.floats(-1.0, 0.6), fwhm=st.floats(3.0, 6.0))
@settings(deadline=None, max_examples=30)
def test_stronger_wings_are_a_moffat_profile_of_smaller_beta(wings: float, fwhm: float) -> None:
    library, shape = PsfLibrary("moffat", "train"), 11
    mine = stars("moffat", shape, fwhm, wings=wings)[0]
    # Two neighbouring components that sample s^(beta - 1) exp(-s) give beta.
    rate = 1.0 / library.variance[2:4, shape]
    rate *= 1.75 / rate[0]
    slope = np.log(library.flux[2, shape] / library.flux[3, shape]) + rate[0] - rate[1]
    flux, variance = moffat(np.array([1.0 + slope / np.log(rate[0] / rate[1]) - wings]))
    width = (fwhm**2 / FWHM_OF_SIGMA**2 - PIXEL_VARIANCE) / fitted_variance(flux, variance)
    other = Gaussians.elliptical(
        torch.as_tensor(flux), torch.as_tensor(variance * width), tensor(1), tensor(0)
    )
    theirs = other.render(tensor(0.0), tensor(0.0))[0]
    np.testing.assert_allclose(mine, theirs, atol=0.01 * float(theirs.max()))


@pytest.mark.parametrize("family", get_args(Family))
def test_sets_share_no_point_spread_function(family: Family) -> None:
    libraries = [PsfLibrary(family, split) for split in SPLITS]
    assert len(np.unique(np.concatenate([library.names for library in libraries]))) == SHAPES * len(SPLITS)
    assert len(np.unique(np.concatenate([library.flux[0] for library in libraries]))) == (
        SHAPES * len(SPLITS)
    )


# Galaxies


def galsims_star(imager: Imager, frames: Any) -> galsim.GSObject:
    """The point spread function of the first frame as GalSim's sum of its Gaussians."""
    shape, width = frames.psf[0], (frames.fwhm[0] / FWHM_OF_SIGMA) ** 2 - PIXEL_VARIANCE
    return galsim.Sum(
        [
            galsim.Gaussian(sigma=np.sqrt(variance * width), flux=flux)
            for flux, variance in zip(imager.psfs.flux[:, shape], imager.psfs.variance[:, shape], strict=True)
        ]
    )


def galsims_host(hosts: HostLibrary, index: int, angle: float) -> galsim.GSObject:
    """Sersic profiles of n = 1 and n = 4 with the catalogue's sizes and shapes."""
    share = float(hosts.bulge_fraction[index])
    parts = []
    for n, part, flux in ((1, "disc", 1.0 - share), (4, "bulge", share)):
        ratio = float(getattr(hosts, f"{part}_axis_ratio")[index])
        # GalSim's shear keeps the area; here the half-light radius is that of the major axis.
        radius = getattr(hosts, f"{part}_radius")[index] / PIXSCALE * np.sqrt(ratio)
        profile = galsim.Sersic(n=n, half_light_radius=radius, flux=flux)
        parts.append(profile.shear(q=ratio, beta=angle * galsim.radians))
    return galsim.Sum(parts)


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99])
def test_a_star_in_a_galaxy_is_what_galsim_draws(quantile: float) -> None:
    imager = Imager(EXACT, "train", "moffat")
    index = int(np.argsort(imager.hosts.disc_radius)[int(quantile * HOSTS)])
    scene = scenes(1, host=index, host_magnitude=20.0, host_angle=1.1, host_x=1.7, host_y=-0.4, x=0.3, y=-0.2)
    for seeing in (0.8, 1.2, 1.9):
        frames = imager.observe(
            scene,
            camera_table(SURVEY.cameras)[:1],
            np.zeros(1, np.int64),
            epochs(1, seeing=seeing / SURVEY.fwhm(1.0)),
            np.array([21.0]),
            np.random.default_rng(0),
        )
        psf = galsims_star(imager, frames)
        galaxy = galsim.Convolve(galsims_host(imager.hosts, index, 1.1), psf)
        scene_light = psf.withFlux(frames.flux[0]).shift(0.3, -0.2)
        scene_light += galaxy.withFlux(frames.host_flux[0]).shift(2.0, -0.6)
        assert_drawn_alike(imager.light(frames)[0], draw(scene_light))


@pytest.mark.parametrize("index", [1, 2, 4])
@pytest.mark.parametrize("radius", [0.5, 1.5, 4.0, 10.0])
def test_a_sersic_profile_is_galsims(index: int, radius: float) -> None:
    sigma = np.geomspace(0.4, *{1: (40.0, 10), 2: (60.0, 9), 4: (150.0, 8)}[index])
    flux, variance = map(torch.as_tensor, sersic(index, np.array([radius]), sigma))
    profile = Gaussians.elliptical(flux, variance, tensor(0.7), tensor(0.4))
    mine = profile.broadened(tensor(1.5**2)).render(tensor(0.1), tensor(-0.3))[0]
    theirs = galsim.Sersic(n=index, half_light_radius=radius * np.sqrt(0.7))
    seen = galsim.Convolve(theirs.shear(q=0.7, beta=0.4 * galsim.radians), galsim.Gaussian(sigma=1.5))
    assert_drawn_alike(mine, draw(seen.shift(0.1, -0.3)))


def test_a_convolution_multiplies_fluxes_and_adds_variances() -> None:
    one = Gaussians.elliptical(tensor([1.0])[None], tensor([4.0])[None], tensor(0.5), tensor(0.3))
    other = Gaussians.elliptical(tensor([5.0])[None], tensor([2.0])[None], tensor(0.8), tensor(2.0))
    both = one.convolve(other)
    assert both.flux.item() == 5.0
    assert both.xy.item() == pytest.approx(one.xy.item() + other.xy.item())
    assert (both.xx + both.yy).item() == pytest.approx(4.0 * 1.25 + 2.0 * 1.64)


def test_merging_components_keeps_flux_and_variance() -> None:
    flux, variance = tensor([1.0, 2.0, 3.0, 4.0])[:, None], tensor([1.0, 2.0, 4.0, 8.0])[:, None]
    whole = Gaussians.elliptical(flux, variance, tensor(0.6), tensor(1.0))
    merged = whole.merge_after(2)
    assert merged.flux[:, 0].tolist() == [1.0, 9.0]
    for name in ("xx", "xy", "yy"):
        energy = [(one.flux * getattr(one, name)).sum().item() for one in (whole, merged)]
        assert energy[0] == pytest.approx(energy[1])
    assert whole.merge_after(9) is whole


def test_a_galaxy_is_chosen_near_the_redshift_or_the_magnitude_asked_for() -> None:
    hosts, rng = HostLibrary("test", PIXSCALE), np.random.default_rng(1)
    redshift, magnitude = rng.uniform(0.1, 0.5, 200), rng.uniform(19.0, 24.0, 200)
    np.testing.assert_allclose(hosts.redshift[hosts.near("redshift", redshift, rng)], redshift, atol=0.02)
    np.testing.assert_allclose(hosts.magnitude[hosts.near("magnitude", magnitude, rng)], magnitude, atol=0.25)


def test_a_distant_galaxy_is_smaller_and_fainter() -> None:
    hosts = HostLibrary("train", PIXSCALE)
    near, far = hosts.redshift < 0.2, hosts.redshift > 0.5
    assert np.median(hosts.disc_radius[near]) > 1.5 * np.median(hosts.disc_radius[far])
    assert np.median(hosts.magnitude[far]) - np.median(hosts.magnitude[near]) > 2.0


def test_transients_follow_the_light_of_the_disc() -> None:
    hosts, n, pixscale = HostLibrary("train", PIXSCALE), 20_000, np.full(20_000, 0.27)
    host, angle = np.full(n, 7), np.full(n, 0.8)
    x, y = hosts.offset(host, angle, pixscale, np.random.default_rng(3))
    along, across = x * np.cos(0.8) + y * np.sin(0.8), y * np.cos(0.8) - x * np.sin(0.8)
    radius = np.hypot(along, across / hosts.disc_axis_ratio[7]) * 0.27
    assert np.median(radius) == pytest.approx(hosts.disc_radius[7], rel=0.03)  # half of the light
    assert np.mean(x) == pytest.approx(0.0, abs=0.2)


def test_sets_share_no_galaxy() -> None:
    libraries = [HostLibrary(split, PIXSCALE) for split in SPLITS]
    assert len(np.unique(np.concatenate([library.names for library in libraries]))) == HOSTS * len(SPLITS)
    assert len(np.unique(np.concatenate([library.magnitude for library in libraries]))) == HOSTS * len(SPLITS)


def test_a_library_is_the_same_whenever_it_is_made() -> None:
    np.testing.assert_array_equal(
        HostLibrary("train", PIXSCALE).disc_radius, HostLibrary("train", PIXSCALE).disc_radius
    )
    np.testing.assert_array_equal(PsfLibrary("moffat", "test").flux, PsfLibrary("moffat", "test").flux)


# Detector


def exposed(light: float, sky: float, n: int = 400, seed: int = 5) -> NDArray[np.float64]:
    """Flat stamps at a gain of 4 and a read noise of 6."""
    expected = torch.full((n, STAMP_SIZE, STAMP_SIZE), 4.0 * (light + sky))
    noise = ObjectNoise([np.random.default_rng([seed, i]) for i in range(n)], np.arange(n))
    rdnoise, gain, saturate = (torch.full((n, 1, 1), value) for value in (6.0, 4.0, 40_000.0))
    return read_out(collect(expected, rdnoise, noise, slice(0, n)), gain, saturate).numpy().astype(float)


@pytest.mark.parametrize(
    ("light", "sky"), [(0.0, 3.0), (0.0, 22.0), (0.0, 120.0), (900.0, 120.0), (8_000.0, 600.0)]
)
def test_the_variance_is_that_of_electrons_and_of_reading(light: float, sky: float) -> None:
    stamps = exposed(light, sky)
    expected = (light + sky) / 4.0 + (6.0 / 4.0) ** 2 + 1.0 / 12.0  # and of rounding
    assert np.sqrt(2.0 / stamps.size) < 0.005  # the standard error of the measured variance
    assert stamps.var() == pytest.approx(expected, rel=0.02)
    assert stamps.mean() == pytest.approx(light + sky, abs=5.0 * np.sqrt(expected / stamps.size))


@pytest.mark.parametrize("mean", [FEW_ELECTRONS, 300.0, 5_000.0])
@pytest.mark.parametrize("rdnoise", [3.0, 9.0])
def test_many_electrons_are_distributed_as_poisson_and_read_noise(mean: float, rdnoise: float) -> None:
    n = 300
    noise = ObjectNoise([np.random.default_rng([3, i]) for i in range(n)], np.arange(n))
    shape = (n, STAMP_SIZE, STAMP_SIZE)
    drawn = (
        collect(torch.full(shape, mean), torch.full((n, 1, 1), rdnoise), noise, slice(0, n)).numpy().ravel()
    )
    electrons = np.arange(poisson.ppf(1e-9, mean), poisson.ppf(1.0 - 1e-9, mean) + 1)
    weight = poisson.pmf(electrons, mean)
    grid = np.linspace(drawn.min(), drawn.max(), 2_000)
    cumulative = norm.cdf((grid[:, None] - electrons) / rdnoise) @ weight
    # No difference that a hundred thousand pixels show: the series leaves out the fourth cumulant.
    assert kstest(drawn, lambda x: np.interp(x, grid, cumulative)).pvalue > 1e-3
    centred = drawn.astype(float) - mean
    sigma = np.sqrt(mean + rdnoise**2)
    assert np.mean(centred**3) / sigma**3 == pytest.approx(
        mean / sigma**3, abs=5.0 * np.sqrt(15.0 / drawn.size)
    )


def test_few_electrons_are_counted() -> None:
    n, mean = 300, 2.0
    noise = ObjectNoise([np.random.default_rng([4, i]) for i in range(n)], np.arange(n))
    drawn = collect(
        torch.full((n, STAMP_SIZE, STAMP_SIZE), mean), torch.zeros((n, 1, 1)), noise, slice(0, n)
    ).numpy()
    counts, expected = np.bincount(drawn.ravel().astype(int), minlength=12)[:12], drawn.size
    assert (drawn == np.round(drawn)).all()
    np.testing.assert_allclose(counts, expected * poisson.pmf(np.arange(12), mean), atol=5.0 * expected**0.5)


def test_noise_of_pixels_is_independent() -> None:
    noise = exposed(0.0, 120.0) - 120.0
    for shifted in (noise[:, 1:] * noise[:, :-1], noise[:, :, 1:] * noise[:, :, :-1], noise[1:] * noise[:-1]):
        assert shifted.mean() / noise.var() == pytest.approx(0.0, abs=0.02)


def test_whole_numbers_are_read_up_to_saturation() -> None:
    assert (exposed(60_000.0, 100.0) == 40_000.0).all()
    faint = exposed(0.0, 3.0)
    assert (faint == np.round(faint)).all()
    bad = torch.full((1, 1, 1), torch.nan)
    assert read_out(bad, torch.ones(1, 1, 1), torch.ones(1, 1, 1)).isnan().all()


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
    stamps = take(
        imager,
        scenes(n, wander=1.0),
        cameras,
        np.arange(n),
        frames,
        np.full(n, 19.0),
        np.random.default_rng(2),
    )
    flux = (stamps - 120.0).sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(
        np.mean(frames["zp"] - 2.5 * np.log10(flux / frames["exptime"])), 19.0, atol=0.01
    )


def test_an_empty_stamp_is_sky() -> None:
    n = 300
    cameras = np.repeat(camera_table(SURVEY.cameras)[:1], n)
    sky = np.linspace(80.0, 600.0, n)
    stamps = take(
        Imager(EXACT, "train"),
        scenes(n),
        cameras,
        np.arange(n),
        epochs(n, sky=sky),
        np.full(n, np.inf),
        np.random.default_rng(2),
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
    stamps = take(imager, scene, cameras, owner, epochs(n, mjd=mjd), np.full(n, 17.5), rng)
    return np.log((stamps - 120.0).sum(axis=(1, 2), dtype=float)).reshape(objects, exposures)


def test_zero_points_are_off_by_night_and_by_exposure() -> None:
    error = ImageScatter(zero_point=0.1)
    by_exposure, by_night = spread(16, 40, exposure=error), spread(16, 40, night=error)
    size = 0.1 * np.log(10.0) / 2.5
    assert by_exposure.std(axis=1, ddof=1).mean() == pytest.approx(size, rel=0.1)
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
    stamps = take(imager, scene, cameras, owner, epochs(len(owner)), magnitudes, rng)
    width = np.log([fit_gaussian(stamp - 120.0)[2] for stamp in stamps]).reshape(objects, exposures)
    assert np.median(width) == pytest.approx(np.log(SURVEY.fwhm(1.3) / 0.27), abs=0.05)
    assert width.mean(axis=1).std() == pytest.approx(0.1, rel=0.3)
    assert width.std(axis=1).mean() == pytest.approx(0.05, rel=0.2)


def test_ellipticities_of_departures_are_turned_and_sized_as_their_components() -> None:
    none = Departures.draw(3, NONE, np.random.default_rng(0))
    stretched = replace(none, e1=np.array([0.1, -0.1, 0.0]), e2=np.array([0.0, 0.0, 0.2]))
    np.testing.assert_allclose(stretched.axis_ratio, [0.9, 0.9, 0.8])
    np.testing.assert_allclose(stretched.angle, [0.0, np.pi / 2, np.pi / 4])
    np.testing.assert_allclose((stretched + stretched).e1, 2.0 * stretched.e1)


@pytest.mark.parametrize("rate", [17.0, 35.0, 64.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.4])
def test_what_moves_leaves_galsims_trail(rate: float, angle: float) -> None:
    """The asteroids of HiTS 2015 move by 17 to 64 arcsec/h: by 0.4 to 1.5 arcsec in 86 s."""
    imager = Imager(EXACT, "train", "moffat")
    frames = imager.observe(
        scenes(1, motion=rate, motion_angle=angle, x=0.2, y=0.1),
        camera_table(SURVEY.cameras)[:1],
        np.zeros(1, np.int64),
        epochs(1, seeing=1.0),
        np.array([20.0]),
        np.random.default_rng(0),
    )
    assert frames.trail[0] == pytest.approx(rate / 3600.0 * 86.0 / PIXSCALE)
    # A rectangle of a thousandth of a pixel across: GalSim has no line.
    trail = galsim.Box(frames.trail[0], 1e-3).rotate(angle * galsim.radians)
    parameters = galsim.GSParams(maximum_fft_size=20_000)
    theirs = galsim.Convolve(trail, galsims_star(imager, frames), gsparams=parameters)
    assert_drawn_alike(imager.light(frames)[0], draw(theirs.withFlux(frames.flux[0]).shift(0.2, 0.1)))


def test_neighbours_stay_beside_their_source() -> None:
    survey = EXACT.model_copy(update={"artefacts": Artefacts(neighbours=Neighbours(density=200.0))})
    imager, n, rng = Imager(survey, "train"), 60, np.random.default_rng(9)
    cameras, none = np.repeat(camera_table(SURVEY.cameras)[:1], n), np.full(n, np.nan)
    scene = imager.compose(cameras, np.zeros(n, bool), none, none, rng)
    owner = np.repeat(np.arange(n), 3)
    frames = imager.observe(scene, cameras, owner, epochs(3 * n), np.full(3 * n, np.inf), rng)
    light = imager.light(frames)
    alone = np.bincount(scene.crowd.owner, minlength=n) == 0
    assert (light[np.flatnonzero(alone[owner])] == 0.0).all()
    place = scene.crowd
    seen = (np.hypot(place.x, place.y) < 8.0) & (np.bincount(place.owner, minlength=n)[place.owner] == 1)
    for index in np.flatnonzero(seen & (place.sigma == 0.0)):
        for frame in np.flatnonzero(owner == place.owner[index]):
            x, y, _ = fit_gaussian(light[frame].numpy())
            assert x == pytest.approx(frames.x[frame] + place.x[index], abs=0.1)
            assert y == pytest.approx(frames.y[frame] + place.y[index], abs=0.1)


def test_a_host_stays_where_it_is_while_the_seeing_changes() -> None:
    n = 40
    imager = Imager(EXACT, "train")
    host = int(np.argmin(np.abs(imager.hosts.magnitude - 19.5)))
    scene = scenes(1, host=host, host_magnitude=19.5, host_x=3.0, host_y=-2.0)
    stamps = take(
        imager,
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
    stamps = take(imager, scene, camera_table(SURVEY.cameras)[:2], owner, epochs(n), np.full(n, 17.5), rng)
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


# Bytes


def observed(n: int) -> tuple[Imager, Any]:
    """Frames with everything in them: hosts, trails, neighbours, artefacts, low and high levels."""
    artefacts = Artefacts(
        neighbours=Neighbours(density=60.0), resampled=0.5, bleeding=0.8, cosmic_rays=0.3, gradient=0.002
    )
    imager = Imager(SURVEY.model_copy(update={"artefacts": artefacts}), "train")
    rng = np.random.default_rng(21)
    cameras, unknown = rng.choice(camera_table(SURVEY.cameras), n), np.full(n, np.nan)
    scene = imager.compose(
        cameras, np.arange(n) % 2 == 0, unknown, unknown, rng, np.arange(n) % 3 * 30.0, 0.5
    )
    owner = np.repeat(np.arange(n), np.arange(n) % 5 + 6)
    sky = np.where(owner % 4 == 0, 15.0, 120.0)
    mjd = 57_070.0 + np.arange(len(owner)) / 3.0
    magnitudes = rng.uniform(15.0, 24.0, len(owner))
    return imager, imager.observe(
        scene, cameras, owner, epochs(len(owner), sky=sky, mjd=mjd), magnitudes, rng
    )


def test_stamps_are_the_same_bytes_however_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    imager, frames = observed(41)
    whole = imager.render(frames, object_noise(frames.owner))
    few = frames.first(int(np.searchsorted(frames.owner, 1)))
    assert imager.render(few, object_noise(few.owner)).tobytes() == whole[: len(few)].tobytes()
    for size in (1, 7, 512):
        monkeypatch.setattr("astroreel.images.gaussians._CPU_BLOCK", size)
        assert imager.render(frames, object_noise(frames.owner)).tobytes() == whole.tobytes()


def test_stamps_are_the_same_bytes_whatever_the_number_of_threads() -> None:
    imager, frames = observed(60)
    threads, stamps = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            stamps.append(imager.render(frames, object_noise(frames.owner)).tobytes())
    finally:
        torch.set_num_threads(threads)
    assert stamps[0] == stamps[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_what_a_cpu_draws() -> None:
    imager, frames = observed(200)
    np.testing.assert_allclose(imager.light(frames, "cuda").cpu(), imager.light(frames), rtol=1e-4, atol=1e-2)
    stamps = [
        imager.render(frames, DeviceNoise(torch.Generator("cuda").manual_seed(1)), "cuda") for _ in range(2)
    ]
    assert stamps[0].tobytes() == stamps[1].tobytes()
    residual = (stamps[0] - imager.render(frames, object_noise(frames.owner)))[:, :2]
    assert np.isfinite(residual).all()
