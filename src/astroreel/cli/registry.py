"""``astroreel registry ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from astroreel.cli.console import PLAIN_WIDTH, output
from astroreel.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from astroreel.tracking.registry import VersionRow

app = typer.Typer(no_args_is_help=True, help="The model registry in MLflow.")


@app.command("publish")
def registry_publish() -> None:
    """Publish the runs and models that the pipeline left, each once."""
    from astroreel.parameters import read_parameters
    from astroreel.tracking.project import publish_project

    summary = publish_project(Path.cwd(), read_parameters(Path.cwd()))
    output.print(f"runs: {summary['runs']['new']} new, {summary['runs']['known']} known")
    for model in summary["models"]:
        novelty = "new" if model["new"] else "known"
        output.print(f"models:/{model['name']}/{model['version']} {model['digest'][:12]} {novelty}")


@app.command("status")
def registry_status(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """The registered versions."""
    import json
    from dataclasses import asdict

    client = open_registry()
    from astroreel.tracking.registry import status

    rows = status(client)
    if as_json:
        typer.echo(json.dumps({"versions": [asdict(row) for row in rows]}, indent=2))
        return
    _print_versions(rows)


def _print_versions(rows: list[VersionRow]) -> None:
    """A table that fits 80 columns; away from a terminal plain columns, none of them cut."""
    from rich.table import Column, Table

    headings = ("version", "training", "scale", "aliases", "headline", "digest")
    table = Table(*(Column(heading, no_wrap=True) for heading in headings), box=None, pad_edge=False)
    for row in rows:
        value = "-" if row.headline_value is None else f"{row.headline_value:.4f}"
        headline = value if output.is_terminal else row.headline or "-"
        aliases = ",".join(row.aliases) or "-"
        uri = f"models:/{row.name}/{row.version}"
        table.add_row(uri, row.training or "-", row.scale or "-", aliases, headline, row.digest[:8])
    if not output.is_terminal:
        Console(highlight=False, width=PLAIN_WIDTH).print(table)
        return
    output.print(table, soft_wrap=False)
    for name in sorted({row.headline_name for row in rows} - {""}):
        output.print(f"headline: {name}", markup=False)


def open_registry() -> MlflowClient:
    """A client of the project's registry; none is made where there is none, nor MLflow loaded in vain."""
    from astroreel.parameters import read_parameters

    uri = read_parameters(Path.cwd()).registry.tracking_uri
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        raise UserError(f"{file}: no registry yet: `make repro` or `astroreel registry publish` makes it")
    from astroreel.tracking.store import connect

    return connect(uri, Path.cwd())
