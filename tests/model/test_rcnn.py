"""The networks: batch and stream agree, nothing masked or later is read, and Table 3.3 is met."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.models.batch_renorm import BatchRenorm
from astroreel.models.bundle import load_bundle, save_bundle
from astroreel.models.inputs import InputName
from astroreel.models.interface import SequenceNetwork
from astroreel.models.load import load_classifier
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet

SMALL = (
    {"name": "thesis", "filters": 4, "dense": 16, "units": 8, "renorm_warmup": 0, "renorm_ramp": 4},
    {"name": "compact", "filters": 4, "features": 8, "units": 8, "layers": 2},
    {"name": "photometric", "masks": 6, "filters": 2, "units": 8},
    {"name": "attention", "masks": 6, "filters": 2, "width": 8, "heads": 2, "span": 4},
)

ALL_INPUTS = get_args(InputName)

#: Every network with what it is told by default, and with all that it can be told.
VARIANTS = (*SMALL, *(architecture | {"inputs": ALL_INPUTS} for architecture in SMALL))

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def inputs(lengths: list[int], seed: int, longest_gap: float = 3.0) -> Inputs:
    """Random sequences of the given lengths, zero where padded, as `prepare` makes them."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    mask = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    times = (longest_gap * torch.rand(shape, generator=generator)).cumsum(1)
    times = times - times[:, :1]
    stamps = 50 * torch.randn(*shape, 21, 21, generator=generator)
    middle, spread = torch.tensor([5.0, 1.3, 0.9, -1.5]), torch.tensor([1.0, 0.2, 0.2, 0.5])
    conditions = middle + spread * torch.randn(*shape, 4, generator=generator)
    keep = mask.float()
    return stamps * keep[..., None, None], times * keep, conditions * keep[..., None], mask


def used(architecture: dict[str, object], seed: int = 0) -> SequenceNetwork:
    """A network whose moving statistics have seen a few batches."""
    network = build(architecture, seed)
    with torch.no_grad():
        for batch in range(3):
            network(*inputs([5, 8, 3], seed=batch))
    return network.eval()


@pytest.fixture(
    params=VARIANTS, ids=[f"{one['name']}{' and inputs' * ('inputs' in one)}" for one in VARIANTS]
)
def network(request: pytest.FixtureRequest) -> SequenceNetwork:
    return used(request.param)


@pytest.mark.parametrize("architecture", SMALL, ids=lambda architecture: architecture["name"])
@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
    longest_gap=st.floats(0.0, 30.0),
    told=st.sets(st.sampled_from(ALL_INPUTS)),
)
@torch.no_grad()
def test_a_batch_and_a_stream_give_the_same_logits(architecture, lengths, seed, longest_gap, told) -> None:
    network = used(architecture | {"inputs": sorted(told)}, seed % 3)
    stamps, times, conditions, mask = inputs(lengths, seed, longest_gap)
    batch = network(stamps, times, conditions, mask)
    state = network.initial_state(len(lengths))
    for t in range(max(lengths)):
        logits, state = network.step(stamps[:, t], times[:, t], conditions[:, t], state)
        there = mask[:, t]
        torch.testing.assert_close(logits[there], batch[there, t], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_batch_and_a_stream_agree_in_half_precision(network: SequenceNetwork) -> None:
    stamps, times, conditions, mask = inputs([7, 7, 7], seed=6)
    expected = network(stamps, times, conditions, mask).softmax(dim=-1)
    state = network.initial_state(3)
    with torch.autocast("cpu", torch.bfloat16):
        batch = network(stamps, times, conditions, mask).float().softmax(dim=-1)
        for t in range(7):
            logits, state = network.step(stamps[:, t], times[:, t], conditions[:, t], state)
            stream = logits.float().softmax(dim=-1)
            torch.testing.assert_close(stream, batch[:, t], atol=1e-2, rtol=0)
            torch.testing.assert_close(stream, expected[:, t], atol=1e-2, rtol=0)


@torch.no_grad()
def test_objects_in_a_stream_may_be_at_different_epochs(network: SequenceNetwork) -> None:
    stamps, times, conditions, mask = inputs([6, 6], seed=1)
    _, ahead = network.step(stamps[:1, 0], times[:1, 0], conditions[:1, 0], network.initial_state(1))
    state = tuple(torch.cat(pair) for pair in zip(ahead, network.initial_state(1), strict=True))
    for t in range(1, 6):
        now = torch.tensor([t, t - 1])
        frame = [array[torch.arange(2), now] for array in (stamps, times, conditions)]
        logits, state = network.step(*frame, state)
        batch = network(stamps, times, conditions, mask)
        torch.testing.assert_close(logits, batch[torch.arange(2), now], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_logits_depend_on_the_past_alone(network: SequenceNetwork) -> None:
    stamps, times, conditions, mask = inputs([8, 8, 8], seed=2)
    before = network(stamps, times, conditions, mask)
    stamps[:, 5:] += 100
    times[:, 5:] += 4
    conditions[:, 5:] += 0.3
    after = network(stamps, times, conditions, mask)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert (after[:, 5:] - before[:, 5:]).abs().max() > 1e-3


def test_what_is_masked_is_never_read_in_training(network: SequenceNetwork) -> None:
    """Neither the gradient nor the moving statistics change when padding is no number at all."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.GRU):
            module.dropout = 0.0
    start = {name: value.clone() for name, value in network.state_dict().items()}
    outcomes = []
    for padding in (0.0, float("nan")):
        network.load_state_dict(start)
        network.zero_grad()
        *arrays, mask = inputs([7, 4, 3], seed=3)
        for array in arrays:
            array[~mask] = padding
        functional.cross_entropy(network(*arrays, mask)[mask], torch.zeros(14, dtype=torch.int64)).backward()
        gradients = {name: value.grad.clone() for name, value in network.named_parameters()}
        outcomes.append((gradients, {name: value.clone() for name, value in network.named_buffers()}))
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=0, atol=0)


def test_a_network_is_made_from_its_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = (build(SMALL[2], seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["reader.masks"], other["reader.masks"])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_network_is_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match="unknown network 'resnet': choose from thesis, compact, photometric"):
        build({"name": "resnet"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"masks": 0}, r"photometric: masks: .*, not 0"),
        ({"mask": 4}, r"photometric: mask: .*, not 4"),
        (
            {"inputs": ["colour"]},
            r"photometric: inputs.0: .*'conditions', 'light_curve' or 'features', not 'colour'",
        ),
    ],
)
def test_a_wrong_parameter_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build({"name": "photometric"} | wrong)


# The thesis's network


def test_the_thesis_network_has_the_parameters_of_table_3_3() -> None:
    n_w = 3
    first = 3 * 3 * n_w * 64 + 64
    others = 5 * (3 * 3 * 64 * 64 + 64)
    renormalisation = 2 * n_w + 6 * 2 * 64
    dense = (6 * 6 * 64) * 1024 + 1024
    lstm = 4 * 512 * ((1024 + n_w) + 512 + 1)
    softmax = 512 * 7 + 7
    second_lstm_bias = 4 * 512  # PyTorch's own, added to the first
    network = build({"name": "thesis"})
    total = sum(parameter.numel() for parameter in network.parameters())
    assert total == first + others + renormalisation + dense + lstm + softmax + second_lstm_bias


@torch.no_grad()
def test_the_thesis_network_knows_nothing_until_a_window_is_full() -> None:
    network = used(SMALL[0])
    logits = network(*inputs([5, 2], seed=4))
    assert not logits[:, :2].any()
    assert logits[0, 2:].abs().min() > 0
    assert not network(*inputs([1], seed=4)).any()


@torch.no_grad()
def test_the_thesis_network_does_what_its_layers_do_one_by_one() -> None:
    """Windows, convolutions and LSTM cells written out, for one object."""
    network = used(SMALL[0])
    stamps, times, conditions, mask = inputs([6], seed=5)
    cell = nn.LSTMCell(16 + 3, 8)
    cell.load_state_dict(
        {name.removesuffix("_l0"): value for name, value in network.lstm.state_dict().items()}
    )
    hidden = None
    for last in range(2, 6):
        image = network.convolutions(stamps[:, last - 2 : last + 1])
        dense = torch.relu(network.dense(image))
        hidden = cell(torch.cat([dense, times[:, last - 2 : last + 1]], dim=1), hidden)
        expected = network.output(hidden[0])
        torch.testing.assert_close(network(stamps, times, conditions, mask)[:, last], expected)


# Batch renormalisation


def renormalised(x: np.ndarray, mean: np.ndarray, std: np.ndarray, r_max: float, d_max: float) -> np.ndarray:
    """Equation 2.33 with gamma 1 and beta 0, on (rows, channels)."""
    batch_mean, batch_std = x.mean(0), np.sqrt(x.var(0) + BatchRenorm.EPSILON)
    r = np.clip(batch_std / std, 1 / r_max, r_max)
    d = np.clip((batch_mean - mean) / std, -d_max, d_max)
    return (x - batch_mean) / batch_std * r + d


@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
@torch.no_grad()
def test_the_thesis_network_streams_under_every_normalisation(norm: str) -> None:
    network = used({**SMALL[0], "norm": norm})
    stamps, times, conditions, mask = inputs([6, 6], seed=4)
    state = network.initial_state(2)
    for t in range(6):
        logits, state = network.step(stamps[:, t], times[:, t], conditions[:, t], state)
    batch = network(stamps, times, conditions, mask)
    torch.testing.assert_close(logits, batch[:, -1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_forgets_what_lies_before_its_span() -> None:
    network = used({**SMALL[3], "layers": 1, "span": 3})
    _, times, *_ = inputs([8], seed=5)
    hidden = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(1))
    block = network.memory.blocks[0]
    seen = torch.ones(8, 8, dtype=torch.bool).tril().triu(-2)
    whole, _, _ = block(hidden, times, seen)
    recent, _, _ = block(hidden[:, 5:], times[:, 5:] - times[:, 5:6], seen[5:, 5:])
    torch.testing.assert_close(recent[:, 2], whole[:, 7], atol=1e-4, rtol=1e-4)


def test_batch_renormalisation_follows_its_equation() -> None:
    layer = BatchRenorm(3, warmup=0, ramp=4)
    rng = np.random.default_rng(0)
    for _ in range(2):
        layer(torch.tensor(rng.normal(2, 3, (40, 3)), dtype=torch.float32))
    r_max, d_max = layer.limits()
    assert (r_max, d_max) == (2.0, 2.5)
    mean, std = layer.mean.numpy().copy(), layer.std.numpy().copy()
    x = rng.normal([2, 30, 2], [3, 3, 60], (40, 3)).astype(np.float32)  # within, d and r beyond the limits
    y = layer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, renormalised(x, mean, std, r_max, d_max), rtol=1e-4, atol=1e-4)


def test_batch_renormalisation_starts_as_batch_normalisation() -> None:
    layer = BatchRenorm(2, warmup=10)
    reference = nn.BatchNorm2d(2, eps=BatchRenorm.EPSILON)
    for seed in range(3):
        x = 3 + 2 * torch.randn(8, 2, 5, 5, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(layer(x), reference(x))


def test_batch_renormalisation_reads_the_moving_statistics_when_it_does_not_train() -> None:
    layer = BatchRenorm(2)
    batches = [torch.randn(50, 2, generator=torch.Generator().manual_seed(seed)) + 4 for seed in range(5)]
    for x in batches:
        layer(x)
    mean = torch.stack([x.mean(0) for x in batches]).mean(0)
    std = torch.stack([(x.var(0, correction=0) + BatchRenorm.EPSILON).sqrt() for x in batches]).mean(0)
    layer.eval()
    torch.testing.assert_close(layer(batches[0][:1]), (batches[0][:1] - mean) / std)


def test_the_correction_is_a_constant_of_the_gradient() -> None:
    layer = BatchRenorm(2, warmup=0, ramp=1)
    layer(torch.randn(30, 2, generator=torch.Generator().manual_seed(0)))
    mean, std = layer.mean.clone(), layer.std.clone()
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    weights = torch.arange(60.0).reshape(30, 2)
    (gradient,) = torch.autograd.grad((layer(x) * weights).sum(), x)
    batch_std = (x.var(0, correction=0) + BatchRenorm.EPSILON).sqrt()
    r, d = (batch_std / std).detach(), ((x.mean(0) - mean) / std).detach()
    expected = ((x - x.mean(0)) / batch_std * r + d) * weights
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), x)[0], rtol=1e-4, atol=1e-4)


# The classifier


@pytest.fixture
def sequences(make_sequence) -> SequenceSet:
    lengths = (6, 30, 9, 22, 6)
    return SequenceSet.from_sequences(
        make_sequence(length, seed, pixscale=0.2 + 0.05 * seed) for seed, length in enumerate(lengths)
    )


def test_predictions_are_probabilities_for_every_epoch(network, sequences) -> None:
    probabilities = RcnnClassifier(network, Preparation()).predict(sequences)
    assert probabilities.shape == (len(sequences.epochs), len(CLASSES))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (probabilities > 0).all()


def test_an_objects_prediction_does_not_depend_on_its_company(network, sequences, monkeypatch) -> None:
    monkeypatch.setattr("astroreel.models.rcnn._FRAMES_AT_ONCE", 45)  # several chunks
    classifier = RcnnClassifier(network, Preparation())
    together = classifier.predict(sequences)
    for index in range(len(sequences)):
        rows = slice(sequences.offsets[index], sequences.offsets[index + 1])
        alone = classifier.predict(sequences.select([index]))
        np.testing.assert_allclose(together[rows], alone, atol=1e-5)


def test_no_sequences_give_no_predictions(network) -> None:
    assert RcnnClassifier(network, Preparation()).predict(SequenceSet.from_sequences([])).shape == (0, 7)


def test_temperature_softens_and_keeps_the_order(network, sequences) -> None:
    cold = RcnnClassifier(network, Preparation()).predict(sequences)
    warm = RcnnClassifier(network, Preparation(), temperature=3.0).predict(sequences)
    scaled = np.exp(np.log(cold) / 3)
    np.testing.assert_allclose(warm, scaled / scaled.sum(axis=1, keepdims=True), rtol=1e-6)


def test_a_bundle_gives_back_the_same_classifier(network, sequences, tmp_path: Path) -> None:
    classifier = RcnnClassifier(network, Preparation(reference_zp=25.3), temperature=1.7)
    digest = classifier.to_bundle(tmp_path / "bundle")
    loaded = load_classifier(tmp_path / "bundle")
    np.testing.assert_array_equal(loaded.predict(sequences), classifier.predict(sequences))
    assert isinstance(loaded, RcnnClassifier)
    assert loaded.to_bundle(tmp_path / "again") == digest


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    network = build(SMALL[1])
    save_bundle(
        tmp_path / "bundle",
        kind="rcnn",
        weights={name: value.numpy() for name, value in network.state_dict().items()},
        architecture=SMALL[1] | {"units": 9},
        preparation=Preparation(),
    )
    with pytest.raises(
        UserError, match=r"weights.safetensors does not fit architecture.json: .*size mismatch"
    ):
        RcnnClassifier.from_bundle(load_bundle(tmp_path / "bundle"))
