"""How many stamps a second one core makes, noise included, beside GalSim in the same run.

Run: python benchmarks/bench_simulate.py [number of stamps]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable

import galsim
import numpy as np
from numpy.typing import NDArray

from astroreel.images.galaxy import HostLibrary
from astroreel.images.stamps import Imager, Scenes, counts
from astroreel.sequences.simulate import SimulationConfig, simulate
from astroreel.survey.camera import camera_table
from astroreel.survey.conditions import EPOCH_DTYPE
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey

SURVEY = load_survey("hits")
EPOCHS_PER_OBJECT = 20
BETA = 4.0


def exposures(n: int, rng: np.random.Generator) -> NDArray[np.void]:
    """``n`` rows of HiTS conditions."""
    rows = generate_conditions(SURVEY, 20, rng).rows
    return rng.choice(rows, n)[list(EPOCH_DTYPE.names or ())].astype(EPOCH_DTYPE)


def ours(n: int, hosted: bool, rng: np.random.Generator) -> Callable[[], object]:
    """A call that renders ``n`` stamps in sequences."""
    imager = Imager(SURVEY, "train")
    n_objects = n // EPOCHS_PER_OBJECT
    cameras = rng.choice(camera_table(SURVEY.cameras), n_objects)
    nothing = np.full(n_objects, np.nan)
    scenes: Scenes = imager.compose(cameras, np.full(n_objects, hosted), nothing, nothing, rng)
    owner = np.repeat(np.arange(n_objects), EPOCHS_PER_OBJECT)
    epochs, magnitudes = exposures(len(owner), rng), rng.uniform(18.0, 23.0, len(owner))
    return lambda: imager.render(scenes, cameras, owner, epochs, magnitudes, rng)


def galsims(n: int, hosted: bool, rng: np.random.Generator) -> Callable[[], object]:
    """A call that renders ``n`` stamps of the same kind with GalSim, one after the other."""
    hosts, epochs = HostLibrary("train"), exposures(n, rng)
    camera = SURVEY.cameras[0]
    deviate = galsim.BaseDeviate(1)

    def host(index: int) -> galsim.GSObject:
        pixel, share = camera.pixscale, float(hosts.bulge_fraction[index])
        disc = galsim.Exponential(half_light_radius=hosts.disc_radius[index] / pixel, flux=1.0 - share)
        bulge = galsim.DeVaucouleurs(half_light_radius=hosts.bulge_radius[index] / pixel, flux=share)
        return disc.shear(q=hosts.disc_axis_ratio[index], beta=1.0 * galsim.radians) + bulge

    def run() -> None:
        for index, epoch in enumerate(epochs):
            fwhm = epoch["seeing"] * SURVEY.seeing_to_fwhm / camera.pixscale
            psf = galsim.Moffat(beta=BETA, fwhm=fwhm).shear(q=0.9, beta=index * galsim.radians)
            scene = psf.withFlux(float(counts(20.0, epoch["zp"], epoch["exptime"]))).shift(0.2, -0.3)
            if hosted:
                flux = float(counts(21.0, epoch["zp"], epoch["exptime"]))
                scene += galsim.Convolve(host(index % len(hosts)).withFlux(flux).shift(2.0, 1.0), psf)
            image = scene.drawImage(nx=21, ny=21, scale=1.0)
            image.addNoise(galsim.CCDNoise(deviate, float(epoch["sky"]), camera.gain, camera.rdnoise))

    return run


def rate(call: Callable[[], object], n: int, repeats: int = 3) -> float:
    """Stamps a second, the best of some runs."""
    return max(n / elapsed(call) for _ in range(repeats))


def elapsed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(n: int = 20_000) -> None:
    for kind, hosted in (("stars", False), ("stars in hosts", True)):
        rng = np.random.default_rng(1)
        mine = rate(ours(n, hosted, rng), n)
        peer_n = max(n // 100, 20)
        theirs = rate(galsims(peer_n, hosted, rng), peer_n)
        print(f"{kind:15s} astroreel {mine:8,.0f}/s   GalSim {theirs:7,.0f}/s   ratio {mine / theirs:6.1f}")
    conditions = generate_conditions(SURVEY, 50, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    n_objects = max(n // 10, 7)

    def whole() -> int:
        config = SimulationConfig()
        return len(simulate(SURVEY, conditions, n_objects, "train", config, rng).stamps)

    whole()  # reads the light-curve tables
    start = time.perf_counter()
    made = whole()
    seconds = time.perf_counter() - start
    print(f"all seven classes, light curves included: {made / seconds:,.0f}/s, ", end="")
    print(f"{n_objects / seconds:,.0f} sequences/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
