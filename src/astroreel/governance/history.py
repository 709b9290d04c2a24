"""What the ledger says: the words for what happens, and what follows from the entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from astroreel.governance.ledger import Entry

#: A version is about to be measured on a hold-out, and what came out.
LOOK, VERDICT = "look", "verdict"
#: A person asked for a version at the command line.
PROMOTE, ROLLBACK = "promote", "rollback"
#: A champion passed every check and is about to be deployed, and it is.
DEPLOYING, DEPLOYED = "deploying", "deployed"
#: A champion was refused, and the alias has been set back.
REFUSED, RESTORED = "refused", "restored"
#: What is deployed is not as it should be in the registry, and is again.
NOTICED, SETTLED = "noticed", "settled"


def last(entries: Iterable[Entry], model: str, *events: str, **facts: Any) -> Entry | None:
    """The last entry of a model with one of these events and all of these facts."""
    found = None
    for entry in entries:
        if entry.model == model and entry.event in events and facts.items() <= entry.facts.items():
            found = entry
    return found


def verdict_on(entries: Iterable[Entry], model: str, bundle: str) -> Entry | None:
    """The last verdict on a bundle as a version of a model."""
    return last(entries, model, VERDICT, bundle=bundle)


def look_at(entries: Iterable[Entry], model: str, bundle: str, holdout: str) -> int:
    """Which look at a hold-out measuring a bundle is, from 1; measuring it again is the same look."""
    seen = _looked_at(entries, model, holdout)
    return 1 + (seen.index(bundle) if bundle in seen else len(seen))


def looks_before(entries: Sequence[Entry], model: str, bundle: str, holdout: str) -> list[bool]:
    """Which of the looks at a hold-out before that of a bundle ended in a pass, whatever was said later."""
    before = _looked_at(entries, model, holdout)[: look_at(entries, model, bundle, holdout) - 1]
    verdicts: dict[str, set[str]] = {one: set() for one in before}
    for entry in entries:
        if (entry.event, entry.model, entry.facts.get("holdout")) == (VERDICT, model, holdout):
            verdicts.setdefault(entry.facts["bundle"], set()).add(entry.facts["verdict"])
    return [verdicts[one] == {"passed"} for one in before]


def _looked_at(entries: Iterable[Entry], model: str, holdout: str) -> list[str]:
    """The bundles that a hold-out was looked at with, in the order of their first looks."""
    looks = (e for e in entries if e.event == LOOK and e.model == model and e.facts["holdout"] == holdout)
    return list(dict.fromkeys(entry.facts["bundle"] for entry in looks))


def was_deployed(entries: Iterable[Entry], model: str, bundle: str) -> bool:
    """Whether a bundle has ever been the deployed one of a model."""
    return last(entries, model, DEPLOYED, bundle=bundle) is not None


def notices(entries: Iterable[Entry], model: str) -> list[Mapping[str, Any]]:
    """What was noticed of a model's deployed version and has not been settled since."""
    open_ones: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry.model == model and entry.event in (SETTLED, DEPLOYED):
            open_ones.clear()
        elif entry.model == model and entry.event == NOTICED:
            open_ones.append(entry.facts)
    return open_ones


def deployed_versions(entries: Sequence[Entry], model: str) -> list[int]:
    """The versions of a model that lead to the deployed one: going back to one forgets what came after it."""
    path: list[int] = []
    for entry in entries:
        if entry.model == model and entry.event == DEPLOYED:
            number = entry.facts["version"]
            path = [*(path[: path.index(number)] if number in path else path), number]
    return path
