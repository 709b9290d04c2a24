"""Mixtures of elliptical Gaussians: what every source is drawn with.

A point spread function and a galaxy are both sums of Gaussians, so that a galaxy seen through a
point spread function is one too: fluxes multiply and covariances add (Hogg & Lang 2013, PASP 125,
719). Nothing is oversampled and nothing is transformed, and a batch of stamps is a few array
operations for each component, on whatever device the arrays lie.

Sums run over components in a fixed order and everything else is done element by element, so that a
stamp's bytes do not depend on how many are drawn with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Side of a stamp [pixel]; its central pixel has the coordinates (0, 0).
STAMP_SIZE = 21

#: Variance of a pixel's square response [pixel^2]. Adding it to a Gaussian's variance stands for the
#: integral over the pixel, to 1e-4 of the peak for the widths of a well sampled survey.
PIXEL_VARIANCE = 1.0 / 12.0

#: Full width at half maximum of a Gaussian of unit standard deviation.
FWHM_OF_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))

#: Exponents below this are raised to it: float32 numbers so small that they are kept in a slow form.
_LEAST_EXPONENT = -80.0

_CPU_BLOCK, _GPU_BLOCK = 512, 32_768

#: Rows of a stamp that are worked on at once.
_BAND = 7

Columns = TypeVar("Columns", NDArray[np.float64], Tensor)


@dataclass(frozen=True)
class Gaussians:
    """n mixtures of K Gaussians each, all tensors (K, n).

    Attributes
    ----------
    flux
        Flux of each component over the whole plane, 0 or more.
    xx, xy, yy
        Covariance of each component [pixel^2], the pixel's own response not included.
    x, y
        Where the centre of each component lies from that of the mixture [pixel].
    """

    flux: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def elliptical(cls, flux: Tensor, variance: Tensor, axis_ratio: Tensor, angle: Tensor) -> Gaussians:
        """Components that share one centre and one direction.

        Parameters
        ----------
        flux, variance
            (K, n) flux, and variance along the major axis [pixel^2].
        axis_ratio
            (n,) or (K, n) ratio of the minor to the major axis, in (0, 1].
        angle
            (n,) angle of the major axis from x towards y [rad].
        """
        squeeze, cosine, sine = axis_ratio**2, torch.cos(angle), torch.sin(angle)
        return cls(
            flux=flux,
            xx=variance * (cosine**2 + squeeze * sine**2),
            xy=variance * ((1.0 - squeeze) * sine * cosine),
            yy=variance * (sine**2 + squeeze * cosine**2),
            x=torch.zeros_like(variance),
            y=torch.zeros_like(variance),
        )

    def brightened(self, factor: Tensor) -> Gaussians:
        """The same shapes with their flux multiplied, (n,)."""
        return replace(self, flux=self.flux * factor)

    def broadened(self, variance: Tensor) -> Gaussians:
        """All components with an added variance (n,) [pixel^2] in all directions."""
        return replace(self, xx=self.xx + variance, yy=self.yy + variance)

    def drawn_out(self, variance: Tensor, angle: Tensor) -> Gaussians:
        """All components with an added variance (n,) [pixel^2] along an angle (n,) [rad]."""
        cosine, sine = torch.cos(angle), torch.sin(angle)
        return replace(
            self,
            xx=self.xx + variance * cosine**2,
            xy=self.xy + variance * (cosine * sine),
            yy=self.yy + variance * sine**2,
        )

    def of(self, which: Tensor) -> Gaussians:
        """The mixtures named by indices."""
        return Gaussians(*(column[:, which] for column in self._columns))

    def select(self, components: Sequence[int]) -> Gaussians:
        """The components named, repeated ones too."""
        which = torch.tensor(components, dtype=torch.int64, device=self.flux.device)
        return Gaussians(*(column[which] for column in self._columns))

    def join(self, other: Gaussians) -> Gaussians:
        """The sum of two mixtures about the same centre, (K + L, n)."""
        pairs = zip(self._columns, other._columns, strict=True)
        return Gaussians(*(torch.cat(pair) for pair in pairs))

    def merge_after(self, kept: int) -> Gaussians:
        """The first components, and one with flux, centre and covariance of the others; ``kept`` in all."""
        if kept >= len(self.flux):
            return self
        last = slice(kept - 1, None)
        flux = total(self.flux[last])
        means = (total(self.flux[last] * column[last]) / flux for column in self._columns[1:])
        merged = Gaussians(*(column[None] for column in (flux, *means)))
        return self.select(range(kept - 1)).join(merged)

    def convolve(self, other: Gaussians) -> Gaussians:
        """Every component of one through the component of the same index of the other, (K, n)."""
        pairs = zip(self._columns[1:], other._columns[1:], strict=True)
        return Gaussians(self.flux * other.flux, *(mine + theirs for mine, theirs in pairs))

    def render(self, x0: Tensor, y0: Tensor) -> Tensor:
        """The flux in every pixel, (n, 21, 21) float32, indexed object, y, x.

        Parameters
        ----------
        x0, y0
            (n,) centre [pixel] from the centre of the central pixel.
        """
        xx, yy, xy = self.xx + PIXEL_VARIANCE, self.yy + PIXEL_VARIANCE, self.xy
        determinant = xx * yy - xy**2
        in_x, cross, in_y = -0.5 * yy / determinant, xy / determinant, -0.5 * xx / determinant
        peak = torch.log(self.flux / (2.0 * torch.pi * torch.sqrt(determinant)))
        # A component off the centre has the same form, with terms in x and y and another constant.
        tilt_x = -2.0 * in_x * self.x - cross * self.y
        tilt_y = -2.0 * in_y * self.y - cross * self.x
        form = (in_x, cross, in_y, tilt_x, tilt_y, peak - 0.5 * (tilt_x * self.x + tilt_y * self.y))
        grid = torch.arange(STAMP_SIZE, dtype=x0.dtype, device=x0.device)[:, None] - STAMP_SIZE // 2
        image = torch.empty((x0.numel(), STAMP_SIZE, STAMP_SIZE), device=x0.device)
        for block in blocks(x0.numel(), x0.device.type):
            coefficients = (column[:, block].float() for column in form)
            x, y = ((grid - centre[block]).float() for centre in (x0, y0))
            image[block] = _sum_of_exponentials(coefficients, x, y)
        return image

    @property
    def _columns(self) -> tuple[Tensor, ...]:
        return self.flux, self.xx, self.xy, self.yy, self.x, self.y


def blocks(n: int, device: str) -> Iterator[slice]:
    """Parts of n stamps: small enough to stay in a core's cache, or large enough to keep a GPU busy."""
    size = _CPU_BLOCK if device == "cpu" else _GPU_BLOCK
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def total(columns: Columns) -> Columns:
    """The sum over components, (K, ...) to (...), one after the other."""
    return reduce(add, columns)


def _sum_of_exponentials(coefficients: Iterable[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """exp(in_x x^2 + cross x y + in_y y^2 + tilt_x x + tilt_y y + peak) over components, (n, 21, 21).

    The six coefficients, in this order, are (K, n), x and y are (21, n): stamps come last, so that the inner
    loops are long however the rest is broadcast, and what is written again and again stays in the cache.
    """
    image = torch.zeros((STAMP_SIZE, *x.shape), device=x.device)
    term = torch.empty((_BAND, *x.shape), device=x.device)
    along, across, up = (torch.empty_like(x) for _ in range(3))
    rows = (slice(start, start + _BAND) for start in range(0, STAMP_SIZE, _BAND))
    bands = [(image[band], up[band, None], y[band, None]) for band in rows]
    for in_x, cross, in_y, tilt_x, tilt_y, peak in zip(*(c.unbind() for c in coefficients), strict=True):
        torch.addcmul(tilt_x, in_x, x, out=along).mul_(x)
        torch.addcmul(tilt_y, in_y, y, out=up).mul_(y).add_(peak)
        torch.mul(cross, x, out=across)
        for part, added, height in bands:
            torch.addcmul(along[None], across[None], height, out=term)
            part.add_(term.add_(added).clamp_(min=_LEAST_EXPONENT).exp_())
    return image.permute(2, 0, 1)
