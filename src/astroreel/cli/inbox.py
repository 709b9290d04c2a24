"""``astroreel inbox ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astroreel.cli.console import PARTIAL, bar, output, say

if TYPE_CHECKING:
    from astroreel.arrivals.inbox import Inbox

app = typer.Typer(no_args_is_help=True, help="Labelled real sequences as they arrive.")


@app.command("add")
def add(paths: Annotated[list[Path], typer.Argument(help="Sequence files, or folders of them.")]) -> None:
    """Copy files into the inbox and take in all that waits there; what is refused is named (status 3)."""
    from collections import Counter

    inbox = _open()
    inbox.add(paths)
    with bar("inbox") as progress:
        receipts = inbox.receive(progress=progress)
    for receipt in receipts:
        if receipt.rule:
            say(f"quarantined: {receipt.file}: {receipt.rule}: {receipt.detail}")
    count = Counter(receipt.outcome for receipt in receipts)
    output.print(", ".join(f"{outcome}: {n}" for outcome, n in sorted(count.items())), markup=False)
    if count["quarantined"]:
        raise typer.Exit(PARTIAL)


@app.command("status")
def status(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """What is labelled, by class; what is not; what was refused, by the rule that it broke."""
    import json
    from dataclasses import asdict

    found = _open().status()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    for title, counts in (("labelled", found.labelled), ("quarantined", found.quarantined)):
        output.print(f"{title}: {sum(counts.values())}", markup=False)
        for name, count in counts.items():
            output.print(f"  {name}: {count}", markup=False)
    output.print(f"unlabelled: {found.unlabelled}", markup=False)
    output.print(f"waiting: {found.waiting}", markup=False)
    if found.newest_age_days is not None:
        output.print(f"newest label: {found.newest_age_days:.1f} days old", markup=False)


def _open() -> Inbox:
    """The project's inbox; what the split holds out is not taken in."""
    from astroreel.arrivals.inbox import Inbox
    from astroreel.parameters import read_parameters
    from astroreel.sequences.split import Split

    root = Path.cwd()
    fold, file = read_parameters(root).registry.fold, root / "data" / "split.json"
    objects = Split.read(file).objects if file.exists() else {}
    return Inbox(root / "arrivals", [name for name, one in objects.items() if one.fold == fold])
