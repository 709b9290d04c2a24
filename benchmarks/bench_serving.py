"""The alert stream and the service, beside what a forest needs for the same alerts.

    python benchmarks/bench_serving.py

One core. An alert is one new frame of an object that has a state; what is timed begins with the frame and
ends with its answer given and its state on disk. A forest has no state: at each alert it measures the
object's whole light curve again. Weights are untrained, which changes no time.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import feets
import numpy as np
import torch
from bench_features import by_feets
from numpy.typing import NDArray
from record import record

from astroreel.governance.deployment import Deployment
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.photometry.features import features
from astroreel.photometry.optimal import photometry
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import EPOCH_DTYPE, OBJECT_DTYPE, STAMP_SIZE, SequenceSet
from astroreel.serving.frames import frame_as_json
from astroreel.serving.step import Precision, Stepper
from astroreel.serving.store import Entry, StateStore
from astroreel.serving.stream import Stream

ALERTS, TOGETHER, ALONE = 10_000, 64, 2_000
EPOCHS = 22
MILLION = 1_000_000
CLIENTS, SECONDS = 50, 20.0
#: What is asked of 10,000 alerts [s].
LIMITS = {"photometric": 3.7, "thesis": 37.0}
_BANDWIDTH_BYTES = 2**28

Times = NDArray[np.float64]


def reels(n: int, epochs: int, seed: int) -> SequenceSet:
    """Noise, as float32 stamps of whole ADU."""
    rng = np.random.default_rng(seed)
    objects, rows = np.zeros(n, OBJECT_DTYPE), np.zeros(n * epochs, EPOCH_DTYPE)
    objects["name"] = [f"reel-{seed}-{number:07d}" for number in range(n)]
    objects["pixscale"], objects["gain"], objects["rdnoise"], objects["saturate"] = 0.27, 4.0, 6.0, 4e4
    rows["mjd"] = 57_070.0 + np.sort(rng.uniform(0, 25, (n, epochs)), axis=1).ravel()
    rows["band"], rows["exptime"], rows["airmass"], rows["zp"], rows["limmag"] = "g", 86.0, 1.2, 25.0, 23.5
    rows["seeing"], rows["sky"] = rng.uniform(0.9, 1.6, len(rows)), rng.uniform(100, 400, len(rows))
    noise = rng.standard_normal((len(rows), STAMP_SIZE, STAMP_SIZE), np.float32)
    stamps = np.rint(rows["sky"][:, None, None].astype(np.float32) + 10 * noise)
    return SequenceSet(objects, np.arange(n + 1) * epochs, stamps, rows)


def stepper(name: str, precision: Precision = "float32") -> Stepper:
    return Stepper(RcnnClassifier(build({"name": name}).eval(), Preparation()), f"{0:064x}", precision)


def parts(sequences: SequenceSet, size: int) -> list[SequenceSet]:
    starts = range(0, len(sequences), size)
    return [sequences.select(np.arange(start, min(start + size, len(sequences)))) for start in starts]


def timed(work: Callable[[SequenceSet], object], batches: list[SequenceSet]) -> Times:
    """Seconds each batch took, and of the processor, (2, n)."""
    seconds = np.empty((2, len(batches)))
    for number, batch in enumerate(batches):
        wall, processor = time.perf_counter(), time.thread_time()
        work(batch)
        seconds[:, number] = time.perf_counter() - wall, time.thread_time() - processor
    return seconds


def alerts(name: str, precision: Precision = "float32") -> dict[str, float]:
    """10,000 alerts in micro-batches, then 2,000 more alone, of objects that have a state."""
    label = name if precision == "float32" else f"{name}, {precision}"
    known = reels(ALERTS, 2, seed=1)
    before, new = known.window(0, 1), known.window(1, 1)
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(Path(folder) / "states.sqlite")
        stream = Stream(stepper(name, precision), store)
        for batch in parts(before, TOGETHER):
            stream.classify(batch)
        wall, processor = timed(stream.classify, parts(new, TOGETHER)).sum(axis=1)
        later = new.select(np.arange(ALONE))
        later.epochs["mjd"] += 30.0
        alone = 1e3 * timed(stream.classify, parts(later, 1))
        store.close()
    figures = {f"{ALERTS} alerts [s]: {label}": wall, f"{ALERTS} alerts, processor [s]: {label}": processor}
    for kind, times in zip(("", ", processor"), alone, strict=True):
        for quantile in (50, 99):
            figures[f"one alert, p{quantile}{kind} [ms]: {label}"] = float(np.percentile(times, quantile))
    return figures


def bandwidth() -> dict[str, float]:
    """What it costs one core to read the weights of `thesis` from memory, too many to stay in a cache."""
    network = build({"name": "thesis"})
    weights = sum(x.numel() * x.element_size() for x in network.parameters())
    much = torch.ones(_BANDWIDTH_BYTES // 4)
    much.sum()
    rate = 5 * _BANDWIDTH_BYTES / _processor_seconds(lambda: [much.sum() for _ in range(5)])
    return {
        "memory bandwidth [GB/s]": rate / 1e9,
        "weights of thesis [MB]": weights / 1e6,
        "reading the weights of thesis once [ms]": 1e3 * weights / rate,
    }


def forest() -> dict[str, float]:
    """Features of the whole light curve at each alert; its photometry is not counted, as it could be kept."""
    preparation = Preparation()
    curves = photometry(reels(TOGETHER * 8, EPOCHS, seed=2), preparation)
    features(curves.select(range(2)))
    few = curves.select(range(40))
    ours = _processor_seconds(lambda: features(curves)) / len(curves)
    theirs = _processor_seconds(lambda: by_feets(few)) / len(few)
    return {
        f"{ALERTS} alerts, processor [s]: forest's features (light-curve)": ALERTS * ours,
        f"{ALERTS} alerts, processor [s]: forest's features (feets {feets.__version__})": ALERTS * theirs,
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def million() -> dict[str, float]:
    """A million states: how long they take to write, what they hold of memory and disk, and to be found."""
    size = stepper("photometric").dtype.itemsize
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(Path(folder) / "states.sqlite", memory=2**27)
        resident, start = _resident(), time.perf_counter()
        for first in range(0, MILLION, 10_000):
            with store.transaction():
                store.save(_entries(first, rng.bytes(size)))
        written = time.perf_counter() - start
        assert store.objects == MILLION
        names = [[f"reel-{number}" for number in rng.integers(0, MILLION, TOGETHER)] for _ in range(200)]
        found = []
        for some in names:
            start = time.perf_counter()
            assert all(store.states(some))
            found.append(time.perf_counter() - start)
        figures = {
            "a million states: written [s]": written,
            "a million states: memory gained [MB]": (_resident() - resident) / 1e6,
            "a million states: on disk [MB]": sum(x.stat().st_size for x in Path(folder).iterdir()) / 1e6,
            f"a million states: {TOGETHER} found, p50 [ms]": 1e3 * float(np.median(found)),
        }
        store.close()
    return figures


def _entries(first: int, state: bytes) -> Iterator[Entry]:
    for number in range(first, first + 10_000):
        # Each its own bytes in memory, as states are.
        yield Entry(f"reel-{number}", number.to_bytes(8, "big") + state[8:], 0, 0.0, b"")


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize()


def history() -> dict[str, float]:
    """What the kept frames of an object take, beside its state."""
    with tempfile.TemporaryDirectory() as folder:
        store = StateStore(Path(folder) / "states.sqlite")
        stream = Stream(stepper("photometric"), store)
        known = reels(500, EPOCHS, seed=4)
        for position in range(EPOCHS):
            stream.classify(known.window(position, 1))
        store.close()
        size = sum(x.stat().st_size for x in Path(folder).iterdir())
        successor = Stream(replace(stepper("photometric"), digest=f"{1:064x}"), StateStore(store.path))
        again = known.window(EPOCHS - 1, 1)
        again.epochs["mjd"] += 1.0
        batch = parts(again.select(np.arange(TOGETHER)), TOGETHER)
        _, processor = timed(successor.classify, batch).sum(axis=1)
        successor.store.close()
    return {
        f"an object with {EPOCHS} frames, on disk [kB]": size / len(known) / 1e3,
        f"{TOGETHER} alerts at their first frame after a promotion, processor [ms]": 1e3 * processor,
    }


def service() -> dict[str, float]:
    """50 clients, each asking for its next frame as soon as it is answered, on the other core."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stepper("photometric").classifier.to_bundle(folder / "bundle")
        deployment, when = Deployment(folder / "deployed"), datetime.now(UTC)
        deployment.deploy("reel-rcnn", 1, "models:/reel-rcnn/1", folder / "bundle", when)
        command = [sys.executable, "-m", "astroreel.cli", "serve", "--port", "0"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment)
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        try:
            seconds = np.array(asyncio.run(_clients(address)))
        finally:
            server.terminate()
            server.wait()
    return {
        f"service, {CLIENTS} clients: requests a second": len(seconds) / SECONDS,
        f"service, {CLIENTS} clients: p50 [ms]": 1e3 * float(np.median(seconds)),
        f"service, {CLIENTS} clients: p99 [ms]": 1e3 * float(np.percentile(seconds, 99)),
    }


async def _clients(address: str) -> list[float]:
    until, seconds = time.monotonic() + SECONDS, list[float]()

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        frame = frame_as_json(reels(1, 1, seed=100 + number), 0)
        head = {"Content-Type": "application/json"}
        mjd = 57_070.0
        while time.monotonic() < until:
            mjd += 0.5
            body = json.dumps({"frames": [{**frame, "mjd": mjd}]})
            start = time.perf_counter()
            async with session.post(f"{address}/frame", data=body, headers=head) as answer:
                await answer.read()
            seconds.append(time.perf_counter() - start)
            assert answer.status == 200, await answer.text()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session, number) for number in range(CLIENTS)))
    return seconds


def main() -> None:
    torch.set_num_threads(1)
    figures: dict[str, float | str] = {}
    for part in (
        million,  # first, while no memory that was let go hides what it takes
        lambda: alerts("photometric"),
        lambda: alerts("thesis"),
        lambda: alerts("thesis", "bfloat16"),
        bandwidth,
        forest,
        history,
        service,
    ):
        measured = part()
        for name, value in measured.items():
            print(f"{value:12.3f}  {name}", flush=True)
        figures |= measured
    for name, limit in LIMITS.items():
        figures[f"{ALERTS} alerts, processor, part of the {limit} s allowed: {name}"] = (
            float(figures[f"{ALERTS} alerts, processor [s]: {name}"]) / limit
        )
    record("serving", figures)


if __name__ == "__main__":
    main()
