"""Bundles published as model versions, each once, and fetched again.

A version's files belong to an MLflow *logged model*, which holds the bundle and the name of the module
that opens it (:mod:`astroreel.tracking.flavour`), and no code and no pickle.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow.artifacts
import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from astroreel import __version__
from astroreel.errors import UserError
from astroreel.files import replacing_folder
from astroreel.models.bundle import load_bundle
from astroreel.tracking.runs import DIGEST, Published
from astroreel.tracking.store import mlflow_errors

#: Tags of a version are `training`, `target`, `scale`, `parent`, `headline`, what the training run says
#: of its code and data, and one `metric.NAME` a figure.
METRIC = "metric."

_BUNDLE = "bundle"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_RENEW = "delete the version and publish its bundle again"
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


def publish_version(
    client: MlflowClient,
    model_name: str,
    bundle_path: Path,
    run_id: str,
    tags: Mapping[str, str],
    description: str = "",
) -> Published:
    """Publish a bundle as the next version of a model, unless one of its versions is this bundle.

    Parameters
    ----------
    run_id
        The run that made it.
    tags
        What is to be known of the version; fixed with it.
    description
        Markdown, shown on the version's page.

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
    model_id = _log_model(client, model_name, bundle_path, run_id, digest)
    version = client.create_model_version(
        model_name,
        source=f"models:/{model_id}",
        run_id=run_id,
        tags={**tags, DIGEST: digest},
        description=description,
        model_id=model_id,
    )
    return Published(str(version.version), new=True)


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
            if error.error_code not in _ABSENT:
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
    where the version has none.
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


def status(client: MlflowClient) -> list[VersionRow]:
    """All versions that astroreel registered, by model and number."""
    with mlflow_errors(client.tracking_uri):
        aliases = {model.name: _aliases(model) for model in client.search_registered_models()}
        versions = [version for version in client.search_model_versions() if DIGEST in version.tags]
    rows = [_row(version, aliases[version.name].get(int(version.version), ())) for version in versions]
    return sorted(rows, key=lambda row: (row.name, row.version))


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
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)


def _log_model(client: MlflowClient, name: str, bundle_path: Path, run_id: str, digest: str) -> str:
    """Store the bundle as a logged model and return its id; one left without a version is dropped."""
    experiment_id = client.get_run(run_id).info.experiment_id
    same = f"name = '{name}' and tags.`{DIGEST}` = '{digest}'"
    for left in client.search_logged_models([experiment_id], same):
        client.delete_logged_model(left.model_id)
    model_id: str = client.create_logged_model(experiment_id, name, run_id, tags={DIGEST: digest}).model_id
    with tempfile.TemporaryDirectory() as scratch:
        bundle, model = Path(scratch, _BUNDLE), Path(scratch, "model")
        shutil.copytree(bundle_path, bundle)
        mlflow.pyfunc.save_model(
            str(model),
            loader_module="astroreel.tracking.flavour",
            data_path=str(bundle),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            # Given, because MLflow would load the model in another process to find them out.
            pip_requirements=[f"astroreel=={__version__}"],
        )
        client.log_model_artifacts(model_id, str(model))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    return model_id


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
        fetched = Path(files, "data", _BUNDLE)
        if not _is_bundle(fetched, digest):
            raise UserError(f"{uri}: its files are not the bundle that was registered: {_RENEW}")
        with replacing_folder(folder) as beside:
            shutil.copytree(fetched, beside, dirs_exist_ok=True)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astroreel" / "bundles"
