"""Hyperparameter search over the members of the RCNN family: what a trial is, and how the best is chosen.

Two back ends run the same trials: Optuna alone, in this process, and Ray Tune with Optuna's sampler,
over as many CPUs and GPUs as a cluster has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import torch
from pydantic import BaseModel, ConfigDict, Field

from astroreel.errors import UserError
from astroreel.models.networks import NAMES, build, network_config
from astroreel.sequences.prepare import Prepared
from astroreel.training.loop import Progress, TrainingConfig, train
from astroreel.training.reporter import Reporter


class SearchConfig(BaseModel):
    """How much is searched, and where.

    Attributes
    ----------
    backend
        ``serial``: one trial after the other, in this process; ``ray``: Ray Tune.
    address
        Of a Ray cluster (``auto``: the one of this machine); None starts Ray here.
    networks
        Members to choose from.
    trials
        Number of trials.
    training
        How every trial is trained; the trial sets the learning rate.
    cpus, gpus
        Per trial, for Ray; a GPU may be shared by a fraction.
    seed
        Seed of the sampler and of every trial.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["serial", "ray"] = "serial"
    address: str | None = None
    networks: tuple[str, ...] = Field(("photometric", "compact"), min_length=1)
    trials: int = Field(6, ge=1)
    training: TrainingConfig = TrainingConfig()
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    seed: int = Field(1, ge=0)


@dataclass(frozen=True)
class Trial:
    """One trial: what was tried and the validation loss that it reached."""

    number: int
    values: dict[str, Any]
    loss: float


@dataclass(frozen=True)
class SearchResult:
    """All trials that ended, in order, and the one with the lowest loss."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial with the lowest validation loss."""
        return min(self.trials, key=lambda trial: trial.loss)


def suggest(trial: optuna.Trial, networks: tuple[str, ...]) -> None:
    """The search space: a member, its sizes, and a learning rate."""
    name = trial.suggest_categorical("network", networks)
    trial.suggest_float("learning_rate", 5e-4, 6e-3, log=True)
    if name == "thesis":
        trial.suggest_categorical("filters", (16, 32, 64))
        return
    trial.suggest_categorical("filters", (8, 12, 16))
    trial.suggest_categorical("units", (64, 96, 128))


def chosen_network(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the network that a trial's values mean."""
    network = {"name": values["network"], "filters": values["filters"]}
    if values["network"] == "thesis":  # the dense layer and the LSTM keep Table 3.3's proportions
        network |= {"dense": 16 * values["filters"], "units": 8 * values["filters"]}
    if "units" in values:
        network["units"] = values["units"]
    return network_config(network).model_dump(mode="json")


def run_trial(
    values: Mapping[str, Any],
    train_set: Prepared,
    valid_set: Prepared,
    config: SearchConfig,
    reporter: Reporter,
) -> float:
    """Train what a trial's values mean; returns the lowest validation loss."""
    reporter.params(values)
    torch.manual_seed(config.seed)
    network = build(network_config(chosen_network(values)))
    training = config.training.model_copy(update={"learning_rate": values["learning_rate"]})
    result = train(network, train_set, valid_set, training, reporter)
    reporter.metrics({"best_valid_loss": result.best_loss})
    reporter.close()
    return result.best_loss


def run_search(
    config: SearchConfig,
    train_set: Prepared,
    valid_set: Prepared,
    reporter: Reporter,
    storage: Path,
    progress: Progress | None = None,
) -> SearchResult:
    """Run the trials that ``storage`` does not hold yet, and choose.

    Raises `UserError` for an unknown network.
    """
    unknown = sorted(set(config.networks) - set(NAMES))
    if unknown:
        raise UserError(f"search.networks: unknown {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if config.backend == "ray":
        from astroreel.training.search_ray import search_ray

        return search_ray(config, train_set, valid_set, reporter, storage, progress)
    from astroreel.training.search_serial import search_serial

    return search_serial(config, train_set, valid_set, reporter, storage, progress)
