"""Everything that a run of the pipeline left behind, published: its run records and its models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from astroreel.errors import UserError
from astroreel.models.bundle import load_bundle
from astroreel.tracking.card import Figure, FineTuning, Subject, version_card
from astroreel.tracking.follow import place
from astroreel.tracking.registry import METRIC, Labelled, describe, find_version, publish_version
from astroreel.tracking.runs import find_run, publish_run
from astroreel.tracking.store import connect, experiment_id, mlflow_errors, publishing, shown
from astroreel.training.reporter import find_spools, read_spool

_LINEAGE = ("git.", "params.", "data.", "schedule.")


@dataclass(frozen=True)
class TrainedModel:
    """A bundle and what its version is to say of it.

    Attributes
    ----------
    bundle
        Its folder.
    run
        The spool folder of the run, or nested run, that made it.
    target
        The target domain: the model is registered as ``TARGET-KIND``.
    scale
        The preset of parameters it was trained with.
    figures, headline
        Figures by ``DOMAIN.MEASURE``, and which of them ``astroreel registry status`` shows ("": none).
    slices
        Figures of parts of the objects, by ``DOMAIN.MEASURE.PART``; on the card alone.
    tuning, labelled
        How it was fine-tuned, from a bundle published before it, and on which objects (None: trained on
        simulations alone).
    search
        The spool folder of the run that chose its network (None: none did).
    """

    bundle: Path
    run: Path
    target: str
    scale: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    headline: str = ""
    slices: Mapping[str, Figure] = field(default_factory=dict)
    tuning: FineTuning | None = None
    labelled: Sequence[Labelled] = ()
    search: Path | None = None


def publish_all(
    runs: Path, models: Sequence[TrainedModel], card: Path, tracking_uri: str, experiment: str
) -> dict[str, Any]:
    """Publish every run record at or below ``runs`` and then the models in order; both once.

    Parameters
    ----------
    card
        Template of the versions' descriptions.

    Returns
    -------
    dict
        Plain values for JSON: ``tracking_uri``, ``experiment``, ``runs`` (how many ``new`` and
        ``known``), ``models`` (each ``name``, ``version``, ``digest``, ``new``).

    Raises
    ------
    UserError
        Where the store cannot be reached, a record or bundle is damaged or a model's run is missing.
    """
    records = {place(folder): read_spool(folder) for folder in find_spools(runs)}
    client = connect(tracking_uri)
    with publishing(client.tracking_uri), mlflow_errors(client.tracking_uri):
        home = experiment_id(client, experiment)
        count = Counter(publish_run(client, home, record, at).new for at, record in records.items())
        published = [_publish_model(client, home, model, card) for model in models]
    return {
        "tracking_uri": shown(tracking_uri),
        "experiment": experiment,
        "runs": {"new": count[True], "known": count[False]},
        "models": published,
    }


def _publish_model(client: MlflowClient, home: str, model: TrainedModel, card: Path) -> dict[str, Any]:
    bundle = load_bundle(model.bundle)
    name = f"{model.target}-{bundle.kind}"
    tags = _version_tags(client, home, name, model)
    run_id = _run_id(client, home, model.run)
    version = publish_version(client, name, model.bundle, run_id, tags, model.labelled)
    tags["labelled"] = str(len(model.labelled))
    subject = Subject(name, version.id, bundle, tags, {**model.figures, **model.slices}, model.tuning)
    describe(client, name, version.id, version_card(card, subject))
    return {"name": name, "version": int(version.id), "digest": bundle.digest, "new": version.new}


def _version_tags(client: MlflowClient, home: str, name: str, model: TrainedModel) -> dict[str, str]:
    tags = _lineage(model.run)
    training = "fine-tuned" if model.tuning else "simulated"
    tags |= {"target": model.target, "training": training, "scale": model.scale}
    for key, figure in model.figures.items():
        tags[METRIC + key] = f"{figure.value:.6g}"
        tags |= {f"{METRIC}{key}.{part}": f"{getattr(figure, part):.6g}" for part in ("low", "high", "n")}
    if model.headline:
        tags["headline"] = model.headline
    if model.search is not None:
        tags["search.run"] = _run_id(client, home, model.search)
    if model.tuning is not None:
        digest = load_bundle(model.tuning.parent).digest
        version = find_version(client, name, digest)
        tags["parent"] = f"{name}/{version.version}" if version else digest
        tags["parent.digest"] = digest
    return tags


def _lineage(run: Path) -> dict[str, str]:
    """What a run says of its code, parameters and data; a nested one leaves it to the run around it."""
    around = [folder for folder in (*reversed(run.parents), run) if (folder / "run.json").exists()]
    tags = {name: value for folder in around for name, value in read_spool(folder).tags.items()}
    return {name: value for name, value in tags.items() if name.startswith(_LINEAGE)}


def _run_id(client: MlflowClient, home: str, run: Path) -> str:
    found = find_run(client, home, read_spool(run).key)
    if found is None:
        raise UserError(f"{run}: this run is not below the folder of runs that is published")
    return str(found.info.run_id)
