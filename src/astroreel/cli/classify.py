"""``astroreel classify``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from astroreel.classes import CLASSES
from astroreel.cli.console import PARTIAL, bar, output, say
from astroreel.cli.registry import open_registry
from astroreel.errors import UserError
from astroreel.files import check_file, replacing_file


def classify(
    paths: Annotated[list[Path], typer.Argument(help="Sequence files, or folders of them.")],
    model: Annotated[
        str, typer.Option(help="A bundle's folder, models:/NAME/VERSION or models:/NAME@ALIAS.")
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    every_epoch: Annotated[bool, typer.Option("--every-epoch", help="A row per epoch.")] = False,
) -> None:
    """Class probabilities of sequence files; damaged ones are named and passed over (status 3)."""
    from astroreel.models.load import load_classifier
    from astroreel.sequences.file import find_sequence_files, read_sequences

    check_file(out)
    bundle, digest = bundle_of(model)
    classifier = load_classifier(bundle, digest=digest)
    files = find_sequence_files(paths)
    with bar("read") as progress:
        sequences, read, refused = read_sequences(files, lambda done: progress(done, len(files)))
    if not len(sequences):
        raise UserError(f"none of {len(files)} files can be read, nothing is written: {refused[0]}")
    for error in refused:
        say(f"refused: {error}")
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


def _tell_repeated(names: list[str], files: list[Path]) -> None:
    """Note each object that two files name: its rows in the table cannot be told apart."""
    first: dict[str, Path] = {}
    for name, file in zip(names, files, strict=True):
        if first.setdefault(name, file) is not file:
            say(f"note: object {name} is in two files: {first[name]} and {file}")


def bundle_of(model: str) -> tuple[Path, str]:
    """The folder of the bundle that is meant, and the digest that it must have ("": any)."""
    if not model.startswith("models:/"):
        folder = Path(model)
        if not folder.exists():
            way_out = "give a bundle's folder (such as models/pretrained) or models:/NAME/VERSION"
            raise UserError(f"{model}: no such folder: {way_out}")
        return folder, ""
    name, _, alias = model.removeprefix("models:/").partition("@")
    if alias == "champion":
        from astroreel.governance.deployment import FOLDER, Deployment

        # Not whatever the alias says this second: what was verified and deployed.
        folder = Deployment(Path(FOLDER)).bundle(name)
        return folder, folder.name
    client = open_registry()
    from astroreel.tracking.registry import download_bundle

    return download_bundle(client, model), ""


def _write_csv(path: Path, header: list[str], rows: Iterator[list[object]]) -> None:
    with replacing_file(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
