"""The stream into training: every sequence equally often, and every batch a function of its number."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.errors import UserError
from astroreel.models.networks import build
from astroreel.sequences.prepare import LazyPrepared, Preparation, Prepared, prepare
from astroreel.sequences.record import SequenceSet
from astroreel.sequences.simulate import BLOCK
from astroreel.training.config import PretrainConfig
from astroreel.training.loop import train
from astroreel.training.reporter import NullReporter
from astroreel.training.stream import Stream
from tests.code.blobs import blobs
from tests.code.quick import QuickRecipe, quick_recipe
from tests.code.test_training import ARCHITECTURE, same_weights

PREPARATION = Preparation(max_epochs=6)
CONFIG = PretrainConfig(source="stream", iterations=6, batch_size=40, validate_every=2, device="cpu")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are made in this process, which is the same and quicker."""

    def in_this_process(function, items, workers, address, ahead):
        yield from map(function, items)

    monkeypatch.setattr("astroreel.training.stream.ordered_map", in_this_process)


def stream(reuse: int = 2, reservoir: int = 1, seed: int = 1) -> Stream:
    return Stream(quick_recipe(workers=1, seed=seed), PREPARATION, reuse, reservoir)


def numbers(batch: Prepared) -> list[int]:
    """Which objects a batch holds: their numbers stand in their first pixels."""
    return batch.stamps[:, 0, 0, 0].astype(int).tolist()


def assert_same(first: Prepared, second: Prepared) -> None:
    for name in ("stamps", "times", "conditions", "mask", "labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.usefixtures("here")
@settings(deadline=None, max_examples=8)
@given(reuse=st.integers(1, 3), reservoir=st.integers(1, 2), size=st.sampled_from([64, 100, 512, 700]))
def test_every_sequence_is_seen_as_often_as_stated_and_never_again(
    reuse: int, reservoir: int, size: int
) -> None:
    objects = reservoir * BLOCK
    batches = islice(stream(reuse, reservoir).batches(size, seed=3), -(-2 * objects * reuse // size))
    seen = np.concatenate([numbers(batch) for batch in batches])
    first, second = np.split(seen[: 2 * objects * reuse], 2)
    np.testing.assert_array_equal(np.bincount(first), np.full(objects, reuse))
    np.testing.assert_array_equal(np.bincount(second)[objects:], np.full(objects, reuse))
    assert first.min() == 0 and second.min() == objects


@pytest.mark.usefixtures("here")
@settings(deadline=None, max_examples=6)
@given(first=st.integers(0, 8), size=st.sampled_from([100, 512, 700]))
def test_a_batch_is_a_function_of_its_number(first: int, size: int) -> None:
    whole = list(islice(stream().batches(size, seed=3), first + 2))
    for batch, expected in zip(stream().batches(size, seed=3, first=first), whole[first:], strict=False):
        assert len(batch) == size
        assert_same(batch, expected)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_processes_that_share_a_stream_see_its_sequences_once_among_them(parts: int) -> None:
    size, reservoir, reuse = 512, 4, 2
    shares = [stream(reuse, reservoir).batches(size, 3, 0, part, parts) for part in range(parts)]
    batches = [[numbers(next(share)) for share in shares] for _ in range(reservoir * reuse)]
    assert {len(share) for batch in batches for share in batch} == {size // parts}
    seen = np.bincount(np.concatenate([np.concatenate(batch) for batch in batches]))
    np.testing.assert_array_equal(seen, np.full(reservoir * BLOCK, reuse))
    later = stream(reuse, reservoir).batches(size, 3, 5, parts - 1, parts)
    assert numbers(next(later)) == batches[5][parts - 1]


@pytest.mark.usefixtures("here")
def test_another_seed_of_the_training_is_another_order_of_the_same_sequences() -> None:
    first, second = (
        np.concatenate([numbers(b) for b in islice(stream().batches(512, seed), 2)]) for seed in (1, 2)
    )
    assert first.tolist() != second.tolist()
    assert sorted(first) == sorted(second)


def test_other_processes_make_the_same_batches() -> None:
    own = stream(reuse=1)
    blocks = SequenceSet.concatenate([own.recipe.block(index) for index in range(2)])
    batches = own.batches(300, seed=3)
    for batch in islice(batches, 3):
        assert_same(batch, prepare(blocks.select(np.array(numbers(batch))), PREPARATION))
    batches.close()


class DeadlyRecipe(QuickRecipe):
    """Kills the process that asks for a block."""

    def block(self, index: int, n: int = BLOCK) -> SequenceSet:
        os._exit(9)


def test_the_death_of_a_process_that_simulates_ends_training_in_one_line() -> None:
    deadly = Stream(quick_recipe(workers=1, kind=DeadlyRecipe), PREPARATION, reuse=1, reservoir=1)
    with pytest.raises(UserError, match="a worker process died"):
        train(build(ARCHITECTURE), deadly, blobs(24, epochs=6), CONFIG, NullReporter())


@pytest.mark.usefixtures("here")
def test_an_interrupted_training_on_a_stream_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    valid = blobs(24, epochs=6)
    whole = build(ARCHITECTURE)
    expected = train(whole, stream(), valid, CONFIG, NullReporter())

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(build(ARCHITECTURE), stream(), valid, CONFIG, NullReporter(), file, interrupt)
    seen: list[int] = []
    resumed = build(ARCHITECTURE)
    result = train(
        resumed, stream(), valid, CONFIG, NullReporter(), file, lambda done, total: seen.append(done)
    )
    assert seen == [5, 6]
    assert result == expected
    assert same_weights(resumed, whole)


def test_a_stream_is_known_by_all_that_decides_its_batches() -> None:
    prints = [s.fingerprint() for s in (stream(), stream(reuse=3), stream(reservoir=2), stream(seed=2))]
    assert len(set(prints)) == 4
    assert prints[0] == stream().fingerprint()
    more_workers = Stream(quick_recipe(workers=2), PREPARATION, reuse=2, reservoir=1)
    assert more_workers.fingerprint() == prints[0]


def test_the_manifest_tells_the_range_of_the_objects_seen() -> None:
    manifest = stream(reuse=2, reservoir=1).manifest(size=100, seed=3, batches=11)
    assert manifest["objects"] == [0, 2 * BLOCK]
    assert stream(reuse=2).manifest(size=1024, seed=3, batches=1)["objects"] == [0, BLOCK]
    assert (manifest["reuse"], manifest["batch_size"], manifest["batch_seed"]) == (2, 100, 3)
    assert manifest["seed"] == 1


# Prepared as drawn


def test_a_set_prepared_as_it_is_drawn_trains_to_the_same_weights() -> None:
    sequences = quick_recipe().block(0, 80)
    config = CONFIG.model_copy(update={"source": "stored"})
    networks = []
    for data in (prepare(sequences, PREPARATION), LazyPrepared(sequences, PREPARATION)):
        networks.append(build(ARCHITECTURE))
        train(networks[-1], data, blobs(24, epochs=6), config, NullReporter())
    assert same_weights(*networks)


def test_a_set_prepared_as_it_is_drawn_is_as_the_prepared_one() -> None:
    sequences = quick_recipe().block(0, 80)
    whole, lazy = prepare(sequences, PREPARATION), LazyPrepared(sequences, PREPARATION)
    chosen = np.array([3, 70, 3])
    assert_same(lazy.select(chosen), whole.select(chosen))
    np.testing.assert_array_equal(lazy.labels, whole.labels)
    assert (len(lazy), lazy.fingerprint()) == (80, whole.fingerprint())
    assert lazy.nbytes < whole.nbytes
    other = LazyPrepared(quick_recipe(seed=2).block(0, 80), PREPARATION)
    assert other.fingerprint() != whole.fingerprint()
