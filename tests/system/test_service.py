"""The HTTP service, as a process of its own: answers, refusals, and what happens when a model is promoted."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from astroreel import cli
from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.governance.deployment import Deployment
from astroreel.models.bundle import load_bundle
from astroreel.models.forest import Forest, ForestClassifier
from astroreel.models.load import load_classifier
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.file import write_sequence
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import Sequence, SequenceSet
from astroreel.serving.frames import frame_as_json
from astroreel.serving.run import listen
from astroreel.serving.service import Service
from astroreel.serving.uploads import read_upload
from tests.conftest import MakeSequence

NAME = "reel-rcnn"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running service and the folder that it runs in."""

    folder: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.folder / "deployed")

    def ask(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Answer:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())

    def frames(self, *frames: dict[str, object], query: str = f"?model={NAME}") -> Answer:
        return self.ask(f"/frame{query}", json.dumps({"frames": frames}).encode())

    def health(self) -> Any:
        return self.ask("/health").content

    def wait_for(self, expected: Callable[[Any], bool], seconds: float = 30) -> Any:
        """The health, once it is as expected."""
        deadline = time.monotonic() + seconds
        while not expected(health := self.health()):
            assert time.monotonic() < deadline, health
            time.sleep(0.1)
        return health


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """``astroreel serve`` in a folder, on a free port of this machine."""
    with (folder / "stderr").open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "astroreel.cli", "serve", "--port", "0", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found, (folder / "stderr").read_text()
    try:
        yield Server(folder, found[0], process)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def make_network(folder: Path, name: str, seed: int = 0) -> Path:
    classifier = RcnnClassifier(build({"name": name}, seed).eval(), Preparation(), temperature=0.1)
    classifier.to_bundle(folder)
    return folder


def make_forest(folder: Path) -> Path:
    leaf = np.zeros(1, np.int64)
    probability = np.array([[0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]])
    ForestClassifier(Forest(leaf, leaf, leaf, leaf, np.zeros(1), probability), Preparation()).save(folder)
    return folder


def deploy(folder: Path, version: int, bundle: Path, model: str = NAME) -> str:
    uri = f"models:/{model}/{version}"
    return Deployment(folder / "deployed").deploy(model, version, uri, bundle, datetime.now(UTC)).digest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of a network and a forest."""
    folder = tmp_path_factory.mktemp("service")
    deploy(folder, 1, make_network(folder / "network", "photometric"))
    deploy(folder, 1, make_forest(folder / "forest"), "reel-forest")
    with serving(folder) as server:
        yield server
    assert "Traceback" not in (folder / "stderr").read_text()


@pytest.fixture
def reel(make_sequence: MakeSequence, request: pytest.FixtureRequest) -> Sequence:
    """A sequence of an object that no other test names."""
    return make_sequence(epochs=9, seed=3, name=request.node.name.replace("/", "-")[:60])


def fits_bytes(sequence: Sequence, tmp_path: Path) -> bytes:
    write_sequence(tmp_path / "reel.fits", sequence)
    return (tmp_path / "reel.fits").read_bytes()


def frames_of(*sequences: Sequence) -> list[dict[str, object]]:
    together = SequenceSet.from_sequences(sequences)
    return [frame_as_json(together, index) for index in range(len(together.epochs))]


def expected(server: Server, *sequences: Sequence) -> np.ndarray:
    classifier = load_classifier(server.deployment.bundle(NAME))
    return classifier.predict(SequenceSet.from_sequences(sequences))


def probabilities(rows: list[Any]) -> np.ndarray:
    return np.array([[row["probability"][name] for name in CLASSES] for row in rows])


# Answers


def test_a_sequence_file_is_classified_as_by_the_library(
    server: Server, reel: Sequence, tmp_path: Path
) -> None:
    answer = server.ask(f"/classify?model={NAME}&every_epoch=true", fits_bytes(reel, tmp_path))
    assert answer.status == 200
    (row,) = answer.content["objects"]
    np.testing.assert_allclose(probabilities(row["epochs"]), expected(server, reel), atol=1e-9)
    assert row["probability"] == row["epochs"][-1]["probability"]
    assert row["predicted"] == max(row["probability"], key=row["probability"].get)
    assert (row["object"], row["n_epochs"]) == (reel.name, 9)
    pointer = server.deployment.pointer(NAME)
    assert pointer is not None
    assert (answer.content["version"], answer.content["digest"]) == (1, pointer.digest)


def test_several_files_are_classified_and_damaged_ones_named(
    server: Server, make_sequence: MakeSequence, tmp_path: Path
) -> None:
    good = [fits_bytes(make_sequence(6 + seed, seed), tmp_path) for seed in range(2)]
    parts = {"a.fits": good[0], "b.fits.gz": gzip.compress(good[1]), "c.fits": good[0][:5000]}
    boundary = "reel"
    body = io.BytesIO()
    for name, content in parts.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body.write(head.encode() + content + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    kind = f"multipart/form-data; boundary={boundary}"
    answer = server.ask("/classify?model=reel-forest", body.getvalue(), kind)
    assert answer.status == 200
    assert [row["object"] for row in answer.content["objects"]] == ["object-0", "object-1"]
    assert {row["predicted"] for row in answer.content["objects"]} == {"rr_lyrae"}
    (refused,) = answer.content["refused"]
    assert refused["file"] == "c.fits"
    assert refused["error"].startswith("c.fits: unreadable: ")


def test_frames_one_by_one_are_answered_as_the_whole_sequence(server: Server, reel: Sequence) -> None:
    rows = []
    for number, frame in enumerate(frames_of(reel), start=1):
        answer = server.frames(frame)
        assert answer.status == 200
        (row,) = answer.content["answers"]
        assert (row["object"], row["n_epochs"]) == (reel.name, number)
        rows.append(row)
    np.testing.assert_allclose(probabilities(rows), expected(server, reel), atol=1e-5)


def test_a_repeated_request_is_answered_as_it_was(server: Server, reel: Sequence) -> None:
    frames = frames_of(reel)
    once = server.frames(*frames[:6])
    again = server.frames(*frames[:6])
    assert once.status == again.status == 200
    assert once.content == again.content
    assert server.frames(frames[6]).content["answers"][0]["n_epochs"] == 7


def test_late_frames_are_named_beside_the_answers_to_others(
    server: Server, reel: Sequence, make_sequence: MakeSequence
) -> None:
    frames = frames_of(reel)
    server.frames(frames[4])
    other = frames_of(make_sequence(6, 5, name=f"{reel.name}-other"))[0]
    answer = server.frames(frames[2], other)
    assert answer.status == 200
    assert "late: MJD" in answer.content["answers"][0]["error"]
    assert answer.content["answers"][1]["n_epochs"] == 1
    alone = server.frames(frames[2])
    assert alone.status == 409
    assert "late: MJD" in alone.content["answers"][0]["error"]


def test_a_client_may_hold_the_state(server: Server, reel: Sequence) -> None:
    token, rows = "", []
    for frame in frames_of(reel):
        answer = server.frames({**frame, "state": token})
        assert answer.status == 200
        rows += answer.content["answers"]
        token = rows[-1]["state"]
    np.testing.assert_allclose(probabilities(rows), expected(server, reel), atol=1e-5)
    first = frames_of(reel)[0]
    assert server.frames({**first, "state": token}).status == 409
    damaged = server.frames({**first, "state": token[:-8]})
    assert damaged.status == 409
    assert damaged.content["error"].startswith("state: damaged token")
    assert server.frames(first).content["answers"][0]["n_epochs"] == 1, "nothing was kept here"


def test_health_and_metrics_say_what_answers(server: Server, reel: Sequence) -> None:
    server.frames(frames_of(reel)[0])
    pointer = server.deployment.pointer(NAME)
    assert pointer is not None
    health = server.health()
    assert health["status"] == "ok"
    assert health["models"][NAME]["digest"] == pointer.digest
    assert (health["models"][NAME]["frames"], health["models"]["reel-forest"]["frames"]) == (True, False)
    metrics = server.ask("/metrics").body.decode()
    labels = f'digest="{pointer.digest}",model="{NAME}",version="1"'
    assert f"astroreel_deployed{{{labels}}} 1.0" in metrics
    assert 'astroreel_requests_total{path="/frame",status="200"}' in metrics
    assert 'astroreel_request_seconds_bucket{le="0.004",path="/frame"}' in metrics
    states = re.search(rf'astroreel_states{{model="{NAME}"}} (\S+)', metrics)
    assert states
    assert float(states[1]) >= 1


# Refusals


def frame_with(**changes: object) -> Callable[[dict[str, object]], bytes]:
    return lambda frame: json.dumps({"frames": [{**frame, **changes}]}).encode()


def base64_of(pixel: float, pixels: int = 441) -> str:
    return base64.b64encode(np.full(pixels, pixel, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda frame: b"{", 422, "body: Invalid JSON"),
        (lambda frame: b"[" * 100_000, 422, "body: Invalid JSON"),
        (lambda frame: b"\x80\x04\x95", 422, "body: Invalid JSON"),
        (lambda frame: b'{"frames": []}', 422, "frames: "),
        (lambda frame: json.dumps({"frames": [frame] * 257}).encode(), 422, "frames: List should have"),
        (frame_with(object="../etc/passwd"), 422, "frames.0: name: object is '../etc/passwd'"),
        (frame_with(object="x" * 69), 422, "frames.0.object: String should have at most 68"),
        (frame_with(gain=0.0), 422, "frames.0: keyword: GAIN is 0.0, expected a positive"),
        (frame_with(mjd=float("nan")), 422, "frames: epoch_value: MJD of row 0 is nan"),
        (frame_with(mjd="then"), 422, "frames.0.mjd: Input should be a valid number"),
        (frame_with(airmass=0.0), 422, "frames: epoch_value: AIRMASS of row 0 is 0.0"),
        (frame_with(band=""), 422, "frames: epoch_value: BAND is empty"),
        (frame_with(stamp="not base64!"), 422, "frames.0: stamp: not base64"),
        (frame_with(stamp=base64_of(1.0, 440)), 422, "frames.0: shape: stamp has 1760 bytes, expected 1764"),
        (frame_with(stamp=base64_of(np.inf)), 422, "frames.0: infinite: "),
        (frame_with(exposure=3), 422, "frames.0.exposure: Extra inputs are not permitted"),
        (frame_with(state="AAAA"), 409, "state: damaged token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_frame_is_refused_in_one_line(
    server: Server, reel: Sequence, make: Callable[[dict[str, object]], bytes], status: int, message: str
) -> None:
    answer = server.ask(f"/frame?model={NAME}", make(frames_of(reel)[0]))
    assert answer.status == status
    assert message in answer.body.decode()
    assert b"\n" not in answer.body
    assert server.health()["status"] == "ok"


@pytest.mark.parametrize(("path", "limit"), [("/frame", 2**20), ("/classify", 2**25)])
def test_a_body_that_is_too_large_is_refused_before_it_comes(server: Server, path: str, limit: int) -> None:
    host, _, port = server.address.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.putrequest("POST", f"{path}?model={NAME}")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(limit + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, response.read()) == (413, b"Content Too Large")
    connection.close()


def test_states_of_the_service_and_of_the_client_do_not_mix(server: Server, reel: Sequence) -> None:
    first, second, *_ = frames_of(reel)
    answer = server.frames({**first, "state": ""}, second)
    assert answer.status == 422
    assert answer.content["error"] == "state: 1 of 2 frames have one: give all one, or none"


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "message"),
    [
        (f"/frame?model={NAME}", b"{}", "text/plain", 415, "expected application/json"),
        ("/frame", b"{}", "application/json", 404, "model '' is not served: give ?model= one of"),
        ("/frame?model=other", b"{}", "application/json", 404, "model 'other' is not served"),
        ("/nowhere", None, "", 404, "Not Found"),
        ("/frame", None, "", 405, "Method Not Allowed"),
        (f"/classify?model={NAME}", b"", "", 422, "body: unreadable: begins with b''"),
        (f"/classify?model={NAME}", b"\x80\x04\x95", "", 422, "body: unreadable: begins with"),
        (f"/classify?model={NAME}", b"\x1f\x8b\x08junk", "", 422, "body: unreadable: damaged gzip file"),
        (f"/classify?model={NAME}", b"SIMPLE  = nonsense", "", 422, "body: unreadable: not a readable FITS"),
        (f"/classify?model={NAME}", b"-", "multipart/form-data", 400, "Missing boundary"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(
    server: Server, path: str, body: bytes | None, kind: str, status: int, message: str
) -> None:
    answer = server.ask(path, body, kind)
    assert answer.status == status
    assert message in answer.content["error"]
    assert "\n" not in answer.content["error"]


def test_a_forest_takes_no_single_frames(server: Server, reel: Sequence) -> None:
    answer = server.frames(frames_of(reel)[0], query="?model=reel-forest")
    assert answer.status == 400
    assert answer.content["error"].endswith("a forest needs whole sequences: send them to /classify")


def test_a_bomb_is_refused_before_it_is_unpacked(server: Server, reel: Sequence, tmp_path: Path) -> None:
    plain = fits_bytes(reel, tmp_path)
    bomb = gzip.compress(plain + bytes(200 * 2**20))
    assert len(bomb) < 2**20
    for body, message in (
        (bomb, "body: size: more than 67108864 bytes unpacked"),
        (gzip.compress(bomb), "body: unreadable: begins with"),
    ):
        answer = server.ask(f"/classify?model={NAME}", body)
        assert answer.status == 422
        assert message in answer.content["error"]


def test_room_is_shared_by_the_files_of_a_request(reel: Sequence, tmp_path: Path) -> None:
    plain = fits_bytes(reel, tmp_path)
    sequence, size = read_upload(gzip.compress(plain), "reel", room=len(plain))
    assert (sequence.name, size) == (reel.name, len(plain))
    for content in (plain, gzip.compress(plain)):
        with pytest.raises(Exception, match=r"reel: size: more than \d+ bytes unpacked"):
            read_upload(content, "reel", room=len(plain) - 1)


def test_a_port_that_is_taken_is_refused(server: Server) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}: cannot listen here \(Address already in use"):
        listen("127.0.0.1", port)


def test_states_that_another_service_holds_are_refused(server: Server) -> None:
    service = Service(server.deployment, [], server.folder / "states", memory=0)
    with pytest.raises(UserError, match=r"states cannot be kept here .*another process holds it"):
        service.refresh()


# Promotion


def test_what_is_deployed_takes_over_and_what_is_damaged_does_not(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    first, second = make_network(tmp_path / "a", "compact"), make_network(tmp_path / "b", "photometric", 1)
    reel = make_sequence(9, 1)
    frames = frames_of(reel)
    with serving(tmp_path) as server:
        nothing = server.ask("/frame", b"{}")
        assert (nothing.status, nothing.content["error"]) == (503, "nothing is deployed")
        assert server.ask("/health").status == 503

        old = deploy(tmp_path, 1, first)
        server.wait_for(lambda health: health["status"] == "ok")
        assert server.frames(*frames[:5], query="").content["digest"] == old

        new = deploy(tmp_path, 2, second)
        server.wait_for(lambda health: health["models"][NAME]["version"] == 2)
        answer = server.frames(frames[5], query="").content["answers"][0]
        assert (answer["n_epochs"], answer["digest"]) == (6, new)
        np.testing.assert_allclose(probabilities([answer])[0], expected(server, reel)[5], atol=1e-5)

        weights = tmp_path / "deployed" / "bundles" / old / "weights.safetensors"
        sound = weights.read_bytes()
        weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        pointer = tmp_path / "deployed" / f"{NAME}.json"
        before = pointer.read_text()
        pointer.write_text(before.replace(new, old).replace('"version": 2', '"version": 3'))
        degraded = server.wait_for(lambda health: health["status"] == "degraded")
        assert "weights.safetensors: changed file" in degraded["models"][NAME]["problem"]
        assert degraded["models"][NAME]["version"] == 2
        assert server.frames(frames[6], query="").content["answers"][0]["digest"] == new
        assert 'astroreel_degraded{model="reel-rcnn"} 1.0' in server.ask("/metrics").body.decode()

        pointer.write_text("no pointer")
        server.wait_for(lambda health: "not valid JSON" in health["models"][NAME]["problem"])
        pointer.write_text(before)
        server.wait_for(lambda health: health["status"] == "ok")

        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with serving(tmp_path) as server:
        assert server.frames(frames[7], query="").content["answers"][0]["n_epochs"] == 8
        server.deployment.withdraw(NAME)
        server.wait_for(lambda health: health["status"] == "down")
        assert server.frames(frames[8], query="").status == 503


def test_classify_takes_what_is_deployed_and_nothing_else(
    tmp_path: Path,
    make_sequence: MakeSequence,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reel = make_sequence(9, 1)
    write_sequence(tmp_path / "reel.fits", reel)
    network = make_network(tmp_path / "network", "compact")
    digest = deploy(tmp_path, 1, network)
    monkeypatch.chdir(tmp_path)
    line = ["astroreel", "classify", "reel.fits", "--model", f"models:/{NAME}@champion", "--out", "o.csv"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    last = load_classifier(network).predict(SequenceSet.from_sequences([reel]))[-1]
    row = (tmp_path / "o.csv").read_text().splitlines()[1].split(",")
    np.testing.assert_allclose(list(map(float, row[3:])), last, atol=1e-6)

    bundle = tmp_path / "deployed" / "bundles" / digest
    shutil.rmtree(bundle)
    make_network(bundle, "compact", seed=1)
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main()
    told = capsys.readouterr().err
    assert f"expected {digest[:12]}: it was replaced" in told
    assert told.count("\n") == 1


@dataclass
class Load:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)


EPOCHS = 15


async def client(
    session: aiohttp.ClientSession, server: Server, reel: Sequence, until: float, load: Load
) -> None:
    """Sends one object after another, frame by frame, and checks that none is lost or read twice."""
    frames = frames_of(reel)
    for round_number in itertools.count():
        name = f"{reel.name}-{round_number}"
        for number, frame in enumerate(frames, start=1):
            if time.monotonic() > until:
                return
            started = time.perf_counter()
            async with session.post(
                f"{server.address}/frame", json={"frames": [{**frame, "object": name}]}
            ) as got:
                content = await got.json()
            load.seconds.append(time.perf_counter() - started)
            if got.status != 200 or content["answers"][0]["n_epochs"] != number:
                load.failed.append(f"{got.status}: {content}")
                return
        load.last[name] = content["answers"][0]


async def press(server: Server, reels: list[Sequence], seconds: float, switches: list[partial[str]]) -> Load:
    load, started = Load(), time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        clients = [
            asyncio.create_task(client(session, server, reel, started + seconds, load)) for reel in reels
        ]
        for number, switch in enumerate(switches, start=1):
            await asyncio.sleep(started + seconds * number / (len(switches) + 1) - time.monotonic())
            await asyncio.to_thread(switch)
        await asyncio.gather(*clients)
    return load


@pytest.mark.parametrize(
    ("seconds", "switches"), [(8, 4), pytest.param(60, 20, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_no_request_fails_while_the_champion_is_switched(
    tmp_path: Path,
    make_sequence: MakeSequence,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    switches: int,
) -> None:
    bundles = [make_network(tmp_path / "a", "compact"), make_network(tmp_path / "b", "photometric", 1)]
    deploy(tmp_path, 1, bundles[0])
    reels = [make_sequence(EPOCHS, seed) for seed in range(50)]
    changes = [
        partial(deploy, tmp_path, version, bundles[(version - 1) % 2]) for version in range(2, switches + 2)
    ]
    with serving(tmp_path) as server:
        load = asyncio.run(press(server, reels, seconds, changes))
        server.wait_for(lambda health: health["models"][NAME]["version"] == switches + 1)
        metrics = server.ask("/metrics").body.decode()
    assert load.failed == []
    taken_over = re.search(r"astroreel_switches_total\S+ (\S+)", metrics)
    assert taken_over
    assert float(taken_over[1]) == switches + 1
    answered = {answer["digest"] for answer in load.last.values()}
    assert answered == {load_bundle(bundle).digest for bundle in bundles}
    _assert_answers_are_those_of_the_batch(tmp_path, reels, load)
    with capsys.disabled():
        p50, p99 = 1e3 * np.quantile(load.seconds, [0.5, 0.99])
        sys.stdout.write(
            f"\n{len(load.seconds)} requests of 50 clients in {seconds} s, {switches} switches: "
            f"none failed, p50 {p50:.0f} ms, p99 {p99:.0f} ms\n"
        )


def _assert_answers_are_those_of_the_batch(folder: Path, reels: list[Sequence], load: Load) -> None:
    """Whatever was switched on the way, a whole object's last answer is its bundle's for all its frames."""
    by_name = {reel.name: index for index, reel in enumerate(reels)}
    for digest in {answer["digest"] for answer in load.last.values()}:
        mine = [(name, row) for name, row in load.last.items() if row["digest"] == digest]
        classifier = load_classifier(folder / "deployed" / "bundles" / digest)
        last = classifier.predict(SequenceSet.from_sequences(reels)).reshape(len(reels), EPOCHS, 7)[:, -1]
        indices = [by_name[name.rpartition("-")[0]] for name, _ in mine]
        np.testing.assert_allclose(probabilities([row for _, row in mine]), last[indices], atol=1e-5)
