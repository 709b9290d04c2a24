"""Half precision: batch and stream still agree, and answer nearly as in single precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.test_rcnn import SMALL, inputs, used


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
    longest_gap=st.floats(0.0, 30.0),
    architecture=st.sampled_from(SMALL),
)
@torch.no_grad()
def test_a_batch_and_a_stream_agree_in_half_precision(lengths, seed, longest_gap, architecture) -> None:
    network = used(architecture, seed % 3)
    stamps, times, conditions, mask = inputs(lengths, seed, longest_gap)
    with torch.autocast("cpu", torch.bfloat16):
        batch = network(stamps, times, conditions, mask).float()
        state = network.initial_state(len(lengths))
        for t in range(max(lengths)):
            logits, state = network.step(stamps[:, t], times[:, t], conditions[:, t], state)
            there = mask[:, t]
            torch.testing.assert_close(logits.float()[there], batch[there, t], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("architecture", SMALL, ids=lambda architecture: str(architecture["name"]))
@torch.no_grad()
def test_half_precision_answers_nearly_as_single_does(architecture) -> None:
    network = used(architecture)
    *arrays, mask = inputs([9, 4, 7, 1], seed=6)
    single = network(*arrays, mask)[mask].softmax(dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(*arrays, mask)[mask].float().softmax(dim=-1)
    torch.testing.assert_close(half, single, atol=1e-2, rtol=0)
    assert not torch.equal(half, single), "half precision was used"
