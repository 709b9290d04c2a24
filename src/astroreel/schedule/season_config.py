"""The section ``rehearse`` of params.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SeasonConfig(BaseModel):
    """What a rehearsed season is like, and what it is compared with.

    Attributes
    ----------
    batches
        Number of batches in which the fields arrive.
    days
        Between two batches.
    damaged, mislabelled, duplicated
        Shares of the objects: of which a broken file arrives beside the whole one, whose label is wrong, and
        which arrive once more.
    seeds
        How often labels are bought at random and by choice, each time with another seed.
    seed
        Seed of the season and of what it is compared with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batches: int = Field(12, ge=1)
    days: float = Field(7.0, gt=0, allow_inf_nan=False)
    damaged: float = Field(0.10, ge=0, le=1)
    mislabelled: float = Field(0.05, ge=0, le=1)
    duplicated: float = Field(0.05, ge=0, le=1)
    seeds: int = Field(3, ge=1)
    seed: int = Field(1, ge=0)
