"""Where a version comes from and what became of it; which versions used a dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from astroreel.errors import UserError
from astroreel.governance.history import LOOK
from astroreel.governance.ledger import Ledger
from astroreel.tracking.versions import Registry, Version

_DIGEST = re.compile(r"[0-9a-f]{8,64}(\.dir)?")
_GROUPS = {"code": "git.", "data": "data.", "figures": "metric.", "gate": "gate."}


def lineage(of: str, registry: Registry, ledger: Ledger) -> dict[str, Any]:
    """What is known of a version, or of a digest of data, parameters or a bundle, as plain values.

    Parameters
    ----------
    of
        ``NAME/VERSION``, ``models:/NAME/VERSION``, or the beginning of a digest, eight digits or more.

    Raises
    ------
    UserError
        Where there is no such version, or no version with such a digest.
    """
    versions = registry.versions()
    if _DIGEST.fullmatch(of):
        return _users(of, versions)
    version = registry.named(of)
    tags = version.tags
    return {
        "version": version.uri,
        "bundle": version.digest,
        "training": tags.get("training", ""),
        "run": version.run_id,
        "search run": tags.get("search.run", ""),
        "parameters": tags.get("params.digest", ""),
        **{name: _group(version, prefix) for name, prefix in _GROUPS.items()},
        "labelled objects": tags.get("labelled", ""),
        "parents": [parent.uri for parent in _parents(version, versions)],
        "children": [one.uri for one in versions if _is_child(one, version)],
        "history": [
            {"time": entry.time, "event": entry.event, "who": entry.who, "why": entry.facts.get("reason", "")}
            for entry in ledger.entries()
            if entry.model == version.model
            and entry.facts.get("version") == version.number
            and entry.event != LOOK
        ],
    }


def _users(digest: str, versions: Sequence[Version]) -> dict[str, Any]:
    """The versions that a digest occurs in, and as what."""
    used = {
        version.uri: sorted(name for name, value in version.tags.items() if value.startswith(digest))
        for version in versions
    }
    used = {uri: names for uri, names in used.items() if names}
    if not used:
        raise UserError(f"{digest}: no version was made from anything with this digest")
    return {"digest": digest, "versions": used}


def _group(version: Version, prefix: str) -> dict[str, str]:
    tags = sorted(version.tags.items())
    return {name.removeprefix(prefix): value for name, value in tags if name.startswith(prefix)}


def _parents(version: Version, versions: Sequence[Version]) -> list[Version]:
    """What a version was fine-tuned from, and that from, and so on."""
    chain: list[Version] = []
    while True:
        version_above = next((one for one in versions if _is_child(version, one)), None)
        if version_above is None or version_above in chain:
            return chain
        chain.append(version_above)
        version = version_above


def _is_child(child: Version, parent: Version) -> bool:
    return child.model == parent.model and child.tags.get("parent.digest", "") == parent.digest
