"""The examples of docs/extend.md work as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from astroreel.models import inputs, networks
from astroreel.models.inputs import Inputs
from astroreel.models.load import load_classifier
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import Preparation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extend.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def example(name: str) -> dict[str, Any]:
    """What the example that defines ``name`` defines."""
    (code,) = (code for code in EXAMPLES if name in code)
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), namespace)
    return namespace


@torch.no_grad()
def test_the_network_of_the_page_streams_and_is_kept_in_a_bundle(monkeypatch, tmp_path: Path) -> None:
    page = example("SumsConfig")
    monkeypatch.setitem(networks._NETWORKS, "sums", (page["SumsConfig"], page["sums_network"]))
    network = build({"name": "sums", "inputs": ["features"]}).eval()
    generator = torch.Generator().manual_seed(1)
    stamps = 50 * torch.randn(2, 5, 21, 21, generator=generator)
    times = torch.rand(2, 5, generator=generator).cumsum(dim=1)
    conditions = torch.tensor([5.0, 1.3, 0.9, -1.5]).expand(2, 5, 4)
    batch = network(stamps, times, conditions, torch.ones(2, 5, dtype=torch.bool))
    state = network.initial_state(2)
    for t in range(5):
        logits, state = network.step(stamps[:, t], times[:, t], conditions[:, t], state)
        torch.testing.assert_close(logits, batch[:, t], atol=1e-5, rtol=1e-5)
    digest = RcnnClassifier(network, Preparation()).to_bundle(tmp_path / "bundle")
    assert load_classifier(tmp_path / "bundle").to_bundle(tmp_path / "again") == digest


def test_the_input_of_the_page_says_the_same_of_a_sequence_and_frame_by_frame(monkeypatch) -> None:
    monkeypatch.setitem(inputs._INPUTS, "waited", example("Waited")["Waited"]())
    told = Inputs(("conditions", "waited"))
    times = torch.tensor([[0.0, 1.0, 4.0], [0.0, 2.0, 2.5]])
    mask = torch.ones(2, 3, dtype=torch.bool)
    stamps, conditions = torch.zeros(2, 3, 21, 21), torch.zeros(2, 3, 4)
    whole = told.forward(stamps, times, conditions, mask)
    state = told.initial_state(2, torch.device("cpu"))
    for t in range(3):
        now, state = told.step(stamps[:, t], times[:, t], conditions[:, t], state)
        torch.testing.assert_close(now, whole[:, t])
    assert whole[0, :, -1].exp().tolist() == pytest.approx([1.0, 2.0, 4.0])
