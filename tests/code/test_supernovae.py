"""What the models said of each object is kept, and shown of every supernova, the missed ones too."""

import re

import numpy as np
import pytest

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.evaluation.answers import Answers
from astroreel.evaluation.supernovae import supernovae, write_supernovae
from astroreel.sequences.record import SequenceSet
from tests.code.synthetic_predictions import DRAWS, FOLDS, make_predictions


@pytest.fixture(scope="module")
def predictions():
    return make_predictions()


@pytest.fixture(scope="module")
def answers(predictions):
    return Answers.of(predictions)


def test_an_answer_is_the_mean_over_the_draws_of_models_that_never_saw_the_field(predictions, answers):
    assert sorted(answers.probabilities) == [
        f"{model}.{stage}" for model in ("forest", "rcnn") for stage in ("fine_tuned", "zero_shot")
    ]
    name = str(answers.names[7])
    said = [
        one.probabilities[one.objects.names == name][0]
        for one in predictions
        if (one.model, one.stage, one.domain) == ("rcnn", "fine_tuned", "real") and name in one.objects.names
    ]
    assert len(said) == DRAWS < DRAWS * FOLDS
    found = answers.of_object(name)["rcnn.fine_tuned"]
    np.testing.assert_allclose(found, np.mean(said, axis=0), rtol=1e-6)


def test_stored_answers_are_the_same_again_and_the_same_bytes(answers, tmp_path):
    for name in ("a.npz", "b.npz"):
        answers.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = Answers.load(tmp_path / "a.npz")
    assert again.names.tolist() == answers.names.tolist()
    for key, table in answers.probabilities.items():
        np.testing.assert_array_equal(again.probabilities[key], table)


def test_answers_about_an_unknown_object_or_from_a_damaged_file_are_refused(answers, tmp_path):
    with pytest.raises(KeyError, match="nobody"):
        answers.of_object("nobody")
    (tmp_path / "answers.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match=r"answers.npz: no stored answers .*run `dvc repro`"):
        Answers.load(tmp_path / "answers.npz")


def test_every_supernova_is_shown_and_one_never_detected_is_said_to_be(answers, make_sequence, tmp_path):
    names = answers.names[:3].tolist()
    reels = [
        make_sequence(8 + i, seed=i, label=label, name=name)
        for i, (name, label) in enumerate(zip(names, ("supernova", "galaxy", "supernova"), strict=True))
    ]
    detections = {names[0]: -1, names[1]: -1, names[2]: 5}
    told = supernovae(SequenceSet.from_sequences(reels), detections, answers)
    assert [(one.name, one.epochs, one.detection) for one in told] == [(names[0], 8, None), (names[2], 10, 6)]
    last = answers.of_object(names[2])["rcnn.zero_shot"][9, CLASSES.index("supernova")]
    assert told[1].last["rcnn.zero_shot"] == pytest.approx(last)
    write_supernovae(tmp_path / "page.html", told, "hits")
    page = (tmp_path / "page.html").read_text()
    assert "Never detected here of 8." in page and "Detected at sample 6 of 10." in page
    assert (
        set(re.findall('href="#([^"]+)"', page))
        == set(re.findall(' id="([^"]+)"', page))
        == {
            names[0],
            names[2],
        }
    )
    assert f"<td>{100 * last:.0f}</td>" in page


def test_a_target_without_supernovae_has_an_empty_page(tmp_path):
    write_supernovae(tmp_path / "page.html", [], "ztf")
    assert "Supernovae of ztf, one by one" in (tmp_path / "page.html").read_text()
