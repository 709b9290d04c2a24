"""The simulator beside GalSim: stamps a second on one core, noise included, and how alike they are.

    python benchmarks/bench_simulate.py [number of stamps]

Rates are per second of processor time, the best of some runs, one thread each. GalSim draws the same kinds of
scenes with its default accuracy, one stamp after the other as it is made to, with nothing recomputed that it
can keep: a point spread function of an exposure's width, and for hosts a Sersic disc and bulge of the same
catalogue convolved with it. It is timed with a Moffat profile, the usual one, and with Kolmogorov's, which it
draws fastest.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import galsim
import numpy as np
import torch
from numpy.typing import NDArray
from record import record

from astroreel.images.frames import Frames
from astroreel.images.gaussians import FWHM_OF_SIGMA, PIXEL_VARIANCE, STAMP_SIZE
from astroreel.images.noise import DeviceNoise, ObjectNoise
from astroreel.images.stamps import Imager, counts
from astroreel.sequences.simulate import BLOCK, SimulationConfig, Simulator
from astroreel.survey.artefacts import Artefacts
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import EPOCH_DTYPE
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import ImageScatter, load_survey

SURVEY = load_survey("hits")
CLEAN = SURVEY.model_copy(update={"artefacts": Artefacts()})
PLAIN = {"place": ImageScatter(), "night": ImageScatter(), "exposure": ImageScatter(), "coma": (0.0, 0.0)}
#: What GalSim can draw too: no departures from the headers, no artefacts.
EXACT = CLEAN.model_copy(update=PLAIN)
PIXSCALE = SURVEY.cameras[0].pixscale
EPOCHS_PER_OBJECT = 20
THESIS_RATE = 255.0  # stamps a second of the thesis's simulator in one process

Figures = dict[str, float | str]


def exposures(n: int, rng: np.random.Generator) -> NDArray[np.void]:
    """``n`` rows of HiTS conditions of good seeing under the median sky."""
    rows = generate_conditions(SURVEY, 20, rng).max_seeing(SURVEY.max_seeing).rows
    chosen = rng.choice(rows, n)[list(EPOCH_DTYPE.names or ())].astype(EPOCH_DTYPE)
    chosen["sky"] = np.median(rows["sky"])
    return chosen


def observed(imager: Imager, n: int, hosted: bool) -> Frames:
    """``n`` frames of objects with 20 each."""
    rng = np.random.default_rng(1)
    objects = n // EPOCHS_PER_OBJECT
    cameras, unknown = rng.choice(camera_table(SURVEY.cameras), objects), np.full(objects, np.nan)
    scenes = imager.compose(cameras, np.full(objects, hosted), unknown, unknown, rng)
    owner = np.repeat(np.arange(objects), EPOCHS_PER_OBJECT)
    return imager.observe(
        scenes, cameras, owner, exposures(len(owner), rng), rng.uniform(18, 23, len(owner)), rng
    )


def drawn_here(imager: Imager, n: int, hosted: bool) -> Callable[[], object]:
    """A call that makes ``n`` stamps, seeding the objects' noise included."""
    frames = observed(imager, n, hosted)

    def call() -> None:
        seeds = np.random.SeedSequence(1).spawn(n // EPOCHS_PER_OBJECT)
        imager.render(frames, ObjectNoise([np.random.default_rng(seed) for seed in seeds], frames.owner))

    return call


def drawn_by_galsim(
    imager: Imager, n: int, hosted: bool, psf: Callable[[float], Any]
) -> Callable[[], object]:
    """A call that makes ``n`` stamps of the same kind, one after the other."""
    camera, deviate = SURVEY.cameras[0], galsim.BaseDeviate(1)
    epochs = exposures(n, np.random.default_rng(1))
    widths = SURVEY.fwhm(epochs["seeing"]) / PIXSCALE

    def call() -> None:
        for index, (epoch, width) in enumerate(zip(epochs, widths, strict=True)):
            star = psf(width).shear(q=0.95, beta=index * galsim.radians)
            scene = star.withFlux(float(counts(20.0, epoch["zp"], epoch["exptime"]))).shift(0.2, -0.3)
            if hosted:
                flux = float(counts(21.0, epoch["zp"], epoch["exptime"]))
                galaxy = host(imager, index % len(imager.hosts), 1.0)
                scene += galsim.Convolve(galaxy.withFlux(flux).shift(2.0, 1.0), star)
            image = scene.drawImage(nx=STAMP_SIZE, ny=STAMP_SIZE, scale=1.0)
            image.addNoise(galsim.CCDNoise(deviate, float(epoch["sky"]), camera.gain, camera.rdnoise))

    return call


def host(imager: Imager, index: int, angle: float) -> galsim.GSObject:
    """A galaxy of the catalogue: Sersic profiles of n = 1 and n = 4, of unit flux."""
    share = float(imager.hosts.bulge_fraction[index])
    parts = []
    for n, part, flux in ((1, "disc", 1.0 - share), (4, "bulge", share)):
        ratio = float(getattr(imager.hosts, f"{part}_axis_ratio")[index])
        # GalSim's shear keeps the area; here the half-light radius is that of the major axis.
        radius = getattr(imager.hosts, f"{part}_radius")[index] / PIXSCALE * np.sqrt(ratio)
        profile = galsim.Sersic(n=n, half_light_radius=radius, flux=flux)
        parts.append(profile.shear(q=ratio, beta=angle * galsim.radians))
    return galsim.Sum(parts)


def noise_alone(n: int, level: float) -> Callable[[], object]:
    """A call that draws Poisson and read noise of ``n`` stamps with numpy, and nothing else."""
    rng, electrons = np.random.default_rng(1), np.full((n, STAMP_SIZE, STAMP_SIZE), level)
    return lambda: (rng.poisson(electrons), rng.standard_normal(electrons.shape, dtype=np.float32))


def rate(call: Callable[[], object], n: int, repeats: int = 5) -> float:
    """Stamps a second of processor time, the best of some runs."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return n / min(seconds)


def speed(n: int) -> Iterator[tuple[str, float]]:
    """Rates and their ratios, all without artefacts, which GalSim does not draw; last what those cost."""
    imager = Imager(CLEAN, "train")
    sky = float(np.median(exposures(2000, np.random.default_rng(1))["sky"]) * SURVEY.cameras[0].gain)
    limit = rate(noise_alone(1000, sky), 1000)
    yield "noise alone with numpy [stamps/s]", limit
    for kind, hosted, peer_n in (
        ("stars", False, max(n // 40, 20)),
        ("stars in hosts", True, max(n // 100, 20)),
    ):
        mine = rate(drawn_here(imager, n, hosted), n)
        yield f"{kind} [stamps/s]", mine
        yield f"{kind}: over noise alone", mine / limit
        yield f"{kind}: over the thesis's 255/s", mine / THESIS_RATE
        for name, psf in (
            ("Moffat", lambda width: galsim.Moffat(beta=4.0, fwhm=width)),
            ("Kolmogorov", lambda width: galsim.Kolmogorov(fwhm=width)),
        ):
            theirs = rate(drawn_by_galsim(imager, peer_n, hosted, psf), peer_n, repeats=3)
            yield f"GalSim, {kind}, {name} [stamps/s]", theirs
            yield f"{kind}: over GalSim's, {name}", mine / theirs
        with_all = rate(drawn_here(Imager(SURVEY, "train"), n, hosted), n)
        yield f"{kind}, with the artefacts of HiTS [stamps/s]", with_all


def whole() -> Iterator[tuple[str, float]]:
    """All seven classes, light curves included."""
    conditions = generate_conditions(SURVEY, 50, np.random.default_rng(2))
    simulator = Simulator(SURVEY, conditions, "train", SimulationConfig())
    stamps = len(simulator.block(0).stamps)
    seconds = BLOCK / rate(lambda: simulator.block(0), BLOCK)
    yield "seven classes, light curves included [sequences/s]", BLOCK / seconds
    yield "seven classes, light curves included [stamps/s]", stamps / seconds


def gpu(n: int) -> Iterator[tuple[str, float]]:
    """Stamps a second of elapsed time on a GPU."""
    imager = Imager(SURVEY, "train")
    for kind, hosted in (("stars", False), ("stars in hosts", True)):
        frames = observed(imager, n, hosted)
        noise = DeviceNoise(torch.Generator("cuda").manual_seed(1))
        imager.render(frames, noise, "cuda")
        torch.cuda.synchronize()
        start = time.perf_counter()
        imager.render(frames, noise, "cuda")
        torch.cuda.synchronize()
        yield f"{kind}, GPU [stamps/s]", n / (time.perf_counter() - start)


def likeness() -> Iterator[tuple[str, float]]:
    """Largest departures from GalSim drawing the same scenes without noise."""
    imager = Imager(EXACT, "train")
    order = np.argsort(imager.hosts.disc_radius)
    galaxies = order[(np.linspace(0.01, 0.99, 15) * len(order)).astype(int)]
    for kind, hosts in (("stars", [None]), ("stars in hosts", galaxies)):
        pixels, fluxes = zip(
            *(departure(imager, seeing, host) for seeing in (0.8, 1.3, 2.0) for host in hosts), strict=True
        )
        yield f"{kind}: largest error of a pixel [share of the peak]", max(pixels)
        yield f"{kind}: largest error of the flux [share]", max(fluxes)


def departure(imager: Imager, fwhm: float, index: int | None) -> tuple[float, float]:
    """Errors of a star of a width [arcsec], in a galaxy if any, with subpixel shifts."""
    rng, unknown = np.random.default_rng(1), np.full(1, np.nan)
    cameras, epochs = camera_table(SURVEY.cameras)[:1], exposures(1, rng)
    scenes = imager.compose(cameras, np.array([index is not None]), unknown, unknown, rng)
    if index is not None:
        scenes.host[:] = index
    scenes.host_magnitude[:] = np.inf if index is None else 20.0
    frames = imager.observe(scenes, cameras, np.zeros(1, np.int64), epochs, np.array([21.0]), rng)
    frames.fwhm[:] = fwhm / PIXSCALE
    width = (frames.fwhm[0] / FWHM_OF_SIGMA) ** 2 - PIXEL_VARIANCE
    tables = (table[:, frames.psf[0]] for table in (imager.psfs.flux, imager.psfs.variance))
    psf = galsim.Sum(
        [galsim.Gaussian(sigma=np.sqrt(v * width), flux=f) for f, v in zip(*tables, strict=True)]
    )
    scene = psf.withFlux(frames.flux[0]).shift(frames.x[0], frames.y[0])
    if index is not None:
        galaxy = galsim.Convolve(host(imager, index, scenes.host_angle[0]), psf)
        scene += galaxy.withFlux(frames.host_flux[0]).shift(frames.host_x[0], frames.host_y[0])
    theirs = scene.drawImage(nx=STAMP_SIZE, ny=STAMP_SIZE, scale=1.0, dtype=float).array
    mine = imager.light(frames)[0].numpy().astype(float)
    return float(np.abs(mine - theirs).max() / theirs.max()), float(abs(mine.sum() / theirs.sum() - 1.0))


def main(n: int = 8_000) -> None:
    torch.set_num_threads(1)
    figures: Figures = {"threads": 1.0, "stamps": float(n)}
    parts = [speed(n), whole(), likeness(), *([gpu(100 * n)] if torch.cuda.is_available() else [])]
    for name, value in (figure for part in parts for figure in part):
        figures[name] = value
        print(f"{name:60s} {value:12,.4g}" if value < 100 else f"{name:60s} {value:12,.0f}", flush=True)
    record("simulator", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
