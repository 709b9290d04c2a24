"""The bundle: what is loaded is what was saved, and whatever departs from it is refused by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, floating_dtypes, integer_dtypes

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.bundle import load_bundle, save_bundle
from astroreel.sequences.prepare import Preparation

WEIGHTS = {"b": np.arange(6.0).reshape(2, 3), "a": np.float32([1, 2]), "steps": np.array(7)}
ARCHITECTURE = {"name": "compact", "units": 8}


def save(path: Path, **changes: object) -> str:
    values = {"kind": "rcnn", "weights": WEIGHTS, "architecture": ARCHITECTURE, "preparation": Preparation()}
    return save_bundle(path, **(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    save(tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite(path: Path, change: Callable[[dict], None]) -> None:
    """Change a JSON file of a bundle, and its digest in the manifest with it."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    if path.name != "manifest.json":
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rewrite(path.parent / "manifest.json", lambda m: m["files"].update({path.name: digest}))


@settings(max_examples=25, deadline=None)
@given(
    weights=st.dictionaries(
        st.text("abc._0", min_size=1, max_size=8),
        arrays(
            floating_dtypes(endianness="<", sizes=(32, 64)) | integer_dtypes(endianness="<", sizes=(32, 64)),
            array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        min_size=1,
    ),
    temperature=st.floats(0.01, 100),
)
def test_what_was_saved_is_loaded(tmp_path_factory, weights, temperature) -> None:
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    preparation = Preparation(reference_zp=24.7, max_epochs=40)
    digest = save(path, weights=weights, temperature=temperature, preparation=preparation)
    loaded = load_bundle(path)
    assert (loaded.kind, loaded.temperature, loaded.digest) == ("rcnn", temperature, digest)
    assert (loaded.architecture, loaded.preparation) == (ARCHITECTURE, preparation)
    assert loaded.weights.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(loaded.weights[name], array, strict=True)


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    """Whatever the order of the names, and however the arrays lie in memory."""
    turned = {name: WEIGHTS[name] for name in reversed(WEIGHTS)} | {"b": np.asfortranarray(WEIGHTS["b"])}
    first = save(tmp_path / "first")
    second = save(tmp_path / "second", weights=turned, architecture=dict(reversed(ARCHITECTURE.items())))
    assert first == second
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 2.0},
        {"kind": "forest"},
        {"weights": WEIGHTS | {"a": np.float32([1, 3])}},
        {"architecture": ARCHITECTURE | {"units": 9}},
        {"preparation": Preparation(max_epochs=30)},
    ],
)
def test_other_content_is_another_digest(bundle: Path, tmp_path: Path, change: dict) -> None:
    assert save(tmp_path / "other", **change) != load_bundle(bundle).digest


def test_the_digest_is_that_of_the_manifest_which_has_that_of_every_file(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    digests = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in bundle.iterdir()
        if file.name != "manifest.json"
    }
    assert manifest["files"] == digests
    assert manifest["classes"] == list(CLASSES)
    assert load_bundle(bundle).digest == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()


def test_a_bundle_that_cannot_be_saved_leaves_the_old_one(bundle: Path) -> None:
    before = load_bundle(bundle).digest
    with pytest.raises(ValueError, match="Out of range float values"):
        save(bundle, temperature=float("nan"))
    assert load_bundle(bundle).digest == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


FILES = ("weights.safetensors", "architecture.json", "preparation.json", "calibration.json")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[-3] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: changed file: its sha256 is not the one in manifest.json"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", (*FILES, "manifest.json"))
def test_a_missing_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing file .*: this folder is no whole bundle"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ("code.py", "weights.pkl"))
def test_an_unknown_file_is_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_text("import os")
    with pytest.raises(UserError, match=f"{name}: unknown file: a bundle holds only what its manifest names"):
        load_bundle(bundle)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/manifest.json: missing file"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("manifest.json", lambda m: m.update(format=2), "format 2: expected 1"),
        ("manifest.json", lambda m: m.update(kind="pickle"), "unknown kind 'pickle'"),
        ("manifest.json", lambda m: m["classes"].reverse(), "made for other classes"),
        ("manifest.json", lambda m: m["files"].update({"../x": "0"}), r"names \['../x', .*expected"),
        ("manifest.json", lambda m: m.pop("files"), "not a manifest: it names no files"),
        ("calibration.json", lambda c: c.update(temperature=0), "temperature 0: expected a number above 0"),
        ("calibration.json", lambda c: c.clear(), "temperature None: expected a number above 0"),
        ("preparation.json", lambda p: p.update(max_epochs=3), "unknown preparation"),
    ],
)
def test_content_that_means_nothing_is_refused(
    bundle: Path, file: str, change: Callable[[dict], None], message: str
) -> None:
    rewrite(bundle / file, change)
    with pytest.raises(UserError, match=f"{file}: {message}"):
        load_bundle(bundle)


def test_a_manifest_that_is_not_json_is_refused(bundle: Path) -> None:
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest.json: not valid JSON"):
        load_bundle(bundle)


def test_weights_in_another_format_are_refused(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(b"\x80\x04pickle")
    digest = hashlib.sha256((bundle / "weights.safetensors").read_bytes()).hexdigest()
    rewrite(bundle / "manifest.json", lambda m: m["files"].update({"weights.safetensors": digest}))
    with pytest.raises(UserError, match=r"weights.safetensors: not a safetensors file"):
        load_bundle(bundle)
