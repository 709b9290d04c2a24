"""Training in several processes: the curve of one process, in one record, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from astroreel.errors import UserError
from astroreel.models.networks import build
from astroreel.sequences.prepare import Prepared
from astroreel.training.config import PretrainConfig, TrainingConfig
from astroreel.training.data_parallel import train_together
from astroreel.training.group import Group
from astroreel.training.loop import TrainingResult, train
from astroreel.training.reporter import NullReporter, SpoolReporter, read_spool
from astroreel.training.step import Diverged
from astroreel.training.validation import validate
from tests.code.blobs import blobs

CONFIG = PretrainConfig(
    iterations=6,
    batch_size=12,
    learning_rate=3e-3,
    warmup=2,
    schedule="cosine",
    validate_every=2,
    device="cpu",
    workers=2,
)
PHOTOMETRIC = {"name": "photometric", "masks": 6, "filters": 2, "units": 12, "dropout": 0.0}
THESIS = {"name": "thesis", "filters": 8, "dense": 32, "units": 16, "dropout": 0.0, "renorm_ramp": 4}
NETWORKS = {
    "photometric": PHOTOMETRIC,
    "thesis": {**THESIS, "renorm_warmup": 2},
    "compact": {"name": "compact", "filters": 4, "units": 8, "dropout": 0.0},
    "attention": {"name": "attention", "masks": 6, "filters": 2, "width": 8, "heads": 2, "dropout": 0.0},
}


def data() -> tuple[Prepared, Prepared]:
    """Sequences of 3 to 9 epochs: the shares of a batch differ in their epochs, and so do their means."""
    return blobs(48, seed=1, epochs=9), blobs(23, seed=2)


def curve(result: TrainingResult) -> list[tuple[float, float]]:
    return [(look.train_loss, look.valid_loss) for look in result.history]


def one_process(network: dict[str, Any], config: TrainingConfig = CONFIG) -> list[tuple[float, float]]:
    return curve(train(build(network), *data(), config, NullReporter()))


def take_part(rank: int, folder: str) -> None:
    """One of two processes that train all of NETWORKS."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    group, curves = Group(rank, 2), {}
    for name, architecture in NETWORKS.items():
        network = build(architecture)
        curves[name] = curve(train(network, *data(), CONFIG, NullReporter(), group=group))
    if rank == 0:
        (Path(folder) / "curves.json").write_text(json.dumps(curves))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def curves() -> dict[str, list[tuple[float, float]]]:
    """The curves of two processes."""
    with TemporaryDirectory() as folder:
        spawn(take_part, (folder,), nprocs=2)
        return json.loads((Path(folder) / "curves.json").read_text())


@pytest.mark.parametrize("name", NETWORKS)
def test_two_processes_follow_the_curve_of_one(curves, name: str) -> None:
    np.testing.assert_allclose(curves[name], one_process(NETWORKS[name]), rtol=1e-3)


def test_the_parts_of_a_batch_are_the_batch() -> None:
    train_set, _ = data()
    whole = next(train_set.batches(12, seed=3, first=2))
    parts = [next(train_set.batches(12, 3, 2, part, 3)) for part in range(3)]
    for name in ("stamps", "times", "conditions", "mask", "labels"):
        together = np.stack([getattr(part, name) for part in parts], axis=1)
        np.testing.assert_array_equal(together.reshape(getattr(whole, name).shape), getattr(whole, name))


def test_a_training_that_lost_a_process_goes_on_to_the_curve_of_one(tmp_path: Path) -> None:
    """Killed where its third look at the validation set is told, when the second is saved for sure."""
    file, spool, network = tmp_path / "run.safetensors", tmp_path / "run", build(PHOTOMETRIC)
    config = CONFIG.model_copy(update={"iterations": 100, "schedule": "constant"})

    class Killer(SpoolReporter):
        def metrics(self, values, step=None):
            super().metrics(values, step)
            if step == 6:
                active_children()[-1].kill()

    pattern = "^a training process died .*SIGKILL.*: run it again, it goes on from its last checkpoint"
    with pytest.raises(UserError, match=pattern), Killer(spool, "run") as reporter:
        train_together(network, data, config, reporter, file)
    assert active_children() == []
    seen: list[tuple[int, int]] = []
    with SpoolReporter(spool, "run", resume=True) as reporter:
        result = train_together(
            network, data, config, reporter, file, lambda done, total: seen.append((done, total))
        )
    np.testing.assert_allclose(curve(result), one_process(PHOTOMETRIC, config), rtol=1e-3)
    assert seen[0][0] > 4 and seen[-1] == (100, 100)
    told = {(f.name, f.step): f.value for f in read_spool(spool).figures}
    assert all(told["valid_loss", look.iteration] == look.valid_loss for look in result.history)
    assert validate(network, data()[1], torch.device("cpu")).loss == pytest.approx(result.best_loss)


def poisoned() -> tuple[Prepared, Prepared]:
    train_set, valid_set = data()
    train_set.stamps[::7] = np.nan
    return train_set, valid_set


def test_processes_that_diverge_end_in_one_line(tmp_path: Path) -> None:
    pattern = "^training diverged at iteration 0: loss nan.*there is no checkpoint from before$"
    with pytest.raises(Diverged, match=pattern):
        train_together(build(PHOTOMETRIC), poisoned, CONFIG, NullReporter(), tmp_path / "run")
    assert active_children() == []


def test_more_processes_than_gpus_are_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("astroreel.training.data_parallel.choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match="workers: 2, each with a GPU, but 1 are here: take 1"):
        train_together(build(PHOTOMETRIC), data, CONFIG, NullReporter(), tmp_path / "run")


@pytest.mark.parametrize(("workers", "key"), [(7, "batch_size, which is 256"), (16, "reservoir, which is 8")])
def test_processes_that_could_not_share_alike_are_refused(workers: int, key: str) -> None:
    with pytest.raises(ValueError, match=f"a number that divides {key}"):
        PretrainConfig(workers=workers)


def test_one_gpu_by_name_is_not_for_several_processes() -> None:
    with pytest.raises(ValueError, match="1 where device names one GPU, cuda:1"):
        PretrainConfig(workers=2, device="cuda:1")


# On Ray


@pytest.fixture
def cluster():
    """Ray on this machine, with a processor for each of two processes."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield
    ray.shutdown()


def deadly(file: Path) -> tuple[Prepared, Prepared]:
    """Kills the process that is the first to ask for its data."""
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return data()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("lost", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_ray_train_follows_the_curve_of_one_though_a_process_be_lost(tmp_path: Path, lost: bool) -> None:
    config = CONFIG.model_copy(update={"address": "auto"})
    file, make = tmp_path / "run.safetensors", partial(deadly, tmp_path / "there") if lost else data
    with SpoolReporter(tmp_path / "run", "run") as reporter:
        result = train_together(build(PHOTOMETRIC), make, config, reporter, file)
    np.testing.assert_allclose(curve(result), one_process(PHOTOMETRIC), rtol=1e-4)
    assert {figure.step for figure in read_spool(tmp_path / "run").figures} == {2, 4, 6}
    assert {path.name for path in tmp_path.iterdir()} - {"there"} == {"run", "run.safetensors"}


# The thesis's network at its size


@pytest.mark.soak
def test_the_thesis_network_trains_twice_to_the_same_curve_and_nearly_so_in_two_processes(tmp_path) -> None:
    config = CONFIG.model_copy(update={"iterations": 50, "batch_size": 8, "learning_rate": 5e-4})
    network = {"name": "thesis", "dropout": 0.0}
    first, second = one_process(network, config), one_process(network, config)
    assert first == second
    together = build(network)
    both = train_together(together, data, config, NullReporter(), tmp_path / "run.safetensors")
    np.testing.assert_allclose(curve(both), first, rtol=0.02)
