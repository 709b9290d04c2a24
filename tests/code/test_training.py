"""Training: it learns, its seed decides it, and an interruption leaves no trace."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.errors import UserError
from astroreel.models.inference import trim
from astroreel.models.interface import SequenceNetwork
from astroreel.models.networks import build
from astroreel.sequences.prepare import CONDITIONS, Prepared, iterate_batches
from astroreel.training.augment import disturb, flip_and_turn, mistake_sky, mix
from astroreel.training.calibrate import fit_temperature
from astroreel.training.checkpoint import load_checkpoint
from astroreel.training.config import FinetuneConfig, TrainingConfig
from astroreel.training.device import choose_device
from astroreel.training.finetune import finetune, join
from astroreel.training.loop import TrainingResult, made_ahead, train
from astroreel.training.reporter import NullReporter, SpoolReporter, read_spool
from astroreel.training.step import Diverged, learning_rate
from astroreel.training.validation import validate
from tests.code.blobs import EXTENDED, RISING, blobs

CPU = torch.device("cpu")
CONFIG = TrainingConfig(
    iterations=9,
    batch_size=16,
    learning_rate=3e-3,
    validate_every=3,
    warmup=2,
    schedule="cosine",
    device="cpu",
)
ARCHITECTURE = {"name": "photometric", "masks": 6, "filters": 2, "units": 12, "layers": 2, "dropout": 0.2}
THESIS = {"name": "thesis", "filters": 4, "dense": 16, "units": 8, "renorm_warmup": 2, "renorm_ramp": 4}


@pytest.fixture(scope="module")
def train_set() -> Prepared:
    return blobs(48, seed=1)


@pytest.fixture(scope="module")
def valid_set() -> Prepared:
    return blobs(24, seed=2)


def same_weights(first: SequenceNetwork, second: SequenceNetwork) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Learning


def test_a_small_network_learns_easy_classes() -> None:
    config = CONFIG.model_copy(
        update={"iterations": 150, "batch_size": 64, "learning_rate": 1e-2, "validate_every": 50}
    )
    network = build(ARCHITECTURE | {"units": 32})
    result = train(network, blobs(600, seed=3), blobs(200, seed=4), config, NullReporter())
    assert result.best.valid_accuracy > 0.8
    assert result.best.accuracy_by_samples[-1] > result.best.accuracy_by_samples[0] + 0.1


def test_the_network_ends_with_the_weights_of_the_lowest_validation_loss(train_set, valid_set) -> None:
    """Against false labels a network does worse the more it learns."""
    false = replace(valid_set, labels=np.roll(valid_set.labels, 1))
    config = CONFIG.model_copy(update={"iterations": 30, "learning_rate": 1e-2, "validate_every": 5})
    network = build(ARCHITECTURE)
    result = train(network, train_set, false, config, NullReporter())
    losses = [look.valid_loss for look in result.history]
    assert result.best_loss == min(losses) < losses[-1]
    assert validate(network, false, CPU).loss == pytest.approx(result.best_loss, rel=1e-12)
    assert not network.training


@pytest.mark.parametrize("architecture", [ARCHITECTURE, THESIS], ids=["photometric", "thesis"])
@pytest.mark.parametrize("optimiser", ["amsgrad", "adamw"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    train_set, valid_set, tmp_path: Path, architecture: dict, optimiser: str
) -> None:
    config = CONFIG.model_copy(update={"optimiser": optimiser})
    whole = build(architecture)
    expected = train(whole, train_set, valid_set, config, NullReporter())

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(build(architecture), train_set, valid_set, config, NullReporter(), file, interrupt)
    seen: list[int] = []
    resumed = build(architecture)
    result = train(
        resumed, train_set, valid_set, config, NullReporter(), file, lambda done, _: seen.append(done)
    )
    assert seen == [4, 5, 6, 7, 8, 9]
    assert result == expected
    assert same_weights(resumed, whole)


def test_a_finished_run_is_not_run_again(train_set, valid_set, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    first, second = build(ARCHITECTURE), build(ARCHITECTURE)
    result = train(first, train_set, valid_set, CONFIG, NullReporter(), file)
    steps: list[int] = []
    again = train(
        second, train_set, valid_set, CONFIG, NullReporter(), file, lambda done, _: steps.append(done)
    )
    assert (again, steps) == (result, [])
    assert same_weights(first, second)


@pytest.mark.parametrize("other", ["configuration", "data", "network"])
def test_a_checkpoint_of_another_run_is_replaced(train_set, valid_set, tmp_path: Path, other: str) -> None:
    file = tmp_path / "run.safetensors"
    config = CONFIG.model_copy(update={"seed": 2}) if other == "configuration" else CONFIG
    data = blobs(48, seed=9) if other == "data" else train_set
    network = build(ARCHITECTURE, seed=1 if other == "network" else 0)
    train(network, data, valid_set, config, NullReporter(), file)
    steps: list[int] = []
    train(
        build(ARCHITECTURE),
        train_set,
        valid_set,
        CONFIG,
        NullReporter(),
        file,
        lambda done, _: steps.append(done),
    )
    assert steps == list(range(1, 10))


def test_a_damaged_checkpoint_is_named(train_set, valid_set, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    file.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"run.safetensors: not a checkpoint .*: delete it to train from the"):
        train(build(ARCHITECTURE), train_set, valid_set, CONFIG, NullReporter(), file)


def test_training_leaves_the_global_generator_alone(train_set, valid_set) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(build(ARCHITECTURE), train_set, valid_set, CONFIG, NullReporter())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["thesis", "compact", "photometric", "attention"])
def test_half_precision_trains_to_nearly_the_same_loss(train_set, valid_set, name: str) -> None:
    small = {"filters": 4, "dense": 32, "units": 16, "dropout": 0.0} if name == "thesis" else {"dropout": 0.0}
    losses = []
    for precision in ("float32", "bfloat16"):
        config = CONFIG.model_copy(update={"precision": precision, "iterations": 20})
        network = build({"name": name, **small}, 1)
        losses.append(train(network, train_set, valid_set, config, NullReporter()).history[-1].valid_loss)
        assert all(weight.dtype == torch.float32 for weight in network.parameters())
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    assert losses[1] != losses[0], "half precision was used"


def test_another_seed_is_another_run(train_set, valid_set) -> None:
    results = [
        train(
            build(ARCHITECTURE),
            train_set,
            valid_set,
            CONFIG.model_copy(update={"seed": seed}),
            NullReporter(),
        )
        for seed in (1, 2)
    ]
    assert results[0].best_loss != results[1].best_loss


def test_a_run_that_diverges_names_the_step_and_the_last_good_checkpoint(valid_set, tmp_path: Path) -> None:
    poisoned = blobs(48, seed=1)

    def poison(done: int, total: int) -> None:
        if done == 4:
            poisoned.stamps[:] = np.nan

    file = tmp_path / "run.safetensors"
    pattern = (
        r"iteration 4: loss nan.*a learning rate below 0.003; the last good checkpoint, of iteration 3, is"
    )
    with pytest.raises(Diverged, match=pattern) as error:
        train(build(ARCHITECTURE), poisoned, valid_set, CONFIG, NullReporter(), file, poison)
    assert str(file) in str(error.value)
    groups, _ = load_checkpoint(file)
    assert all(tensor.isfinite().all() for tensor in groups["network"].values())


def test_the_thesis_network_of_full_size_trains_twice_to_the_same_curve(valid_set) -> None:
    """Six steps of short sequences; tests/model/test_data_parallel.py has fifty as a soak."""
    config = CONFIG.model_copy(update={"iterations": 6, "batch_size": 8})
    short = blobs(24, seed=1, epochs=4)
    few = valid_set.select(np.arange(4))
    curves = [train(build({"name": "thesis"}), short, few, config, NullReporter()).history for _ in range(2)]
    assert curves[0] == curves[1]
    assert curves[0][0].train_loss != curves[0][1].train_loss


def test_batches_made_ahead_are_the_same(train_set) -> None:
    plain, ahead = train_set.batches(8, seed=1), made_ahead(train_set.batches(8, seed=1))
    for _ in range(9):
        np.testing.assert_array_equal(next(plain).stamps, next(ahead).stamps)
    ahead.close()


def test_what_goes_wrong_with_a_batch_made_ahead_is_told(train_set) -> None:
    def failing():
        yield train_set
        raise UserError("no more of it")

    ahead = made_ahead(failing())
    assert next(ahead) is train_set
    with pytest.raises(UserError, match="no more of it"):
        next(ahead)


def test_a_reporter_is_told_every_look(train_set, valid_set, tmp_path: Path) -> None:
    with SpoolReporter(tmp_path / "run", "run") as reporter:
        result = train(build(ARCHITECTURE), train_set, valid_set, CONFIG, reporter)
    told = {(f.name, f.step): f.value for f in read_spool(tmp_path / "run").figures}
    for look in result.history:
        assert told["valid_loss", look.iteration] == look.valid_loss
        assert told["valid_accuracy", look.iteration] == look.valid_accuracy
        assert told["sequences_per_s", look.iteration] > 0


# Its parts


@given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 99), first=st.integers(0, 20))
def test_batches_are_the_same_wherever_they_begin(n: int, size: int, seed: int, first: int) -> None:
    from_start = list(islice(iterate_batches(n, size, seed), first + 5))
    later = list(islice(iterate_batches(n, size, seed, first), 5))
    np.testing.assert_array_equal(later, from_start[first:])


@given(passes=st.integers(1, 4), batches=st.integers(1, 6), size=st.integers(1, 8), seed=st.integers(0, 99))
def test_a_pass_shows_every_object_once(passes: int, batches: int, size: int, seed: int) -> None:
    n = batches * size
    shown = np.concatenate(list(islice(iterate_batches(n, size, seed), passes * batches)))
    np.testing.assert_array_equal(np.sort(shown.reshape(passes, n)), np.tile(np.arange(n), (passes, 1)))


def test_flips_and_turns_reach_all_eight_positions_and_keep_the_batch_together() -> None:
    stamp = torch.arange(441.0).reshape(21, 21)
    positions = [torch.rot90(side, k) for side in (stamp, stamp.T) for k in range(4)]
    generator = torch.Generator().manual_seed(0)
    counts = np.zeros(8)
    for _ in range(160):
        moved = flip_and_turn(stamp.expand(2, 3, 21, 21), generator)
        counts += [torch.equal(moved, position.expand(2, 3, 21, 21)) for position in positions]
    assert counts.sum() == 160
    assert counts.min() > 5


def test_mixed_reels_keep_their_light_and_tell_what_they_are_made_of() -> None:
    batch = blobs(16, seed=4)
    stamps, mask, labels = (torch.from_numpy(a) for a in (batch.stamps, batch.mask, batch.labels))
    mixed, shares = mix(stamps, mask, labels, 0.5, torch.Generator().manual_seed(3))
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(mask.shape))
    torch.testing.assert_close(mixed.sum(dim=0)[0], stamps.sum(dim=0)[0], atol=1e-2, rtol=1e-4)
    own = shares.gather(2, labels[:, None, None].expand(*mask.shape, 1))[..., 0]
    assert (own < 1).any(), "some are mixed"
    lonely = mask & (mask.sum(dim=0) == 1)
    torch.testing.assert_close(mixed[lonely], stamps[lonely])


def test_disturbed_conditions_scatter_by_the_share_that_is_asked_for() -> None:
    generator = torch.Generator().manual_seed(1)
    conditions = torch.randn(64, 8, 4, generator=generator) * torch.tensor([1.0, 0.3, 0.2, 0.6])
    mask = torch.ones(64, 8, dtype=torch.bool)
    scatter = (disturb(conditions, mask, 0.5, generator) - conditions).flatten(0, 1).std(dim=0)
    torch.testing.assert_close(scatter, 0.5 * conditions.flatten(0, 1).std(dim=0), rtol=0.1, atol=0)


def test_the_sky_of_every_other_sequence_is_mistaken_by_the_same_share_of_its_noise() -> None:
    generator = torch.Generator().manual_seed(1)
    stamps = torch.randn(400, 3, 21, 21, generator=generator)
    stamps[:, :, 4, 4] = 0.0  # a bad pixel
    conditions = torch.zeros(400, 3, 4)
    conditions[..., CONDITIONS.index("log_noise")] = torch.tensor([1.0, 2.0, 0.0])
    mask = torch.ones(400, 3, dtype=torch.bool)
    mask[:, 2], stamps[:, 2] = False, 0.0
    mistaken = mistake_sky(stamps, conditions, mask, 2.0, generator)
    error = mistaken - stamps
    assert not error[stamps == 0].any(), "neither bad pixels nor padding"
    torch.testing.assert_close(error[:, 1], 10 * error[:, 0], rtol=1e-3, atol=1e-4)
    level = error[:, 0, 10, 10] / 10.0
    wrong = level != 0
    assert 0.4 < wrong.float().mean() < 0.6
    assert level[wrong].std().item() == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("option", [{"mixup": 0.4}, {"condition_noise": 0.2}, {"sky_noise": 1.0}])
def test_augmented_training_still_learns(train_set, valid_set, option: dict[str, float]) -> None:
    rng = np.random.default_rng(1)
    scatter = rng.normal(0, 0.3, train_set.conditions.shape).astype(np.float32)
    train_set = replace(train_set, conditions=train_set.conditions + scatter)
    plain = train(build({"name": "compact"}, 1), train_set, valid_set, CONFIG, NullReporter())
    config = CONFIG.model_copy(update=option)
    augmented = train(build({"name": "compact"}, 1), train_set, valid_set, config, NullReporter())
    assert augmented.best_loss < math.log(7) - 0.1
    assert augmented.best_loss != plain.best_loss


def test_the_learning_rate_rises_and_falls_as_scheduled() -> None:
    config = TrainingConfig(iterations=100, learning_rate=0.1, warmup=10, schedule="cosine")
    rates = [learning_rate(config, iteration) for iteration in range(100)]
    assert rates[0] == pytest.approx(0.01, rel=1e-3)
    assert int(np.argmax(rates)) == 9
    assert rates[50] == pytest.approx(0.05)
    assert rates[-1] < 1e-4
    constant = config.model_copy(update={"schedule": "constant"})
    assert learning_rate(constant, 99) == learning_rate(constant, 9) == 0.1


class Told(SequenceNetwork):
    """A network that says what it is given as the middle pixel of each frame: a class."""

    def forward(self, stamps, times, conditions, mask):
        return torch.nn.functional.one_hot(stamps[..., 10, 10].long(), 7).float()

    def initial_state(self, batch):
        raise NotImplementedError

    def step(self, stamp, time, conditions, state):
        raise NotImplementedError


@given(seed=st.integers(0, 2**20), n=st.integers(1, 20))
@settings(deadline=None, max_examples=30)
def test_validation_counts_as_one_would_by_hand(seed: int, n: int) -> None:
    prepared = blobs(n, seed, epochs=6)
    said = np.random.default_rng(seed).integers(0, 7, prepared.mask.shape)
    prepared.stamps[..., 10, 10] = said
    found = validate(Told(), prepared, CPU)
    lengths = prepared.mask.sum(axis=1)
    for sample in range(6):
        right = [said[i, min(sample, lengths[i] - 1)] == prepared.labels[i] for i in range(n)]
        assert found.accuracy_by_samples[sample] == pytest.approx(np.mean(right))
    assert found.accuracy == found.accuracy_by_samples[-1]
    right = (said == prepared.labels[:, None])[prepared.mask]
    expected = np.log(np.e + 6) - right.mean()
    assert found.loss == pytest.approx(expected, rel=1e-6)


@settings(deadline=None, max_examples=10)
@given(temperature=st.floats(0.3, 5), seed=st.integers(0, 99))
def test_the_temperature_that_was_put_in_is_found(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(0, 2, (20_000, 7))
    labels = (true_logits + rng.gumbel(size=true_logits.shape)).argmax(axis=1)
    assert fit_temperature(temperature * true_logits, labels) == pytest.approx(temperature, rel=0.05)


def test_a_device_that_is_not_here_is_refused() -> None:
    assert choose_device("cpu") == CPU
    with pytest.raises(UserError, match="device 'cuda:99': not to be had here"):
        choose_device("cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_trains_to_nearly_the_same_loss(train_set, valid_set) -> None:
    losses: list[TrainingResult] = [
        train(
            build(ARCHITECTURE | {"dropout": 0.0}),
            train_set,
            valid_set,
            CONFIG.model_copy(update={"device": device}),
            NullReporter(),
        )
        for device in ("cpu", "cuda")
    ]
    assert losses[0].best_loss == pytest.approx(losses[1].best_loss, rel=0.02)


# Fine-tuning


FINETUNE = FinetuneConfig(iterations=30, batch_size=12, replay=12, learning_rate=1e-2, device="cpu")


def shifted(n: int, seed: int) -> Prepared:
    """A domain in which every source is ten times fainter, with neither extended ones nor others' labels."""
    prepared = blobs(n, seed)
    prepared = replace(prepared, stamps=prepared.stamps * np.float32(0.1))
    return prepared.select(prepared.labels != EXTENDED)


@pytest.fixture(scope="module")
def pretrained() -> SequenceNetwork:
    network = build(ARCHITECTURE)
    config = CONFIG.model_copy(
        update={"iterations": 80, "batch_size": 64, "learning_rate": 1e-2, "validate_every": 80}
    )
    train(network, blobs(300, seed=5), blobs(40, seed=6), config, NullReporter())
    return network


def finetuned(pretrained: SequenceNetwork, real: Prepared, simulated: Prepared, config=FINETUNE, seed=0):
    network = build(ARCHITECTURE)
    network.load_state_dict(pretrained.state_dict())
    finetune(network, real, simulated, config, seed, NullReporter())
    return network


def test_fine_tuning_helps_in_the_other_domain(pretrained: SequenceNetwork) -> None:
    network = finetuned(pretrained, shifted(24, seed=7), blobs(80, seed=8))
    test = shifted(150, seed=9)
    assert validate(network, test, CPU).loss < validate(pretrained, test, CPU).loss - 0.1
    assert not network.training


def test_replay_keeps_the_classes_of_which_there_is_nothing_real(pretrained: SequenceNetwork) -> None:
    real, simulated, test = shifted(24, seed=7), blobs(80, seed=8), blobs(200, seed=10)
    test = test.select(test.labels == EXTENDED)
    with_replay = finetuned(pretrained, real, simulated)
    without = finetuned(pretrained, real, simulated, FINETUNE.model_copy(update={"replay": 0}))
    assert validate(with_replay, test, CPU).loss < validate(without, test, CPU).loss


def test_fine_tuning_is_decided_by_its_seed(pretrained: SequenceNetwork, train_set) -> None:
    real = shifted(24, seed=7)
    first, second, other = (finetuned(pretrained, real, train_set, seed=seed) for seed in (1, 1, 2))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_fine_tuning_draws_neither_unlabelled_sequences_nor_unasked_for_simulations(pretrained) -> None:
    """A single sequence that is no number would make it diverge."""
    real = shifted(24, seed=7)
    real.labels[3] = -1
    real.stamps[3] = np.nan
    simulated = blobs(8)
    simulated.stamps[:] = np.nan
    network = finetuned(pretrained, real, simulated, FINETUNE.model_copy(update={"replay": 0}))
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_fine_tuning_without_labels_is_refused(pretrained, train_set) -> None:
    unlabelled = replace(train_set, labels=np.full(len(train_set), -1))
    with pytest.raises(UserError, match="no labelled real sequence to draw from"):
        finetuned(pretrained, unlabelled, train_set)
    with pytest.raises(UserError, match="no labelled simulated sequence to draw from"):
        finetuned(pretrained, train_set, unlabelled)


def test_fine_tuning_shows_rare_and_common_classes_equally_often(pretrained, monkeypatch) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr(
        "astroreel.training.step.Stepper.step",
        lambda self, batch, iteration: shown.append(batch.labels) or 0.0,  # type: ignore[func-returns-value]
    )
    real = blobs(80, seed=1)
    rising = np.flatnonzero(real.labels == RISING)
    real = real.select(np.concatenate([rising[:2], np.flatnonzero(real.labels != RISING)]))
    config = FINETUNE.model_copy(update={"iterations": 400, "replay": 0})
    finetune(build(ARCHITECTURE), real, real, config, 0, NullReporter())
    share = np.bincount(np.concatenate(shown), minlength=7) / sum(map(len, shown))
    np.testing.assert_allclose(share[share > 0], 0.25, atol=0.03)


def test_joined_sets_read_as_they_did_apart() -> None:
    long, short = blobs(5, seed=1, epochs=9), blobs(4, seed=2, epochs=4)
    for first, second in ((long, short), (short, long)):
        both = join(first, second)
        assert both.mask.shape == (9, 9)
        parts = both.select(np.arange(len(first))), both.select(np.arange(len(first), 9))
        for part, whole in zip(parts, (first, second), strict=True):
            for name in ("stamps", "times", "conditions", "mask", "labels"):
                np.testing.assert_array_equal(getattr(trim(part), name), getattr(trim(whole), name))
