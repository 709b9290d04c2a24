"""The parameters of training, fine-tuning and search.

Apart from the code that they steer, so that a command can check params.yaml without loading torch.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

#: The networks that a search may choose from, by the names of :mod:`astroreel.models.networks`.
Network = Literal["thesis", "compact", "photometric", "attention"]

_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class TrainingConfig(BaseModel):
    """How a network is trained.

    Attributes
    ----------
    iterations
        Number of batches (thesis: 30,000).
    batch_size
        Sequences a batch (thesis: 256).
    learning_rate
        Largest learning rate (thesis: 5e-4, constant).
    optimiser
        ``amsgrad`` as in the thesis, or ``adamw``.
    schedule
        ``constant``, or ``cosine`` down to nothing after ``warmup`` batches of linear rise.
    warmup
        Batches over which the learning rate rises.
    weight_decay
        Of AdamW.
    clip
        Largest norm of the gradient.
    label_smoothing
        Share of a label given to the other classes.
    flips
        Whether batches are mirrored and turned by quarters at random.
    mixup
        Parameter of the Beta distribution by which reels are mixed; 0: they are not.
    condition_noise
        Noise on the observing conditions that the network is told, over their spread in a batch.
    sky_noise
        Error of the subtracted sky in every other sequence, in standard deviations of a background pixel.
    precision
        ``bfloat16`` multiplies in half precision where that is safe, and keeps weights and sums in single; on
        devices made for it a large network trains several times faster.
    validate_every
        Batches between two looks at the validation set, and between two checkpoints.
    seed
        Seed of weights, batches and dropout.
    device
        ``auto`` takes a GPU where there is one; ``cpu``, ``cuda`` and ``cuda:N`` name one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: int = Field(30_000, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False)
    optimiser: Literal["amsgrad", "adamw"] = "amsgrad"
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False)
    clip: float = Field(1.0, gt=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    flips: bool = True
    mixup: float = Field(0.0, ge=0, le=10)
    condition_noise: float = Field(0.0, ge=0, le=3)
    sky_noise: float = Field(0.0, ge=0, le=10)
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = Field(100, ge=1)
    seed: int = Field(1, ge=0)
    device: str = Field("auto", pattern=_DEVICE)


class PretrainConfig(TrainingConfig):
    """How the network is trained on simulated sequences, and where these come from.

    Attributes
    ----------
    source
        ``stored``: the training set that the stage simulate stores; ``stream``: made while the network is
        trained, and never stored.
    reuse
        How often each sequence of the stream is seen. At the default the light networks trained on two
        processors at .95 and .97 of their speed from memory (benchmarks/bench_stream.py).
    reservoir
        Blocks of 512 sequences from which the stream draws at once.
    workers
        Processes that train together, each with its share of every batch and a GPU where there are GPUs.
    address
        Of a Ray cluster (``auto``: the one of this machine) that runs them; None: this machine, without Ray.
    """

    source: Literal["stored", "stream"] = "stored"
    reuse: int = Field(16, ge=1)
    reservoir: int = Field(8, ge=1)
    workers: int = Field(1, ge=1)
    address: str | None = None

    @field_validator("workers")
    @classmethod
    def _share_alike(cls, workers: int, others: ValidationInfo) -> int:
        for key in ("batch_size", "reservoir"):
            if others.data.get(key, workers) % workers:
                raise ValueError(f"a number that divides {key}, which is {others.data[key]}")
        if workers > 1 and ":" in (device := others.data.get("device", "")):
            raise ValueError(f"1 where device names one GPU, {device}")
        return workers


class FinetuneConfig(BaseModel):
    """How a network is fine-tuned.

    Attributes
    ----------
    iterations
        Number of batches (thesis: 1000).
    batch_size
        Real sequences a batch, drawn with every real class equally likely.
    replay
        Simulated sequences a batch, beside the real ones, drawn likewise. They keep the classes of which
        there is no real sequence.
    learning_rate
        Largest learning rate of AMSGrad; it falls to nothing along half a cosine.
    trunk_rate
        Learning rate of all layers but the last, over that of the last; 0 keeps them as they were trained.
    clip
        Largest norm of the gradient.
    flips, mixup, condition_noise, sky_noise
        Augmentation, as in `TrainingConfig`.
    seed
        Seed of batches and dropout; draws and folds get seeds of their own from it.
    device
        ``auto`` takes a GPU where there is one; ``cpu``, ``cuda`` and ``cuda:N`` name one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: int = Field(1000, ge=1)
    batch_size: int = Field(40, ge=1)
    replay: int = Field(40, ge=0)
    learning_rate: float = Field(2e-4, gt=0, allow_inf_nan=False)
    trunk_rate: float = Field(1.0, ge=0, le=1)
    clip: float = Field(1.0, gt=0)
    flips: bool = True
    mixup: float = Field(0.0, ge=0, le=10)
    condition_noise: float = Field(0.0, ge=0, le=3)
    sky_noise: float = Field(0.0, ge=0, le=10)
    seed: int = Field(1, ge=0)
    device: str = Field("auto", pattern=_DEVICE)


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
    objectives
        ``loss`` of the validation set alone, or with it the ``latency``, milliseconds for one alert on a
        processor; with both no trial is given up.
    trials
        Number of trials.
    minutes
        After which no trial is begun; None: no such limit.
    start
        A best.json of an earlier search, for the first trial; None: the first network as it is by default.
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
    networks: tuple[Network, ...] = Field(("photometric", "compact"), min_length=1)
    objectives: tuple[Literal["loss"]] | tuple[Literal["loss"], Literal["latency"]] = ("loss",)
    trials: int = Field(6, ge=1)
    minutes: float | None = Field(None, gt=0)
    start: str | None = None
    training: TrainingConfig = TrainingConfig()
    cpus: float = Field(1.0, gt=0)
    gpus: float = Field(0.0, ge=0)
    seed: int = Field(1, ge=0)
