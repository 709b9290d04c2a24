"""The registry as governance sees it: versions, aliases, tags and files, in plain values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from astroreel.errors import UserError
from astroreel.files import file_digests, read_json
from astroreel.models.bundle import FILES
from astroreel.tracking.registry import ABSENT, BUNDLE_PATH, LABELLED, Labelled, all_models, all_versions
from astroreel.tracking.runs import DIGEST, TAG_LENGTH
from astroreel.tracking.store import mlflow_errors, publishing

T = TypeVar("T")

_MODEL_NAME = re.compile(r"(?P<target>.+)-(?P<kind>rcnn|forest)")
#: What MLflow adds to files that it fetches.
_ADDED = "registered_model_meta"
_URI = re.compile(r"(?:models:/)?(?P<name>[^/@]+)/(?P<number>\d+)")


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes
    ----------
    model, number
        As in ``models:/MODEL/NUMBER``.
    digest
        Of the bundle that it says it is; "" where astroreel did not register it.
    tags
        All its tags, `digest` among them: anyone may have written them.
    run_id, source
        The run that made it, and where its files are.
    """

    model: str
    number: int
    digest: str
    tags: Mapping[str, str]
    run_id: str
    source: str

    @property
    def uri(self) -> str:
        return f"models:/{self.model}/{self.number}"


@dataclass(frozen=True)
class Fetched:
    """A version's files, fetched anew: their folder, and every file's sha256 by its path in there."""

    folder: Path
    files: Mapping[str, str]

    @property
    def bundle(self) -> Path:
        """The folder of its bundle."""
        return self.folder / BUNDLE_PATH

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 over the names and digests of all files."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    def labelled(self) -> list[Labelled]:
        """The labelled objects that it learned from.

        Raises `UserError` where it does not say.
        """
        return [Labelled(**one) for one in read_json(self.folder / LABELLED)]


class Registry:
    """The models of this project in an MLflow registry; every refusal of MLflow's is a `UserError`."""

    def __init__(self, client: MlflowClient) -> None:
        self.client = client

    def champions(self) -> dict[str, int | None]:
        """For each model of the project the version under the alias ``champion``, None where it has none."""
        with mlflow_errors(self.client.tracking_uri):
            models = [model for model in all_models(self.client) if _MODEL_NAME.fullmatch(model.name)]
        return {model.name: _number(model.aliases.get("champion")) for model in models}

    def alias(self, model: str, alias: str) -> int | None:
        """The version under an alias of a model, None where there is none."""
        found = self._call(lambda: self.client.get_model_version_by_alias(model, alias))
        return None if found is None else int(found.version)

    def versions(self) -> list[Version]:
        """Every version that astroreel registered, by model and number."""
        with mlflow_errors(self.client.tracking_uri):
            found = [_version(one) for one in all_versions(self.client) if DIGEST in one.tags]
        return sorted(found, key=lambda version: (version.model, version.number))

    def version(self, model: str, number: int) -> Version | None:
        """One version, None where it does not exist or has been deleted."""
        found = self._call(lambda: self.client.get_model_version(model, str(number)))
        return None if found is None else _version(found)

    def named(self, uri: str) -> Version:
        """The version meant by ``models:/NAME/VERSION`` or ``NAME/VERSION``; raises `UserError` for none."""
        match = _URI.fullmatch(uri)
        if match is None:
            raise UserError(f"{uri}: expected NAME/VERSION, such as hits-rcnn/2")
        version = self.version(match["name"], int(match["number"]))
        if version is None:
            raise UserError(f"{uri}: no such version: `astroreel registry status` lists them")
        return version

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Give a version an alias of its model; the version that has it loses it."""
        with self._writing():
            self.client.set_registered_model_alias(model, alias, str(number))

    def remove_alias(self, model: str, alias: str) -> None:
        """Remove an alias of a model, if it is there."""
        with self._writing():
            self._call(lambda: self.client.delete_registered_model_alias(model, alias))

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set tags of a version; nothing happens where it has been deleted."""
        with self._writing():
            for name, value in tags.items():
                self._call(partial(self._set_tag, version, name, value[:TAG_LENGTH]))

    def untag(self, version: Version, names: Sequence[str]) -> None:
        """Remove tags of a version, those that it had when it was read."""
        with self._writing():
            for name in version.tags.keys() & set(names):
                self._call(partial(self._remove_tag, version, name))

    def attach(self, version: Version, file: Path, folder: str) -> None:
        """Keep a copy of a file with the run that made a version, in a folder of that run."""
        with self._writing():
            self.client.log_artifact(version.run_id, str(file), folder)

    def fetch(self, version: Version, folder: Path) -> Fetched:
        """Fetch all files of a version into an empty folder.

        Raises `UserError` where the store no longer has them.
        """
        try:
            files = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(folder)))
        except (MlflowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{version.uri}: its files cannot be fetched ({reason})") from error
        return Fetched(files, {name: one for name, one in file_digests(files).items() if name != _ADDED})

    def missing_files(self, version: Version) -> list[str]:
        """Which files of its bundle the store no longer has."""
        model_id = version.source.removeprefix("models:/")
        listed = self._call(lambda: self.client.list_logged_model_artifacts(model_id, BUNDLE_PATH))
        there = {file.path for file in listed or []}
        return sorted({f"{BUNDLE_PATH}/{name}" for name in FILES} - there)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with publishing(self.client.tracking_uri), mlflow_errors(self.client.tracking_uri):
            yield

    def _set_tag(self, version: Version, name: str, value: str) -> None:
        self.client.set_model_version_tag(version.model, str(version.number), name, value)

    def _remove_tag(self, version: Version, name: str) -> None:
        self.client.delete_model_version_tag(version.model, str(version.number), name)

    def _call(self, call: Callable[[], T]) -> T | None:
        """What a call gives, None where what it is about does not exist."""
        with mlflow_errors(self.client.tracking_uri):
            try:
                return call()
            except MlflowException as error:
                if error.error_code not in ABSENT:
                    raise
                return None


def target_of(model: str) -> str:
    """The target domain in a registered model's name, "" where the name is none of ours."""
    match = _MODEL_NAME.fullmatch(model)
    return match["target"] if match else ""


def _version(found: ModelVersion) -> Version:
    return Version(
        model=found.name,
        number=int(found.version),
        digest=found.tags.get(DIGEST, ""),
        tags=found.tags,
        run_id=found.run_id or "",
        source=found.source or "",
    )


def _number(version: str | int | None) -> int | None:
    return None if version is None else int(version)
