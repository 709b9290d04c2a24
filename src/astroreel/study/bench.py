"""What the sections of the study work on: the results of a pipeline that has run, read when asked for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.evaluation.predictions import Domain
from astroreel.evaluation.tested import Tested
from astroreel.parameters import Parameters, read_parameters
from astroreel.photometry.feature_set import FeatureSet
from astroreel.provenance import data_digests
from astroreel.sequences.file import read_folder
from astroreel.sequences.split import Split, cut
from astroreel.sequences.store import load_store
from astroreel.study.config import Budget, StudyConfig
from astroreel.study.units import Tell, Unit, Units, no_tell
from astroreel.survey.conditions import ConditionsTable
from astroreel.survey.survey import Survey, load_survey
from astroreel.training.few_shot import FewShot, load_few_shot

#: What the study reads of the pipeline.
INPUTS = (
    "data/conditions.ecsv",
    "data/features",
    "data/simulated",
    "data/split.json",
    "data/survey.json",
    "data/target",
    "models/finetuned",
    "models/forest",
    "models/forest_grid.json",
    "models/pretrained",
    "models/search",
)
_SECTIONS = ("preparation", "split", "forest", "pretrain", "finetune")


@dataclass
class Bench:
    """A checkout whose pipeline has run.

    Attributes
    ----------
    root
        Its folder.
    budget
        How much is measured.
    """

    root: Path
    budget: Budget = "quick"
    _plans: dict[str, tuple[list[Unit], Tell]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # To another process goes where things are; each reads for itself what it needs.
        return {"root": self.root, "budget": self.budget, "_plans": {}}

    @cached_property
    def parameters(self) -> Parameters:
        """All of params.yaml."""
        return read_parameters(self.root)

    @property
    def config(self) -> StudyConfig:
        """The study's section of params.yaml."""
        return self.parameters.study

    @property
    def draws(self) -> int:
        """How often the few sequences are drawn, at this budget."""
        return self.config.draws if self.budget == "full" else self.config.quick_draws

    @property
    def seeds(self) -> int:
        """How many pretrainings there are, at this budget, the pipeline's own the first."""
        return self.config.seeds if self.budget == "full" else 1

    def seed_of(self, draw: int) -> int:
        """Which pretraining a draw starts from: draws are dealt out to the pretrainings in equal runs."""
        return draw * self.seeds // self.draws

    def piece(self, draw: int, fold: int) -> int:
        """The number by which the pipeline makes the random draws of a draw and fold their own."""
        return draw * self.parameters.split.folds + fold + 1

    @property
    def data(self) -> Path:
        """The folder of the pipeline's data."""
        return self.root / "data"

    @property
    def pretrained(self) -> Path:
        """The bundle of the RCNN trained on simulations alone."""
        return self.root / "models" / "pretrained"

    @property
    def forest(self) -> Path:
        """The bundle of the forest grown on simulations alone."""
        return self.root / "models" / "forest"

    def tuned(self, draw: int, fold: int) -> Path:
        """The folder of the pipeline's fine-tuned bundles ``rcnn`` and ``forest`` of one draw and fold."""
        return self.root / "models" / "finetuned" / f"draw-{draw}-fold-{fold}"

    @cached_property
    def inputs(self) -> str:
        """Digest of the pipeline's results and parameters on which every unit depends.

        Raises `UserError` where the pipeline has not run.
        """
        digests = data_digests(self.root, INPUTS)
        if not {"data/split.json", "models/pretrained"} <= set(digests):
            raise UserError(f"{self.root}: the pipeline has not run here: run `make repro` first")
        values = self.parameters.model_dump(mode="json", include=set(_SECTIONS))
        return hashlib.sha256(json.dumps([digests, values], sort_keys=True).encode()).hexdigest()

    @property
    def domain(self) -> Domain:
        """Where the target's objects come from."""
        return "surrogate" if self.parameters.source.target == "surrogate" else "real"

    @cached_property
    def split(self) -> Split:
        """The target's windows and folds, and the pipeline's own draws."""
        return Split.read(self.data / "split.json")

    @cached_property
    def target(self) -> Tested:
        """The target's labelled objects, cut to their windows, in the split's order."""
        sequences = cut(read_folder(self.data / "target"), self.split, self.parameters.split)
        detections = np.array([entry.detection for entry in self.split.objects.values()], dtype=np.int64)
        return Tested(self.domain, sequences, self.features("target"), detections)

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """The fold of each of the target's objects, (N,)."""
        return np.array([entry.fold for entry in self.split.objects.values()], dtype=np.int64)

    def members(self, fold: int | None) -> NDArray[np.int64]:
        """Positions of the target's objects in ``fold``; None: of all."""
        return np.arange(len(self.folds)) if fold is None else np.flatnonzero(self.folds == fold)

    @cached_property
    def test(self) -> Tested:
        """The simulated objects that no model has seen."""
        return Tested.simulated(
            "simulated", load_store(self.data / "simulated" / "test"), self.features("test")
        )

    @cached_property
    def train(self) -> Tested:
        """The simulated objects that the models were trained on."""
        sequences = load_store(self.data / "simulated" / "train")
        return Tested.simulated("simulated_train", sequences, self.features("train"))

    @cached_property
    def survey(self) -> Survey:
        """The survey that was simulated."""
        return load_survey(self.data / "survey.json")

    @cached_property
    def conditions(self) -> ConditionsTable:
        """The conditions that were simulated in."""
        return ConditionsTable.read(self.data / "conditions.ecsv")

    @cached_property
    def few_shot(self) -> FewShot:
        """What fine-tuned models start from, with the pipeline's parameters."""
        return load_few_shot(self.root, self.parameters, self.split)

    def features(self, name: str) -> FeatureSet:
        """Light curves and features of ``train``, ``valid``, ``test`` or ``target``."""
        return FeatureSet.load(self.data / "features" / f"{name}.npz")

    def units(self, section: str) -> Units:
        """The units of a section."""
        plan, tell = self._plans.get(section, ([], no_tell))
        return Units(self.data / "study" / section, self.inputs, plan, tell)

    def expect(self, section: str, plan: list[Unit], tell: Tell) -> None:
        """Keep what a section is going to do, and who is told."""
        self._plans[section] = plan, tell
