"""What is deployed: one pointer a registered model, switched at once, to a verified bundle on this machine.

Whatever classifies as ``models:/NAME@champion`` reads a pointer and nothing else, so that a registry which
is down, slow or tampered with changes no answer. Only the reconciler writes it.

The folder holds ``NAME.json``, the pointers, and ``bundles/DIGEST``, the bundles. A bundle is copied and
verified before its pointer is written, and a pointer is replaced by a rename: whoever reads it sees the
version before or the version after, both whole.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from astroreel.errors import UserError
from astroreel.files import read_json, replacing_folder, write_json
from astroreel.models.bundle import load_bundle

#: Where a project's pointers are.
FOLDER = "deployed"

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Pointer:
    """What is deployed of one registered model.

    Attributes
    ----------
    model, version, uri
        The registered version, as in ``models:/MODEL/VERSION``.
    digest
        Of its bundle.
    since
        When it was deployed, ISO 8601 with its offset.
    previous
        Digest of the bundle deployed before, "" for the first.
    """

    model: str
    version: int
    uri: str
    digest: str
    since: str
    previous: str = ""


class Deployment:
    """The deployed pointers below one folder.

    Parameters
    ----------
    folder
        Where pointers and bundles are; made at the first deployment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pointers(self) -> list[Pointer]:
        """What is deployed, by the models' names."""
        return [self._read(path) for path in sorted(self.folder.glob("*.json"))]

    def pointer(self, model: str) -> Pointer | None:
        """What is deployed of a model; None where nothing is.

        Raises `UserError` where the pointer cannot be read.
        """
        path = self._path(model)
        return self._read(path) if path.exists() else None

    def bundle(self, model: str) -> Path:
        """The folder of a model's deployed bundle, which the reader verifies as it loads it.

        Raises `UserError` where nothing of that name is deployed.
        """
        pointer = self.pointer(model)
        if pointer is None:
            known = ", ".join(pointer.model for pointer in self.pointers()) or "nothing yet"
            raise UserError(
                f"models:/{model}@champion: not deployed (deployed is {known}): give a gated version the "
                "alias champion and run `astroreel registry reconcile`"
            )
        return self.bundle_of(pointer)

    def bundle_of(self, pointer: Pointer) -> Path:
        """The folder of the bundle that a pointer means."""
        return self.folder / "bundles" / pointer.digest

    def deploy(self, model: str, version: int, uri: str, bundle: Path, when: datetime) -> Pointer:
        """Make a bundle the deployed one of a model; doing it twice is doing it once.

        Raises `UserError` where the bundle is damaged or the folder cannot be written.
        """
        digest, before = load_bundle(bundle).digest, self.pointer(model)
        if before is not None and (before.version, before.digest) == (version, digest):
            self._keep(bundle, digest)
            return before
        self._keep(bundle, digest)
        previous = before.digest if before else ""
        pointer = Pointer(model, version, uri, digest, when.isoformat(), previous)
        write_json(self._path(model), asdict(pointer))
        return pointer

    def withdraw(self, model: str) -> None:
        """Deploy nothing of a model any more; its bundle stays."""
        self._path(model).unlink(missing_ok=True)

    def _keep(self, bundle: Path, digest: str) -> None:
        """Hold a copy of the bundle, unless a sound one is there."""
        kept = self.folder / "bundles" / digest
        if _is_sound(kept, digest):
            return
        with replacing_folder(kept) as scratch:
            shutil.copytree(bundle, scratch, dirs_exist_ok=True)
            if load_bundle(scratch).digest != digest:
                raise UserError(f"{bundle}: changed while it was deployed: try again")

    def _path(self, model: str) -> Path:
        if not _MODEL.fullmatch(model):
            raise UserError(f"{model!r}: no model's name: letters, digits, '-', '_' and '.' are allowed")
        return self.folder / f"{model}.json"

    def _read(self, path: Path) -> Pointer:
        content = read_json(path)
        try:
            return Pointer(**content)
        except TypeError as error:
            raise UserError(
                f"{path}: no pointer: remove it and run `astroreel registry reconcile`"
            ) from error


def _is_sound(folder: Path, digest: str) -> bool:
    try:
        return load_bundle(folder).digest == digest
    except UserError:
        return False
