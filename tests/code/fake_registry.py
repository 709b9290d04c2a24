"""A registry in a folder, with the methods of `astroreel.tracking.versions.Registry`, that can be killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.files import file_digests, read_json, write_json
from astroreel.governance.history import VERDICT
from astroreel.governance.ledger import Ledger
from astroreel.governance.policy import Policy
from astroreel.governance.reference import answers
from astroreel.models.bundle import FILES
from astroreel.models.forest import Forest, ForestClassifier
from astroreel.sequences.prepare import Preparation
from astroreel.tracking.registry import BUNDLE_PATH, LABELLED, Labelled
from astroreel.tracking.versions import Fetched, Version

#: A policy that asks for nothing but a verdict.
LENIENT = Policy(
    mode="enforced",
    level=0.05,
    min_objects=1,
    min_objects_a_class=1,
    mean_recall=0,
    class_recall=0,
    lead_over_forest=-1,
    loss_to_champion=1,
    calibration_error=1,
    latency_ms=1e6,
    forgetting=1,
    power_at=0.03,
)


class Fuse:
    """Ends whatever is done with a KeyboardInterrupt, as a kill would, after ``calls`` burnings."""

    def __init__(self) -> None:
        self.calls: int | None = None

    def burn(self) -> None:
        if self.calls is not None:
            self.calls -= 1
            if self.calls < 0:
                self.calls = None
                raise KeyboardInterrupt


class FakeRegistry:
    """Versions in folders, their tags and aliases in JSON files, so that processes can share it."""

    def __init__(self, folder: Path, fuse: Fuse | None = None) -> None:
        self.folder, self.fuse, self.down = folder, fuse or Fuse(), False

    def publish(self, model: str, bundle: Path, labelled: Sequence[Labelled] = (), **tags: str) -> Version:
        number = 1 + max((version.number for version in self._all(model, deleted=True)), default=0)
        home = self.folder / model / str(number)
        shutil.copytree(bundle, home / "files" / BUNDLE_PATH)
        write_json(home / "files" / LABELLED, [one._asdict() for one in labelled])
        digest = file_digests(bundle)["manifest.json"]
        said = {"training": "simulated", "target": model.rpartition("-")[0], "astroreel.digest": digest}
        version = Version(model, number, digest, said | tags, "run", f"models:/m-{model}-{number}")
        write_json(home / "version.json", asdict(version))
        return version

    def files(self, version: Version) -> Path:
        return self.folder / version.model / str(version.number) / "files"

    def delete(self, version: Version) -> None:
        (self.folder / version.model / str(version.number) / "version.json").rename(
            self.folder / version.model / str(version.number) / "deleted.json"
        )
        for alias, number in self._aliases(version.model).items():
            if number == version.number:
                self.remove_alias(version.model, alias)

    def champions(self) -> dict[str, int | None]:
        self._reach()
        models = [path.name for path in sorted(self.folder.glob("*")) if path.is_dir()]
        return {model: self._aliases(model).get("champion") for model in models}

    def alias(self, model: str, alias: str) -> int | None:
        self._reach()
        return self._aliases(model).get(alias)

    def versions(self) -> list[Version]:
        self._reach()
        return [version for model in self.champions() for version in self._all(model)]

    def version(self, model: str, number: int) -> Version | None:
        self._reach()
        path = self.folder / model / str(number) / "version.json"
        return Version(**read_json(path)) if path.exists() else None

    def named(self, uri: str) -> Version:
        model, _, number = uri.removeprefix("models:/").partition("/")
        version = self.version(model, int(number))
        if version is None:
            raise UserError(f"{uri}: no such version")
        return version

    def set_alias(self, model: str, alias: str, number: int) -> None:
        self._write(model, {**self._aliases(model), alias: number})

    def remove_alias(self, model: str, alias: str) -> None:
        self._write(model, {name: one for name, one in self._aliases(model).items() if name != alias})

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        self._reach()
        self.fuse.burn()
        known = self.version(version.model, version.number)
        if known is not None:
            path = self.folder / version.model / str(version.number) / "version.json"
            write_json(path, asdict(replace(known, tags={**known.tags, **tags})))

    def untag(self, version: Version, names: Sequence[str]) -> None:
        self._reach()
        known = self.version(version.model, version.number)
        if known is not None:
            path = self.folder / version.model / str(version.number) / "version.json"
            left = {name: value for name, value in known.tags.items() if name not in names}
            write_json(path, asdict(replace(known, tags=left)))

    def attach(self, version: Version, file: Path, folder: str) -> None:
        self._reach()
        target = self.folder.parent / "attached" / folder
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)

    def fetch(self, version: Version, folder: Path) -> Fetched:
        self._reach()
        shutil.copytree(self.files(version), folder, dirs_exist_ok=True)
        return Fetched(folder, file_digests(folder))

    def missing_files(self, version: Version) -> list[str]:
        self._reach()
        names = [f"{BUNDLE_PATH}/{name}" for name in FILES]
        return sorted(name for name in names if not (self.files(version) / name).exists())

    def _all(self, model: str, deleted: bool = False) -> list[Version]:
        names = ("version.json", "deleted.json") if deleted else ("version.json",)
        paths = [path for name in names for path in (self.folder / model).glob(f"*/{name}")]
        return sorted((Version(**read_json(path)) for path in paths), key=lambda version: version.number)

    def _aliases(self, model: str) -> dict[str, int]:
        path = self.folder / f"{model}.aliases"
        return json.loads(path.read_text()) if path.exists() else {}

    def _write(self, model: str, aliases: dict[str, int]) -> None:
        self._reach()
        self.fuse.burn()
        write_json(self.folder / f"{model}.aliases", aliases)
        self.fuse.burn()

    def _reach(self) -> None:
        if self.down:
            raise UserError("http://server: no MLflow server answers")


def forest_bundle(folder: Path, label: str, sure: float = 0.9) -> Path:
    """A forest of one leaf, that always says ``label``."""
    probability = np.full((1, len(CLASSES)), (1 - sure) / (len(CLASSES) - 1))
    probability[0, CLASSES.index(label)] = sure
    here = np.zeros(1, np.int64)
    ForestClassifier(Forest(here, here, here, here, np.zeros(1), probability), Preparation()).save(folder)
    return folder


def pass_gate(
    ledger: Ledger, registry: FakeRegistry, version: Version, policy: Policy = LENIENT, **facts: object
) -> None:
    """Write the verdict that the gate would."""
    said = {
        "version": version.number,
        "bundle": version.digest,
        "verdict": "passed",
        "reason": "",
        "policy": policy.digest,
        "holdout": "h",
        "files": Fetched(registry.files(version), file_digests(registry.files(version))).digest,
        "parent": version.tags.get("parent.digest", ""),
        "reference": answers(registry.files(version) / BUNDLE_PATH).tolist(),
    }
    ledger.append(VERDICT, version.model, said | facts)
