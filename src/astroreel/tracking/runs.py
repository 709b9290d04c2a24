"""Run records published as MLflow runs, each once, whole or as they grow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from astroreel.files import file_digest
from astroreel.provenance import UNKNOWN
from astroreel.training.reporter import RUNNING, RunRecord

#: The tag that holds a record's key, and the one that holds the digest of its content; the second is
#: written last, so that a run without it is one whose publication was cut short.
KEY, DIGEST = "astroreel.key", "astroreel.digest"
#: The tag of the folder that a record lies in, on whichever machine.
PLACE = "astroreel.place"

_METRICS_A_CALL, _PARAMS_A_CALL = 1000, 100
_PARAM_LENGTH = 6000
#: Longest value of a tag.
TAG_LENGTH = 5000


class Published(NamedTuple):
    """What publishing gave: the run's id or the version's number, and whether it is new."""

    id: str
    new: bool


def publish_run(client: MlflowClient, experiment_id: str, record: RunRecord, place: str = "") -> Published:
    """Publish a record and its nested records, once, or what has come to them since they were published.

    A run of the same key and content is left as it is; one that is RUNNING stays open. Where the record
    takes the ``place`` of one that was not finished, that one's run is deleted.
    """
    known = find_run(client, experiment_id, record.key)
    if known is not None and known.data.tags.get(DIGEST) == record_digest(record):
        return Published(known.info.run_id, new=False)
    if place:
        for replaced in _unfinished(client, experiment_id, place, record.key):
            _delete(client, replaced)
    tags = {PLACE: place} if place else {}
    return Published(_write(client, experiment_id, record, tags), new=True)


def find_run(client: MlflowClient, experiment_id: str, key: str) -> Run | None:
    """The run that holds the record of this key, if there is one."""
    found = client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def record_digest(record: RunRecord) -> str:
    """Hexadecimal sha256 of all that a record holds, nested records included."""
    content = json.dumps(_content(record), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _content(record: RunRecord) -> Mapping[str, Any]:
    own = {name: value for name, value in vars(record).items() if name not in ("artifacts", "children")}
    return own | {
        "artifacts": [(path.name, file_digest(path)) for path in record.artifacts],
        "children": [_content(child) for child in record.children],
        "params": dict(record.params),
        "tags": dict(record.tags),
    }


def _write(
    client: MlflowClient,
    experiment_id: str,
    record: RunRecord,
    own: Mapping[str, str],
    inherited: Mapping[str, str] | None = None,
    parent: str | None = None,
) -> str:
    """Make the run and its nested ones, or add to them; each takes the tags of the run around it.

    The store leaves out figures that it has, so all are told each time.
    """
    known = find_run(client, experiment_id, record.key)
    if known is not None and known.data.tags.get(DIGEST) == record_digest(record):
        return str(known.info.run_id)
    if known is not None and any(record.params.get(k) != v for k, v in known.data.params.items()):
        _delete(client, known)  # a parameter cannot be told anew
        known = None
    said = {**(inherited or {}), **record.tags}
    tags = {**dict(_tags(record.key, said, parent)), **own}
    if known is None:
        known = client.create_run(experiment_id, record.start_ms, tags, record.name)
    run_id: str = known.info.run_id
    new = {name: value for name, value in tags.items() if known.data.tags.get(name) != value}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in new.items()])
    params = [Param(name, value[:_PARAM_LENGTH]) for name, value in record.params.items()]
    for start in range(0, len(params), _PARAMS_A_CALL):
        client.log_batch(run_id, params=params[start : start + _PARAMS_A_CALL])
    metrics = [Metric(figure.name, figure.value, figure.time_ms, figure.step) for figure in record.figures]
    for start in range(0, len(metrics), _METRICS_A_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_A_CALL])
    for path in record.artifacts:
        client.log_artifact(run_id, str(path))
    for child in record.children:
        _write(client, experiment_id, child, {}, said, run_id)
    if record.status != RUNNING:
        client.set_terminated(run_id, record.status, record.end_ms)
    client.set_tag(run_id, DIGEST, record_digest(record))
    return run_id


def _tags(key: str, said: Mapping[str, str], parent: str | None) -> Iterator[tuple[str, str]]:
    yield KEY, key
    yield from ((name, value[:TAG_LENGTH]) for name, value in said.items())
    if parent is not None:
        yield "mlflow.parentRunId", parent
    # MLflow's own pages show the source and the commit from here.
    if "stage" in said:
        yield "mlflow.source.name", f"pipelines/{said['stage']}.py"
    commit = said.get("git.commit", UNKNOWN)
    if commit != UNKNOWN:
        yield "mlflow.source.git.commit", commit


def _unfinished(client: MlflowClient, experiment_id: str, place: str, key: str) -> list[Run]:
    """The runs that came from a place and were open when they were last told of, but for that of ``key``."""
    came = f"tags.`{PLACE}` = '{place}' and tags.`{KEY}` != '{key}' and attributes.status = '{RUNNING}'"
    return list(client.search_runs([experiment_id], came))


def _delete(client: MlflowClient, run: Run) -> None:
    experiment_id, run_id = run.info.experiment_id, run.info.run_id
    for child in client.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"):
        _delete(client, child)
    client.delete_run(run_id)
