"""The shapes of real stars: the atmosphere's wings, and what the optics add to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from astroreel.images.gaussians import FWHM_OF_SIGMA, Gaussians
from astroreel.images.psf import Aberrations, PsfLibrary
from astroreel.survey.survey import ImageScatter

LIBRARY = PsfLibrary("atmospheric", "train")
SHAPE = 3
GRID = torch.arange(21, dtype=torch.float64) - 10


def tensors(*values: float) -> list[Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


def star(coma: float = 0.0, twist: float = 0.0, fwhm: float = 4.0, axis_ratio: float = 1.0) -> Gaussians:
    shape = torch.tensor([SHAPE])
    optics = Aberrations(*tensors(coma, 0.0, twist, 0.0))
    return LIBRARY.gaussians(shape, *tensors(fwhm, 0.3, axis_ratio, 0.0), optics)


def image(mixture: Gaussians) -> Tensor:
    return mixture.render(*tensors(0.0, 0.0))[0].double()


def windowed(stamp: Tensor, i: int, j: int) -> float:
    """Moment x^i y^j under a round Gaussian, over the light under it."""
    window = torch.exp(-0.5 * (GRID[:, None] ** 2 + GRID**2) / (4.0 / FWHM_OF_SIGMA) ** 2)
    weighted = stamp * window
    return float((weighted * GRID**i * GRID[:, None] ** j).sum() / weighted.sum())


def test_no_aberration_leaves_an_elliptical_star() -> None:
    plain = LIBRARY.gaussians(torch.tensor([SHAPE]), *tensors(4.0, 0.3, 0.8, 0.0))
    torch.testing.assert_close(image(star(axis_ratio=0.8)), image(plain), rtol=0, atol=1e-7)


def test_aberrations_keep_the_flux() -> None:
    assert image(star(0.5, 0.4)).sum().item() == pytest.approx(image(star()).sum().item(), abs=2e-3)


def test_a_shift_of_the_wings_is_a_coma() -> None:
    """Of round components, the third moments along and across a coma are 3 to 1, but for the shift's cube."""
    mixture = star(coma=0.3)
    flux, off = mixture.flux, mixture.x - (mixture.flux * mixture.x).sum()
    along, across = (flux * (off**3 + 3.0 * mixture.xx * off)).sum(), (flux * mixture.yy * off).sum()
    assert across > 0.1
    assert along.item() == pytest.approx(3.0 * across.item(), rel=0.05)
    assert not mixture.y.any()


def test_a_shift_of_elliptic_wings_is_a_trefoil_too() -> None:
    def trefoil(stamp: Tensor) -> float:
        return windowed(stamp, 3, 0) - 3.0 * windowed(stamp, 1, 2)

    assert abs(trefoil(image(star(twist=0.5)))) < 1e-6
    assert trefoil(image(star(coma=0.5, twist=0.5))) > 5.0 * abs(trefoil(image(star(coma=0.5))))


def test_aberrations_leave_the_centroid_of_the_core() -> None:
    assert abs(windowed(image(star(coma=0.3)), 1, 0)) < 0.02


def test_an_extreme_twist_leaves_ellipses() -> None:
    mixture = star(coma=2.0, twist=20.0)
    assert (mixture.xx * mixture.yy - mixture.xy**2 > 0).all()


def test_stars_have_more_light_far_out_than_moffats_profile() -> None:
    """Those of HiTS 2015 have twice as much at 7 pixels, under a seeing of 1.1 arcsec."""
    moffat = PsfLibrary("moffat", "train").gaussians(torch.tensor([SHAPE]), *tensors(3.3, 0.0, 1.0, 0.0))
    ratio = image(star(fwhm=3.3))[10, 17] / image(moffat)[10, 17]
    assert 1.3 < ratio < 2.5


@pytest.mark.parametrize("given", [0.04, (0.04, 0.04), [0.04, 0.04]])
def test_one_figure_stands_for_both_components(given: object) -> None:
    assert ImageScatter.model_validate({"ellipticity": given}).ellipticity == (0.04, 0.04)
