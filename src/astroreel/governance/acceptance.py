"""Whether a version may be champion: gated, unchanged since, and answering as it did when it was gated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astroreel.errors import UserError
from astroreel.governance.history import verdict_on, was_deployed
from astroreel.governance.ledger import Entry
from astroreel.governance.policy import Policy
from astroreel.governance.reference import TOLERANCE, answers
from astroreel.models.bundle import load_bundle
from astroreel.tracking.versions import Fetched, Registry, Version


class Refused(UserError):
    """A version that may not be champion; the message is why."""


@dataclass(frozen=True)
class Accepted:
    """A version that may be champion, the folder of its verified bundle, and the digest of all its files."""

    version: Version
    bundle: Path
    files: str


def accept(
    version: Version, registry: Registry, entries: Sequence[Entry], policy: Policy, folder: Path
) -> Accepted:
    """Check a version against the ledger ``entries`` and its files, which are fetched into ``folder``.

    Raises
    ------
    Refused
        Where it may not be champion.
    UserError
        Where that cannot be found out now: the store does not answer.
    """
    if not version.digest:
        raise Refused("was not registered by astroreel")
    gated = _judged(version, entries, policy)
    fetched = fetch_whole(version, registry, folder)
    said = answers_of(fetched.bundle)
    if gated is not None and gated.facts["verdict"] != "error":
        if fetched.digest != gated.facts["files"]:
            raise Refused("its files are not those that were gated")
        if version.tags.get("parent.digest", "") != gated.facts["parent"]:
            raise Refused("its parent is not the one that it was gated with")
        if not np.allclose(said, gated.facts["reference"], rtol=0, atol=TOLERANCE):
            raise Refused("does not answer the reference batch as it did when it was gated")
    return Accepted(version, fetched.bundle, fetched.digest)


def fetch_whole(version: Version, registry: Registry, folder: Path) -> Fetched:
    """A version's files, verified to be the bundle that it says it is; raises as `accept`."""
    missing = registry.missing_files(version)
    if missing:
        raise Refused(f"files are missing in the registry: {', '.join(missing)}")
    fetched = registry.fetch(version, folder)
    try:
        digest = load_bundle(fetched.bundle).digest
    except UserError as error:
        raise Refused(f"its files are damaged ({_local(error, fetched.bundle)})") from error
    if digest != version.digest:
        raise Refused("its files are not the bundle that was registered")
    return fetched


def answers_of(bundle: Path) -> np.ndarray:
    """What a verified bundle says of the reference batch; raises `Refused` where it cannot."""
    try:
        return answers(bundle)
    except UserError as error:
        raise Refused(f"does not classify the reference batch ({_local(error, bundle)})") from error


def _judged(version: Version, entries: Sequence[Entry], policy: Policy) -> Entry | None:
    """The verdict on a version, if there is one and as far as the policy's mode asks for it."""
    gated = verdict_on(entries, version.model, version.digest)
    if policy.mode != "enforced":
        return gated
    if gated is None:
        raise Refused("has not been gated: run `astroreel registry gate` on it")
    if gated.facts["verdict"] != "passed":
        raise Refused(f"did not pass the gate: {gated.facts['verdict']}: {gated.facts['reason']}")
    known = was_deployed(entries, version.model, version.digest)
    if gated.facts["policy"] != policy.digest and not known:
        raise Refused("passed the gate under another policy: gate it again")
    return gated


def _local(error: UserError, folder: Path) -> str:
    """An error without the scratch folder that it happened in."""
    return str(error).replace(f"{folder}/", "")
