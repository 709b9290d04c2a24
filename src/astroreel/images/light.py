"""Light: what the sources of frames shed on their pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astroreel.images.frames import Frames
from astroreel.images.galaxy import HostLibrary
from astroreel.images.gaussians import STAMP_SIZE, blocks
from astroreel.images.psf import Aberrations, PsfLibrary

#: Parts that a trail is drawn in, each a Gaussian along it.
_TRAIL_PARTS = 4


def light_of(frames: Frames, psfs: PsfLibrary, hosts: HostLibrary, device: str) -> Tensor:
    """What the sources of M frames shed on their pixels, without sky, (M, 21, 21) float32 [ADU]."""
    return _Sources(frames, psfs, hosts, device).light()


class _Sources:
    """The sources of M frames on a device."""

    def __init__(self, frames: Frames, psfs: PsfLibrary, hosts: HostLibrary, device: str) -> None:
        self.hosts = hosts
        self.of = {name: _tensor(column, device) for name, column in frames.columns().items()}
        of = self.of
        aberrations = Aberrations(of["coma_x"], of["coma_y"], of["twist_1"], of["twist_2"])
        self.psf = psfs.gaussians(
            of["psf"], of["fwhm"], of["angle"], of["axis_ratio"], of["wings"], aberrations
        )
        self.beside = {
            name: _tensor(frames.neighbours[name], device) for name in frames.neighbours.dtype.names or ()
        }

    def light(self) -> Tensor:
        image = torch.zeros((len(self.of["owner"]), STAMP_SIZE, STAMP_SIZE), device=self.of["flux"].device)
        shines, moves = self.of["flux"] > 0.0, self.of["trail"] > 0.0
        _add(image, _true(shines & ~moves), self._star)
        for part in range(_TRAIL_PARTS):
            _add(image, _true(shines & moves), partial(self._trail, part))
        _add(image, _true(self.of["host_flux"] > 0.0), self._galaxy)
        # One neighbour of a frame after the other, for a GPU adds what falls on one place in any order.
        frame = self.beside["frame"]
        rank = torch.arange(len(frame), device=frame.device) - torch.searchsorted(frame, frame)
        for number in range(int(rank.max()) + 1 if len(rank) else 0):
            _add(image, _true(rank == number), self._neighbour, frame)
        return image

    def _star(self, which: Tensor) -> Tensor:
        star = self.psf.of(which).brightened(self.of["flux"][which])
        return star.render(self.of["x"][which], self.of["y"][which])

    def _trail(self, part: int, which: Tensor) -> Tensor:
        x, y, flux, trail, angle = (
            self.of[name][which] for name in ("x", "y", "flux", "trail", "trail_angle")
        )
        length = trail / _TRAIL_PARTS
        way = (part - (_TRAIL_PARTS - 1) / 2.0) * length
        piece = self.psf.of(which).drawn_out(length**2 / 12.0, angle).brightened(flux / _TRAIL_PARTS)
        return piece.render(x + way * torch.cos(angle), y + way * torch.sin(angle))

    def _galaxy(self, which: Tensor) -> Tensor:
        host, angle, pixscale, flux = (
            self.of[name][which] for name in ("host", "host_angle", "pixscale", "host_flux")
        )
        galaxy = self.hosts.gaussians(host, angle, pixscale, self.psf.of(which)).brightened(flux)
        return galaxy.render(self.of["host_x"][which], self.of["host_y"][which])

    def _neighbour(self, which: Tensor) -> Tensor:
        frame, x, y, flux, sigma = (self.beside[name][which] for name in ("frame", "x", "y", "flux", "sigma"))
        source = self.psf.of(frame).broadened(sigma**2).brightened(flux)
        return source.render(self.of["x"][frame] + x, self.of["y"][frame] + y)


def _add(image: Tensor, which: Tensor, draw: Callable[[Tensor], Tensor], frame: Tensor | None = None) -> None:
    """Add what is drawn for the sources ``which`` to their frames, by default of the same indices."""
    for block in blocks(len(which), which.device.type):
        chosen = which[block]
        image.index_add_(0, chosen if frame is None else frame[chosen], draw(chosen))


def _true(mask: Tensor) -> Tensor:
    return torch.nonzero(mask).ravel()


def _tensor(column: NDArray[Any], device: str) -> Tensor:
    kind = np.int64 if column.dtype.kind == "i" else np.float32
    return torch.as_tensor(np.ascontiguousarray(column, kind), device=device)
