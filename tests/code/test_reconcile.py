"""What is deployed is always a version that passed the gate, whatever is done to the registry."""

from __future__ import annotations

import multiprocessing
import pickle
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astroreel.errors import UserError
from astroreel.governance import acceptance, reconcile
from astroreel.governance.deployment import Deployment
from astroreel.governance.history import (
    DEPLOYED,
    DEPLOYING,
    NOTICED,
    PROMOTE,
    REFUSED,
    RESTORED,
    SETTLED,
    deployed_versions,
)
from astroreel.governance.ledger import Ledger
from astroreel.governance.policy import Policy
from astroreel.governance.promote import promote, rollback
from astroreel.governance.reconcile import Reconciler
from astroreel.governance.reference import answers
from astroreel.tracking.registry import BUNDLE_PATH
from astroreel.tracking.versions import Version
from tests.code.fake_registry import LENIENT, FakeRegistry, Fuse, forest_bundle, pass_gate

MODEL = "hits-forest"
WEIGHTS = f"{BUNDLE_PATH}/weights.safetensors"


class World:
    """A registry, a deployment and a ledger; versions 1 and 2 have passed the gate, 3 has not."""

    def __init__(self, folder: Path, bundles: Path) -> None:
        self.fuse = Fuse()
        self.registry = FakeRegistry(folder / "registry", self.fuse)
        self.ledger = Ledger(folder / "deployed" / "ledger.jsonl")
        self.deployment = Deployment(folder / "deployed")
        labels = ("supernova", "rr_lyrae", "galaxy")
        self.versions = [self.registry.publish(MODEL, bundles / label) for label in labels]
        for version in self.versions[:2]:
            pass_gate(self.ledger, self.registry, version)

    def reconciler(self, policy: Policy = LENIENT) -> Reconciler:
        return Reconciler(self.registry, self.deployment, self.ledger, policy)  # type: ignore[arg-type]

    def champion(self, number: int) -> list[str]:
        """Give a version the alias, as a person would, and reconcile."""
        self.registry.set_alias(MODEL, "champion", number)
        return self.reconciler().reconcile()

    @property
    def deployed(self) -> int | None:
        pointer = self.deployment.pointer(MODEL)
        return None if pointer is None else pointer.version

    @property
    def alias(self) -> int | None:
        return self.registry.alias(MODEL, "champion")

    def events(self) -> list[str]:
        return [entry.event for entry in self.ledger.entries() if entry.event != "verdict"]

    def tags(self, number: int) -> dict[str, str]:
        return dict(self.registry.named(f"{MODEL}/{number}").tags)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for label in ("supernova", "rr_lyrae", "galaxy", "asteroid"):
        forest_bundle(folder / label, label)
    return folder


@pytest.fixture
def world(tmp_path: Path, bundles: Path) -> World:
    return World(tmp_path, bundles)


def test_a_gated_champion_is_deployed_once(world: World) -> None:
    assert world.champion(1) == [f"models:/{MODEL}/1: deployed"]
    assert world.champion(1) == []
    assert (world.deployed, world.alias) == (1, 1)
    assert world.events() == [DEPLOYING, DEPLOYED]


def test_the_next_gated_champion_replaces_it_and_the_ledger_says_from_what(world: World) -> None:
    world.champion(1)
    assert world.champion(2) == [f"models:/{MODEL}/2: deployed, was version 1"]
    assert world.deployed == 2
    assert world.ledger.entries()[-1].facts["from"] == 1


def test_an_ungated_champion_is_set_back_and_says_why(world: World) -> None:
    world.champion(1)
    (line,) = world.champion(3)
    assert "refused: has not been gated" in line
    assert (world.deployed, world.alias) == (1, 1)
    assert world.tags(3)["reconcile.refused"].startswith("has not been gated")
    assert world.events()[-2:] == [REFUSED, RESTORED]


def test_a_version_that_is_gated_after_it_was_refused_is_deployed_and_no_longer_called_refused(
    world: World,
) -> None:
    world.champion(3)
    pass_gate(world.ledger, world.registry, world.versions[2])
    world.champion(3)
    assert world.deployed == 3
    assert not [name for name in world.tags(3) if name.startswith("reconcile.")]


def test_where_nothing_is_deployed_the_alias_of_an_ungated_champion_is_removed(world: World) -> None:
    world.champion(3)
    assert (world.deployed, world.alias) == (None, None)


def test_tags_that_claim_a_passed_gate_are_not_believed(world: World) -> None:
    world.registry.tag(world.versions[2], {"gate.verdict": "passed", "gate.policy": LENIENT.digest})
    world.champion(3)
    assert world.deployed is None


@pytest.mark.parametrize("verdict", ["failed", "inconclusive", "error"])
def test_a_version_that_did_not_pass_is_refused_by_name_of_its_verdict(world: World, verdict: str) -> None:
    pass_gate(world.ledger, world.registry, world.versions[2], verdict=verdict, reason="too bad")
    (line,) = world.champion(3)
    assert f"did not pass the gate: {verdict}: too bad" in line


def test_the_last_verdict_counts(world: World) -> None:
    pass_gate(world.ledger, world.registry, world.versions[0], verdict="failed", reason="")
    world.champion(1)
    assert world.deployed is None


def test_a_pass_under_another_policy_counts_only_for_what_was_deployed_before(world: World) -> None:
    world.champion(1)
    world.champion(2)
    stricter = LENIENT.model_copy(update={"mean_recall": 0.5})
    world.registry.set_alias(MODEL, "champion", 1)
    world.reconciler(stricter).reconcile()
    assert world.deployed == 1
    pass_gate(world.ledger, world.registry, world.versions[2])
    world.registry.set_alias(MODEL, "champion", 3)
    (line,) = world.reconciler(stricter).reconcile()
    assert "passed the gate under another policy" in line


class Bomb:
    """What a pickle runs when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda files: flip(files / WEIGHTS), "damaged .*changed file"),
        (lambda files: (files / WEIGHTS).unlink(), "files are missing in the registry: data/bundle/weights"),
        (lambda files: (files / BUNDLE_PATH / "more.py").touch(), "unknown file"),
        (lambda files: flip(files / BUNDLE_PATH / "manifest.json"), "damaged|not the bundle"),
        (lambda files: (files / "MLmodel").write_text("loader_module: os"), "not those that were gated"),
    ],
    ids=["byte", "missing", "added", "manifest", "around"],
)
def test_a_version_changed_after_its_gate_is_refused(
    world: World, damage: Callable[[Path], None], reason: str
) -> None:
    world.champion(1)
    damage(world.registry.files(world.versions[1]))
    world.champion(2)
    assert (world.deployed, world.alias) == (1, 1)
    assert re.search(reason, world.tags(2)["reconcile.refused"])


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(world: World, tmp_path: Path) -> None:
    (world.registry.files(world.versions[0]) / WEIGHTS).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    world.champion(1)
    assert world.deployed is None
    assert not (tmp_path / "ran").exists()


def test_another_bundle_under_a_gated_number_is_refused(world: World, bundles: Path) -> None:
    files = world.registry.files(world.versions[0]) / BUNDLE_PATH
    for file in (bundles / "asteroid").iterdir():
        (files / file.name).write_bytes(file.read_bytes())
    (line,) = world.champion(1)
    assert "not the bundle that was registered" in line


def test_a_champion_with_another_parent_than_it_was_gated_with_is_refused(world: World) -> None:
    world.registry.tag(world.versions[0], {"parent.digest": "f" * 64})
    (line,) = world.champion(1)
    assert "its parent is not the one that it was gated with" in line


def test_a_champion_that_answers_otherwise_than_when_gated_is_refused(world: World) -> None:
    other = answers(world.registry.files(world.versions[1]) / BUNDLE_PATH).tolist()
    pass_gate(world.ledger, world.registry, world.versions[0], reference=other)
    (line,) = world.champion(1)
    assert "does not answer the reference batch as it did" in line


@pytest.mark.parametrize("bad", [np.nan, -0.1, 0.3])
def test_answers_that_are_no_probabilities_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    class Odd:
        def predict(self, sequences: Any) -> np.ndarray:
            return np.full((len(sequences.epochs), 7), bad)

    monkeypatch.setattr("astroreel.governance.reference.load_classifier", lambda path: Odd())
    (line,) = world.champion(1)
    assert "no probabilities" in line


def test_a_version_made_by_hand_is_refused(world: World) -> None:
    version = replace(world.versions[0], digest="")
    with pytest.raises(acceptance.Refused, match="was not registered by astroreel"):
        acceptance.accept(version, world.registry, (), LENIENT, Path("/nowhere"))  # type: ignore[arg-type]


def test_a_dry_run_forbids_nothing_but_changed_files(world: World) -> None:
    pass_gate(world.ledger, world.registry, world.versions[2], verdict="failed", reason="too bad")
    dry = LENIENT.model_copy(update={"mode": "dry-run"})
    world.registry.set_alias(MODEL, "champion", 3)
    world.reconciler(dry).reconcile()
    assert world.deployed == 3
    flip(world.registry.files(world.versions[0]) / WEIGHTS)
    world.registry.set_alias(MODEL, "champion", 1)
    world.reconciler(dry).reconcile()
    assert (world.deployed, world.alias) == (3, 3)


def test_without_a_gate_an_ungated_version_is_deployed(world: World) -> None:
    world.registry.set_alias(MODEL, "champion", 3)
    world.reconciler(LENIENT.model_copy(update={"mode": "disabled"})).reconcile()
    assert world.deployed == 3


def noticed(world: World, deed: Callable[[Version], None]) -> list[str]:
    """What is said after something was done to the deployed version, and that it is said once."""
    world.champion(1)
    deed(world.versions[0])
    lines = world.reconciler().reconcile()
    assert world.reconciler().reconcile() == []
    assert world.deployed == 1
    return lines


def test_an_alias_that_is_removed_is_noticed_once_and_the_deployed_stays(world: World) -> None:
    lines = noticed(world, lambda version: world.registry.remove_alias(MODEL, "champion"))
    assert lines == [
        f"models:/{MODEL}/1: has lost the alias champion; it stays deployed until another is promoted"
    ]
    assert world.champion(1) == [f"models:/{MODEL}/1: champion and whole again"]
    assert world.events()[-2:] == [NOTICED, SETTLED]


def test_a_champion_deleted_from_the_registry_is_noticed_once_and_stays_deployed(world: World) -> None:
    (line,) = noticed(world, world.registry.delete)
    assert "was deleted from the registry; it stays deployed" in line
    answers(world.deployment.bundle(MODEL))


@pytest.mark.parametrize("deed", [Path.unlink, flip], ids=["deleted", "changed"])
def test_a_file_gone_or_changed_under_a_champion_is_noticed_once_and_on_the_version(
    world: World, deed: Callable[[Path], None]
) -> None:
    (line,) = noticed(world, lambda version: deed(world.registry.files(version) / WEIGHTS))
    assert line.endswith("the copy deployed here is whole")
    assert "weights.safetensors" in world.tags(1)["reconcile.noticed"]


def test_a_champion_restored_after_its_registered_version_was_deleted_leaves_no_alias(world: World) -> None:
    world.champion(1)
    world.registry.delete(world.versions[0])
    world.champion(3)
    assert (world.deployed, world.alias) == (1, None)


def test_a_damaged_deployed_copy_is_fetched_again(world: World) -> None:
    world.champion(1)
    copy = world.deployment.bundle(MODEL) / "weights.safetensors"
    good = copy.read_bytes()
    flip(copy)
    (line, *_) = world.reconciler().reconcile()
    assert "was damaged (weights.safetensors: changed file" in line
    assert line.endswith("and is fetched again")
    assert copy.read_bytes() == good


def test_a_damaged_deployed_copy_that_cannot_be_fetched_again_is_said_and_no_pass_ends_of_it(
    world: World,
) -> None:
    world.champion(1)
    flip(world.deployment.bundle(MODEL) / "weights.safetensors")
    (world.registry.files(world.versions[0]) / WEIGHTS).unlink()
    lines = world.reconciler().reconcile()
    assert "cannot be fetched again: files are missing" in lines[0]
    assert world.reconciler().reconcile() == []
    world.champion(2)
    assert world.deployed == 2


def test_a_registry_that_does_not_answer_changes_nothing(world: World) -> None:
    world.champion(1)
    world.registry.set_alias(MODEL, "champion", 3)
    world.registry.down = True
    with pytest.raises(UserError, match="no MLflow server answers"):
        world.reconciler().reconcile()
    world.registry.down = False
    assert (world.deployed, world.alias) == (1, 3)
    assert REFUSED not in world.events()


def test_an_alias_moved_while_its_version_was_refused_is_left_to_the_next_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.champion(1)
    tag = world.registry.tag

    def tag_and_move(version: Version, tags: dict[str, str]) -> None:
        tag(version, tags)
        world.registry.set_alias(MODEL, "champion", 2)

    with monkeypatch.context() as patch:
        patch.setattr(world.registry, "tag", tag_and_move)
        world.champion(3)
    assert (world.deployed, world.alias) == (1, 2)
    world.reconciler().reconcile()
    assert (world.deployed, world.alias) == (2, 2)


def test_promotion_verifies_deploys_and_says_who(world: World) -> None:
    assert promote(world.reconciler(), f"{MODEL}/1", "ada") == f"models:/{MODEL}/1: deployed"
    assert (world.deployed, world.alias) == (1, 1)
    assert [(entry.event, entry.who) for entry in world.ledger.entries()[2:]] == [
        (PROMOTE, "ada"),
        (DEPLOYING, "ada"),
        (DEPLOYED, "ada"),
    ]


def test_a_promotion_that_may_not_be_changes_nothing(world: World) -> None:
    before = world.ledger.entries()
    with pytest.raises(UserError, match="has not been gated"):
        promote(world.reconciler(), f"{MODEL}/3", "ada")
    assert (world.deployed, world.alias, world.ledger.entries()) == (None, None, before)


def test_rollback_goes_back_one_at_a_time_and_not_to_and_fro(world: World) -> None:
    pass_gate(world.ledger, world.registry, world.versions[2])
    for number in (1, 2, 3):
        promote(world.reconciler(), f"{MODEL}/{number}", "ada")
    rollback(world.reconciler(), MODEL, "bob")
    assert (world.deployed, world.alias) == (2, 2)
    rollback(world.reconciler(), MODEL, "bob")
    assert (world.deployed, world.alias) == (1, 1)
    with pytest.raises(UserError, match="no version was deployed before"):
        rollback(world.reconciler(), MODEL, "bob")


def test_rollback_to_a_version_that_is_no_longer_whole_changes_nothing(world: World) -> None:
    promote(world.reconciler(), f"{MODEL}/1", "ada")
    promote(world.reconciler(), f"{MODEL}/2", "ada")
    flip(world.registry.files(world.versions[0]) / WEIGHTS)
    with pytest.raises(UserError, match="damaged"):
        rollback(world.reconciler(), MODEL, "bob")
    assert (world.deployed, world.alias) == (2, 2)


def promote_in_process(folder: Path, number: int, start: Any) -> None:
    registry = FakeRegistry(folder / "registry")
    deployed = folder / "deployed"
    parts = (registry, Deployment(deployed), Ledger(deployed / "ledger.jsonl"), LENIENT)
    start.wait()
    promote(Reconciler(*parts), f"{MODEL}/{number}", f"person {number}")  # type: ignore[arg-type]


def test_of_promotions_from_many_processes_the_last_in_the_ledger_wins(world: World, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    numbers = (1, 2, 1, 2)
    processes = [
        context.Process(target=promote_in_process, args=(tmp_path, number, start)) for number in numbers
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    entries = Ledger(tmp_path / "deployed" / "ledger.jsonl").entries()
    told = [entry.facts["version"] for entry in entries if entry.event == PROMOTE]
    done = [entry.facts["version"] for entry in entries if entry.event == DEPLOYED]
    assert sorted(told) == sorted(numbers)
    assert told == done
    assert (world.deployed, world.alias) == (told[-1], told[-1])


def burning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fuse burn before and after everything that is written."""
    for owner, name in ((Ledger, "_write"), (Deployment, "deploy")):
        method = getattr(owner, name)

        def burnt(*arguments: Any, _method: Any = method) -> Any:
            world.fuse.burn()
            result = _method(*arguments)
            world.fuse.burn()
            return result

        monkeypatch.setattr(owner, name, burnt)


@pytest.mark.parametrize("calls", range(10))
@pytest.mark.parametrize("number", [2, 3], ids=["gated", "ungated"])
def test_killed_at_any_moment_and_run_again_it_ends_as_if_it_had_not_been(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, calls: int
) -> None:
    world.champion(1)
    world.registry.set_alias(MODEL, "champion", number)
    burning(world, monkeypatch)
    world.fuse.calls = calls
    try:
        world.reconciler().reconcile()
    except KeyboardInterrupt:
        world.fuse.calls = None
        world.reconciler().reconcile()
    good = 2 if number == 2 else 1
    assert (world.deployed, world.alias) == (good, good)
    assert deployed_versions(world.ledger.entries(), MODEL)[-1] == good
    assert world.events().count(RESTORED) == (number == 3)


def season(world: World, rng: np.random.Generator, steps: int) -> None:
    """Random deeds, a pass after each, sometimes cut short; checked after every step."""
    for _ in range(steps):
        deed = rng.choice(["set", "delete", "down", "kill", "nothing"], p=[0.5, 0.15, 0.1, 0.2, 0.05])
        world.registry.down = deed == "down"
        if deed == "delete":
            world.registry.remove_alias(MODEL, "champion")
        elif not world.registry.down:
            world.registry.set_alias(MODEL, "champion", int(rng.integers(1, 4)))
        world.fuse.calls = int(rng.integers(0, 10)) if deed == "kill" else None
        with suppress(KeyboardInterrupt, UserError):
            world.reconciler().reconcile()
        world.fuse.calls, world.registry.down = None, False
        assert world.deployed in (None, 1, 2)
        check_explained(world)


def check_explained(world: World) -> None:
    """What is deployed is what the ledger's last word on deployments says, or is about to be said."""
    entries = Ledger(world.ledger.path).entries()
    words = [entry for entry in entries if entry.event in (DEPLOYING, DEPLOYED)]
    told = {None} if not words else {words[-1].facts["version"]}
    if words and words[-1].event == DEPLOYING:
        told.add(words[-1].facts["from"])
    assert world.deployed in told


def settle(world: World) -> None:
    world.reconciler().reconcile()
    if world.alias is not None:
        assert world.alias == world.deployed


def test_a_short_season_of_random_deeds_leaves_only_gated_versions_deployed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    burning(world, monkeypatch)
    season(world, np.random.default_rng(1), 30)
    settle(world)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200))
def test_two_hundred_seasons_leave_only_gated_versions_deployed(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    burning(world, monkeypatch)
    season(world, np.random.default_rng(seed), 40)
    settle(world)


def test_the_registry_is_not_audited_at_every_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reconciler = world.reconciler()
    world.registry.set_alias(MODEL, "champion", 1)
    reconciler.reconcile()
    reconciler.reconcile()
    fetched: list[Version] = []
    fetch = world.registry.fetch
    monkeypatch.setattr(world.registry, "fetch", lambda v, folder: fetched.append(v) or fetch(v, folder))
    reconciler.reconcile()
    assert fetched == []
    monkeypatch.setattr(reconcile, "monotonic", lambda: 1e12)
    reconciler.reconcile()
    assert [version.number for version in fetched] == [1]
