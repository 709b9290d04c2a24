"""The deployed pointer: switched at once, to a verified bundle, whatever happens around it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment
from astroreel.models.bundle import load_bundle, save_bundle
from astroreel.sequences.prepare import Preparation

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def bundle(folder: Path, value: float) -> str:
    return save_bundle(
        folder,
        kind="rcnn",
        weights={"w": np.full(3, value, np.float32)},
        architecture={"name": "none"},
        preparation=Preparation(),
    )


def test_a_deployed_bundle_is_a_copy_that_loads(tmp_path: Path) -> None:
    digest = bundle(tmp_path / "made", 1.0)
    deployment = Deployment(tmp_path / "deployed")
    pointer = deployment.deploy("hits-rcnn", 3, "models:/hits-rcnn/3", tmp_path / "made", NOON)
    assert (pointer.version, pointer.digest, pointer.previous) == (3, digest, "")
    assert load_bundle(deployment.bundle("hits-rcnn")).digest == digest
    assert deployment.bundle("hits-rcnn") != tmp_path / "made"


def test_a_second_deployment_names_the_first_and_keeps_its_bundle(tmp_path: Path) -> None:
    first, second = bundle(tmp_path / "a", 1.0), bundle(tmp_path / "b", 2.0)
    deployment = Deployment(tmp_path / "deployed")
    deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    pointer = deployment.deploy("hits-rcnn", 2, "models:/hits-rcnn/2", tmp_path / "b", NOON)
    assert (pointer.digest, pointer.previous) == (second, first)
    assert (tmp_path / "deployed" / "bundles" / first).is_dir()


def test_the_same_deployment_twice_changes_nothing(tmp_path: Path) -> None:
    bundle(tmp_path / "a", 1.0)
    deployment = Deployment(tmp_path / "deployed")
    once = deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    again = deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", datetime.now(UTC))
    assert again == once


def test_a_damaged_bundle_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    first = bundle(tmp_path / "a", 1.0)
    bundle(tmp_path / "b", 2.0)
    weights = tmp_path / "b" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    deployment = Deployment(tmp_path / "deployed")
    deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    with pytest.raises(UserError, match="changed file"):
        deployment.deploy("hits-rcnn", 2, "models:/hits-rcnn/2", tmp_path / "b", NOON)
    pointer = deployment.pointer("hits-rcnn")
    assert pointer is not None and pointer.digest == first


def test_a_deployed_bundle_that_was_damaged_is_mended_by_deploying_it_again(tmp_path: Path) -> None:
    digest = bundle(tmp_path / "a", 1.0)
    deployment = Deployment(tmp_path / "deployed")
    deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    (deployment.bundle("hits-rcnn") / "weights.safetensors").write_bytes(b"")
    deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    assert load_bundle(deployment.bundle("hits-rcnn")).digest == digest


def test_what_is_not_deployed_is_refused_with_what_is(tmp_path: Path) -> None:
    bundle(tmp_path / "a", 1.0)
    deployment = Deployment(tmp_path / "deployed")
    with pytest.raises(UserError, match=r"hits-rcnn@champion: not deployed \(deployed is nothing yet\)"):
        deployment.bundle("hits-rcnn")
    deployment.deploy("hits-forest", 1, "models:/hits-forest/1", tmp_path / "a", NOON)
    with pytest.raises(UserError, match="deployed is hits-forest"):
        deployment.bundle("hits-rcnn")


def test_a_withdrawn_model_is_not_deployed(tmp_path: Path) -> None:
    bundle(tmp_path / "a", 1.0)
    deployment = Deployment(tmp_path / "deployed")
    deployment.deploy("hits-rcnn", 1, "models:/hits-rcnn/1", tmp_path / "a", NOON)
    deployment.withdraw("hits-rcnn")
    assert deployment.pointer("hits-rcnn") is None


@pytest.mark.parametrize("name", ["../hits", "", "a/b", ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no model's name"):
        Deployment(tmp_path).pointer(name)
