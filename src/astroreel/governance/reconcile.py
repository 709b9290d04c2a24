"""The reconciler: brings what is deployed and the alias ``champion`` together, by what the ledger says.

A person moves the alias; this verifies what it names and deploys it, or sets the alias back and says why on
the version. It may be run at any time, any number of times, and be killed at any moment: it compares, does
the next step and writes each step into the ledger, before and after.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from astroreel.errors import UserError
from astroreel.governance.acceptance import Accepted, Refused, accept, fetch_whole
from astroreel.governance.deployment import Deployment, Pointer
from astroreel.governance.history import (
    DEPLOYED,
    DEPLOYING,
    NOTICED,
    PROMOTE,
    REFUSED,
    RESTORED,
    ROLLBACK,
    SETTLED,
    last,
    notices,
)
from astroreel.governance.ledger import Ledger
from astroreel.governance.policy import Policy
from astroreel.models.bundle import load_bundle
from astroreel.tracking.versions import Registry, Version

CHAMPION = "champion"
#: How often the files of what is deployed are compared with those in the registry [s].
AUDIT_SECONDS = 60.0


@dataclass
class Reconciler:
    """What reconciling needs.

    Attributes
    ----------
    registry, deployment, ledger, policy
        Where versions are, which are deployed, what is known of them and what is asked of them.
    """

    registry: Registry
    deployment: Deployment
    ledger: Ledger
    policy: Policy
    _next_audit: dict[str, float] = field(default_factory=dict)

    def reconcile(self) -> list[str]:
        """One pass over all models; says what was done, a line each.

        Raises
        ------
        UserError
            Where the registry does not answer or the ledger is damaged; what is deployed stays.
        """
        with self.ledger.locked():
            champions = self.registry.champions()
            pointed = {pointer.model for pointer in self.deployment.pointers()}
            return [
                line
                for model in sorted({*champions, *pointed})
                for line in self._model(model, champions.get(model))
            ]

    def deploy(self, accepted: Accepted, who: str) -> str:
        """Deploy a version that was accepted. The ledger must be locked."""
        version, before = accepted.version, self.deployment.pointer(accepted.version.model)
        facts = {
            "version": version.number,
            "bundle": version.digest,
            "files": accepted.files,
            "from": before.version if before else None,
        }
        self.registry.untag(version, ["reconcile.refused", "reconcile.refused.at"])
        self.ledger.append(DEPLOYING, version.model, facts, who)
        now = datetime.now(UTC)
        self.deployment.deploy(version.model, version.number, version.uri, accepted.bundle, now)
        self.ledger.append(DEPLOYED, version.model, facts, who)
        return f"{version.uri}: deployed" + (f", was version {before.version}" if before else "")

    @contextmanager
    def accepted(self, version: Version) -> Iterator[Accepted]:
        """Fetch and check a version; its files are there until the block ends. Raises as `accept`."""
        with tempfile.TemporaryDirectory() as scratch:
            yield accept(version, self.registry, self.ledger.entries(), self.policy, Path(scratch))

    def _model(self, model: str, number: int | None) -> Iterator[str]:
        self._finish(model, number)
        pointer = self.deployment.pointer(model)
        if number is None:
            if pointer is not None:
                yield from self._without_alias(pointer)
        elif pointer is not None and pointer.version == number:
            yield from self._audit(pointer)
        elif version := self.registry.version(model, number):
            yield from self._candidate(version)

    def _finish(self, model: str, number: int | None) -> None:
        """Complete the ledger where a pass was cut short after what it was about had been done."""
        entry = last(self.ledger.entries(), model, REFUSED, RESTORED)
        if entry is not None and entry.event == REFUSED and entry.facts["version"] != number:
            self.ledger.append(RESTORED, model, {"from": entry.facts["version"], "to": number})
        entry = last(self.ledger.entries(), model, DEPLOYING, DEPLOYED)
        pointer = self.deployment.pointer(model)
        if entry is None or pointer is None or entry.event == DEPLOYED:
            return
        if (pointer.version, pointer.digest) == (entry.facts["version"], entry.facts["bundle"]):
            self.ledger.append(DEPLOYED, model, entry.facts, entry.who)

    def _candidate(self, version: Version) -> Iterator[str]:
        try:
            with self.accepted(version) as accepted:
                yield self.deploy(accepted, self._asked_by(version))
        except Refused as refusal:
            yield from self._refuse(version, str(refusal))

    def _asked_by(self, version: Version) -> str:
        """Who asked for a version at the command line since the last deployment, "" where nobody did."""
        entry = last(self.ledger.entries(), version.model, PROMOTE, ROLLBACK, DEPLOYED)
        asked = entry is not None and entry.event != DEPLOYED and entry.facts["version"] == version.number
        return entry.who if entry and asked else ""

    def _refuse(self, version: Version, reason: str) -> Iterator[str]:
        """Say on the version why it is not champion, and set the alias back to what is deployed."""
        facts = {"version": version.number, "bundle": version.digest, "reason": reason}
        entry = last(self.ledger.entries(), version.model, REFUSED, RESTORED)
        if entry is None or entry.event == RESTORED or entry.facts != facts:
            entry = self.ledger.append(REFUSED, version.model, facts, self._asked_by(version))
        self.registry.tag(version, {"reconcile.refused": reason, "reconcile.refused.at": entry.time})
        if self.registry.alias(version.model, CHAMPION) != version.number:
            return  # moved on meanwhile: the next pass sees to that
        good = self._restore(version.model)
        self.ledger.append(RESTORED, version.model, {"from": version.number, "to": good})
        back = f"champion is version {good} again" if good else "there is no champion"
        yield f"{version.uri}: refused: {reason}; {back}"

    def _restore(self, model: str) -> int | None:
        """Set the alias to the deployed version, or remove it where that is none or no longer registered."""
        pointer = self.deployment.pointer(model)
        if pointer is not None and self.registry.version(model, pointer.version) is not None:
            self.registry.set_alias(model, CHAMPION, pointer.version)
            return pointer.version
        self.registry.remove_alias(model, CHAMPION)
        return None

    def _without_alias(self, pointer: Pointer) -> Iterator[str]:
        version = self.registry.version(pointer.model, pointer.version)
        what = "has lost the alias champion" if version else "was deleted from the registry"
        if version is not None:
            yield from self._heal(pointer, version)
        yield from self._notice(pointer, f"{what}; it stays deployed until another is promoted")

    def _audit(self, pointer: Pointer) -> Iterator[str]:
        """Compare what is deployed with itself, always, and with its registered files, now and then."""
        version = self.registry.version(pointer.model, pointer.version)
        if version is None:
            return  # deleted since the aliases were read: the next pass sees to that
        yield from self._heal(pointer, version)
        if self._damage(pointer) or monotonic() < self._next_audit.get(pointer.model, 0.0):
            return
        try:
            self._compare(pointer, version)
        except Refused as refusal:
            yield from self._notice(pointer, f"{refusal}; the copy deployed here is whole", version)
        else:
            yield from self._settle(pointer, version)
        self._next_audit[pointer.model] = monotonic() + AUDIT_SECONDS

    def _compare(self, pointer: Pointer, version: Version) -> None:
        deployed = last(self.ledger.entries(), pointer.model, DEPLOYED, bundle=pointer.digest)
        if deployed is None:
            raise Refused("is deployed, and the ledger does not say since when")
        with tempfile.TemporaryDirectory() as scratch:
            fetched = fetch_whole(version, self.registry, Path(scratch))
        if fetched.digest != deployed.facts["files"]:
            raise Refused("its files in the registry are not those that were deployed")

    def _heal(self, pointer: Pointer, version: Version) -> Iterator[str]:
        """Fetch the bundle again where its deployed copy was damaged."""
        damage = self._damage(pointer)
        if not damage:
            return
        try:
            with tempfile.TemporaryDirectory() as scratch:
                fetched = fetch_whole(version, self.registry, Path(scratch))
                if version.digest != pointer.digest:
                    raise Refused("it is another bundle now")
                now = datetime.now(UTC)
                self.deployment.deploy(pointer.model, pointer.version, pointer.uri, fetched.bundle, now)
        except Refused as refusal:
            yield from self._notice(
                pointer, f"its deployed copy is damaged ({damage}), and cannot be fetched again: {refusal}"
            )
        else:
            yield from self._notice(pointer, f"its deployed copy was damaged ({damage}) and is fetched again")

    def _damage(self, pointer: Pointer) -> str:
        """What is wrong with the deployed copy, "" where nothing is."""
        folder = self.deployment.bundle_of(pointer)
        try:
            return "" if load_bundle(folder).digest == pointer.digest else "another bundle"
        except UserError as error:
            return str(error).replace(f"{folder}/", "")

    def _notice(self, pointer: Pointer, reason: str, version: Version | None = None) -> Iterator[str]:
        """Say once that something is not as it should be."""
        facts = {"version": pointer.version, "bundle": pointer.digest, "reason": reason}
        if facts in notices(self.ledger.entries(), pointer.model):
            return
        self.ledger.append(NOTICED, pointer.model, facts)
        if version is not None:
            self.registry.tag(version, {"reconcile.noticed": reason})
        yield f"{pointer.uri}: {reason}"

    def _settle(self, pointer: Pointer, version: Version) -> Iterator[str]:
        if notices(self.ledger.entries(), pointer.model):
            self.registry.untag(version, ["reconcile.noticed"])
            self.ledger.append(SETTLED, pointer.model, {"version": pointer.version})
            yield f"{pointer.uri}: champion and whole again"
