"""Asking for labels: what is chosen, what the page shows, and how answers reach the inbox."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroreel.arrivals.answers import Answer, read_answers, take
from astroreel.arrivals.ask import ask, write_page
from astroreel.arrivals.choose import choose, doubt, log_odds, rarity
from astroreel.arrivals.inbox import Inbox
from astroreel.arrivals.reserve import Reserve
from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.sequences.file import read_folder, write_sequence
from astroreel.sequences.record import SequenceSet
from tests.conftest import MakeSequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 40), st.floats(0, 60), st.integers(0, 2**32))
def test_different_objects_are_chosen_as_many_as_there_are(
    objects: int, n: int, contrast: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probabilities = softmax(contrast * rng.normal(size=(objects, 7)).round())
    chosen = choose(probabilities, log_odds(probabilities), n, rng)
    assert len(chosen) == min(n, objects) == len(set(chosen.tolist()))


def test_doubt_is_chosen_before_certainty() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(400, 7))
    logits[200:, 0] += 12
    probabilities = softmax(logits)
    chosen = choose(probabilities, log_odds(probabilities), 40, rng)
    assert (chosen < 200).mean() > 0.9
    assert doubt(np.full((1, 7), 1 / 7)) == pytest.approx(1.0) and doubt(np.eye(7))[0] < 1e-3


def test_what_is_chosen_is_spread_wider_than_the_most_doubtful() -> None:
    """Many like objects of great doubt, and few unlike ones of somewhat less."""
    rng = np.random.default_rng(2)
    many = np.tile([1.0, 1.0, 0, 0, 0, 0, 0], (300, 1)) * 4
    few = np.tile([0, 0, 0, 0, 0, 4.0, 3.0], (15, 1))
    probabilities = softmax(np.concatenate([many, few]) + rng.normal(size=(315, 7)) * 0.05)
    chosen = choose(probabilities, log_odds(probabilities), 10, rng)
    assert (chosen >= 300).sum() >= 2
    assert not (np.argsort(-doubt(probabilities))[:10] >= 300).any()


def test_classes_with_few_labels_are_asked_for_more() -> None:
    rng = np.random.default_rng(3)
    logits = np.zeros((200, 7))
    logits[:100, :2] += 4
    logits[100:, 2:4] += 4
    probabilities = softmax(logits + rng.normal(size=logits.shape) * 0.5)
    counts = [400, 400, 0, 0, 0, 0, 0]
    worth = rarity(probabilities, counts)
    assert worth[100:].min() > worth[:100].max()
    chosen = [choose(probabilities, log_odds(probabilities), 20, rng, c) for c in (None, counts)]
    assert (chosen[1] >= 100).sum() > (chosen[0] >= 100).sum()


class Doubtful:
    """Says each object's own class by its first pixel, and doubts the odd ones."""

    def predict(self, sequences: SequenceSet) -> np.ndarray:
        logits = np.zeros((len(sequences.epochs), 7))
        odd = np.array([int(name.split("-")[1]) % 2 for name in sequences.objects["name"]], bool)
        logits[~odd[sequences.owner], 3] = 12.0
        return softmax(logits)


@pytest.fixture
def inbox(make_sequence: MakeSequence, tmp_path: Path) -> Inbox:
    """Ten unlabelled objects, the last four in a field that is reserved."""
    inbox = Inbox(tmp_path / "arrivals", Reserve(held=frozenset(["held"])))
    for seed in range(10):
        sequence = make_sequence(seed=seed, label="", field="held" if seed > 5 else "free")
        write_sequence(inbox.folders.inbox / f"{seed}.fits", sequence)
    inbox.receive(NOW)
    return inbox


def test_what_is_reserved_is_not_asked_about_for_learning(inbox: Inbox) -> None:
    rng = np.random.default_rng(1)
    learning = ask(inbox, Doubtful(), 22, 20, rng)
    assert {question.known.field for question in learning} == {"free"} and len(learning) == 6
    assert learning[0].known.name in {"object-1", "object-3", "object-5"}, "the doubtful ones"
    holdout = ask(inbox, Doubtful(), 22, 20, rng, reserved=True)
    assert {question.known.field for question in holdout} == {"held"} and len(holdout) == 4


def test_the_hold_out_is_asked_about_at_random_whatever_the_model_doubts(inbox: Inbox) -> None:
    rng = np.random.default_rng(2)
    drawn = Counter(
        question.known.name
        for _ in range(60)
        for question in ask(inbox, Doubtful(), 22, 1, rng, reserved=True)
    )
    assert len(drawn) == 4 and max(drawn.values()) < 30


def test_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no unlabelled object in fields that may be learned from"):
        ask(Inbox(tmp_path), Doubtful(), 22, 5, np.random.default_rng(1))


def test_the_page_needs_nothing_but_itself_and_shows_every_class_and_object(
    inbox: Inbox, tmp_path: Path
) -> None:
    questions = ask(inbox, Doubtful(), 22, 4, np.random.default_rng(1))
    write_page(tmp_path / "ask.html", questions)
    page = (tmp_path / "ask.html").read_text()
    assert "http://" not in page and "https://" not in page and 'src="data:' in page
    for question in questions:
        assert f'data-object="{question.known.name}"' in page
    assert all(page.count(f'data-label="{name}"') == 4 for name in CLASSES)


def test_a_name_from_outside_cannot_write_into_the_page(make_sequence: MakeSequence, tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "arrivals")
    name = '"><b onclick=alert(1)>-1'
    write_sequence(inbox.folders.inbox / "odd.fits", make_sequence(label="", name=name))
    inbox.receive(NOW)
    write_page(tmp_path / "ask.html", ask(inbox, Doubtful(), 22, 1, np.random.default_rng(1)))
    assert "<b onclick" not in (tmp_path / "ask.html").read_text()


def answers(
    inbox: Inbox, label: str = "supernova", confidence: float = 1.0, name: str = "object-1"
) -> list[str]:
    answer = Answer(survey="hits", object=name, label=label, confidence=confidence)
    return [receipt.rule or receipt.outcome for receipt in take(inbox, [answer], "Vera R.", NOW)]


def test_an_answer_labels_the_object_and_says_who_when_and_how_sure(inbox: Inbox) -> None:
    assert answers(inbox, confidence=0.5) == ["labelled"]
    (sequence,) = read_folder(inbox.folders.labelled)
    assert (sequence.name, sequence.label) == ("object-1", "supernova")
    assert sequence.header["label_source"] == "Vera_R 2026-01-01T00:00:00+00:00"
    assert sequence.header["label_confidence"] == 0.5
    assert inbox.status(NOW).unlabelled == 9 and inbox.status(NOW).replaced == 1


def test_an_answer_about_a_reserved_field_is_kept_for_the_hold_out(inbox: Inbox) -> None:
    assert answers(inbox, name="object-8") == ["reserved"]
    assert inbox.status(NOW).reserved == {"supernova": 1} and not inbox.status(NOW).labelled


def test_the_same_answer_again_changes_nothing_and_another_takes_its_place(inbox: Inbox) -> None:
    answers(inbox)
    assert answers(inbox) == []
    assert answers(inbox, "cepheid") == ["relabelled"]
    assert answers(inbox, "rr_lyrae", confidence=0.5) == ["contradiction"]
    assert inbox.status(NOW).labelled == {"cepheid": 1}


def test_to_be_surer_of_a_label_is_no_duplicate(inbox: Inbox) -> None:
    answers(inbox, confidence=0.5)
    assert answers(inbox, confidence=1.0) == ["labelled"]
    (sequence,) = read_folder(inbox.folders.labelled)
    assert sequence.header["label_confidence"] == 1.0


def test_answers_are_taken_all_or_none(inbox: Inbox) -> None:
    known = Answer(survey="hits", object="object-1", label="supernova")
    unknown = known.model_copy(update={"object": "nobody"})
    with pytest.raises(UserError, match="nobody of hits: no such object: nothing was taken in"):
        take(inbox, [known, unknown], "vera", NOW)
    assert not inbox.status(NOW).labelled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "comet"}, "answers.0.label: unknown class 'comet': choose from supernova"),
        ({"confidence": 2}, "answers.0.confidence: Input should be less than or equal to 1"),
        ({"object": None}, "answers.0.object: Input should be a valid string"),
        ({"more": 1}, "answers.0.more: Extra inputs are not permitted"),
    ],
)
def test_a_file_of_answers_that_departs_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    answer = {"survey": "hits", "object": "object-1", "label": "supernova", "confidence": 1} | change
    (tmp_path / "answers.json").write_text(json.dumps({"answers": [answer]}))
    with pytest.raises(UserError, match=rf"answers.json: {message}"):
        read_answers(tmp_path / "answers.json")
