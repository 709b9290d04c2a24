"""The surrogate target: what stands in for real data where there is none, and never under its name.

Simulated like the training data, but with another family of point spread functions, correlated noise
and shifted conditions, so that there is a gap between domains to measure and to close.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from astroreel.images.profiles import Family
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import SimulationConfig, simulate
from astroreel.survey.forecast import generate_conditions, perturb
from astroreel.survey.survey import Survey


class SurrogateConfig(BaseModel):
    """How the surrogate differs from the simulated training data.

    Attributes
    ----------
    n
        Number of objects, equal over ``classes``.
    n_fields
        Number of fields that they lie in.
    classes
        Classes that there are labelled objects of; HiTS has the same four.
    seed
        Seed of the surrogate.
    psf_family
        As in the simulation's parameters.
    resampled
        Share of the objects whose frames are resampled to a common grid.
    seeing_factor, sky_factor, zp_shift
        What the conditions are multiplied by and shifted by [mag].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(320, ge=40)
    n_fields: int = Field(30, ge=2)
    classes: tuple[str, ...] = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")
    seed: int = Field(7, ge=0)
    psf_family: Family = "double_gaussian"
    resampled: float = Field(1.0, ge=0, le=1)
    seeing_factor: float = Field(1.1, gt=0)
    sky_factor: float = Field(1.2, gt=0)
    zp_shift: float = Field(-0.1, ge=-3, le=3)


def simulate_surrogate(
    survey: Survey, config: SurrogateConfig, progress: Callable[[int, int], None] | None = None
) -> SequenceSet:
    """Whole series of a surrogate target, uncut, labelled, named ``surrogate`` as their survey."""
    rng = np.random.default_rng(config.seed)
    conditions = perturb(
        generate_conditions(survey, config.n_fields, rng),
        survey,
        seeing_factor=config.seeing_factor,
        sky_factor=config.sky_factor,
        zp_shift=config.zp_shift,
    )
    artefacts = survey.artefacts.model_copy(update={"resampled": config.resampled})
    sequences = simulate(
        survey.model_copy(update={"artefacts": artefacts}),
        conditions,
        config.n,
        "target",
        SimulationConfig(seed=config.seed, psf_family=config.psf_family),
        classes=config.classes,
        windowed=False,
        progress=progress,
    )
    sequences.objects["survey"] = "surrogate"
    for index in range(len(sequences)):
        sequences.objects["name"][index] = f"surrogate-{index:05d}"
    return sequences
