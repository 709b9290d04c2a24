"""The stream: it answers as the batch does, forgets nothing that it acknowledged, and steps nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from astroreel.errors import UserError
from astroreel.models.networks import NETWORKS, build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import Sequence, SequenceSet
from astroreel.serving.frames import frame_as_json, read_frames
from astroreel.serving.held import classify_held
from astroreel.serving.step import Stepper, single_frames
from astroreel.serving.store import Entry, StateStore
from astroreel.serving.stream import HISTORY, Stream
from astroreel.serving.token import seal, unseal
from tests.conftest import MakeSequence

MakeStream = Callable[..., Stream]


@cache
def stepper(name: str = "compact", seed: int = 0) -> Stepper:
    # Untrained logits are small: without the low temperature all answers would be nearly alike.
    network = build({"name": name}, seed).eval()
    return Stepper(RcnnClassifier(network, Preparation(), temperature=0.1), digest=f"{seed:064x}")


@pytest.fixture
def make_stream(tmp_path: Path) -> Iterator[MakeStream]:
    """A function that opens the stream of one file; what it opened before is closed first."""
    opened: list[StateStore] = []

    def make(using: Stepper | None = None, memory: int = 2**20) -> Stream:
        close()
        opened.append(StateStore(tmp_path / "states.sqlite", memory))
        return Stream(using or stepper(), opened[-1])

    def close() -> None:
        while opened:
            opened.pop().close()

    yield make
    close()


def some_sequences(make_sequence: MakeSequence, lengths: list[int], longest_gap: float = 3.0) -> SequenceSet:
    members = []
    for number, length in enumerate(lengths):
        sequence = make_sequence(epochs=length, seed=number)
        gaps = np.random.default_rng(number).uniform(1e-4, 1e-4 + longest_gap, length)
        sequence.epochs["mjd"] = 57069.0 + np.cumsum(gaps)
        sequence.stamps[length // 2, 3, 4:6] = np.nan
        members.append(sequence)
    return SequenceSet.from_sequences(members)


def from_the_batch(frames: SequenceSet, using: Stepper) -> NDArray[np.float64]:
    return using.classifier.predict(frames)


def one_by_one(stream: Stream, sequences: SequenceSet) -> NDArray[np.float64]:
    """Answers aligned with the epochs, each micro-batch one frame of every object that goes on."""
    probability = np.full((len(sequences.epochs), 7), np.nan)
    for position in range(int(sequences.lengths.max())):
        going = np.flatnonzero(sequences.lengths > position)
        answers = stream.classify(sequences.select(going).window(position, 1))
        assert answers.refusals == {}
        assert (answers.answers["n_epochs"] == position + 1).all()
        probability[sequences.offsets[going] + position] = answers.answers["probability"]
    return probability


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4), longest_gap=st.floats(0.0, 300.0))
def test_a_stream_answers_as_the_batch_does(
    make_sequence: MakeSequence, tmp_path: Path, name: str, lengths: list[int], longest_gap: float
) -> None:
    (tmp_path / "states.sqlite").unlink(missing_ok=True)
    sequences = some_sequences(make_sequence, lengths, longest_gap)
    store = StateStore(tmp_path / "states.sqlite")
    given_one_by_one = one_by_one(Stream(stepper(name), store), sequences)
    store.close()
    expected = from_the_batch(sequences, stepper(name))
    np.testing.assert_allclose(given_one_by_one, expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_sequences_longer_than_any_in_training_are_answered_as_in_the_batch(
    make_sequence: MakeSequence, make_stream: MakeStream, name: str
) -> None:
    sequences = some_sequences(make_sequence, [40, 31])
    given_one_by_one = one_by_one(make_stream(stepper(name)), sequences)
    np.testing.assert_allclose(given_one_by_one, from_the_batch(sequences, stepper(name)), atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_moves_answers_by_little(
    make_sequence: MakeSequence, make_stream: MakeStream, name: str
) -> None:
    single = replace(stepper(name), classifier=replace(stepper(name).classifier, temperature=1.0))
    half = replace(single, precision="bfloat16")
    sequences = some_sequences(make_sequence, [12, 6, 9])
    given_one_by_one = one_by_one(make_stream(half), sequences)
    expected = from_the_batch(sequences, single)
    np.testing.assert_allclose(given_one_by_one, expected, atol=1e-2)
    assert np.abs(given_one_by_one - expected).max() > 1e-6, "it is another arithmetic"


def test_frames_of_one_object_may_come_together(make_sequence: MakeSequence, make_stream: MakeStream) -> None:
    sequences = some_sequences(make_sequence, [7, 1, 4])
    answers = make_stream().classify(sequences)
    assert answers.refusals == {}
    assert answers.answers["n_epochs"].tolist() == (sequences.position + 1).tolist()
    np.testing.assert_allclose(
        answers.answers["probability"], from_the_batch(sequences, stepper()), atol=1e-5
    )


def test_an_object_may_be_named_twice_in_a_micro_batch(
    make_sequence: MakeSequence, make_stream: MakeStream
) -> None:
    sequences = some_sequences(make_sequence, [6])
    twice = SequenceSet.concatenate([sequences.window(0, 2), sequences.window(2, 4)])
    answers = make_stream().classify(twice)
    assert answers.answers["n_epochs"].tolist() == [1, 2, 3, 4, 5, 6]


def test_no_frames_get_no_answers(make_sequence: MakeSequence, make_stream: MakeStream) -> None:
    nothing = some_sequences(make_sequence, [6]).window(0, 0)
    assert len(make_stream().classify(nothing).answers) == 0


def test_states_outlive_a_restart(make_sequence: MakeSequence, make_stream: MakeStream) -> None:
    sequences = some_sequences(make_sequence, [9, 9, 9])
    make_stream().classify(sequences.window(0, 5))
    rest = sequences.window(5, 4)
    again = make_stream()
    assert again.store.held == 0
    expected = from_the_batch(sequences, stepper())[sequences.position >= 5]
    np.testing.assert_allclose(again.classify(rest).answers["probability"], expected, atol=1e-5)
    assert again.store.objects == 3


@pytest.mark.parametrize("states_in_memory", [0, 1, 3])
def test_states_that_memory_does_not_hold_come_from_the_file(
    make_sequence: MakeSequence, make_stream: MakeStream, states_in_memory: int
) -> None:
    room = states_in_memory * stepper().dtype.itemsize
    sequences = some_sequences(make_sequence, [6] * 8)
    stream = make_stream(memory=room)
    given_one_by_one = one_by_one(stream, sequences)
    np.testing.assert_allclose(given_one_by_one, from_the_batch(sequences, stepper()), atol=1e-5)
    assert stream.store.held == room
    assert stream.store.objects == 8


def test_the_states_used_last_stay_in_memory(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states.sqlite", memory=2)
    with store.transaction():
        store.save([Entry(name, name.encode(), 0, 1.0, b"") for name in "ab"])
        store.states(["a"])
        store.save([Entry("c", b"c", 0, 1.0, b"")])
    store._database.execute("DELETE FROM states")  # so that only memory can answer
    assert store.states(["a", "b", "c"]) == [b"a", b"", b"c"]
    store.close()


def test_a_repeated_frame_gets_the_answer_that_it_got(
    make_sequence: MakeSequence, make_stream: MakeStream
) -> None:
    sequences = some_sequences(make_sequence, [9, 8])
    first = make_stream().classify(sequences)
    again = make_stream()
    repeated = again.classify(sequences)
    assert repeated.refusals == {}
    np.testing.assert_array_equal(repeated.answers, first.answers)
    following = some_sequences(make_sequence, [10]).window(9, 1)
    assert again.classify(following).answers["n_epochs"].tolist() == [10]


def test_a_late_frame_is_refused_and_changes_nothing(
    make_sequence: MakeSequence, make_stream: MakeStream
) -> None:
    sequences = some_sequences(make_sequence, [8, 8])
    stream = make_stream()
    stream.classify(sequences.window([0, 3], 3))
    answers = stream.classify(sequences.window([3, 1], 1))
    assert list(answers.refusals) == [1]
    assert "object-1: late: MJD" in answers.refusals[1]
    assert "frames come in the order of time" in answers.refusals[1]
    assert answers.answers["n_epochs"].tolist() == [4, 0]
    assert np.isnan(answers.answers["probability"][1]).all()
    after = stream.classify(sequences.window([4, 6], 1))
    assert after.answers["n_epochs"].tolist() == [5, 4]


@pytest.mark.parametrize("change", ["stamp", "sky", "gain"])
def test_another_frame_of_a_time_that_was_read_is_refused(
    make_sequence: MakeSequence, make_stream: MakeStream, change: str
) -> None:
    sequences = some_sequences(make_sequence, [6])
    stream = make_stream()
    stream.classify(sequences)
    changed = replace(
        sequences,
        objects=sequences.objects.copy(),
        stamps=np.array(sequences.stamps) + np.float32(change == "stamp"),
        epochs=sequences.epochs.copy(),
    )
    changed.epochs["sky"] += change == "sky"
    changed.objects["gain"] += change == "gain"
    answers = stream.classify(changed.window(5, 1))
    assert "another frame of this time was read" in answers.refusals[0]


def test_a_model_that_takes_over_reads_the_kept_frames_again(
    make_sequence: MakeSequence, make_stream: MakeStream
) -> None:
    sequences = some_sequences(make_sequence, [9, 6, 9])
    make_stream(stepper("compact")).classify(sequences.window(0, [8, 5, 0]))
    successor = stepper("photometric", seed=1)
    answers = make_stream(successor).classify(sequences.window([8, 5, 0], [1, 1, 9]))
    expected = from_the_batch(sequences, successor)
    last = np.r_[8, 14, 15:24]
    assert answers.answers["n_epochs"].tolist() == [9, 6, *range(1, 10)]
    np.testing.assert_allclose(answers.answers["probability"], expected[last], atol=1e-5)
    assert set(answers.answers["bundle"].tolist()) == {successor.digest.encode()}


def test_a_model_that_takes_over_says_how_many_frames_it_could_read(
    make_sequence: MakeSequence, make_stream: MakeStream
) -> None:
    sequences = some_sequences(make_sequence, [HISTORY + 8])
    make_stream().classify(sequences.window(0, HISTORY + 5))
    successor = stepper(seed=1)
    answers = make_stream(successor).classify(sequences.window(HISTORY + 5, 3))
    assert answers.answers["n_epochs"].tolist() == [HISTORY + 1, HISTORY + 2, HISTORY + 3]
    expected = from_the_batch(sequences.window(5, HISTORY + 3), successor)[HISTORY:]
    np.testing.assert_allclose(answers.answers["probability"], expected, atol=1e-5)
    third = make_stream(stepper(seed=2))
    repeated = third.classify(sequences.window(HISTORY + 7, 1)).answers
    assert repeated["bundle"].tolist() == [successor.digest.encode()], "repeated: answered as it was"
    assert "frames come in the order of time" in third.classify(sequences.window(0, 1)).refusals[0]


def test_what_cannot_be_kept_is_not_answered_and_not_remembered(
    make_sequence: MakeSequence, make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = some_sequences(make_sequence, [6])
    stream = make_stream()
    stream.classify(sequences.window(0, 2))
    stream.store._database.execute(f"PRAGMA max_page_count = {_pages(stream.store)}")
    with pytest.raises(UserError, match=r"states\.sqlite: states cannot be kept here .*full.*: make room"):
        stream.classify(some_sequences(make_sequence, [6] * 40))
    stream.store._database.execute("PRAGMA max_page_count = 1000000")
    assert stream.classify(sequences.window(2, 1)).answers["n_epochs"].tolist() == [3]
    assert stream.store.objects == 1


def _pages(store: StateStore) -> int:
    return int(store._database.execute("PRAGMA page_count").fetchone()[0])


def test_a_store_has_one_holder(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states.sqlite")
    with pytest.raises(UserError, match="another process holds it"):
        StateStore(tmp_path / "states.sqlite")
    store.close()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "states.sqlite").write_bytes(b"reel" * 4096)
    with pytest.raises(UserError, match=r"cannot be kept here .file is not a database"):
        StateStore(tmp_path / "states.sqlite")
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UserError, match="states cannot be kept here"):
        StateStore(tmp_path / "folder" / "states.sqlite")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "states.sqlite")
    store._database.execute("PRAGMA user_version = 7")
    store.close()
    with pytest.raises(UserError, match="states of format 7, expected 1"):
        StateStore(tmp_path / "states.sqlite")


def test_what_was_acknowledged_is_there_after_a_kill(
    make_sequence: MakeSequence, tmp_path: Path, make_stream: MakeStream
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(tmp_path / "states.sqlite")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for _ in range(40):
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *map(int, process.stdout.read().splitlines())])
    process.wait()
    stream = make_stream()
    frame = some_sequences(make_sequence, [1])
    frame.epochs["mjd"] = 90_000.0
    n_epochs = int(stream.classify(frame).answers["n_epochs"][0])
    assert n_epochs in (acknowledged + 1, acknowledged + 2), "the last may be saved but not yet told"


#: Feeds one object frame after frame and says how many are acknowledged.
_ENDLESS = """
import sys
from pathlib import Path
import numpy as np
from astroreel.models.networks import build
from astroreel.models.rcnn import RcnnClassifier
from astroreel.sequences.prepare import Preparation
from astroreel.serving.served import _empty_sky
from astroreel.serving.step import Stepper, single_frames
from astroreel.serving.store import StateStore
from astroreel.serving.stream import Stream
classifier = RcnnClassifier(build({"name": "compact"}).eval(), Preparation())
stream = Stream(Stepper(classifier, f"{0:064x}"), StateStore(Path(sys.argv[1])))
frame = _empty_sky(1).window(0, 1)
frame.objects["name"] = "object-0"
for count in range(1, 20_000):
    frame.epochs["mjd"] = 50_000.0 + count
    stream.classify(frame)
    print(count, flush=True)
"""


def test_a_client_may_hold_the_states_itself(make_sequence: MakeSequence) -> None:
    sequences = some_sequences(make_sequence, [6, 6])
    expected = from_the_batch(sequences, stepper()).reshape(2, 6, 7)
    tokens = ["", ""]
    for position in range(6):
        frames = sequences.window(position, 1)
        answers, following = classify_held(stepper(), frames, tokens)
        again, _ = classify_held(stepper(), frames, tokens)
        np.testing.assert_allclose(answers.answers["probability"], expected[:, position], atol=1e-5)
        np.testing.assert_array_equal(again.answers, answers.answers)
        tokens = following
    late, none = classify_held(stepper(), sequences.window(2, 1), tokens)
    assert list(late.refusals) == [0, 1]
    assert "object-0: late: MJD" in late.refusals[0]
    assert none == ["", ""]


def test_a_held_state_is_of_one_model(make_sequence: MakeSequence) -> None:
    sequences = some_sequences(make_sequence, [6])
    _, tokens = classify_held(stepper(), sequences.window(0, 1), [""])
    with pytest.raises(UserError, match=r"state: of another model .* again from the first"):
        classify_held(stepper(seed=1), sequences.window(1, 1), tokens)


@settings(deadline=None)
@given(state=st.binary(min_size=1, max_size=60), data=st.data())
def test_a_damaged_token_is_refused(state: bytes, data: st.DataObject) -> None:
    token = seal(state)
    assert unseal(token) == state
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda c: c != token[place]))
    damaged = token[:place] + character + token[place + 1 :]
    for bad in (damaged, token[:-1], token + "A", "", "=", "\x00"):
        try:
            assert unseal(bad) == state, "only base64's spare bits may differ"
        except UserError as error:
            assert "state: damaged token" in str(error)
            assert "\n" not in str(error)


def test_frames_come_through_json_as_they_are(make_sequence: MakeSequence) -> None:
    sequences = some_sequences(make_sequence, [6, 7])
    rows = [frame_as_json(sequences, index) for index in range(len(sequences.epochs))]
    frames, tokens = read_frames(json.dumps({"frames": rows}).encode())
    assert tokens is None
    np.testing.assert_array_equal(frames.stamps, sequences.stamps)
    np.testing.assert_array_equal(frames.epochs, sequences.epochs)
    np.testing.assert_array_equal(frames.objects["name"], sequences.objects["name"][sequences.owner])
    for name in ("pixscale", "gain", "rdnoise", "saturate"):
        np.testing.assert_array_equal(frames.objects[name], sequences.objects[name][sequences.owner])


def test_one_frame_sequences_are_left_as_they_are(make_sequence: MakeSequence) -> None:
    sequences = some_sequences(make_sequence, [6, 7])
    singles = single_frames(sequences)
    assert single_frames(singles) is singles
    assert singles.objects["name"].tolist() == ["object-0"] * 6 + ["object-1"] * 7
    assert isinstance(singles[3], Sequence)
