"""The command line: ``astroreel ...``. Thin: it reads arguments, calls the library, prints.

Exit status: 0 done; 2 a user's error, nothing done, one line on stderr; 3 done in part, each refused
input named. Heavy libraries are imported inside the commands that need them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from astroreel import __version__
from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.files import check_file, check_new_folder, replacing_file, replacing_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from astroreel.tracking.registry import VersionRow

USER_ERROR, PARTIAL = 2, 3
#: Fields whose conditions `astroreel simulate` draws.
FIELDS = 100
#: Columns of a listing that no terminal shows: wider than any.
PLAIN_WIDTH = 1000

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
convert_app = typer.Typer(no_args_is_help=True, help="Convert other formats to sequence files.")
registry_app = typer.Typer(no_args_is_help=True, help="The model registry in MLflow.")
app.add_typer(convert_app, name="convert")
app.add_typer(registry_app, name="registry")

errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
output = Console(highlight=False, soft_wrap=True, emoji=False)


def main() -> NoReturn:
    """Entry point: whatever a user got wrong ends as one line on stderr and status 2."""
    try:
        status = app(prog_name="astroreel", standalone_mode=False)
    except UserError as error:
        status = _fail(str(error))
    except typer.Exit as stop:
        status = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        status = _fail("interrupted")
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        status = _fail(_with_way_out(message))
    except OSError as error:  # a full disk, a file that may not be read
        status = _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> int:
    if message:  # empty where a group's help was printed instead
        _say(f"astroreel: {message}")
    return USER_ERROR


def _with_way_out(message: str) -> str:
    if message.startswith(("Missing ", "No such ")):
        return f"{message.rstrip('.')}; see `astroreel --help`"
    return message


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Classify astronomical objects from sequences of image stamps."""
    if version:
        output.print(f"astroreel {__version__}")
        raise typer.Exit()


def _say(message: str) -> None:
    """Print on stderr, always one line."""
    errors.print(" ".join(message.split()), markup=False)


@app.command()
def configure(
    scale: Annotated[str | None, typer.Option(help="smoke, default or thesis: write that preset.")] = None,
    target: Annotated[str | None, typer.Option(help="auto, hits or surrogate.")] = None,
    source: Annotated[str | None, typer.Option(help="A folder with the HiTS files.")] = None,
) -> None:
    """Write params.yaml: the preset of a scale, and where the target's data come from.

    Without --scale an existing params.yaml keeps all that was set by hand; only the source is looked
    for again.
    """
    from astroreel.parameters import configure as write_parameters

    chosen = write_parameters(Path.cwd(), scale, target, source, say=_say)
    where = chosen.source.path or "no real data: a surrogate target, simulated"
    output.print(f"params.yaml: scale {chosen.scale}, target {chosen.source.target} ({where})", markup=False)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="A new folder to write to.")],
    survey: Annotated[str, typer.Option(help="A survey's name, or its configuration file.")] = "hits",
    n: Annotated[int, typer.Option(min=1, help="Sequences in all; classes come equally.")] = 700,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    class_name: Annotated[str | None, typer.Option("--class", help="Only this class.")] = None,
    form: Annotated[
        Literal["store", "fits"], typer.Option("--format", help="store: arrays; fits: one file an object.")
    ] = "store",
) -> None:
    """Simulate labelled sequences in a survey's conditions."""
    import numpy as np

    from astroreel.classes import class_index
    from astroreel.sequences.file import write_sequence
    from astroreel.sequences.simulate import SimulationConfig
    from astroreel.sequences.simulate import simulate as simulate_sequences
    from astroreel.sequences.store import save_store
    from astroreel.survey.forecast import generate_conditions
    from astroreel.survey.survey import load_survey

    check_new_folder(out)
    if class_name is not None:
        class_index(class_name)
    chosen = load_survey(survey)
    rng = np.random.default_rng(seed)
    config = SimulationConfig(survey=survey, seed=seed)
    with _bar("simulate") as progress:
        sequences = simulate_sequences(
            chosen,
            generate_conditions(chosen, FIELDS, rng),
            n,
            "train",
            config,
            rng,
            classes=CLASSES if class_name is None else (class_name,),
            progress=progress,
        )
    if form == "store":
        save_store(out, sequences)
    else:
        with replacing_folder(out) as scratch:
            for sequence in sequences:
                write_sequence(scratch / f"{sequence.name}.fits", sequence)
    output.print(f"{out}: {len(sequences)} sequences, {len(sequences.epochs)} stamps", markup=False)


@convert_app.command("hits")
def convert_hits(
    source: Annotated[Path, typer.Argument(help="Folder that holds real_obs/.")],
    out: Annotated[Path, typer.Option(help="A new folder to write sequence files to.")],
) -> None:
    """The HiTS 2015 files to sequence files."""
    from astroreel.sequences.hits import convert_hits as convert

    check_new_folder(out)
    with _bar("convert") as progress:
        report = convert(source, out, progress)
    for label, count in sorted(report.kept.items()):
        output.print(f"{label}: {count}", markup=False)
    for name, reason in sorted(report.left_out.items()):
        _say(f"left out: {name}: {reason}")


@app.command()
def classify(
    paths: Annotated[list[Path], typer.Argument(help="Sequence files, or folders of them.")],
    model: Annotated[str, typer.Option(help="A bundle's folder, or models:/NAME/VERSION.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    every_epoch: Annotated[bool, typer.Option("--every-epoch", help="A row per epoch.")] = False,
) -> None:
    """Class probabilities of sequence files; damaged ones are named and passed over (status 3)."""
    from astroreel.models.load import load_classifier
    from astroreel.sequences.file import find_sequence_files, read_sequences

    check_file(out)
    classifier = load_classifier(_bundle(model))
    files = find_sequence_files(paths)
    with _bar("read") as progress:
        sequences, read, refused = read_sequences(files, lambda done: progress(done, len(files)))
    if not len(sequences):
        raise UserError(f"none of {len(files)} files can be read, nothing is written: {refused[0]}")
    for error in refused:
        _say(f"refused: {error}")
    _tell_repeated(sequences.objects["name"].tolist(), read)
    probabilities = classifier.predict(sequences)
    rows = range(len(probabilities)) if every_epoch else (sequences.offsets[1:] - 1).tolist()
    owner, position = sequences.owner, sequences.position
    _write_csv(
        out,
        ["object", "n_epochs", "predicted", *(f"p_{name}" for name in CLASSES)],
        (
            [
                str(sequences.objects["name"][owner[row]]),
                int(position[row]) + 1,
                CLASSES[int(probabilities[row].argmax())],
                *(f"{value:.6f}" for value in probabilities[row]),
            ]
            for row in rows
        ),
    )
    output.print(f"{out}: {len(sequences)} objects, {len(refused)} refused", markup=False)
    if refused:
        raise typer.Exit(PARTIAL)


@registry_app.command("publish")
def registry_publish() -> None:
    """Publish the runs and models that the pipeline left, each once."""
    from astroreel.parameters import read_parameters
    from astroreel.tracking.project import publish_project

    summary = publish_project(Path.cwd(), read_parameters(Path.cwd()))
    output.print(f"runs: {summary['runs']['new']} new, {summary['runs']['known']} known")
    for model in summary["models"]:
        novelty = "new" if model["new"] else "known"
        output.print(f"models:/{model['name']}/{model['version']} {model['digest'][:12]} {novelty}")


@registry_app.command("status")
def registry_status(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """The registered versions."""
    import json
    from dataclasses import asdict

    client = _registry()
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


def _tell_repeated(names: list[str], files: list[Path]) -> None:
    """Note each object that two files name: its rows in the table cannot be told apart."""
    first: dict[str, Path] = {}
    for name, file in zip(names, files, strict=True):
        if first.setdefault(name, file) is not file:
            _say(f"note: object {name} is in two files: {first[name]} and {file}")


def _bundle(model: str) -> Path:
    if not model.startswith("models:/"):
        folder = Path(model)
        if not folder.exists():
            way_out = "give a bundle's folder (such as models/pretrained) or models:/NAME/VERSION"
            raise UserError(f"{model}: no such folder: {way_out}")
        return folder
    client = _registry()
    from astroreel.tracking.registry import download_bundle

    return download_bundle(client, model)


def _registry() -> MlflowClient:
    """A client of the project's registry; none is made where there is none, nor MLflow loaded in vain."""
    from astroreel.parameters import read_parameters

    uri = read_parameters(Path.cwd()).registry.tracking_uri
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        raise UserError(f"{file}: no registry yet: `make repro` or `astroreel registry publish` makes it")
    from astroreel.tracking.store import connect

    return connect(uri, Path.cwd())


def _write_csv(path: Path, header: list[str], rows: Iterator[list[object]]) -> None:
    with replacing_file(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, shown on a terminal only; yields ``progress(done, total)``."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield update


if __name__ == "__main__":
    main()
