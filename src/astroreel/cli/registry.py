"""``astroreel registry ...``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from astroreel.cli.console import PARTIAL, PLAIN_WIDTH, output, who
from astroreel.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from astroreel.governance.deployment import Pointer
    from astroreel.governance.reconcile import Reconciler
    from astroreel.governance.verdict import Verdict
    from astroreel.tracking.registry import VersionRow

app = typer.Typer(no_args_is_help=True, help="The model registry in MLflow.")

#: Between two looks at the records of what is running.
_FOLLOW_SECONDS = 2.0

VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="Such as hits-rcnn/2.")]


@app.command("publish")
def registry_publish(
    follow: Annotated[
        bool, typer.Option("--follow", help="Runs alone, while they grow, until Ctrl-C.")
    ] = False,
) -> None:
    """Publish the runs and models that the pipeline left, each once."""
    from astroreel.parameters import read_parameters

    if follow:
        _follow_runs()
    from astroreel.tracking.project import publish_project

    summary = publish_project(Path.cwd(), read_parameters(Path.cwd()))
    output.print(f"runs: {summary['runs']['new']} new, {summary['runs']['known']} known")
    for model in summary["models"]:
        novelty = "new" if model["new"] else "known"
        output.print(f"models:/{model['name']}/{model['version']} {model['digest'][:12]} {novelty}")


def _follow_runs() -> NoReturn:
    from threading import Event

    from astroreel.governance.watch import watch
    from astroreel.parameters import read_parameters
    from astroreel.tracking.follow import Follower

    follower = Follower(Path.cwd(), read_parameters(Path.cwd()))
    watch(follower.publish, _FOLLOW_SECONDS, Event(), lambda line: output.print(line, markup=False))


@app.command("status")
def registry_status(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """The registered versions, what the gate says of them and which are deployed."""
    import json
    from dataclasses import asdict

    client = open_registry()
    from astroreel.governance.deployment import FOLDER, Deployment
    from astroreel.tracking.registry import status

    rows, pointers = status(client), Deployment(Path(FOLDER)).pointers()
    if as_json:
        deployed = {pointer.model: asdict(pointer) for pointer in pointers}
        typer.echo(json.dumps({"versions": [asdict(row) for row in rows], "deployed": deployed}, indent=2))
        return
    _print_versions(rows, pointers)


@app.command("gate")
def registry_gate(
    version: VersionName,
    as_json: Annotated[bool, typer.Option("--json", help="The whole report, machine-readable.")] = False,
) -> None:
    """Measure a version on the frozen hold-out and hold it against registry/policy.yaml.

    Status 0 where it passed, 3 where it did not.
    """
    from astroreel.governance.gate import Gate
    from astroreel.parameters import read_parameters

    parameters = read_parameters(Path.cwd())
    parts = _reconciler()
    gate = Gate(Path.cwd(), parameters, parts.policy, parts.registry, parts.deployment, parts.ledger)
    verdict = gate.judge(version, who())
    if as_json:
        typer.echo(verdict.to_json(), nl=False)
    else:
        _print_verdict(verdict)
    if verdict.word != "passed":
        raise typer.Exit(PARTIAL)


@app.command("promote")
def registry_promote(version: VersionName) -> None:
    """Make a version that passed the gate the champion of its model, and deploy it."""
    from astroreel.governance.promote import promote

    output.print(promote(_reconciler(), version, who()), markup=False)


@app.command("rollback")
def registry_rollback(
    model: Annotated[str, typer.Argument(metavar="NAME", help="A registered model, such as hits-rcnn.")],
) -> None:
    """Go back to the version deployed before, once it is verified."""
    from astroreel.governance.promote import rollback

    output.print(rollback(_reconciler(), model, who()), markup=False)


@app.command("reconcile")
def registry_reconcile(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until interrupted.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the registry.")] = 5.0,
    listen: Annotated[str, typer.Option(help="HOST:PORT for webhooks, which wake it at once.")] = "",
    webhook: Annotated[str, typer.Option(help="URL of that address, to be registered with MLflow.")] = "",
) -> None:
    """Deploy the champions that passed the gate; set the alias back from all others."""
    if not watch:
        if listen or webhook:
            raise UserError("--listen and --webhook are for --watch: add it")
        for line in _reconciler().reconcile():
            output.print(line, markup=False)
        return
    import signal

    # A reconciler may be ended at any moment: a service manager's way is taken for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _watch(every, listen, webhook)
    except KeyboardInterrupt:
        output.print("stopped")


@app.command("lineage")
def registry_lineage(
    of: Annotated[str, typer.Argument(metavar="VERSION|DIGEST", help="A version, or a digest of data.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What a version was made from and what was made from it; or which versions used a dataset."""
    import json

    parts = _reconciler()
    from astroreel.governance.lineage import lineage

    found = lineage(of, parts.registry, parts.ledger)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in _outline(found):
        output.print(line, markup=False)


def open_registry() -> MlflowClient:
    """A client of the project's registry; none is made where there is none, nor MLflow loaded in vain.

    A store that the environment names comes before that of params.yaml.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _address()
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        raise UserError(f"{file}: no registry yet: `make repro` or `astroreel registry publish` makes it")
    from astroreel.tracking.store import connect

    return connect(uri, Path.cwd())


def _address() -> str:
    from astroreel.parameters import read_parameters

    return read_parameters(Path.cwd()).registry.tracking_uri


def _reconciler() -> Reconciler:
    from astroreel.governance.policy import read_policy

    policy = read_policy(Path.cwd())
    client = open_registry()
    from astroreel.governance.deployment import FOLDER, Deployment
    from astroreel.governance.ledger import FILE, Ledger
    from astroreel.governance.reconcile import Reconciler
    from astroreel.tracking.versions import Registry

    folder = Path(FOLDER)
    return Reconciler(Registry(client), Deployment(folder), Ledger(folder / FILE), policy)


def _watch(every: float, listen: str, webhook: str) -> None:
    from threading import Event

    from astroreel.governance.policy import read_policy
    from astroreel.governance.receiver import serve
    from astroreel.governance.watch import watch

    key, wake = os.environ.get("ASTROREEL_WEBHOOK_SECRET", ""), Event()
    if listen:
        serve(listen, key, wake.set)
    reconciler: Reconciler | None = None

    def attempt() -> list[str]:
        nonlocal reconciler
        if reconciler is not None:
            reconciler.policy = read_policy(Path.cwd())
            return reconciler.reconcile()
        reconciler = _reconciler()
        return [*reconciler.reconcile(), *_announce(reconciler.registry.client, webhook, key)]

    watch(attempt, every, wake, lambda line: output.print(line, markup=False))


def _announce(client: MlflowClient, webhook: str, key: str) -> list[str]:
    """Register the webhook, if there is to be one; without it the timer is all, which is enough."""
    if not webhook:
        return []
    from astroreel.tracking.webhooks import ensure_webhook

    try:
        ensure_webhook(client, webhook, key)
    except UserError as error:
        return [f"no webhook: {error}; the registry is looked at on the timer alone"]
    return []


def _print_versions(rows: list[VersionRow], pointers: list[Pointer]) -> None:
    """A table that fits 80 columns; away from a terminal plain columns, none of them cut."""
    from rich.table import Column, Table

    deployed = {(pointer.model, pointer.version) for pointer in pointers}
    headings = ["version", "training", "aliases", "verdict", "headline"]
    if not output.is_terminal:
        headings += ["deployed", "scale", "digest"]
    columns = (Column(heading, no_wrap=True) for heading in headings)
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        value = "-" if row.headline_value is None else f"{row.headline_value:.4f}"
        told = {
            "version": f"models:/{row.name}/{row.version}",
            "training": row.training,
            "aliases": ",".join(row.aliases),
            "verdict": row.verdict,
            "headline": value if output.is_terminal else row.headline,
            "deployed": "yes" if (row.name, row.version) in deployed else "",
            "scale": row.scale,
            "digest": row.digest[:8],
        }
        table.add_row(*(told[heading] or "-" for heading in headings))
    if not output.is_terminal:
        Console(highlight=False, width=PLAIN_WIDTH).print(table)
        return
    output.print(table, soft_wrap=False)
    for name in sorted({row.headline_name for row in rows} - {""}):
        output.print(f"headline: {name}", markup=False)
    for pointer in pointers:
        output.print(f"deployed: {pointer.uri} since {pointer.since[:16]}", markup=False)


def _print_verdict(verdict: Verdict) -> None:
    from rich.table import Column, Table

    columns = ("rule", "", "measured", "interval", "needed", "power")
    table = Table(*(Column(name, no_wrap=True) for name in columns), box=None, pad_edge=False)
    for rule in verdict.rules:
        value = "-" if rule.value is None else f"{rule.value:.3f}"
        span = "-" if rule.low is None else f"{rule.low:.3f} to {rule.high:.3f}"
        needed = f"{'>=' if rule.at_least else '<='} {rule.threshold:g}"
        power = "-" if rule.power is None else f"{100 * rule.power:.0f} %"
        table.add_row(rule.name, rule.outcome, value, span, needed, power)
    Console(highlight=False, width=None if output.is_terminal else PLAIN_WIDTH).print(table)
    reason = f": {verdict.reason}" if verdict.reason else ""
    output.print(f"models:/{verdict.model}/{verdict.version}: {verdict.word}{reason}", markup=False)


def _outline(value: Any, depth: int = 0) -> list[str]:
    """Nested values as indented lines."""
    space = "  " * depth
    if isinstance(value, dict):
        return [line for name, one in value.items() for line in _entry(f"{space}{name}:", one, depth)]
    return [line for one in value for line in _entry(f"{space}-", one, depth)]


def _entry(head: str, value: Any, depth: int) -> list[str]:
    if isinstance(value, dict | list):
        return [head, *_outline(value, depth + 1)] if value else [f"{head} none"]
    return [f"{head} {value}"]
