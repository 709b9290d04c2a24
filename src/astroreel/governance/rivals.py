"""What a version is compared with: the champion, the forest of its target, the version it came from."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from astroreel.errors import UserError
from astroreel.governance.acceptance import Refused, fetch_whole
from astroreel.governance.deployment import Deployment
from astroreel.governance.history import verdict_on
from astroreel.governance.holdout import HoldOut
from astroreel.governance.ledger import Entry
from astroreel.governance.rules import Answers, Rival
from astroreel.models.load import load_classifier
from astroreel.sequences.record import SequenceSet
from astroreel.tracking.versions import Registry, Version


def answers(bundle: Path, sequences: SequenceSet, timings: int = 1) -> Answers:
    """What the model in a bundle says after the last epochs; its time is the least of ``timings``."""
    classifier = load_classifier(bundle)
    seconds = []
    for _ in range(timings):
        start = time.perf_counter()
        rows = classifier.predict(sequences)
        seconds.append(time.perf_counter() - start)
    return Answers(rows[sequences.offsets[1:] - 1], 1e3 * min(seconds) / len(sequences))


@dataclass(frozen=True)
class Rivals:
    """The other versions that a version on a hold-out is measured against.

    Attributes
    ----------
    registry, deployment, entries
        Where versions are, which are deployed, and what the ledger says of them.
    holdout
        What they are measured on.
    """

    registry: Registry
    deployment: Deployment
    entries: Sequence[Entry]
    holdout: HoldOut

    def champion(self, version: Version) -> Rival:
        """The deployed version of the same model."""
        pointer = self.deployment.pointer(version.model)
        if pointer is None:
            return Rival("there is no champion yet")
        if pointer.digest == version.digest:
            return Rival("it is the champion itself", pointer.digest)
        gated = verdict_on(self.entries, version.model, pointer.digest)
        if gated is None or gated.facts.get("holdout") != self.holdout.digest:
            note = f"{pointer.uri} was gated on another hold-out: gate it on this one first"
            return Rival(note, pointer.digest, outcome="inconclusive")
        said = answers(self.deployment.bundle_of(pointer), self.holdout.sequences)
        return Rival(f"with {pointer.uri}", pointer.digest, said)

    def forest(self, version: Version) -> Rival:
        """The youngest forest of the same target and training that has not learned from the hold-out."""
        if not version.model.endswith("-rcnn"):
            return Rival("it is a forest itself")
        name = version.model.removesuffix("rcnn") + "forest"
        training = version.tags.get("training", "")
        for forest in reversed(self.registry.versions()):
            if forest.model == name and forest.tags.get("training", "") == training:
                rival = self._rival(forest)
                if rival is not None:
                    return rival
        return Rival(f"there is no whole {training} {name} that did not see it", outcome="inconclusive")

    def _rival(self, version: Version) -> Rival | None:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                fetched = fetch_whole(version, self.registry, Path(scratch))
                learned = fetched.labelled()
            except Refused:
                return None
            if self.holdout.shared([one.name for one in learned], [one.field for one in learned]):
                return None
            said = answers(fetched.bundle, self.holdout.sequences)
        return Rival(f"with {version.uri}", version.digest, said)


def parent_of(version: Version, registry: Registry) -> Version | None:
    """The version that a fine-tuned one came from, None for one trained on simulations alone.

    Raises `Refused` where it is fine-tuned from no registered version of its own model.
    """
    if version.tags.get("training") == "simulated":
        return None
    digest = version.tags.get("parent.digest", "")
    for parent in registry.versions():
        if parent.model == version.model and digest and parent.digest == digest:
            return parent
    raise Refused(f"its parent is no registered version of {version.model}")


def forgetting_rival(parent: Version | None, registry: Registry, simulated: SequenceSet | None) -> Rival:
    """The parent's answers on simulated objects."""
    if parent is None:
        return Rival("it was not fine-tuned")
    if simulated is None:
        return Rival("there is no simulated test set", parent.digest, outcome="inconclusive")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            fetched = fetch_whole(parent, registry, Path(scratch))
        except UserError as error:
            return Rival(f"{parent.uri}: {error}", parent.digest, outcome="inconclusive")
        return Rival(f"with {parent.uri}", parent.digest, answers(fetched.bundle, simulated))
