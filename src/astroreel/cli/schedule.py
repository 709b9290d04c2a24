"""``astroreel schedule ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astroreel.cli.console import PARTIAL, PLAIN_WIDTH, bar, output, say

if TYPE_CHECKING:
    from astroreel.schedule.journal import Pass

app = typer.Typer(no_args_is_help=True, help="Fine-tuning by itself, as labels arrive.")


@app.command("tick")
def schedule_tick(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
) -> None:
    """Take in what arrived; where it is time, fine-tune, register and gate (status 3 where that fails)."""
    from astroreel.schedule.tick import forecast, tick

    if dry_run:
        output.print(forecast(Path.cwd()), markup=False)
        return
    done = tick(Path.cwd(), say=say)
    output.print(done.told, markup=False)
    if done.outcome == "failed":
        raise typer.Exit(PARTIAL)


@app.command("run")
def schedule_run() -> None:
    """Tick again and again, until SIGTERM or Ctrl-C; a pass at work ends after its step and is resumed."""
    import signal
    from threading import Event

    from astroreel.schedule.run import run

    stop = Event()
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: stop.set())
    run(Path.cwd(), stop, lambda line: output.print(line, markup=False))
    output.print("stopped")


@app.command("status")
def schedule_status(
    last: Annotated[int, typer.Option(min=1, help="How many passes.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What the last passes did, each a line of the journal."""
    import json
    from dataclasses import asdict

    from astroreel.schedule.journal import Journal

    passes = Journal(Path.cwd()).passes()[-last:]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in passes], indent=2))
    elif passes:
        _print(passes)
    else:
        output.print("no pass yet: `astroreel schedule tick` does one")


@app.command("rehearse")
def schedule_rehearse() -> None:
    """Rehearse a season in a copy of the project: reports/rehearsal.html.

    Its labelled objects arrive in batches, broken files, wrong labels and duplicates among them, each batch
    followed by a tick. Says first what it will cost; interrupted, the same command goes on.
    """
    from astroreel.schedule.rehearsal import rehearse
    from astroreel.study.runner import duration

    with bar("rehearse") as progress:

        def tell(done: int, total: int, seconds: float) -> None:
            progress(done, total)
            say(f"{done} of {total} steps, about {duration(seconds)} left")

        page = rehearse(Path.cwd(), say, tell)
    output.print(str(page.relative_to(Path.cwd())), markup=False)


def _print(passes: list[Pass]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    wide = not output.is_terminal
    columns = [Column(name, no_wrap=True) for name in ("started", "outcome", "new", "labels", "versions")]
    table = Table(*columns, Column("reason", no_wrap=wide), box=None, pad_edge=False)
    for one in passes:
        table.add_row(
            one.started[:16].replace("T", " "),
            one.outcome,
            str(one.new),
            str(sum(one.labels.values())),
            ", ".join(f"{model}/{number}" for model, number in one.versions.items()) or "-",
            one.reason,
        )
    Console(highlight=False, width=PLAIN_WIDTH if wide else None).print(table)
