"""What all parts of a survey's file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A part of a survey's file: unknown keys are refused, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def rising(limits: tuple[float, float]) -> tuple[float, float]:
    """The limits themselves; raises `ValueError` where the second is not above the first."""
    if not limits[0] < limits[1]:
        raise ValueError("must rise")
    return limits
