"""``astroreel inbox ...``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from astroreel.cli.classify import bundle_of
from astroreel.cli.console import PARTIAL, bar, output, say, who
from astroreel.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroreel.arrivals.inbox import Inbox, Receipt
    from astroreel.parameters import Parameters

app = typer.Typer(no_args_is_help=True, help="Labelled real sequences as they arrive.")


@app.command("add")
def add(
    paths: Annotated[list[Path] | None, typer.Argument(help="Sequence files, or folders of them.")] = None,
) -> None:
    """Copy files into the inbox and take in all that waits; what is refused is named (status 3).

    Without a path: what lies in the inbox, and what is new in the bucket that params.yaml names.
    """
    inbox = _open()
    if paths:
        inbox.add(paths)
    else:
        inbox.fetch()
    with bar("inbox") as progress:
        receipts = inbox.receive(progress=progress)
    _tell(receipts)


@app.command("status")
def status(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """What is labelled, by class and age; what is not; what was refused, by the rule that it broke."""
    import json
    from dataclasses import asdict

    found = _open().status()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    tables = {"labelled": found.labelled, "reserved": found.reserved, "quarantined": found.quarantined}
    for title, counts in tables.items():
        output.print(f"{title}: {sum(counts.values())}", markup=False)
        for name, count in counts.items():
            output.print(f"  {name}: {count}", markup=False)
    for title in ("unlabelled", "replaced", "waiting"):
        output.print(f"{title}: {getattr(found, title)}", markup=False)
    if found.newest_age_days is not None:
        ages = ", ".join(f"{name}: {count}" for name, count in found.ages.items())
        span = f"{found.newest_age_days:.1f} to {found.oldest_age_days:.1f} days old"
        output.print(f"labels: {span} ({ages})", markup=False)


@app.command("ask")
def ask(
    n: Annotated[int, typer.Option("-n", min=1, help="How many objects.")] = 20,
    model: Annotated[str, typer.Option(help="Whose doubts; none: the champion, or models/pretrained.")] = "",
    at_random: Annotated[bool, typer.Option("--random", help="Any objects, for comparison.")] = False,
    holdout: Annotated[bool, typer.Option("--holdout", help="Any objects of reserved fields.")] = False,
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("arrivals/ask.html"),
    serve: Annotated[bool, typer.Option("--serve", help="Serve it: answers are taken in at once.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draw.")] = None,
) -> None:
    """Choose the unlabelled objects whose labels would teach most, and write a page to label them from."""
    import secrets

    import numpy as np

    from astroreel.arrivals.ask import ask as choose
    from astroreel.arrivals.ask import write_page
    from astroreel.models.load import load_classifier
    from astroreel.parameters import read_parameters

    parameters = read_parameters(Path.cwd())
    bundle, digest = bundle_of(model or _asked(parameters))
    classifier, inbox = load_classifier(bundle, digest=digest), _open()
    rng = np.random.default_rng(seed)
    questions = choose(inbox, classifier, parameters.preparation.max_epochs, n, rng, at_random, holdout)
    token = secrets.token_urlsafe() if serve else ""
    write_page(out, questions, token)
    if not serve:
        output.print(f"{out}: {len(questions)} objects; open it in a browser", markup=False)
        return
    from astroreel.arrivals.desk import HOST, Desk
    from astroreel.serving.run import listen

    listener = listen(HOST, port)
    output.print(f"label on http://{HOST}:{listener.getsockname()[1]} (Ctrl-C ends it)", markup=False)
    Desk(inbox, out, token, who()).run(listener)


@app.command("answer")
def answer(file: Annotated[Path, typer.Argument(help="Answers that the page of `ask` saved.")]) -> None:
    """Label objects as the answers say; what is refused is named (status 3)."""
    from datetime import UTC, datetime

    from astroreel.arrivals.answers import read_answers, take

    _tell(take(_open(), read_answers(file), who(), datetime.now(UTC)))


@app.command("freeze")
def freeze() -> None:
    """Make a new version of the hold-out, of the one from the beginning and all objects reserved since.

    The gate reads it from now on; the champion must be gated on it before it can be compared with.
    """
    from datetime import UTC, datetime

    from astroreel.arrivals.freeze import freeze as make
    from astroreel.arrivals.inbox import open_inbox
    from astroreel.parameters import read_parameters

    root = Path.cwd()
    parameters = read_parameters(root)
    with open_inbox(root, parameters).locked():
        frozen = make(root, parameters, who(), datetime.now(UTC))
    for name, reason in frozen.excluded.items():
        say(f"left out: {name}: {reason}")
    output.print(f"hold-out {frozen.version} ({frozen.digest[:12]}): {frozen.added} new", markup=False)
    for name, count in frozen.classes.items():
        output.print(f"  {name}: {count}", markup=False)
    output.print("gate the champion on it: astroreel registry gate NAME/VERSION", markup=False)


def _tell(receipts: Sequence[Receipt]) -> None:
    """Print what became of files; raises `typer.Exit` where any was refused."""
    from collections import Counter

    for receipt in receipts:
        if receipt.rule:
            say(f"quarantined: {receipt.file}: {receipt.rule}: {receipt.detail}")
    count = Counter(receipt.outcome for receipt in receipts)
    told = ", ".join(f"{outcome}: {n}" for outcome, n in sorted(count.items()))
    output.print(told or "nothing new", markup=False)
    if count["quarantined"]:
        raise typer.Exit(PARTIAL)


def _asked(parameters: Parameters) -> str:
    """The model whose doubts are asked about: the champion, else the one of simulations alone."""
    from astroreel.governance.deployment import FOLDER, Deployment

    name = f"{parameters.source.target}-rcnn"
    if Deployment(Path(FOLDER)).pointer(name) is not None:
        return f"models:/{name}@champion"
    if not Path("models/pretrained").exists():
        raise UserError("no champion and no models/pretrained: give --model, or run `make repro`")
    return "models/pretrained"


def _open() -> Inbox:
    """The project's inbox."""
    from astroreel.arrivals.inbox import open_inbox
    from astroreel.parameters import read_parameters

    return open_inbox(Path.cwd(), read_parameters(Path.cwd()))
