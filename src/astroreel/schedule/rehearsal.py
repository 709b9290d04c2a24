"""The rehearsal: a season in a copy of the project, with a real tick after every batch.

Every batch that is done is written down, and every part of what the season is compared with; killed at any
moment and started again, a rehearsal goes on from there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from astroreel.errors import UserError
from astroreel.files import read_json, write_json
from astroreel.models.bundle import load_bundle
from astroreel.models.rcnn import RcnnClassifier
from astroreel.parallel import worker_count
from astroreel.parameters import read_parameters
from astroreel.schedule.lock import Busy, locked
from astroreel.schedule.rehearsal_arms import Arms, Floats, answers, held_out
from astroreel.schedule.rehearsal_batches import Player
from astroreel.schedule.rehearsal_checkout import make_checkout, own_registry
from astroreel.schedule.rehearsal_report import Rehearsed, report
from astroreel.schedule.season import Season
from astroreel.study.bench import Bench
from astroreel.study.runner import duration
from astroreel.study.units import Result, Units

#: Where a rehearsal has its copy of the project and what it measured, below the project's folder.
FOLDER = Path("data") / "rehearsal"

#: Seconds of a batch with its tick at the scale default, until one is measured.
_BATCH = 120.0

Say = Callable[[str], None]
#: Told the steps that are done, of how many, and the seconds that the others will take.
Tell = Callable[[int, int, float], None]


def rehearse(root: Path, say: Say, tell: Tell) -> Path:
    """Rehearse a season of the project in ``root``; returns the page that shows it.

    The season is that of section ``rehearse`` of params.yaml; its figures are in reports/rehearsal.json, its
    copy of the project and its parts in data/rehearsal.

    Raises
    ------
    UserError
        Where the pipeline has not run, the target has no labels, what was begun differs, or another process
        rehearses.
    """
    try:
        with locked(root / FOLDER / "lock"):
            return _rehearse(root, say, tell)
    except Busy as busy:
        raise UserError(f"{root / FOLDER}: {busy}: wait for it") from None


def _rehearse(root: Path, say: Say, tell: Tell) -> Path:
    rehearsal = _Rehearsal(root, say, tell)
    say(rehearsal.cost())
    with own_registry(rehearsal.checkout):
        batches = rehearsal.player.play(say, rehearsal.told)
        rehearsed = Rehearsed(
            batches=batches,
            sizes=rehearsal.arms.sizes,
            newest=rehearsal.answers([batch.newest for batch in batches]),
            champion=rehearsal.answers([batch.champion for batch in batches]),
            arms=rehearsal.arms.run(),
        )
    return report(root, rehearsal.bench, rehearsed)


class _Rehearsal:
    """One rehearsal; its copy of the project is made where there is none yet."""

    def __init__(self, root: Path, say: Say, tell: Tell) -> None:
        self.folder = root / FOLDER
        self.checkout = self.folder / "checkout"
        self.tell, self.left = tell, -1
        asked = read_parameters(root)
        if not asked.source.labelled:
            raise UserError(f"source.target is {asked.source.target}: it has no labels to rehearse with")
        if not self.checkout.exists():
            for part in self.folder.glob(".checkout.*"):  # of a process that was killed
                shutil.rmtree(part)
            say(f"copying the project to {self.checkout.relative_to(root)}")
            make_checkout(root, self.checkout)
        self.bench = Bench(self.checkout)
        parameters = self.bench.parameters
        if Bench(root).inputs != self.bench.inputs or asked.rehearse != parameters.rehearse:
            raise UserError(f"{self.folder}: begun with other data or parameters: remove it to begin anew")
        fold = parameters.registry.fold
        free = {name: one for name, one in self.bench.split.objects.items() if one.fold != fold}
        season = Season.plan(free, parameters.rehearse)
        self.player = Player(self.checkout, parameters, season, self._started(), self.folder / "batches")
        self.units = Units(self.folder / "parts", self.bench.inputs)
        self.arms = Arms(self.bench, season, parameters.rehearse, self.units)
        self.units.tell = lambda done, total, seconds: self.told()

    def cost(self) -> str:
        """What is left to do, and how long it will take."""
        batches = self.player.count - len(self.player.done())
        parts, time = len(self.arms.left()), duration(self._seconds())
        return f"{batches} batches and {parts} other trainings to do, about {time}; interrupted, it goes on"

    def told(self) -> None:
        """Tell how far it has come."""
        total = self.player.count + len(self.arms.plan())
        left = self.player.count - len(self.player.done()) + len(self.arms.left())
        if left != self.left:
            self.left = left
            self.tell(total - left, total, self._seconds())

    def answers(self, bundles: Sequence[str]) -> list[Floats | None]:
        """What networks, given as folders of the copy, say of the hold-out, (N, 7) each; None for none."""
        return [self._answers(self.checkout / one) if one else None for one in bundles]

    def _answers(self, bundle: Path) -> Floats:
        digest = load_bundle(bundle).digest

        def say() -> Result:
            classifier = RcnnClassifier.from_bundle(load_bundle(bundle))
            return {"holdout": answers(classifier, held_out(self.bench))}

        return np.asarray(self.units.do(f"bundle-{digest[:16]}", digest, say)["holdout"])

    def _seconds(self) -> float:
        """That what is left will take."""
        done = self.player.done()
        each = float(np.mean([batch.seconds for batch in done])) if done else _BATCH
        parts = self.units.seconds(self.arms.left())
        return each * (self.player.count - len(done)) + parts / worker_count(self.bench.config.workers)

    def _started(self) -> datetime:
        """When the season begins, the same however often it is taken up again."""
        path = self.folder / "season.json"
        if not path.exists():
            write_json(path, {"started": datetime.now(UTC).isoformat(timespec="seconds")})
        return datetime.fromisoformat(read_json(path)["started"])
