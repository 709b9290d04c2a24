"""The bundle: a folder of plain data that is one trained model.

A manifest names every file with its sha256, so that what is loaded is what was saved; nothing in a
bundle is code, and loading one runs none. Equal content gives equal bytes, hence an equal digest.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.files import file_digest, replacing_folder, write_json
from astroreel.sequences.prepare import Preparation

Kind = Literal["rcnn", "forest"]

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
ARCHITECTURE = "architecture.json"
PREPARATION = "preparation.json"
CALIBRATION = "calibration.json"
_FILES = (ARCHITECTURE, CALIBRATION, PREPARATION, WEIGHTS)
#: All that is in a bundle's folder.
FILES = (*_FILES, MANIFEST)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Attributes
    ----------
    kind
        Which family of classifier it is.
    weights
        Arrays by name.
    architecture
        What the family builds the classifier from, before its weights are filled in.
    preparation
        How stamps are made ready for it.
    temperature
        What the logits are divided by before the softmax; 1 where not calibrated.
    digest
        Hexadecimal sha256 of the manifest, the identity of the bundle.
    """

    kind: Kind
    weights: Mapping[str, NDArray[Any]]
    architecture: Mapping[str, Any]
    preparation: Preparation
    temperature: float
    digest: str


def save_bundle(
    path: Path,
    *,
    kind: Kind,
    weights: Mapping[str, NDArray[Any]],
    architecture: Mapping[str, Any],
    preparation: Preparation,
    temperature: float = 1.0,
) -> str:
    """Write a bundle to the folder ``path``, whole or not at all, and return its digest.

    Raises `UserError` where the folder cannot be written.
    """
    with replacing_folder(path) as scratch:
        # asarray, because ascontiguousarray would turn a scalar into a vector.
        plain = {name: np.asarray(weights[name], order="C") for name in sorted(weights)}
        (scratch / WEIGHTS).write_bytes(save(plain))
        write_json(scratch / ARCHITECTURE, dict(architecture))
        write_json(scratch / PREPARATION, preparation.model_dump(mode="json"))
        write_json(scratch / CALIBRATION, {"temperature": float(temperature)})
        manifest = {
            "format": FORMAT,
            "kind": kind,
            "classes": list(CLASSES),
            "files": {name: file_digest(scratch / name) for name in _FILES},
        }
        write_json(scratch / MANIFEST, manifest)
    return file_digest(path / MANIFEST)


def load_bundle(path: Path) -> Bundle:
    """Read a bundle and verify it against its manifest.

    Raises `UserError`, naming the file and the rule, where a file is missing, unknown or changed,
    or where the bundle was made for other classes or by another version of the format.
    """
    manifest_bytes = _read(path / MANIFEST)
    manifest = _json(path / MANIFEST, manifest_bytes)
    _check_manifest(path, manifest)
    content = {name: _verified(path / name, manifest["files"][name]) for name in _FILES}
    try:
        weights = load(content[WEIGHTS])
    except SafetensorError as error:
        raise UserError(f"{path / WEIGHTS}: not a safetensors file ({error})") from error
    try:
        preparation = Preparation.model_validate(_json(path / PREPARATION, content[PREPARATION]))
    except ValidationError as error:
        raise UserError(f"{path / PREPARATION}: unknown preparation ({error.errors()[0]['msg']})") from error
    return Bundle(
        kind=manifest["kind"],
        weights=weights,
        architecture=_object(path / ARCHITECTURE, content[ARCHITECTURE]),
        preparation=preparation,
        temperature=_temperature(path / CALIBRATION, content[CALIBRATION]),
        digest=hashlib.sha256(manifest_bytes).hexdigest(),
    )


def _check_manifest(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise UserError(f"{path / MANIFEST}: not a manifest: it names no files")
    if manifest.get("format") != FORMAT:
        raise UserError(f"{path / MANIFEST}: format {manifest.get('format')!r}: expected {FORMAT}")
    if manifest.get("kind") not in get_args(Kind):
        raise UserError(
            f"{path / MANIFEST}: unknown kind {manifest.get('kind')!r}: expected {get_args(Kind)}"
        )
    if manifest.get("classes") != list(CLASSES):
        raise UserError(f"{path / MANIFEST}: made for other classes: {manifest.get('classes')}")
    if set(manifest["files"]) != set(_FILES):
        raise UserError(f"{path / MANIFEST}: names {sorted(manifest['files'])}: expected {list(_FILES)}")
    for file in sorted(path.iterdir()):
        if file.name not in FILES:
            raise UserError(f"{file}: unknown file: a bundle holds only what its manifest names")


def _verified(path: Path, digest: str) -> bytes:
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{path}: changed file: its sha256 is not the one in {MANIFEST}")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: missing file ({error.strerror}): this folder is no whole bundle") from error


def _json(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error


def _object(path: Path, content: bytes) -> dict[str, Any]:
    value = _json(path, content)
    if not isinstance(value, dict):
        raise UserError(f"{path}: {value!r:.40}: expected names and values")
    return value


def _temperature(path: Path, content: bytes) -> float:
    temperature = _object(path, content).get("temperature")
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise UserError(f"{path}: temperature {temperature!r}: expected a number above 0")
    return float(temperature)
