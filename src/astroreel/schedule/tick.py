"""One tick: take in what arrived, decide, and do a pass or note why there is none.

What needs torch, MLflow or DVC is imported when a pass begins, so that a tick with nothing to do, or one that
finds another at work, is over at once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroreel.errors import UserError
from astroreel.files import read_json, write_json
from astroreel.schedule.home import Home
from astroreel.schedule.journal import ENDED, Journal, Pass
from astroreel.schedule.lock import Busy, locked
from astroreel.schedule.task import INPUTS, SECTIONS, Task

if TYPE_CHECKING:
    from astroreel.parameters import Parameters
    from astroreel.schedule.labels import Labels
    from astroreel.schedule.trigger import Decision

Say = Callable[[str], None]


def _quiet(line: str) -> None:
    """Say nothing."""


def _never() -> bool:
    return False


def tick(
    root: Path, now: datetime | None = None, say: Say = _quiet, stopped: Callable[[], bool] = _never
) -> Pass:
    """One pass over the project in ``root``; returns its record, which is in the journal too.

    Killed anywhere and called again it ends as it would have: a pass that has begun is taken up first.

    Parameters
    ----------
    now
        The present, with its time zone, by which everything is dated; None: by the clock.
    say
        Is told what is done, a line each.
    stopped
        Asked between two steps whether to end; the next tick takes the pass up again.

    Raises
    ------
    UserError
        Where params.yaml is wrong or the journal damaged.
    Stopped
        Where ``stopped`` asked for it.
    """
    now = now or datetime.now(UTC)
    try:
        with locked(Home(root).lock) as dead:
            if dead is not None:
                say(f"took over from {dead}, which has died")
            return _Tick(root, now, say, stopped).do()
    except Busy as busy:
        return Pass("", _dated(now), 0.0, "busy", str(busy))


def forecast(root: Path, now: datetime | None = None) -> str:
    """What a tick would do now, in one line; nothing is done, and what waits in the inbox is not looked into.

    Raises as `tick`.
    """
    try:
        with locked(Home(root).lock):
            return _Tick(root, now or datetime.now(UTC), _quiet, _never).forecast()
    except Busy as busy:
        return str(busy)


class _Tick:
    """A tick that holds the lock."""

    def __init__(self, root: Path, now: datetime, say: Say, stopped: Callable[[], bool]) -> None:
        from astroreel.parameters import read_parameters

        self.root, self.now, self.say, self.stopped = root, now, say, stopped
        self.home, self.journal = Home(root), Journal(root)
        self.parameters: Parameters = read_parameters(root)
        self.clock = time.monotonic()
        self.passes = self.journal.passes()
        self.record = Pass("", _dated(now), 0.0, "nothing", "")

    def do(self) -> Pass:
        """Do a pass, or find that there is none to do, and write that down."""
        try:
            task = self._task()
            if task is not None:
                self._work(task)
        except UserError as error:
            self._note(outcome="failed", reason=str(error))
        except Exception as error:
            self._note(outcome="failed", reason=f"{type(error).__name__}: {error}")
            self._ended()
            raise
        return self._ended()

    def forecast(self) -> str:
        """What would be done."""
        from astroreel.arrivals.folders import Folders
        from astroreel.schedule.trigger import hindrance

        waiting = sum(1 for _ in Folders(self.root / "arrivals").waiting())
        labels, begun = self._labels(), self._begun()
        why_not = hindrance(self.parameters.schedule, self.passes, self.now)
        decision = self._decide(labels)
        verb = "nothing" if why_not else "go on" if begun else "begin" if decision.begin else "nothing"
        reason = why_not or (begun.reason if begun else decision.reason)
        return f"would do: {verb}: {reason}; {waiting} files wait in the inbox"

    def _task(self) -> Task | None:
        """What there is to do: what was begun, or what the trigger says; None for nothing."""
        begun = self._begun()
        if begun is None:
            self._receive()
        labels = self._labels()
        identity = self._identity(labels)
        if begun is not None and begun.id != identity:
            self.say(f"{begun.id[:8]}: given up: its labels, parents or parameters have changed since")
            self._close(begun.id)
            begun = None
        from astroreel.schedule.trigger import hindrance

        reason = hindrance(self.parameters.schedule, self.passes, self.now)
        if reason:
            self._note(reason=reason)
            return None
        return begun or self._new_task(labels, identity)

    def _begun(self) -> Task | None:
        """The pass that was begun and has not ended."""
        if not self.home.under_way.exists():
            return None
        identity = read_json(self.home.under_way)["id"]
        if any(one.id == identity and one.outcome in ENDED for one in self.passes):
            self._close(identity)  # killed between the journal and this
            return None
        return Task.load(self.home.of(identity))

    def _receive(self) -> None:
        from astroreel.arrivals.inbox import open_inbox

        inbox = open_inbox(self.root, self.parameters)
        try:
            inbox.fetch(self.now)
        except UserError as error:  # a bucket that does not answer: what is here is taken in all the same
            self.say(str(error))
        receipts = inbox.receive(self.now)
        self._note(received=dict(sorted(Counter(receipt.outcome for receipt in receipts).items())))

    def _labels(self) -> Labels:
        from astroreel.schedule.labels import counts, digest_of, read_labels

        labels = read_labels(self.home, self.root / "arrivals" / "labelled", self.now)
        self._note(labelled=digest_of(labels), labels=counts(labels.values()))
        return labels

    def _identity(self, labels: Labels) -> str:
        """The id of a pass over these labels, by the present parents and parameters."""
        from astroreel.provenance import data_digests
        from astroreel.schedule.champion import Champion
        from astroreel.schedule.labels import digest_of

        content = {
            "labels": digest_of(labels),
            "champion": Champion(self.root, self.parameters).digest,
            "inputs": data_digests(self.root, INPUTS),
            "parameters": self.parameters.model_dump(mode="json", include=set(SECTIONS)),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _new_task(self, labels: Labels, identity: str) -> Task | None:
        decision = self._decide(labels)
        self._note(reason=decision.reason)
        if not decision.begin:
            return None
        plain = {name: asdict(label) for name, label in labels.items()}
        task = Task(identity, decision.reason, plain, self.record.new)
        task.save(self.home.of(identity))
        write_json(self.home.under_way, {"id": identity})
        return task

    def _decide(self, labels: Labels) -> Decision:
        from astroreel.schedule.labels import unseen
        from astroreel.schedule.trigger import decide
        from astroreel.schedule.watch import drifted

        new = unseen(labels, self._seen())
        self._note(new=len(new))
        decision = decide(self.parameters.schedule, labels, new, "", self.now)
        if not decision.begin and (drift := drifted(self.root, self.parameters)):
            decision = decide(self.parameters.schedule, labels, new, drift, self.now)
        return decision

    def _seen(self) -> dict[str, str]:
        """The sha256 of the files that the last pass learned from."""
        ended = [one for one in self.passes if one.outcome in ENDED]
        if not ended:
            return {}
        labels = Task.load(self.home.of(ended[-1].id)).labels
        return {name: str(label["sha256"]) for name, label in labels.items()}

    def _work(self, task: Task) -> None:
        from astroreel.schedule.page import write_page
        from astroreel.schedule.work import Work

        self._note(id=task.id, new=task.new, reason=task.reason)
        done = Work(self.root, self.parameters, task, self.say, self.stopped).do()
        binds = done.verdict.mode == "enforced"
        self._note(
            outcome="challenger" if done.verdict.word == "passed" and binds else "refused",
            reason=done.verdict.reason
            or (task.reason if binds else f"the gate is in mode {done.verdict.mode}"),
            parent=done.parent,
            commit=done.data.commit,
            data=done.data.md5,
            versions=done.versions,
            verdict=done.verdict.word,
            level=done.verdict.level,
        )
        write_page(self.home.of(task.id), self.record, task, done)

    def _ended(self) -> Pass:
        """Write the record down, having told of it where it is news."""
        record = self.record = replace(self.record, seconds=round(time.monotonic() - self.clock, 3))
        before = self.passes[-1] if self.passes else None
        same = before is not None and (before.outcome, before.reason) == (record.outcome, record.reason)
        if record.outcome in ENDED or (record.outcome == "failed" and not same):
            from astroreel.schedule.notify import notify

            notify(record, self.parameters.schedule, self.say)
        self.journal.append(record)
        if record.outcome in ENDED:
            self._close(record.id)
        return record

    def _close(self, identity: str) -> None:
        """A pass is over: nobody takes it up again, and what it trained need not lie here too."""
        shutil.rmtree(self.home.models(identity), ignore_errors=True)
        self.home.under_way.unlink()

    def _note(self, **facts: Any) -> None:
        self.record = replace(self.record, **facts)


def _dated(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
