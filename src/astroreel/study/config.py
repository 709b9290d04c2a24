"""The parameters of the study."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

#: ``quick``: minutes, beside a finished pipeline; ``full``: hours, what the tables of a publication need.
Budget = Literal["quick", "full"]


class StudyConfig(BaseModel):
    """How much the study measures.

    Attributes
    ----------
    shots
        Numbers of real sequences a class that models are fine-tuned with.
    draws, quick_draws
        How often the few sequences are drawn anew, at the budgets ``full`` and ``quick``.
    seeds
        Pretrainings at the budget ``full`` (thesis: 5), the pipeline's own the first; ``quick`` has no other.
    seed
        Seed of the draws.
    workers
        Processes; 0: one a processor.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shots: tuple[PositiveInt, ...] = Field((1, 3, 5, 10, 20), min_length=1)
    draws: int = Field(20, ge=1)
    quick_draws: int = Field(3, ge=1)
    seeds: int = Field(5, ge=1)
    seed: int = Field(1, ge=0)
    workers: int = Field(0, ge=0)
