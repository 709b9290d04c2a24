"""The gate: a version measured anew on the frozen hold-out and held against the policy."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astroreel.classes import class_indices
from astroreel.errors import UserError
from astroreel.governance.acceptance import Refused, answers_of, fetch_whole
from astroreel.governance.deployment import Deployment
from astroreel.governance.history import LOOK, VERDICT, look_at, looks_before, verdict_on
from astroreel.governance.holdout import HoldOut, read_holdout
from astroreel.governance.ledger import Ledger
from astroreel.governance.policy import FILE, Policy
from astroreel.governance.rivals import Rivals, answers, forgetting_rival, parent_of
from astroreel.governance.rules import FORGETTING, Rival, Rule, Rules, class_changes, unmeasured
from astroreel.governance.statistics import level_left
from astroreel.governance.verdict import Verdict, Word, conclude
from astroreel.models.bundle import load_bundle
from astroreel.parameters import Parameters
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.store import load_store
from astroreel.tracking.versions import Fetched, Registry, Version, target_of

#: Objects that forgetting is measured on, and how often time is taken.
_SIMULATED, _TIMINGS = 700, 3


@dataclass(frozen=True)
class _Subject:
    """A version that can be measured, its files, its parent, and its answers to the reference batch."""

    version: Version
    fetched: Fetched
    parent: Version | None
    reference: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """A verdict, and what the ledger is to know of it."""

    verdict: Verdict
    facts: dict[str, Any]


@dataclass(frozen=True)
class Gate:
    """All that a gate needs.

    Attributes
    ----------
    root
        The project's folder, with its data.
    parameters, policy
        Of that project.
    registry, deployment, ledger
        Where versions are, which are deployed, and where verdicts are written down.
    """

    root: Path
    parameters: Parameters
    policy: Policy
    registry: Registry
    deployment: Deployment
    ledger: Ledger

    def judge(self, uri: str, who: str = "") -> Verdict:
        """Measure a version, write the verdict down and attach it to the version; raises as `measure`."""
        return self.record(self.measure(uri), who)

    def measure(self, uri: str) -> Judgement:
        """What the gate concludes of a version, without saying so to anybody; the look is spent.

        Raises
        ------
        UserError
            Where there is no such version of ours, by the policy no gate, or the registry does not answer.
        """
        if self.policy.mode == "disabled":
            raise UserError(f"{FILE}: mode is disabled: there is no gate")
        version = self.registry.named(uri)
        if not version.digest:
            raise UserError(f"{version.uri}: was not registered by astroreel")
        with tempfile.TemporaryDirectory() as scratch:
            try:
                verdict, facts = self._measured(version, Path(scratch))
            except Refused as refusal:
                verdict, facts = self._verdict(version, "error", str(refusal)), {}
        facts |= {"bundle": version.digest, "version": version.number, "verdict": verdict.word}
        facts |= {"reason": verdict.reason, "report": verdict.digest, "policy": self.policy.digest}
        return Judgement(verdict, facts | {"mode": self.policy.mode})

    def record(self, judgement: Judgement, who: str = "") -> Verdict:
        """Write a judgement down and attach it to its version; doing it twice is doing it once."""
        verdict, facts = judgement.verdict, judgement.facts
        version = self.registry.named(f"{verdict.model}/{verdict.version}")
        with self.ledger.locked():
            known = verdict_on(self.ledger.entries(), version.model, version.digest)
            if known is None or known.facts["report"] != verdict.digest:
                self.ledger.append(VERDICT, version.model, facts, who)
        with tempfile.TemporaryDirectory() as scratch:
            for file in verdict.write(Path(scratch)):
                self.registry.attach(version, file, f"gate/{version.model}-{version.number}")
        self._mark(version, verdict)
        return verdict

    def _mark(self, version: Version, verdict: Verdict) -> None:
        """Say on the version what was concluded; a pass that binds makes it the challenger."""
        self.registry.tag(
            version,
            {
                "gate.verdict": verdict.word,
                "gate.reason": verdict.reason or "every rule passed",
                "gate.measured": verdict.measured or "nothing",
                "gate.digest": verdict.digest,
                "gate.policy": verdict.policy,
                "gate.mode": verdict.mode,
                "gate.report": f"runs:/{version.run_id}/gate/{version.model}-{version.number}",
            },
        )
        if verdict.word == "passed" and self.policy.mode == "enforced":
            self.registry.set_alias(version.model, "challenger", version.number)

    def _measured(self, version: Version, scratch: Path) -> tuple[Verdict, dict[str, Any]]:
        """The verdict on a version that can be measured, and what the ledger is to know of it."""
        holdout = self._holdout(version)
        subject = self._subject(version, holdout, scratch)
        look = self._look(version, holdout)
        before = looks_before(self.ledger.entries(), version.model, version.digest, holdout.digest)
        level = level_left(self.policy.level, before)
        rivals = Rivals(self.registry, self.deployment, self.ledger.entries(), holdout)
        mine = answers(subject.fetched.bundle, holdout.sequences, _TIMINGS)
        champion, forest = rivals.champion(version), rivals.forest(version)
        forgetting, parent = self._forgetting(subject, level)

        rules = Rules(self.policy, holdout.labels, holdout.fields, level)
        found = [*rules.sizes(), *rules.floors(mine), rules.lead(mine, forest), rules.loss(mine, champion)]
        found += [*rules.falls(mine, champion), rules.calibration(mine), rules.latency(mine), forgetting]
        word, reason = conclude(found)
        changes = class_changes(holdout.labels, mine, champion.answers) if champion.answers else {}
        compared = {"champion": champion, "forest": forest, "parent": parent}
        verdict = self._verdict(
            version,
            word,
            reason,
            holdout=holdout.digest,
            look=look,
            level=level,
            compared={name: rival.digest for name, rival in compared.items() if rival.digest},
            class_changes=changes,
            rules=tuple(found),
        )
        return verdict, {
            "holdout": holdout.digest,
            "look": look,
            "files": subject.fetched.digest,
            "parent": version.tags.get("parent.digest", ""),
            "reference": np.round(subject.reference, 6).tolist(),
        }

    def _verdict(self, version: Version, word: Word, reason: str, **found: Any) -> Verdict:
        return Verdict(
            model=version.model,
            version=version.number,
            bundle=version.digest,
            target=target_of(version.model),
            mode=self.policy.mode,
            policy=self.policy.digest,
            power_at=self.policy.power_at,
            word=word,
            reason=reason,
            **found,
        )

    def _holdout(self, version: Version) -> HoldOut:
        target = self.parameters.source.target
        if target_of(version.model) != target or version.tags.get("target") != target:
            raise Refused(f"it is not for {target}, which is all that this project has labelled objects of")
        try:
            return read_holdout(self.root, self.parameters)
        except UserError as error:
            raise Refused(str(error)) from error

    def _subject(self, version: Version, holdout: HoldOut, scratch: Path) -> _Subject:
        fetched = fetch_whole(version, self.registry, scratch / "version")
        _check_learned(version, fetched, holdout)
        parent = parent_of(version, self.registry)
        kind = load_bundle(fetched.bundle).kind
        if not version.model.endswith(f"-{kind}"):
            raise Refused(f"it is a {kind}, and its name says otherwise")
        return _Subject(version, fetched, parent, answers_of(fetched.bundle))

    def _look(self, version: Version, holdout: HoldOut) -> int:
        """Write down that the hold-out is looked at, before it is: a look cut short is one too."""
        with self.ledger.locked():
            look = look_at(self.ledger.entries(), version.model, version.digest, holdout.digest)
            facts = {"version": version.number, "bundle": version.digest, "holdout": holdout.digest}
            self.ledger.append(LOOK, version.model, facts | {"look": look})
        return look

    def _forgetting(self, subject: _Subject, level: float) -> tuple[Rule, Rival]:
        simulated = self._simulated() if subject.parent else None
        rival = forgetting_rival(subject.parent, self.registry, simulated)
        if simulated is None or rival.answers is None:
            return unmeasured(FORGETTING, -self.policy.forgetting, rival), rival
        labels, fields = class_indices(simulated.labels), simulated.objects["field"]
        rules = Rules(self.policy, labels, fields, level)
        return rules.forgetting(answers(subject.fetched.bundle, simulated), rival), rival

    def _simulated(self) -> SequenceSet | None:
        try:
            sequences = load_store(self.root / "data" / "simulated" / "test")
        except UserError:
            return None
        count = min(len(sequences), _SIMULATED)
        return sequences.select(np.linspace(0, len(sequences) - 1, count).astype(np.int64))


def _check_learned(version: Version, fetched: Fetched, holdout: HoldOut) -> None:
    """Raise `Refused` where a version learned from what is held out, or does not say from what."""
    try:
        learned = fetched.labelled()
    except UserError as error:
        raise Refused(
            "it does not say what labelled objects it learned from: delete it and publish it again"
        ) from error
    shared = holdout.shared([one.name for one in learned], [one.field for one in learned])
    if shared:
        raise Refused(f"it learned from objects or fields that are held out: {', '.join(shared[:5])}")
    if not learned and version.tags.get("training") != "simulated":
        raise Refused("it is fine-tuned, and names no labelled objects")
