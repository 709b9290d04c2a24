"""Fine-tuning: a network from simulations meets a few real sequences a class (thesis 3.2.4).

There is no real validation set: nothing held out is looked at, so the number of iterations is fixed.
Real labels may lack classes that the simulation has (HiTS: Cepheids, galaxies, asteroids); a share of
every batch is simulated, lest these be forgotten.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from astroreel.models.interface import SequenceNetwork
from astroreel.sequences.prepare import Prepared
from astroreel.training.loop import Progress, Tensors, choose_device, sequence_loss, turned
from astroreel.training.reporter import Reporter


class FinetuneConfig(BaseModel):
    """How a network is fine-tuned.

    Attributes
    ----------
    iterations
        Number of batches (thesis: 1000).
    batch_size
        Real sequences a batch, drawn with every real class equally likely.
    replay
        Simulated sequences a batch, beside the real ones.
    learning_rate
        Largest learning rate of Adam; it falls in a straight line to a tenth.
    clip
        Largest norm of the gradient.
    seed
        Seed of batches and dropout; draws and folds get seeds of their own from it.
    device
        ``auto`` takes a GPU where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: int = Field(1000, ge=1)
    batch_size: int = Field(40, ge=1)
    replay: int = Field(40, ge=0)
    learning_rate: float = Field(2e-4, gt=0)
    clip: float = Field(1.0, gt=0)
    seed: int = Field(1, ge=0)
    device: str = "auto"


def finetune(
    network: SequenceNetwork,
    real: Prepared,
    simulated: Prepared,
    config: FinetuneConfig,
    seed: int,
    reporter: Reporter,
    progress: Progress | None = None,
) -> None:
    """Fine-tune a network in place on labelled real sequences.

    Raises ``ValueError`` where a real sequence has no label.
    """
    if (real.labels < 0).any():
        raise ValueError("every real sequence must have a label")
    device = choose_device(config.device)
    network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate, amsgrad=True)
    rng = np.random.default_rng([config.seed, seed])
    symmetries = torch.Generator().manual_seed(int(rng.integers(2**31)))
    torch.manual_seed(int(rng.integers(2**31)))  # dropout knows no other generator
    report_every = max(config.iterations // 20, 1)
    for step in range(config.iterations):
        parts = [Tensors.of(real, _balanced(real.labels, config.batch_size, rng), device)]
        if config.replay:
            which = rng.integers(len(simulated), size=config.replay)
            parts.append(Tensors.of(simulated, which, device))
        losses = [_loss(network, part, symmetries) for part in parts]
        optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * (1.0 - 0.9 * step / config.iterations)
        optimiser.step()
        if (step + 1) % report_every == 0:
            names = ("real_loss", "simulated_loss")
            reporter.metrics(
                {name: float(loss.detach()) for name, loss in zip(names, losses, strict=False)}, step + 1
            )
            if progress is not None:
                progress(step + 1, config.iterations)
    network.eval()


def _loss(network: SequenceNetwork, batch: Tensors, symmetries: torch.Generator) -> torch.Tensor:
    logits = network(turned(batch.stamps, symmetries), batch.times, batch.conditions, batch.mask)
    return sequence_loss(logits, batch.mask, batch.labels)


def _balanced(labels: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of ``n`` objects, drawn with every class equally likely."""
    counts = np.bincount(labels)
    weights = 1.0 / counts[labels]
    return rng.choice(len(labels), size=n, p=weights / weights.sum())
