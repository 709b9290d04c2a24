"""One pass, from the labelled set to the challenger, in steps that can each be done again.

What a step made is kept in the pass's folder and found there when the pass is taken up again: killed
anywhere, the next tick ends as the pass would have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from astroreel.arrivals.inbox import open_inbox
from astroreel.errors import UserError
from astroreel.files import read_json, replacing_folder, write_json
from astroreel.governance.deployment import FOLDER
from astroreel.governance.gate import Gate, Judgement
from astroreel.governance.ledger import FILE, Ledger
from astroreel.governance.policy import FILE as POLICY
from astroreel.governance.policy import read_policy
from astroreel.governance.verdict import Verdict
from astroreel.models.bundle import load_bundle
from astroreel.parameters import Parameters
from astroreel.provenance import provenance
from astroreel.schedule.champion import Champion
from astroreel.schedule.home import Home
from astroreel.schedule.learning import Learner, better
from astroreel.schedule.repository import LABELLED, Repository, Versioned
from astroreel.schedule.task import INPUTS, Stopped, Task
from astroreel.tracking.card import TEMPLATE, FineTuning
from astroreel.tracking.publish import TrainedModel, publish_all
from astroreel.tracking.registry import Labelled
from astroreel.training.reporter import SpoolReporter

_KINDS = ("rcnn", "forest")

#: What each step keeps in the folder of the pass.
_DATA, _CHOICE, _JUDGEMENT = "data.json", "choice.json", "judgement.json"


@dataclass(frozen=True)
class Result:
    """What a pass came to: the parent chosen by these losses, the data, the versions and the verdict."""

    parent: str
    losses: Mapping[str, float]
    data: Versioned
    versions: Mapping[str, int]
    verdict: Verdict


@dataclass(frozen=True)
class Work:
    """A pass at work.

    Attributes
    ----------
    root, parameters
        The project.
    task
        What is worked on.
    say
        Is told what is done, a line each.
    stopped
        Asked after each step whether to end.
    """

    root: Path
    parameters: Parameters
    task: Task
    say: Callable[[str], None]
    stopped: Callable[[], bool]

    def do(self) -> Result:
        """Do what is left to do.

        Raises
        ------
        UserError
            Where a step cannot be done now.
        Stopped
            Between two steps, where that is asked for.
        """
        self._check()
        data = self._step("commit", self._version)
        choice = self._step("compare", self._choose)
        self._step("fine-tune", lambda: self._train(choice["parent"], Versioned(**data)))
        versions = self._step("register", lambda: self._register(choice["parent"]))
        verdict = self._step("judge", lambda: self._judge(versions))
        return Result(choice["parent"], choice["losses"], Versioned(**data), versions, verdict)

    @property
    def folder(self) -> Path:
        """Where the pass keeps what it made."""
        return Home(self.root).of(self.task.id)

    def _step(self, name: str, act: Callable[[], Any]) -> Any:
        if self.stopped():
            raise Stopped(f"stopped before {name!r}")
        self.say(f"{self.task.id[:8]}: {name}")
        return act()

    def _check(self) -> None:
        """Raise `UserError`, before any work, where there is no gate, or nothing registered to come from."""
        if read_policy(self.root).mode == "disabled":
            raise UserError(f"{POLICY}: mode is disabled: nothing becomes challenger without a gate")
        digest = load_bundle(self._pretrained).digest
        if not any(version.digest == digest for version in self.champion.registry.versions()):
            raise UserError(f"{self._pretrained}: not registered: run `astroreel registry publish` first")

    def _version(self) -> dict[str, str]:
        path = self.folder / _DATA
        if path.exists() and not self._repository.holds(read_json(path)["md5"]):
            path.unlink()  # another pass, or somebody who cleaned up: it is made again, as the same commit
        return self._kept(_DATA, self._commit)

    def _commit(self) -> dict[str, str]:
        files = {name: str(label["sha256"]) for name, label in self.task.labels.items()}
        message = f"Labelled set of {len(files)} objects ({self.task.reason})"
        with open_inbox(self.root, self.parameters).locked():
            return asdict(self._repository.version(self.root / "arrivals", files, message))

    def _choose(self) -> dict[str, Any]:
        def compare() -> dict[str, Any]:
            losses = self._learner.compare()
            return {"parent": better(losses), "losses": losses}

        return self._kept(_CHOICE, compare)

    def _train(self, parent: str, data: Versioned) -> None:
        models = Home(self.root).models(self.task.id)
        if models.exists():
            return
        with SpoolReporter(self.folder / "run", f"schedule-{self.task.id[:8]}") as reporter:
            reporter.tags(self._tags(data))
            reporter.params({**self.parameters.finetune.model_dump(), "parent": parent})
            with replacing_folder(models) as scratch:
                self._learner.train(parent, scratch, reporter)

    def _tags(self, data: Versioned) -> dict[str, str]:
        said = provenance(self.root, inputs=INPUTS) | {
            "git.commit": data.commit,
            f"data.{LABELLED}": data.md5,
        }
        return said | {
            "schedule.pass": self.task.id,
            "scale": self.parameters.scale,
            "target": self.parameters.source.target,
        }

    def _register(self, parent: str) -> dict[str, int]:
        parents = {"rcnn": self._parents[parent], "forest": self.root / "models" / "forest"}
        own = [Labelled(one["name"], one["label"], one["field"]) for one in self.task.labels.values()]
        before = self.champion.learned if parent == "champion" else []
        models = [
            TrainedModel(
                bundle=Home(self.root).models(self.task.id) / kind,
                run=self.folder / "run",
                target=self.parameters.source.target,
                scale=self.parameters.scale,
                tuning=FineTuning(parents[kind]),
                labelled=sorted({*own, *(before if kind == "rcnn" else [])}),
            )
            for kind in _KINDS
        ]
        uri, experiment = self.champion.registry.client.tracking_uri, self.parameters.registry.experiment
        done = publish_all(self.folder / "run", models, self.root / TEMPLATE, uri, experiment)
        return {model["name"]: model["version"] for model in done["models"]}

    def _judge(self, versions: Mapping[str, int]) -> Verdict:
        """The gate's verdict on the network, measured once and then written down."""
        model = self.champion.model
        gate = Gate(
            self.root,
            self.parameters,
            read_policy(self.root),
            self.champion.registry,
            self.champion.deployment,
            Ledger(self.root / FOLDER / FILE),
        )

        def measure() -> dict[str, Any]:
            judgement = gate.measure(f"{model}/{versions[model]}")
            return {"verdict": judgement.verdict.to_json(), "facts": judgement.facts}

        kept = self._kept(_JUDGEMENT, measure)
        return gate.record(Judgement(Verdict.of_json(kept["verdict"]), kept["facts"]), who="schedule")

    def _kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What an earlier attempt at this step left, or made now and kept."""
        path = self.folder / name
        if not path.exists():
            write_json(path, make())
        kept: dict[str, Any] = read_json(path)
        return kept

    @property
    def _repository(self) -> Repository:
        return Repository(self.root, Home(self.root).worktree, self.parameters.schedule.branch)

    @cached_property
    def _learner(self) -> Learner:
        fields = {str(one["field"]) for one in self.task.labels.values()}
        return Learner(
            root=self.root,
            labelled=self._repository.labelled,
            parameters=self.parameters,
            new=frozenset(fields - {one.field for one in self.champion.learned}),
            parents=self._parents,
            deadline=time.time() + 60.0 * self.parameters.schedule.minutes,
        )

    @cached_property
    def _parents(self) -> dict[str, Path]:
        """The pretrained network, and the champion where that is another."""
        parents = {"pretrained": self._pretrained}
        if self.champion.bundle and self.champion.digest != load_bundle(self._pretrained).digest:
            parents["champion"] = self.champion.bundle
        return parents

    @cached_property
    def champion(self) -> Champion:
        """The deployed network."""
        return Champion(self.root, self.parameters)

    @property
    def _pretrained(self) -> Path:
        return self.root / "models" / "pretrained"
