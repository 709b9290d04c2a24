"""The gate: what passes, what fails and why, and what it leaves with the version and in the ledger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.files import write_json
from astroreel.governance import gate, rivals
from astroreel.governance.deployment import Deployment
from astroreel.governance.gate import Gate
from astroreel.governance.history import LOOK, VERDICT
from astroreel.governance.holdout import HoldOut, read_holdout
from astroreel.governance.ledger import Ledger
from astroreel.governance.policy import Policy, read_policy
from astroreel.governance.promote import promote
from astroreel.governance.reconcile import Reconciler
from astroreel.governance.reference import answers, reference_batch
from astroreel.governance.rules import Answers
from astroreel.governance.verdict import Verdict
from astroreel.models.load import load_classifier
from astroreel.sequences.file import validate, write_sequence
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.split import Split, SplitConfig, SplitObject
from astroreel.tracking.registry import Labelled
from astroreel.tracking.versions import Version
from tests.code.fake_registry import LENIENT, FakeRegistry, forest_bundle
from tests.conftest import MakeSequence

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")
STRICT = LENIENT.model_copy(
    update={
        "min_objects": 100,
        "min_objects_a_class": 20,
        "mean_recall": 0.6,
        "class_recall": 0.4,
        "lead_over_forest": 0.0,
        "loss_to_champion": 0.05,
        "calibration_error": 0.2,
        "latency_ms": 100.0,
        "forgetting": 0.05,
    }
)


class World:
    """A gate over a made-up hold-out of 400 objects; what a bundle says of it is set by `skill`."""

    def __init__(self, folder: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "registry")
        self.deployment = Deployment(folder / "deployed")
        self.ledger = Ledger(folder / "deployed" / "ledger.jsonl")
        one = make_sequence(6)
        members = []
        for index in range(400):
            header = one.header.copy()
            header["name"], header["field"] = f"o{index}", f"field-{index // 4 % 20}"
            header["label"] = LABELS[index % 4]
            members.append(replace(one, header=header))
        self.holdout = HoldOut("hits", SequenceSet.from_sequences(members), "h" * 64)
        self.recalls: dict[str, tuple[float, ...]] = {}
        self.counter = 0
        monkeypatch.setattr(gate, "read_holdout", lambda root, parameters: self.holdout)
        monkeypatch.setattr(gate, "load_store", lambda path: self.holdout.sequences)
        for module in (gate, rivals):
            monkeypatch.setattr(module, "answers", self._answers)

    def version(
        self, *recalls: float, model: str = "hits-forest", labelled: tuple[Labelled, ...] = (), **tags: str
    ) -> Version:
        """A new version with a recall for each class of the hold-out (one: of all)."""
        self.counter += 1
        bundle = forest_bundle(self.folder / f"bundle-{self.counter}", "galaxy", 0.5 + 0.01 * self.counter)
        version = self.registry.publish(model, bundle, labelled, **tags)
        self.recalls[version.digest] = recalls * 4 if len(recalls) == 1 else recalls
        return version

    def fine_tuned(self, *recalls: float, parent: Version, **tags: str) -> Version:
        learned = (Labelled("elsewhere", "rr_lyrae", "field-99"),)
        said = {"training": "fine-tuned", "parent.digest": parent.digest, **tags}
        return self.version(*recalls, labelled=learned, **said)

    def judge(self, version: Version, policy: Policy = STRICT, target: str = "hits") -> Verdict:
        parameters: Any = SimpleNamespace(
            source=SimpleNamespace(target=target), registry=SimpleNamespace(fold=0)
        )
        parts: Any = (self.registry, self.deployment, self.ledger)
        return Gate(self.folder, parameters, policy, *parts).judge(version.uri, "ada")

    def make_champion(self, version: Version, policy: Policy = LENIENT) -> None:
        self.judge(version, policy)
        parts: Any = (self.registry, self.deployment, self.ledger, policy)
        promote(Reconciler(*parts), version.uri, "ada")

    def tags(self, version: Version) -> dict[str, str]:
        return dict(self.registry.named(version.uri).tags)

    def _answers(self, bundle: Path, sequences: SequenceSet, timings: int = 1) -> Answers:
        digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
        labels = self.holdout.labels
        probabilities = np.full((len(labels), 7), 0.02)
        for position, label in enumerate(LABELS):
            members = np.flatnonzero(labels == CLASSES.index(label))
            right = np.arange(len(members)) < round(self.recalls[digest][position] * len(members))
            said = np.where(right, CLASSES.index(label), CLASSES.index("asteroid"))
            probabilities[members, said] = 0.88
        return Answers(probabilities, 1.0)


@pytest.fixture
def world(tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, make_sequence, monkeypatch)


def outcome(verdict: Verdict, rule: str) -> str:
    return next(one.outcome for one in verdict.rules if one.name == rule)


def test_a_first_version_that_clears_the_floors_passes_and_becomes_challenger(world: World) -> None:
    version = world.version(0.9)
    verdict = world.judge(version)
    assert (verdict.word, verdict.reason) == ("passed", "")
    assert outcome(verdict, "mean recall minus the champion's") == "skipped"
    assert world.registry.alias("hits-forest", "challenger") == version.number


def test_the_verdict_is_on_the_version_with_report_and_page_and_in_the_ledger(world: World) -> None:
    version = world.version(0.9)
    verdict = world.judge(version)
    tags, folder = world.tags(version), world.folder / "attached" / "gate" / "hits-forest-1"
    report = (folder / "verdict.json").read_bytes()
    assert tags["gate.verdict"] == "passed"
    assert tags["gate.digest"] == hashlib.sha256(report).hexdigest() == verdict.digest
    assert tags["gate.policy"] == STRICT.digest
    assert tags["gate.measured"].startswith("objects ")
    mean = next(rule for rule in verdict.rules if rule.name == "mean recall")
    assert f"; mean recall {mean.value:.3g} ({mean.low:.3g} to {mean.high:.3g}); " in tags["gate.measured"]
    look, entry = world.ledger.entries()
    assert (look.event, look.facts["look"]) == (LOOK, 1)
    assert (entry.event, entry.who, entry.facts["report"]) == (VERDICT, "ada", verdict.digest)
    content = json.loads(report)
    assert {rule["name"] for rule in content["rules"]} >= {"mean recall", "recall of rr_lyrae"}
    page = (folder / "verdict.html").read_text()
    assert "hits-forest version 1" in page
    assert "http" not in page.replace("<!doctype html>", "")


def test_a_class_below_its_floor_fails_and_is_named(world: World) -> None:
    verdict = world.judge(world.version(0.99, 0.1, 0.99, 0.99))
    assert verdict.word == "failed"
    assert verdict.reason.startswith("recall of rr_lyrae 0.1 ")
    assert world.registry.alias("hits-forest", "challenger") is None


def test_what_is_neither_shown_good_nor_bad_is_inconclusive(world: World) -> None:
    policy = STRICT.model_copy(update={"calibration_error": 1.0})
    verdict = world.judge(world.version(0.62), policy)
    assert verdict.word == "inconclusive"
    assert outcome(verdict, "mean recall") == "inconclusive"


def test_a_hold_out_that_is_too_small_concludes_nothing(world: World) -> None:
    policy = STRICT.model_copy(update={"min_objects_a_class": 101})
    verdict = world.judge(world.version(0.95), policy)
    assert (verdict.word, outcome(verdict, "objects of a class")) == ("inconclusive", "inconclusive")


def test_a_version_worse_than_the_champion_fails_and_says_in_which_class(world: World) -> None:
    world.make_champion(world.version(0.95))
    verdict = world.judge(world.version(0.95, 0.55, 0.95, 0.95))
    assert outcome(verdict, "mean recall minus the champion's") == "failed"
    assert verdict.class_changes["rr_lyrae"] == pytest.approx(-0.4)
    assert verdict.class_changes["supernova"] == 0


def test_a_version_of_wrong_labels_is_refused_under_the_projects_own_policy_and_the_class_is_named(
    world: World,
) -> None:
    policy = read_policy(ROOT)
    world.make_champion(world.version(0.9), policy)
    parent = world.registry.named("hits-forest/1")
    verdict = world.judge(world.fine_tuned(0.9, 0.55, 0.9, 0.9, parent=parent), policy)
    assert verdict.word == "failed"
    assert verdict.reason.startswith("recall of rr_lyrae minus the champion's -0.35 ")
    assert outcome(verdict, "recall of rr_lyrae") == "passed"  # its floor alone would let it through
    assert world.registry.alias("hits-forest", "challenger") == 1


def test_a_class_that_may_have_fallen_by_chance_is_no_reason_to_fail(world: World) -> None:
    world.make_champion(world.version(0.9))
    verdict = world.judge(world.version(0.9, 0.85, 0.9, 0.9))
    assert verdict.word == "passed"
    assert not [rule for rule in verdict.rules if rule.name == "recall of rr_lyrae minus the champion's"]


def test_a_judgement_is_written_down_once_however_often_it_is_recorded(world: World) -> None:
    parameters: Any = SimpleNamespace(source=SimpleNamespace(target="hits"), registry=SimpleNamespace(fold=0))
    parts: Any = (world.registry, world.deployment, world.ledger)
    judge = Gate(world.folder, parameters, STRICT, *parts)
    judgement = judge.measure(world.version(0.9).uri)
    assert [entry.event for entry in world.ledger.entries()] == [LOOK]
    kept = replace(judgement, verdict=Verdict.of_json(judgement.verdict.to_json()))
    for one in (judgement, judgement, kept):
        assert judge.record(one).digest == judgement.verdict.digest
    assert [entry.event for entry in world.ledger.entries()] == [LOOK, VERDICT]
    assert world.registry.alias("hits-forest", "challenger") == 1


def test_a_version_as_good_as_the_champion_passes(world: World) -> None:
    world.make_champion(world.version(0.9))
    verdict = world.judge(world.version(0.92))
    assert outcome(verdict, "mean recall minus the champion's") == "passed"


def test_a_champion_gated_on_another_hold_out_is_not_compared_with(world: World) -> None:
    world.make_champion(world.version(0.9))
    world.holdout = replace(world.holdout, digest="i" * 64)
    verdict = world.judge(world.version(0.95))
    assert outcome(verdict, "mean recall minus the champion's") == "inconclusive"


def test_a_network_must_lead_the_forest_of_its_training(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rivals.Rivals(world.registry, world.deployment, (), world.holdout)  # type: ignore[arg-type]
    network = replace(world.version(0.9), model="hits-rcnn")
    forest, other = world.version(0.7), world.version(0.8, training="fine-tuned")
    rival = found.forest(network)
    assert (rival.digest, rival.note) == (forest.digest, f"with {forest.uri}")
    assert rival.answers is not None
    rival = found.forest(replace(network, tags={**network.tags, "training": "fine-tuned"}))
    assert rival.digest == other.digest


def test_a_forest_that_learned_from_the_hold_out_is_no_rival(world: World) -> None:
    world.registry.delete(world.version(0.9))
    world.version(0.9, labelled=(Labelled("o1", "rr_lyrae", "x"),))
    network = replace(world.version(0.9, model="lsst-forest"), model="hits-rcnn")
    found = rivals.Rivals(world.registry, world.deployment, (), world.holdout)  # type: ignore[arg-type]
    rival = found.forest(network)
    assert (rival.answers, rival.outcome) == (None, "inconclusive")


def test_looks_at_the_hold_out_are_counted_and_cost_level(world: World) -> None:
    first, second = world.judge(world.version(0.1)), world.judge(world.version(0.9))
    assert (first.word, second.word) == ("failed", "passed")
    assert (first.look, second.look) == (1, 2)
    assert first.level == pytest.approx(0.025)
    assert second.level == pytest.approx(0.05 / 6)
    third = world.judge(world.version(0.9))
    assert third.level == pytest.approx(0.05 / 6 + 0.05 / 12)  # a pass hands its level on
    again = world.judge(world.registry.named("hits-forest/1"))
    assert again.look == 1


def test_a_look_cut_short_has_been_a_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gate, "answers", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.judge(world.version(0.9))
    assert world.judge(world.version(0.9)).look == 2


def test_a_fine_tuned_version_that_forgot_the_simulations_fails(world: World) -> None:
    parent = world.version(0.95)
    verdict = world.judge(world.fine_tuned(0.7, parent=parent))
    assert outcome(verdict, "simulated accuracy minus the parent's") == "failed"
    assert verdict.compared["parent"] == parent.digest


def test_a_fine_tuned_version_that_forgot_nothing_passes(world: World) -> None:
    verdict = world.judge(world.fine_tuned(0.95, parent=world.version(0.95)))
    assert verdict.word == "passed"


@pytest.mark.parametrize(
    ("labelled", "tags", "reason"),
    [
        (
            (Labelled("o7", "rr_lyrae", "elsewhere"),),
            {},
            "learned from objects or fields that are held out: o7",
        ),
        ((Labelled("new", "rr_lyrae", "field-3"),), {}, "held out: field-3"),
        ((), {"training": "fine-tuned"}, "is fine-tuned, and names no labelled objects"),
        ((Labelled("x", "galaxy", "y"),), {"training": "fine-tuned"}, "parent is no registered version"),
        (
            (Labelled("x", "galaxy", "y"),),
            {"training": "fine-tuned", "parent.digest": "f" * 64},
            "parent is no registered version",
        ),
        ((), {"target": "lsst"}, "is not for hits, which is all that this project has labelled objects of"),
    ],
    ids=["object", "field", "unnamed", "orphan", "stranger", "target"],
)
def test_what_cannot_be_measured_honestly_is_an_error_without_a_look(
    world: World, labelled: tuple[Labelled, ...], tags: dict[str, str], reason: str
) -> None:
    version = world.version(0.95, labelled=labelled, **tags)
    verdict = world.judge(version)
    assert verdict.word == "error"
    assert reason in verdict.reason
    assert world.tags(version)["gate.verdict"] == "error"
    assert world.tags(version)["gate.measured"] == "nothing"
    assert [entry.event for entry in world.ledger.entries()] == [VERDICT]


@pytest.mark.parametrize(
    ("model", "target"), [("hits-forest", "surrogate"), ("surrogate-forest", "hits"), ("lsst-forest", "hits")]
)
def test_a_model_is_gated_for_its_own_target_only(world: World, model: str, target: str) -> None:
    assert world.judge(world.version(0.95, model=model), target=target).word == "error"


def test_a_surrogates_model_is_gated_as_one(world: World) -> None:
    version = world.version(0.95, model="surrogate-forest")
    assert world.judge(version, target="surrogate").word == "passed"
    page = world.folder / "attached" / "gate" / "surrogate-forest-1" / "verdict.html"
    assert "simulated stand-in" in page.read_text()


def test_a_kind_other_than_the_name_says_is_an_error(world: World) -> None:
    verdict = world.judge(world.version(0.95, model="hits-rcnn"))
    assert (verdict.word, verdict.reason) == ("error", "it is a forest, and its name says otherwise")


def test_a_damaged_version_is_an_error(world: World) -> None:
    version = world.version(0.95)
    weights = world.registry.files(version) / "data" / "bundle" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert "damaged" in world.judge(version).reason


def test_a_dry_run_makes_no_challenger(world: World) -> None:
    verdict = world.judge(world.version(0.95), STRICT.model_copy(update={"mode": "dry-run"}))
    assert (verdict.word, verdict.mode) == ("passed", "dry-run")
    assert world.registry.alias("hits-forest", "challenger") is None


def test_where_there_is_no_gate_that_is_said(world: World) -> None:
    with pytest.raises(UserError, match="mode is disabled"):
        world.judge(world.version(0.95), STRICT.model_copy(update={"mode": "disabled"}))


def test_a_slow_version_fails(world: World) -> None:
    verdict = world.judge(world.version(0.95), STRICT.model_copy(update={"latency_ms": 0.5}))
    assert outcome(verdict, "milliseconds an object") == "failed"


def test_an_over_sure_version_fails_its_calibration(world: World) -> None:
    policy = STRICT.model_copy(update={"class_recall": 0.0, "mean_recall": 0.0})
    verdict = world.judge(world.version(0.3), policy)
    assert outcome(verdict, "calibration error") == "failed"


def test_the_committed_policy_is_whole_and_its_mode_is_no_part_of_its_digest() -> None:
    policy = read_policy(ROOT)
    assert policy.mode == "enforced"
    assert policy.model_copy(update={"mode": "dry-run"}).digest == policy.digest
    assert policy.model_copy(update={"class_recall": 0.41}).digest != policy.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("mode: enforced", "mode: strict"), "mode: Input should be 'disabled', 'dry-run' or 'enforced'"),
        (("level: 0.05", "level: 2"), "level: Input should be less than 0.5, not 2"),
        (("level: 0.05", "levle: 0.05"), "level: Field required|levle: Extra inputs"),
        (("mode:", "mode: ["), "not valid YAML"),
    ],
)
def test_a_wrong_policy_is_one_line_with_its_key(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "registry").mkdir()
    text = (ROOT / "registry" / "policy.yaml").read_text().replace(*change)
    (tmp_path / "registry" / "policy.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_policy(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"registry/policy\.yaml: no such file"):
        read_policy(tmp_path)


def test_the_reference_batch_is_valid_always_the_same_and_tells_models_apart(tmp_path: Path) -> None:
    first, second = reference_batch(), reference_batch()
    for sequence in first:
        validate(sequence, sequence.name)
    np.testing.assert_array_equal(first.stamps, second.stamps)
    bundles = [forest_bundle(tmp_path / label, label) for label in ("galaxy", "asteroid")]
    np.testing.assert_array_equal(answers(bundles[0]), answers(bundles[0]))
    assert np.abs(answers(bundles[0]) - answers(bundles[1])).max() > 0.3
    assert len(load_classifier(bundles[0]).predict(first)) == len(first.epochs)


@pytest.fixture
def project(tmp_path: Path, make_sequence: MakeSequence) -> tuple[Path, Any]:
    """A project with four objects in two folds."""
    objects = {}
    for index in range(4):
        sequence = make_sequence(10, seed=index, name=f"o{index}", field=f"f{index % 2}")
        write_sequence(tmp_path / "data" / "target" / f"o{index}.fits", sequence)
        entry = {"label": "rr_lyrae", "field": f"f{index % 2}", "fold": index % 2, "start": 1, "length": 7}
        names = SplitObject.__dataclass_fields__
        objects[f"o{index}"] = SplitObject(**entry, **({"detection": -1} if "detection" in names else {}))
    Split(objects, {}, []).write(tmp_path / "data" / "split.json")
    return tmp_path, SimpleNamespace(
        source=SimpleNamespace(target="hits"), registry=SimpleNamespace(fold=1), split=SplitConfig()
    )


def test_the_hold_out_is_the_fold_that_is_registered_cut_to_its_windows(project: tuple[Path, Any]) -> None:
    holdout = read_holdout(*project)
    assert holdout.sequences.objects["name"].tolist() == ["o1", "o3"]
    assert holdout.sequences.lengths.tolist() == [7, 7]
    assert set(holdout.fields) == {"f1"}
    assert holdout.shared(["o0", "o3"], ["f0"]) == ["o3"]
    assert holdout.shared([], ["f1"]) == ["f1"]


@pytest.mark.parametrize("change", ["file", "label", "window"])
def test_the_digest_of_the_hold_out_tells_any_change_of_it(project: tuple[Path, Any], change: str) -> None:
    root, parameters = project
    before = read_holdout(root, parameters).digest
    assert read_holdout(root, parameters).digest == before
    split = json.loads((root / "data" / "split.json").read_text())
    if change == "file":
        file = root / "data" / "target" / "o3.fits"
        file.write_bytes(
            file.read_bytes()[:-2880] + (root / "data" / "target" / "o1.fits").read_bytes()[-2880:]
        )
    elif change == "label":
        split["objects"]["o3"]["label"] = "supernova"
    else:
        split["objects"]["o3"]["start"] = 0
    write_json(root / "data" / "split.json", split)
    assert read_holdout(root, parameters).digest != before


def test_a_target_without_labelled_objects_has_no_hold_out(project: tuple[Path, Any]) -> None:
    root, parameters = project
    Split({}, {}, []).write(root / "data" / "split.json")
    with pytest.raises(UserError, match="no labelled objects are held out"):
        read_holdout(root, parameters)
