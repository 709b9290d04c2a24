"""The batches of a rehearsed season: dropped into the inbox, ticked, promoted by a scripted person, kept.

A batch's record is written when all of that is done. Taken up again after a kill, what was done is found
done: files are dropped anew until the batch is marked as delivered, and the tick itself sees to the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from astroreel.arrivals.folders import Folders
from astroreel.errors import UserError
from astroreel.files import read_json, write_json
from astroreel.parameters import Parameters
from astroreel.schedule.champion import Champion
from astroreel.schedule.home import Home
from astroreel.schedule.journal import ENDED, Journal, Pass
from astroreel.schedule.rehearsal_checkout import begin, promote
from astroreel.schedule.season import Account, Arrival, Season, account
from astroreel.schedule.tick import tick
from astroreel.tracking.registry import download_bundle

Say = Callable[[str], None]

_PRETRAINED = "models/pretrained"


@dataclass(frozen=True)
class Batch:
    """What came of a batch.

    Number 0 is the beginning, with no real label; the last has no files, only the tick that the labels left
    over had waited for.

    Attributes
    ----------
    number
        From 0.
    fields
        Fields of the sky that arrived.
    account
        What became of all files so far.
    passes
        What the schedule wrote into its journal.
    newest, champion
        Bundles of the newest and of the deployed network below the copy; "" where none is deployed.
    version
        Of the deployed network, 0 for none.
    seconds
        That it took, without what a kill lost.
    """

    number: int
    fields: list[str]
    account: Account
    passes: list[Pass]
    newest: str
    champion: str
    version: int
    seconds: float

    @property
    def outcome(self) -> Pass | None:
        """The pass that did something, or else the last; None where there was none."""
        busy = [one for one in self.passes if one.outcome != "nothing"]
        return next(reversed(busy or self.passes), None)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What was written as JSON."""
        content = read_json(path)
        content["account"] = Account(**content["account"])
        content["passes"] = [Pass(**one) for one in content["passes"]]
        return cls(**content)


@dataclass(frozen=True)
class Player:
    """Plays a season in the copy ``checkout``.

    Attributes
    ----------
    checkout, parameters
        The copy.
    season
        What arrives.
    started
        When the season begins; its batches follow each other by a clock of its own.
    records
        The folder of what came of each batch.
    """

    checkout: Path
    parameters: Parameters
    season: Season
    started: datetime
    records: Path

    @property
    def count(self) -> int:
        """Batches, the beginning and the one without files among them."""
        return len(self.season.batches) + 2

    def done(self) -> list[Batch]:
        """The batches that are done, in order."""
        return [Batch.load(path) for path in sorted(self.records.glob("batch-*.json"))]

    def play(self, say: Say, told: Callable[[], None]) -> list[Batch]:
        """Play what is left; ``told`` is called after each batch.

        Raises `UserError` where another process rehearses here.
        """
        for number in range(len(self.done()), self.count):
            batch = self._batch(number, say)
            write_json(self.records / f"batch-{number:03d}.json", asdict(batch))
            told()
        return self.done()

    def _batch(self, number: int, say: Say) -> Batch:
        began = time.monotonic()
        known = self._deliver(number)
        if number == 0:
            begin(self.checkout)
        elif tick(self.checkout, self._now(number), say).outcome == "busy":
            raise UserError(f"{self.checkout}: another process rehearses here: wait for it")
        for line in promote(self.checkout, self.parameters):
            say(line)
        journal = Journal(self.checkout).passes()
        champion = Champion(self.checkout, self.parameters)
        pointer = champion.deployment.pointer(champion.model)
        return Batch(
            number=number,
            fields=sorted(self._fields(number)),
            account=account(self.season, number, self.checkout / "arrivals"),
            passes=journal[known:],
            newest=self._newest(champion, journal),
            champion=champion.bundle.relative_to(self.checkout).as_posix() if champion.bundle else "",
            version=pointer.version if pointer else 0,
            seconds=round(time.monotonic() - began, 3),
        )

    def _deliver(self, number: int) -> int:
        """Drop a batch into the inbox, unless it is; returns how many passes there had been before."""
        mark = self.records / "delivered.json"
        if not mark.exists() or read_json(mark)["batch"] != number:
            inbox = Folders(self.checkout / "arrivals").inbox
            inbox.mkdir(parents=True, exist_ok=True)
            for arrival in self._files(number):
                arrival.write(self.checkout / "data" / "target", inbox)
            write_json(mark, {"batch": number, "passes": len(Journal(self.checkout).passes())})
        return int(read_json(mark)["passes"])

    def _files(self, number: int) -> tuple[Arrival, ...]:
        return self.season.batches[number - 1] if 1 <= number <= len(self.season.batches) else ()

    def _fields(self, number: int) -> set[str]:
        return {arrival.field for arrival in self._files(number) if arrival.is_own}

    def _now(self, number: int) -> datetime:
        """When a batch arrives; the last tick is when the labels left over are old enough to begin a pass."""
        batches, schedule = len(self.season.batches), self.parameters.schedule
        wait = timedelta(days=schedule.age_days + 1.0) if number > batches else timedelta()
        return self.started + min(number, batches) * timedelta(days=self.parameters.rehearse.days) + wait

    def _newest(self, champion: Champion, journal: list[Pass]) -> str:
        """The network that the last pass made, whatever the gate said of it."""
        ended = [one for one in journal if one.outcome in ENDED]
        if not ended:
            return _PRETRAINED
        uri = f"models:/{champion.model}/{ended[-1].versions[champion.model]}"
        bundles = Home(self.checkout).folder / "bundles"
        bundle = download_bundle(champion.registry.client, uri, bundles)
        return bundle.relative_to(self.checkout).as_posix()
