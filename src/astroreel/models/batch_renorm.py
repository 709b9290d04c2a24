"""Batch renormalisation (thesis equation 2.33; Ioffe 2017, arXiv:1702.03275)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional


class BatchRenorm(nn.Module):
    """Normalise each channel by its batch, corrected towards the moving statistics.

    The correction is clipped to ``[1 / r_max, r_max]`` and ``[-d_max, d_max]``. Both limits start
    where the layer is plain batch normalisation (1 and 0), stay there for ``warmup`` training
    batches and then grow in a straight line, over ``ramp`` batches, to 3 and 5 (Ioffe, section 4).

    Parameters
    ----------
    channels
        Size of the second dimension of the input.
    warmup, ramp
        Lengths of the schedule, in training batches.
    momentum
        Weight of the past in the moving statistics (alpha in the thesis).

    Attributes
    ----------
    together
        Whether the batch is the shares of all processes of `torch.distributed`, which then must call alike.
    """

    R_MAX = 3.0
    D_MAX = 5.0
    EPSILON = 1e-3

    def __init__(self, channels: int, warmup: int = 5000, ramp: int = 20_000, momentum: float = 0.99) -> None:
        super().__init__()
        self.warmup = warmup
        self.ramp = ramp
        self.momentum = momentum
        self.together = False
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    mean: Tensor
    std: Tensor
    batches: Tensor

    def limits(self) -> tuple[float, float]:
        """The present ``(r_max, d_max)``."""
        grown = min(max((int(self.batches) - self.warmup) / self.ramp, 0.0), 1.0)
        return 1.0 + (self.R_MAX - 1.0) * grown, self.D_MAX * grown

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (F, C, ...), every row a valid one: padding must not be among them."""
        shape = (1, -1) + (1,) * (x.dim() - 2)
        if not self.training:
            scale = self.weight / self.std
            shift = self.bias - self.mean * scale
            return x * scale.view(shape).to(x.dtype) + shift.view(shape).to(x.dtype)
        variance, mean = _common_statistics(x) if self.together else _batch_statistics(x.detach())
        r, d = self._correction(variance.detach(), mean.detach())
        # r and d are constants of the gradient, so they can enter as part of the affine map.
        weight, bias = self.weight * r, self.bias + self.weight * d
        if self.together:
            scale = weight / torch.sqrt(variance + self.EPSILON)
            return (x * scale.view(shape) + (bias - mean * scale).view(shape)).to(x.dtype)
        return functional.batch_norm(x, None, None, weight, bias, training=True, eps=self.EPSILON)

    @torch.no_grad()
    def _correction(self, variance: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The constants r and d of equation 2.33; then the batch enters the moving statistics."""
        std = torch.sqrt(variance + self.EPSILON)
        seen = int(self.batches)
        if seen == 0:
            self.mean.copy_(mean)
            self.std.copy_(std)
        r_max, d_max = self.limits()
        r = (std / self.std).clamp(1.0 / r_max, r_max)
        d = ((mean - self.mean) / self.std).clamp(-d_max, d_max)
        # A plain average until there are enough batches to forget any, so that short runs converge.
        past = min(self.momentum, seen / (seen + 1))
        self.mean.lerp_(mean, 1.0 - past)
        self.std.lerp_(std, 1.0 - past)
        self.batches += 1
        return r, d


def _batch_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean (C,) of a batch (F, C, ...), in single precision whatever that of the batch.

    They are what batch normalisation would store: its kernel takes a third of the time of
    ``torch.var_mean`` on a processor, and a twentieth in half precision.
    """
    mean, variance = x.new_zeros(2, x.shape[1], dtype=torch.float32)
    functional.batch_norm(x, mean, variance, training=True, momentum=1.0)
    count = x.numel() // x.shape[1]
    return variance * ((count - 1) / count), mean


def _common_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and mean of the batches of all processes as one, through which the gradient flows."""
    axes, shape = (0, *range(2, x.dim())), (1, -1) + (1,) * (x.dim() - 2)
    x = x.float()
    count = _total(x.new_tensor(x.numel() / x.shape[1]))
    mean = _total(x.sum(axes)) / count
    return _total((x - mean.view(shape)).square().sum(axes)) / count, mean


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Total.apply(x)
    return total


class _Total(torch.autograd.Function):
    """The sum over the processes; what each does with it counts in the gradient of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.forward(ctx, gradient)
