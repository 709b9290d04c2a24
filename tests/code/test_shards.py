"""Simulated sets on disk: the same bytes whoever makes them and however often they are killed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astroreel.errors import UserError
from astroreel.files import file_digest
from astroreel.parallel import ordered_map
from astroreel.sequences.compact import PackedStamps, join, pack, unpack
from astroreel.sequences.file import read_folder
from astroreel.sequences.recipe import Recipe
from astroreel.sequences.record import OBJECT_DTYPE
from astroreel.sequences.shards import SHARD, is_finished, simulate_to
from astroreel.sequences.simulate import BLOCK, SimulationConfig
from astroreel.sequences.store import load_store
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey
from tests.code.quick import EPOCHS, quick_recipe

ROOT = Path(__file__).parents[2]
N = 2 * SHARD + 100  # three shards, the last with a part of a block


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "set"
    simulate_to(folder, quick_recipe(workers=1), N)
    return folder


# Packed stamps


pixels = st.one_of(
    st.integers(-600, 66_000).map(float), st.floats(width=32), st.sampled_from([np.nan, -499.0, 65_035.0])
)


@given(stamps=arrays(np.float32, st.tuples(st.integers(0, 3), st.just(4)), elements=pixels))
def test_packed_stamps_are_given_back_exactly(stamps: np.ndarray) -> None:
    np.testing.assert_array_equal(unpack(pack(stamps)), stamps)


def test_whole_adu_take_two_bytes_and_what_two_bytes_cannot_hold_stays() -> None:
    whole = np.array([-499, 0, 300, 65_035, np.nan], np.float32)
    assert pack(whole).dtype == np.uint16
    for odd in (0.5, -500.0, 65_036.0, np.inf):
        assert pack(np.array([1.0, odd], np.float32)).dtype == np.float32


@settings(deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_packed_parts_read_as_one_array(data: st.DataObject, sizes: list[int]) -> None:
    m = sum(sizes)
    whole = np.arange(9 * m, dtype=np.float32).reshape(m, 3, 3)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    stamps = join([PackedStamps([pack(part)]) for part in parts])
    assert isinstance(stamps, PackedStamps)
    assert (len(stamps), stamps.shape, stamps.dtype) == (m, whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.asarray(stamps), whole)
    start, stop = data.draw(st.integers(-m - 1, m + 1)), data.draw(st.integers(-m - 1, m + 1))
    np.testing.assert_array_equal(stamps[start:stop], whole[start:stop])
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=m, max_size=m)), bool)
    np.testing.assert_array_equal(stamps[mask], whole[mask])
    if m:
        frames = data.draw(st.lists(st.integers(-m, m - 1), max_size=6))
        np.testing.assert_array_equal(stamps[np.array(frames, int)], whole[np.array(frames, int)])
        np.testing.assert_array_equal(stamps[frames[0] if frames else 0], whole[frames[0] if frames else 0])
    with pytest.raises(IndexError, match=f"out of the range of {m} frames"):
        stamps[np.array([m])]


def test_a_set_packed_in_part_joins_to_a_plain_array() -> None:
    plain = np.zeros((2, 3, 3), np.float32)
    joined = join([plain, PackedStamps([pack(plain + 1)])])
    np.testing.assert_array_equal(joined, np.concatenate([plain, plain + 1]))


# Sets


def test_a_set_holds_the_objects_of_its_recipe_in_order(undisturbed: Path) -> None:
    sequences = load_store(undisturbed)
    assert len(sequences) == N
    np.testing.assert_array_equal(sequences.objects["ra"], np.arange(N))
    assert isinstance(sequences.stamps, PackedStamps)
    assert {part.dtype for part in sequences.stamps.parts} == {np.dtype(np.uint16)}
    for number in (0, BLOCK, SHARD - 1, SHARD, N - 1):
        block = quick_recipe().block(number // BLOCK)
        np.testing.assert_array_equal(sequences[number].stamps, block[number % BLOCK].stamps)
        np.testing.assert_array_equal(sequences[number].epochs, block[number % BLOCK].epochs)


def test_the_manifest_tells_what_the_set_is_and_the_digest_of_every_file(undisturbed: Path) -> None:
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    files = {name for name in content(undisturbed) if name != "manifest.json"}
    assert set(manifest["files"]) == files
    assert all(file_digest(undisturbed / name) == digest for name, digest in manifest["files"].items())
    assert (manifest["objects"], manifest["seed"], manifest["split"]) == (N, 1, "train")
    assert manifest["survey"]["name"] == "hits"
    assert "workers" not in manifest["parameters"]


def test_a_manifest_names_the_code_and_the_libraries_that_made_the_set() -> None:
    quick = quick_recipe()
    recipe = Recipe(quick.survey, quick.conditions, quick.split, quick.config)
    manifest = recipe.manifest()
    assert re.fullmatch("[0-9a-f]{64}", manifest["code"])
    assert manifest["libraries"]["numpy"] == np.__version__
    assert json.loads(json.dumps(manifest)) == manifest
    assert pickle.loads(pickle.dumps(recipe)).manifest() == manifest  # noqa: S301 - made here


def test_two_workers_make_the_bytes_of_one(undisturbed: Path, tmp_path: Path) -> None:
    simulate_to(tmp_path / "set", quick_recipe(workers=2), N)
    assert content(tmp_path / "set") == content(undisturbed)


def test_files_are_the_same_sequences(undisturbed: Path, tmp_path: Path) -> None:
    n = BLOCK + 3
    seen: list[tuple[int, int]] = []
    simulate_to(tmp_path, quick_recipe(), n, "fits", progress=lambda done, total: seen.append((done, total)))
    files, store = read_folder(tmp_path), load_store(undisturbed).select(np.arange(n))
    for name in OBJECT_DTYPE.names or ():
        np.testing.assert_array_equal(files.objects[name], store.objects[name])
    np.testing.assert_array_equal(files.stamps, store.stamps)
    assert seen == [(BLOCK, n), (n, n)]
    before = content(tmp_path)
    manifest = json.loads(before["manifest.json"])
    (tmp_path / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != "files"}))
    (tmp_path / f"sim-hits-train-{BLOCK + 1:06d}.fits").unlink()
    simulate_to(tmp_path, quick_recipe(), n, "fits")
    assert content(tmp_path) == before


def test_the_simulator_makes_the_same_bytes_in_other_processes_and_in_parts_of_a_block() -> None:
    survey = load_survey("hits")
    conditions = generate_conditions(survey, 10, np.random.default_rng(1))
    recipe = Recipe(survey, conditions, "train", SimulationConfig(seed=5))
    elsewhere = list(ordered_map(recipe.block, range(2), workers=2))
    for index, theirs in enumerate(elsewhere):
        ours = recipe.block(index)
        for name in ("objects", "offsets", "epochs", "truth"):
            assert getattr(theirs, name).tobytes() == getattr(ours, name).tobytes()
        assert np.asarray(theirs.stamps).tobytes() == np.asarray(ours.stamps).tobytes()
        part = recipe.block(index, 3)
        assert np.asarray(part.stamps).tobytes() == ours.stamps[: part.offsets[-1]].tobytes()


def kill_and_restart(folder: Path, delays: list[float], workers: int) -> int:
    """Run to the end, killed some seconds after each start; how many kills found the work unfinished."""
    command = [sys.executable, "-m", "tests.code.quick", str(folder), str(workers), str(N)]
    hit = 0
    for delay in delays:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it begins
            time.sleep(delay)
            process.kill()
        hit += not is_finished(folder)
    if not is_finished(folder):
        subprocess.run(command, cwd=ROOT, check=True)
    return hit


#: Seconds after the start of the work; later where the processes that work are to be started first.
SHORT = [0.7, 0.4]
LONG = np.random.default_rng(1).uniform(0, 6, 10).tolist()


@pytest.mark.parametrize(("delays", "workers"), [(SHORT, 1), pytest.param(LONG, 2, marks=pytest.mark.soak)])
def test_a_run_that_is_killed_and_restarted_ends_with_the_same_bytes(
    undisturbed: Path, tmp_path: Path, delays: list[float], workers: int
) -> None:
    assert kill_and_restart(tmp_path / "set", delays, workers) > 0
    assert content(tmp_path / "set") == content(undisturbed)


def test_a_whole_shard_is_kept_and_half_a_one_cleared_away(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(undisturbed, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if k != "files"}))
    os.rename(folder / "shard-00001", folder / ".shard-00001.abc")
    kept = (folder / "shard-00002").stat().st_mtime_ns
    with pytest.raises(UserError, match="not finished: the command that began it goes on with it"):
        load_store(folder)
    simulate_to(folder, quick_recipe(), N)
    assert (folder / "shard-00002").stat().st_mtime_ns == kept
    assert content(folder) == content(undisturbed)


def test_a_finished_set_and_a_folder_of_something_else_are_refused(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set: is there already: name a new folder, or remove it first"):
        simulate_to(undisturbed, quick_recipe(), N)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        simulate_to(tmp_path, quick_recipe(), N)
    assert content(tmp_path) == {"thesis.txt": b"mine"}


def test_the_beginning_of_another_set_is_refused(tmp_path: Path) -> None:
    simulate_to(tmp_path / "set", quick_recipe(seed=1), 10)
    file = tmp_path / "set" / "manifest.json"
    begun = {k: v for k, v in json.loads(file.read_text()).items() if k != "files"}
    file.write_text(json.dumps(begun))
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"another simulation, which differs in seed, objects: name a new f"):
        simulate_to(tmp_path / "set", quick_recipe(seed=2), 11)
    assert content(tmp_path) == before


def test_the_disk_use_is_told_first_and_too_small_a_disk_refused(monkeypatch, tmp_path: Path) -> None:
    said: list[str] = []
    simulate_to(tmp_path / "set", quick_recipe(), 400, say=said.append)
    assert len(said) == 1
    told = 1e6 * float(said[0].split("up to ")[1].split(" MB")[0])
    taken = sum(map(len, content(tmp_path / "set").values()))
    assert 0.9 * taken < told < 1.3 * taken
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(free=1000))
    pattern = r"new: up to .* MB needed, 1.0 kB free on the disk: make room, or simulate fewer objects"
    with pytest.raises(UserError, match=pattern):
        simulate_to(tmp_path / "new", quick_recipe(), 400, say=said.append)
    assert len(said) == 1
    assert not (tmp_path / "new").exists()


def test_at_least_one_object_must_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be at least 1, not 0"):
        simulate_to(tmp_path / "set", quick_recipe(), 0)


def test_a_recipe_without_windows_is_as_long_as_its_longest_field() -> None:
    recipe = quick_recipe()
    assert recipe.longest == EPOCHS
    whole = Recipe(recipe.survey, recipe.conditions, "target", recipe.config, windowed=False)
    assert whole.longest == EPOCHS
