"""A copy of a project to rehearse in: its own registry, deployment and arrivals, nobody told, nothing pushed.

What is large is linked, file by file: the copy stays as it is when the project's pipeline runs again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from astroreel.errors import UserError
from astroreel.files import replacing_folder
from astroreel.governance.deployment import FOLDER
from astroreel.governance.gate import Gate
from astroreel.governance.history import verdict_on
from astroreel.governance.ledger import FILE, Ledger
from astroreel.governance.policy import read_policy
from astroreel.governance.reconcile import CHAMPION, Reconciler
from astroreel.parameters import Parameters, read_parameters
from astroreel.schedule.champion import Champion
from astroreel.schedule.repository import git
from astroreel.tracking.card import TEMPLATE
from astroreel.tracking.project import trained_models
from astroreel.tracking.publish import publish_all
from astroreel.tracking.store import ADDRESS, DEFAULT_URI

#: What a pipeline leaves and a rehearsal reads.
_LEFT = (
    *("data/" + part for part in ("conditions.ecsv", "features", "simulated", "split.json", "survey.json")),
    *("data/target", "models", "runs", "reports/metrics.json"),
)
#: What would reach beyond the copy, and its value there.
_APART: dict[str, dict[str, Any]] = {
    "registry": {"tracking_uri": DEFAULT_URI},
    "schedule": {"webhook": None, "command": [], "branch": "astroreel/labelled"},
    "inbox": {"watch": ""},
}
_WHO = "rehearsal"


def make_checkout(root: Path, folder: Path) -> None:
    """Copy the project in ``root`` into the new folder, whole or not at all.

    Raises `UserError` where it is no git repository or its pipeline has not run.
    """
    if not (root / "reports" / "metrics.json").exists():
        raise UserError(
            f"{root}: no reports/metrics.json: there is nothing to rehearse with; run `make repro`"
        )
    with replacing_folder(folder) as scratch:
        git(root, "clone", "--quiet", "--no-tags", str(root), str(scratch))
        _as_they_lie(root, scratch)
        _set_apart(scratch / "params.yaml")
        for name in _LEFT:
            _link(root / name, scratch / name)
        _link_cache(root, scratch)
        git(scratch, "add", "--all")
        git(scratch, "commit", "--quiet", "--allow-empty", "-m", "Rehearsal")


@contextmanager
def own_registry(checkout: Path) -> Iterator[None]:
    """Within it the copy's registry is the one that is meant, whatever the environment names."""
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = f"sqlite:///{checkout.resolve() / 'mlflow.db'}"
    try:
        yield
    finally:
        os.environ.pop(ADDRESS)
        if before is not None:
            os.environ[ADDRESS] = before


def begin(checkout: Path) -> list[str]:
    """Publish what was trained on simulations alone, and promote the network if it passes the gate.

    Doing it twice is doing it once. Says what was done, a line each.
    """
    parameters = read_parameters(checkout)
    models = [model for model in trained_models(checkout, parameters) if model.tuning is None]
    champion = Champion(checkout, parameters)
    uri, experiment = champion.registry.client.tracking_uri, parameters.registry.experiment
    publish_all(checkout / "runs", models, checkout / TEMPLATE, uri, experiment)
    (first,) = (
        one for one in champion.registry.versions() if one.model == champion.model and one.number == 1
    )
    policy, ledger = read_policy(checkout), Ledger(checkout / FOLDER / FILE)
    if verdict_on(ledger.entries(), first.model, first.digest) is None:
        Gate(checkout, parameters, policy, champion.registry, champion.deployment, ledger).judge(
            first.uri, _WHO
        )
    return promote(checkout, parameters)


def promote(checkout: Path, parameters: Parameters) -> list[str]:
    """What a person does who trusts the gate: give each challenger the alias champion, and have it deployed.

    Doing it twice is doing it once. Says what was done, a line each.
    """
    champion = Champion(checkout, parameters)
    registry = champion.registry
    for model, number in registry.champions().items():
        challenger = registry.alias(model, "challenger")
        if challenger not in (None, number):
            registry.set_alias(model, CHAMPION, challenger)
    ledger = Ledger(checkout / FOLDER / FILE)
    return Reconciler(registry, champion.deployment, ledger, read_policy(checkout)).reconcile()


def _as_they_lie(root: Path, copy: Path) -> None:
    """The files of the repository as they are there now, committed or not."""
    listed = git(root, "ls-files", "-z", "--modified", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        place = copy / name
        place.unlink(missing_ok=True)
        if (root / name).is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, place)


def _set_apart(file: Path) -> None:
    yaml = YAML()
    yaml.preserve_quotes = True
    content = yaml.load(file.read_text(encoding="utf-8"))
    for section, values in _APART.items():
        if section in content:
            content[section].update(values)
    with file.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)


def _link_cache(root: Path, copy: Path) -> None:
    """A cache of its own, that begins with what the project's holds; and no remote to push to."""
    from dvc.repo import Repo

    with Repo(str(root)) as project:
        cache = Path(project.cache.local_cache_dir)
    for part in ("files", "runs"):
        if (cache / part).is_dir():
            _link(cache / part, copy / ".dvc" / "cache" / part)
    with Repo(str(copy)) as own, own.config.edit("repo") as config:
        config["core"].pop("remote", None)
        config["cache"].pop("dir", None)


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, copy_function=_link_file, dirs_exist_ok=True)
    elif source.exists():
        _link_file(source, place)


def _link_file(source: str | Path, place: str | Path) -> None:
    with suppress(OSError):  # on another file system it is copied
        os.link(source, place)
        return
    shutil.copy2(source, place)
