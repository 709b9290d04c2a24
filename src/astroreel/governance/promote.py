"""Promotion and rollback at the command line: verified first, then alias, deployment and ledger in one go."""

from __future__ import annotations

from astroreel.errors import UserError
from astroreel.governance.acceptance import Refused
from astroreel.governance.history import PROMOTE, ROLLBACK, deployed_versions
from astroreel.governance.reconcile import CHAMPION, Reconciler


def promote(reconciler: Reconciler, uri: str, who: str) -> str:
    """Make a version the champion of its model and deploy it; says what was done.

    Two at once go one after the other; the later is champion. Raises `UserError`, with nothing changed, where
    the version may not be champion.
    """
    with reconciler.ledger.locked():
        version = reconciler.registry.named(uri)
        return _put(reconciler, version.model, version.number, PROMOTE, who)


def rollback(reconciler: Reconciler, model: str, who: str) -> str:
    """Go back to the version deployed before the present one; says what was done.

    Raises `UserError`, with nothing changed, where there is none or it is no longer whole.
    """
    with reconciler.ledger.locked():
        path = deployed_versions(reconciler.ledger.entries(), model)
        if len(path) < 2:
            raise UserError(f"{model}: no version was deployed before the present one")
        return _put(reconciler, model, path[-2], ROLLBACK, who)


def _put(reconciler: Reconciler, model: str, number: int, event: str, who: str) -> str:
    version = reconciler.registry.named(f"{model}/{number}")
    try:
        with reconciler.accepted(version) as accepted:
            reconciler.ledger.append(event, model, {"version": number}, who)
            reconciler.registry.set_alias(model, CHAMPION, number)
            return reconciler.deploy(accepted, who)
    except Refused as refusal:
        raise UserError(f"{version.uri}: {refusal}") from refusal
