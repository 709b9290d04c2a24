"""Bundles published as model versions, each once, and fetched again.

A version's files belong to an MLflow *logged model*, which holds the bundle and the name of the module
that opens it (:mod:`astroreel.tracking.flavour`), and no code and no pickle.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import mlflow.artifacts
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.entities import PagedList

from astroreel import __version__
from astroreel.errors import UserError
from astroreel.files import file_digests, replacing_folder, write_json
from astroreel.models.bundle import load_bundle
from astroreel.tracking.runs import DIGEST, Published
from astroreel.tracking.store import mlflow_errors

T = TypeVar("T")

#: Tags of a version are `training`, `target`, `scale`, `parent`, `headline`, what the training run says
#: of its code and data, and one `metric.NAME` a figure.
METRIC = "metric."

#: Tag of a version: the sha256 of each of its files, as JSON.
MANIFEST = "manifest"
#: Where a version's files hold the labelled objects that it learned from, and the bundle.
LABELLED, BUNDLE_PATH = "labelled.json", "data/bundle"
_PUBLISHER = "astroreel.publisher"
#: What MLflow says where there is no such model, version or alias.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")

_RENEW = "delete the version and publish its bundle again"
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


class Labelled(NamedTuple):
    """A labelled object that a model learned from."""

    name: str
    label: str
    field: str


def publish_version(
    client: MlflowClient,
    model_name: str,
    bundle_path: Path,
    run_id: str,
    tags: Mapping[str, str],
    labelled: Sequence[Labelled] = (),
) -> Published:
    """Publish a bundle as the next version of a model, unless one of its versions is this bundle.

    Parameters
    ----------
    run_id
        The run that made it.
    tags
        What is to be known of the version; fixed with it.
    labelled
        The labelled objects that it learned from; kept with its files.

    Raises
    ------
    UserError
        Where the bundle is damaged.
    """
    digest = load_bundle(bundle_path).digest
    known = find_version(client, model_name, digest)
    if known is not None:
        return Published(str(known.version), new=False)
    _ensure_model(client, model_name)
    logged = _log_model(client, model_name, bundle_path, run_id, digest, labelled)
    version = client.create_model_version(
        model_name,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        tags={**tags, DIGEST: digest, MANIFEST: json.dumps(logged.files), "labelled": str(len(labelled))},
        model_id=logged.model_id,
    )
    first = find_version(client, model_name, digest)
    if first is None or int(first.version) == int(version.version):
        return Published(str(version.version), new=True)
    # Another machine was faster: versions are numbered in the order in which they are made.
    client.delete_model_version(model_name, version.version)
    client.delete_logged_model(logged.model_id)
    return Published(str(first.version), new=False)


def describe(client: MlflowClient, model_name: str, version: str, text: str) -> None:
    """Show Markdown on a version's page, unless it has a description: people may have changed that."""
    if not client.get_model_version(model_name, version).description:
        client.update_model_version(model_name, version, text)


def find_version(client: MlflowClient, model_name: str, digest: str) -> ModelVersion | None:
    """The version of a model that is the bundle of this digest, if there is one."""
    found = client.search_model_versions(f"name = '{model_name}' and tag.`{DIGEST}` = '{digest}'")
    return min(found, key=lambda version: int(version.version), default=None)


def resolve(client: MlflowClient, uri: str) -> ModelVersion:
    """The version meant by ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

    Raises `UserError` where there is no such model, version or alias, or the URI is none of the two.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise UserError(f"{uri}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    name, version, alias = match["name"], match["version"], match["alias"]
    with mlflow_errors(client.tracking_uri):
        try:
            if alias is not None:
                return client.get_model_version_by_alias(name, alias)
            return client.get_model_version(name, version)
        except MlflowException as error:
            if error.error_code not in ABSENT:
                raise
            raise UserError(f"{uri}: {_absence(client, name, alias)}") from None


def download_bundle(client: MlflowClient, uri: str, cache: Path | None = None) -> Path:
    """The folder of a version's bundle on this machine, verified, fetched where it is not there yet.

    Parameters
    ----------
    uri
        ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
    cache
        Where bundles are kept, each under its digest (None: the user's cache folder).

    Raises
    ------
    UserError
        Where there is no such version, or what the store holds is not the bundle that was registered.
    """
    version = resolve(client, uri)
    digest = version.tags.get(DIGEST)
    if digest is None:
        raise UserError(f"{uri}: has no tag {DIGEST}: it was not registered by astroreel")
    folder = (cache or _user_cache()) / digest
    if not _is_bundle(folder, digest):
        _fetch(version, digest, folder, uri)
    return folder


@dataclass(frozen=True)
class VersionRow:
    """One version, as ``astroreel registry status`` shows it.

    ``headline`` is "NAME=VALUE", told apart in ``headline_name`` and ``headline_value``; "", "" and None
    where the version has none. ``verdict`` is the gate's as its tag has it, "" where there is none.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    training: str
    target: str
    scale: str
    digest: str
    headline: str
    headline_name: str
    headline_value: float | None
    verdict: str = ""


def status(client: MlflowClient) -> list[VersionRow]:
    """All versions that astroreel registered, by model and number."""
    with mlflow_errors(client.tracking_uri):
        aliases = {model.name: _aliases(model) for model in all_models(client)}
        versions = [version for version in all_versions(client) if DIGEST in version.tags]
    rows = [
        _row(version, aliases.get(version.name, {}).get(int(version.version), ())) for version in versions
    ]
    return sorted(rows, key=lambda row: (row.name, row.version))


def all_models(client: MlflowClient) -> list[RegisteredModel]:
    """Every registered model, however many pages they fill."""
    return _every(client.search_registered_models)


def all_versions(client: MlflowClient) -> list[ModelVersion]:
    """Every version of every model, however many pages they fill."""
    return _every(client.search_model_versions)


def _every(search: Callable[..., PagedList[T]]) -> list[T]:
    found: list[T] = []
    token: str | None = None
    while True:
        page = search(page_token=token)
        found += page
        if not (token := page.token):
            return found


def _aliases(model: RegisteredModel) -> dict[int, tuple[str, ...]]:
    """The aliases of each version; MLflow tells them of a model, not of the versions it finds."""
    by_version: dict[int, tuple[str, ...]] = {}
    for alias, version in sorted(model.aliases.items()):
        by_version[int(version)] = (*by_version.get(int(version), ()), alias)
    return by_version


def _row(version: ModelVersion, aliases: tuple[str, ...]) -> VersionRow:
    tags = version.tags
    headline = tags.get("headline", "")
    value = tags.get(METRIC + headline, "")
    return VersionRow(
        name=version.name,
        version=int(version.version),
        aliases=aliases,
        training=tags.get("training", ""),
        target=tags.get("target", ""),
        scale=tags.get("scale", ""),
        digest=tags[DIGEST],
        headline=f"{headline}={value}" if headline else "",
        headline_name=headline,
        headline_value=float(value) if value else None,
        verdict=tags.get("gate.verdict", ""),
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another machine was faster
            raise


@dataclass(frozen=True)
class _Logged:
    """A logged model: its id, and the sha256 of each of its files."""

    model_id: str
    files: Mapping[str, str]


def _log_model(
    client: MlflowClient,
    name: str,
    bundle_path: Path,
    run_id: str,
    digest: str,
    labelled: Sequence[Labelled],
) -> _Logged:
    """Store the bundle as a logged model; one that this machine left without a version is dropped."""
    experiment_id = client.get_run(run_id).info.experiment_id
    own = f"name = '{name}' and tags.`{DIGEST}` = '{digest}' and tags.`{_PUBLISHER}` = '{_publisher()}'"
    for left in client.search_logged_models([experiment_id], own):
        client.delete_logged_model(left.model_id)
    tags = {DIGEST: digest, _PUBLISHER: _publisher()}
    model_id: str = client.create_logged_model(experiment_id, name, run_id, tags=tags).model_id
    with tempfile.TemporaryDirectory() as scratch:
        bundle, model = Path(scratch, PurePosixPath(BUNDLE_PATH).name), Path(scratch, "model")
        shutil.copytree(bundle_path, bundle)
        mlflow.pyfunc.save_model(
            str(model),
            loader_module="astroreel.tracking.flavour",
            data_path=str(bundle),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            # Given, because MLflow would load the model in another process to find them out.
            pip_requirements=[f"astroreel=={__version__}"],
        )
        write_json(model / LABELLED, [one._asdict() for one in labelled])
        files = file_digests(model)
        client.log_model_artifacts(model_id, str(model))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    return _Logged(model_id, files)


def _publisher() -> str:
    """Who may drop what was left: of one user's processes on a machine only one publishes at a time."""
    return f"{os.getuid()}@{socket.gethostname()}"


def _absence(client: MlflowClient, name: str, alias: str | None) -> str:
    """What is missing, and what there is instead."""
    rows = status(client)
    versions = ", ".join(" = ".join((str(row.version), *row.aliases)) for row in rows if row.name == name)
    if versions and alias is not None:
        return f"no alias '{alias}': {name} has versions {versions}; set one in the MLflow UI"
    if versions:
        return f"no such version: {name} has {versions}"
    models = ", ".join(sorted({row.name for row in rows}))
    return f"no such version: {f'registered are {models}' if models else 'nothing is registered yet'}"


def _is_bundle(folder: Path, digest: str) -> bool:
    try:
        return load_bundle(folder).digest == digest
    except UserError:
        return False


def _fetch(version: ModelVersion, digest: str, folder: Path, uri: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            files = mlflow.artifacts.download_artifacts(version.source, dst_path=scratch)
        except (MlflowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{uri}: its files cannot be fetched ({reason}): {_RENEW}") from error
        fetched = Path(files, BUNDLE_PATH)
        if not _is_bundle(fetched, digest):
            raise UserError(f"{uri}: its files are not the bundle that was registered: {_RENEW}")
        with replacing_folder(folder) as beside:
            shutil.copytree(fetched, beside, dirs_exist_ok=True)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astroreel" / "bundles"
