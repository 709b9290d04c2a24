"""Fine-tuning's switches: which layers learn, and from what."""

from __future__ import annotations

import copy

import pytest

from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build
from astroreel.training.config import FinetuneConfig, TrainingConfig
from astroreel.training.finetune import finetune
from astroreel.training.reporter import NullReporter
from astroreel.training.step import Stepper
from tests.code.blobs import blobs

CONFIG = FinetuneConfig(iterations=3, batch_size=8, replay=4, learning_rate=1e-3, device="cpu")
REAL, SIMULATED = blobs(12, seed=1), blobs(24, seed=2)


def tuned(network: SequenceNetwork, **changes: object) -> SequenceNetwork:
    copied = copy.deepcopy(network)
    finetune(copied, REAL, SIMULATED, CONFIG.model_copy(update=changes), 1, NullReporter())
    return copied


def moved(before: SequenceNetwork, after: SequenceNetwork) -> dict[str, float]:
    """How far each parameter has gone."""
    start = dict(before.named_parameters())
    return {name: float((value - start[name]).detach().norm()) for name, value in after.named_parameters()}


@pytest.mark.parametrize("name", ["photometric", "compact", "attention"])
def test_with_a_frozen_trunk_the_last_layer_alone_learns(name: str) -> None:
    network = build({"name": name})
    after = tuned(network, trunk_rate=0.0)
    assert {part for part, way in moved(network, after).items() if way > 0} == {"head.weight", "head.bias"}
    assert all(parameter.requires_grad for parameter in after.parameters())


def test_a_slow_trunk_goes_less_far_and_the_last_layer_as_far() -> None:
    network = build({"name": "photometric"})
    whole, slow = (moved(network, tuned(network, trunk_rate=rate)) for rate in (1.0, 0.1))
    trunk = [part for part, way in whole.items() if not part.startswith("head.") and way > 0]
    assert all(0 < slow[part] < 0.5 * whole[part] for part in trunk)
    assert slow["head.weight"] > 0.5 * whole["head.weight"]


@pytest.mark.parametrize(
    "switch", [{"flips": False}, {"mixup": 0.4}, {"condition_noise": 0.2}, {"sky_noise": 1.0}]
)
def test_augmentation_is_what_the_parameters_say(switch: dict[str, object], monkeypatch) -> None:
    seen: list[TrainingConfig] = []
    step = Stepper.step
    monkeypatch.setattr(Stepper, "step", lambda self, *batch: seen.append(self.config) or step(self, *batch))
    tuned(build({"name": "compact"}), **switch)
    assert {key: getattr(seen[0], key) for key in switch} == switch
    usual = TrainingConfig()
    others = {"flips", "mixup", "condition_noise", "sky_noise"} - set(switch)
    assert {key: getattr(seen[0], key) for key in others} == {key: getattr(usual, key) for key in others}
