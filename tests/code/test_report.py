"""The report: self-contained, honest about its target and about who wins."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from astroreel.classes import CLASSES
from astroreel.errors import UserError
from astroreel.evaluation.figures import (
    confusion_matrices,
    since_detection,
    target_mean_recall,
    write_readme_figure,
)
from astroreel.evaluation.gallery import gallery, longest_of_each_class, write_gallery
from astroreel.evaluation.illustrations import LearningCurve
from astroreel.evaluation.names import class_name
from astroreel.evaluation.page import render_page
from astroreel.evaluation.populations import median_magnitudes
from astroreel.evaluation.protocol import EvaluationConfig, evaluate
from astroreel.evaluation.report import Exclusion, ReportData, describe, draw_figures, render_report
from astroreel.evaluation.studied import studied
from astroreel.evaluation.study_drawings import DRAWN, draw
from astroreel.evaluation.summary import comparisons, findings, not_claimed
from astroreel.files import read_json
from astroreel.photometry.curves import LightCurves
from astroreel.photometry.feature_set import FeatureSet
from astroreel.photometry.measurement import column_names
from astroreel.sequences.prepare import Preparation
from astroreel.sequences.record import SequenceSet
from astroreel.survey.forecast import generate_conditions
from astroreel.survey.survey import load_survey
from astroreel.training.search import Trial
from tests.code.synthetic_predictions import SKILLS, make_predictions

ROOT = Path(__file__).resolve().parents[2]

PARAMETERS = EvaluationConfig(seed=1, resamples=200)


class Outline(HTMLParser):
    """Collects addresses, and checks that tags close in the order in which they open."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.addresses, self.ids, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def hits():
    return evaluate(make_predictions(), "hits", PARAMETERS)


@pytest.fixture(scope="module")
def surrogate():
    return evaluate(make_predictions(target_domain="surrogate"), "surrogate", PARAMETERS)


def make_conditions():
    rng = np.random.default_rng(0)
    return generate_conditions(load_survey("hits"), 3, rng)


def leaf(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}


#: What `make study` left in this project.
STUDY = read_json(ROOT / "reports" / "study.json")


def make_study():
    """A section that was measured, and one that nothing is drawn of."""
    own = {"describe": "what <it> is", "made_by": "astroreel study", "target": "hits"}
    return {"own": own | {"shuffled": {"rcnn": leaf(0.14)}}, "gap": STUDY["gap"]}


def features_of(sequences):
    """Light curves with features out of a hat."""
    n, rng = len(sequences), np.random.default_rng(0)
    curves = LightCurves(np.arange(n + 1), np.zeros(n), np.ones(n), np.ones(n))
    table = rng.normal(size=(n, 1, len(column_names()))).astype(np.float32)
    return FeatureSet(sequences.objects["name"], np.arange(n), curves, table, table[..., :1])


@pytest.fixture
def make_data(make_sequence):
    """A function that fills every part of a report."""
    steps = np.arange(5)
    sequences = SequenceSet.from_sequences(
        make_sequence(6 + i, seed=i, label=label) for i, label in enumerate(CLASSES)
    )

    def make(evaluation, **changes):
        given = {
            "evaluation": evaluation,
            "scale": "default",
            "parameters": {"finetune": {"draws": 5, "rate": 1e-4}, "simulate": {"seed": 1}},
            "provenance": {"commit": "0123456789abcdef", "dirty": "no"},
            "tables": [describe("Simulated test set", sequences)],
            "exclusions": [Exclusion("never detected", ("SN<1>", "SN2"))],
            "learning": [
                LearningCurve(quantity, name, steps, 1 / (1 + steps))
                for quantity in ("loss", "accuracy")
                for name in ("training", "validation")
            ],
            "trials": [
                Trial(n, {"rate": 0.1 * n, "network": "ab"[n % 2]}, 1.0 / n, None, 1.0, n == 2)
                for n in (1, 2, 3)
            ],
            "importances": {"rate": 0.75, "network": 0.25},
            "curves": {"simulated": features_of(sequences), "real": features_of(sequences)},
            "examples": sequences.select([0]),
            "twins": (sequences.select([1]), sequences.select([1])),
            "magnitudes": {name: dict.fromkeys(CLASSES, 18.0 + steps) for name in ("simulated", "real")},
            "conditions": dict.fromkeys(("modelled", "real"), make_conditions()),
            "study": make_study(),
            "benchmarks": {"images": {"measured": "2026-01-02", "machine": "a <box>", "figures": {"x": 2.5}}},
            "seconds": {"pretrain": 63.0, "split": 0.4},
        }
        return ReportData(**given | changes)

    return make


def render(path, data):
    render_report(path, data)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(hits, tmp_path_factory):
    """The bare report of real data: numbers and text, and what the evaluation alone can draw."""
    bare = ReportData(evaluation=hits, scale="smoke", parameters={}, provenance={"commit": "abc"})
    return render(tmp_path_factory.mktemp("report") / "index.html", bare)


def drawings_of(page):
    encoded = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    return [base64.b64decode(text).decode() for text in encoded]


def test_the_report_of_a_surrogate_says_so_before_anything_else(surrogate, make_data, tmp_path):
    page = render(tmp_path / "index.html", make_data(surrogate))
    first_screen = page[: page.index("In short</h2>")]
    assert "target: surrogate" in first_screen
    assert "no real data was used" in first_screen
    assert "real objects" not in page


def test_the_report_of_real_data_has_no_surrogate_banner(page):
    assert "target: hits" in page
    assert 'role="alert"' not in page
    assert "surrogate" not in page


def test_the_report_needs_nothing_but_itself(hits, make_data, tmp_path):
    page = render(tmp_path / "index.html", make_data(hits))
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert all(address.startswith(("data:", "#")) for address in outline.addresses)
    assert {a[1:] for a in outline.addresses if a.startswith("#")} <= set(outline.ids)
    for text in (page, *drawings_of(page)):
        assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", text)
        assert "@import" not in text
        assert not re.search(r"url\(\s*['\"]?https?:", text)


def test_the_report_shows_every_drawing_and_each_is_well_formed(hits, make_data, tmp_path):
    data = make_data(hits)
    shown = drawings_of(render(tmp_path / "index.html", data))
    drawn = draw_figures(data).all() + [one for part in studied(data.study) for one in part.drawings]
    assert sorted(shown) == sorted(one.svg for one in drawn)
    assert len({one.name for one in drawn}) == len(drawn)
    for svg in shown:
        assert ET.fromstring(svg).tag.endswith("svg")


def test_the_study_begins_with_what_a_sceptic_asks_first():
    assert [part.name for part in studied(make_study())] == ["gap", "own"]


@pytest.mark.parametrize("section", ["own", *DRAWN])
def test_a_section_with_nothing_measured_has_no_picture(section):
    assert draw(section, {"describe": "", "made_by": "", "target": "hits"}) == []


def test_every_number_of_the_study_is_in_the_report_with_its_place(hits, make_data, tmp_path):
    page = render(tmp_path / "index.html", make_data(hits))
    for place in ("shuffled / rcnn", "zero_shot / rcnn / gap", "zero_shot / forest / domain_auc_by_class"):
        assert f"<td>{place}" in page
    assert "0.140 <small>0.040&ndash;0.240</small></td><td>40</td>" in page
    assert "What &lt;it&gt; is" in page


def test_the_report_is_the_same_bytes_each_time(hits, make_data, tmp_path):
    data = make_data(hits)
    assert render(tmp_path / "a.html", data) == render(tmp_path / "b.html", data)


def test_a_report_without_optional_parts_is_whole(page):
    outline = Outline()
    outline.feed(page)
    assert outline.open == []


def test_the_report_names_all_that_it_was_given_and_escapes_it(hits, make_data, tmp_path):
    page = render(tmp_path / "index.html", make_data(hits))
    assert "SN&lt;1&gt;, SN2" in page and "SN<1>" not in page
    assert "a &lt;box&gt;" in page and "<td>2.5</td>" in page
    for text in ("finetune.draws", "0123456789abcdef", "1 min 03 s", "0.4 s", "2: never detected"):
        assert text in page


def test_an_unwritable_folder_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write here"):
        render_page(tmp_path / "file" / "index.html", "gallery.html", survey="", objects=0, drawings=[])


def test_the_numbers_of_the_cards_are_those_of_the_metrics(hits):
    zero_shot = comparisons(hits)[1]
    assert zero_shot.rcnn.to_json() == hits.metrics["real"]["rcnn"]["zero_shot"]["mean_recall_22"]
    assert zero_shot.forest.to_json() == hits.metrics["real"]["forest"]["zero_shot"]["mean_recall_22"]


@pytest.mark.parametrize(
    ("rcnn", "forest", "verdict", "finding"),
    [
        (5.0, 1.0, "RCNN ahead by", "The RCNN beats the forest in"),
        (1.0, 5.0, "RCNN behind by", "The RCNN does not beat the forest in"),
    ],
)
def test_the_summary_says_who_wins(rcnn, forest, verdict, finding):
    skills = {(model, stage): rcnn if model == "rcnn" else forest for model, stage in SKILLS}
    evaluation = evaluate(make_predictions(skills=skills), "hits", PARAMETERS)
    assert {one.verdict.startswith(verdict) for one in comparisons(evaluation)} == {True}
    assert findings(evaluation)[0].startswith(finding)


def test_two_models_that_say_the_same_do_not_differ():
    rcnn = [one for one in make_predictions() if one.model == "rcnn"]
    evaluation = evaluate([*rcnn, *(replace(one, model="forest") for one in rcnn)], "hits", PARAMETERS)
    assert {one.verdict for one in comparisons(evaluation)} == {
        "No clear difference: +0.0 points (+0.0 to +0.0)"
    }
    assert findings(evaluation)[0].startswith("The RCNN does not beat the forest in")


def test_the_summary_says_where_trivial_baselines_are_as_good():
    skills = dict.fromkeys(SKILLS, 1.0)
    weak = findings(evaluate(make_predictions(skills=skills), "hits", PARAMETERS))
    assert any("is not shown to be better than brightness and scatter" in text for text in weak)
    assert any("is not shown to be better than forest on the few labels alone" in text for text in weak)


def test_the_summary_says_what_fine_tuning_costs_on_simulated_objects(hits):
    change = hits.metrics["simulated"]["rcnn"]["fine_tuned"]["gain"]["accuracy_22"]["value"]
    (sentence,) = [text for text in findings(hits) if text.startswith("Fine-tuning changes")]
    assert f"{abs(100 * change):.1f} points" in sentence


def test_the_summary_says_how_many_supernovae_are_called_so_before_their_light(hits):
    (sentence,) = [text for text in findings(hits) if text.startswith("After 5 images")]
    for stage in ("zero_shot", "fine_tuned"):
        for name in ("recall_5", "recall_22"):
            leaf = hits.metrics["real"]["rcnn"][stage][name]["supernova"]
            assert f"{100 * leaf['value']:.1f} %" in sentence


def test_the_summary_says_how_many_supernovae_are_called_so_at_their_detection(hits):
    (sentence,) = [text for text in findings(hits) if text.startswith("At its first detection a real")]
    for model in ("rcnn", "forest"):
        leaf = hits.metrics["real"][model]["fine_tuned"]["supernova_recall_since_detection"]["0"]
        assert f"{100 * leaf['value']:.1f} %" in sentence


def test_only_hits_has_had_its_stars_in_the_simulators_scatter(hits, surrogate):
    assert any("not wholly blind" in text for text in not_claimed(hits, "default"))
    assert not any("HiTS" in text for text in not_claimed(surrogate, "default"))


def test_what_is_not_claimed_names_the_classes_without_real_sequences(hits, surrogate):
    assert any("cepheid, galaxy and asteroid" in text for text in not_claimed(hits, "default"))
    assert any("Nothing is said of any real sky" in text for text in not_claimed(surrogate, "default"))


@pytest.mark.parametrize(("length", "told"), [(7, True), (9, False)])
def test_that_simulated_supernovae_end_soon_is_said_where_most_do(length, told):
    predictions = make_predictions()
    for one in predictions:
        one.objects.lengths[:] = length  # all are detected at their sixth sample
    texts = not_claimed(evaluate(predictions, "hits", PARAMETERS), "default")
    assert (
        any(text.startswith("100 % of the simulated supernovae hold at most two") for text in texts) is told
    )


def test_only_a_smaller_scale_is_set_apart_from_the_thesis(hits):
    assert any("no like-for-like" in text for text in not_claimed(hits, "smoke"))
    assert not any("no like-for-like" in text for text in not_claimed(hits, "thesis"))


def test_a_data_table_counts_objects_fields_and_epochs(make_sequence):
    sequences = SequenceSet.from_sequences(
        [make_sequence(6, seed=1, field="a"), make_sequence(9, seed=2, field="b")]
    )
    table = describe("Real", sequences)
    (row,) = table.rows
    assert (row.label, row.objects, row.fields) == ("rr_lyrae", 2, 2)
    assert (row.fewest_epochs, row.median_epochs, row.most_epochs) == (6, 7.5, 9)
    assert table.objects == 2


def test_a_survey_without_labels_says_so_before_anything_else(make_data, tmp_path):
    simulated = [one for one in make_predictions() if one.domain == "simulated" and one.stage == "zero_shot"]
    evaluation = evaluate(simulated, "lsst", PARAMETERS)
    page = render(tmp_path / "index.html", make_data(evaluation, twins=None, conditions={}, magnitudes={}))
    assert "no real labels yet" in page[: page.index("In short</h2>")]
    assert "real objects" not in page
    assert "Compare the thesis" in page  # the simulated confusion matrices
    assert any("Nothing is said of the real sky" in text for text in not_claimed(evaluation, "smoke"))


def test_there_is_no_table_of_benchmarks_where_there_are_none(page):
    assert "Benchmarks" not in page


def test_supernovae_since_their_detection_are_drawn_with_their_numbers(hits):
    drawn = since_detection(hits)
    assert drawn is not None
    assert "(16)" in drawn.svg  # all of them at the detection itself


def test_a_figure_of_detections_needs_supernovae():
    counts = {"rr_lyrae": 8, "non_variable": 9}
    assert since_detection(evaluate(make_predictions(real_counts=counts), "hits", PARAMETERS)) is None


def test_the_readme_figure_is_figure_4_2_without_any_image(hits, tmp_path):
    write_readme_figure(tmp_path / "figures" / "real.svg", hits)
    svg = (tmp_path / "figures" / "real.svg").read_text()
    assert svg == target_mean_recall(hits).svg
    assert "<image" not in svg
    assert "RCNN, with a few labels" in svg


def test_the_figure_of_the_target_has_the_chance_of_both_choices(hits):
    svg = target_mean_recall(hits).svg
    assert "14.3 Chance among 7 classes" in svg
    assert "25.0 Chance among 4 classes" in svg


def test_a_gallery_shows_the_brightest_epoch(make_sequence):
    sequences = SequenceSet.from_sequences([make_sequence(21, seed=1, label="asteroid")])
    (plain,) = gallery(sequences)
    sequences.stamps[10] += 1e4  # between two of the eight that an even choice takes
    assert re.findall("<image[^>]*>", gallery(sequences)[0].svg) != re.findall("<image[^>]*>", plain.svg)


def test_a_gallery_has_the_longest_object_of_each_class(make_sequence):
    sequences = SequenceSet.from_sequences(
        make_sequence(length, seed=length, label=label)
        for label, length in (("galaxy", 7), ("supernova", 6), ("galaxy", 9), ("supernova", 8))
    )
    chosen = longest_of_each_class(sequences)
    assert list(zip(chosen.labels, chosen.lengths, strict=True)) == [("supernova", 8), ("galaxy", 9)]
    assert len(longest_of_each_class(sequences.select([]))) == 0


def test_the_page_of_a_gallery_needs_nothing_but_itself(make_sequence, tmp_path):
    sequences = SequenceSet.from_sequences(
        make_sequence(6 + i, seed=i, label=label) for i, label in enumerate(CLASSES)
    )
    write_gallery(tmp_path / "gallery.html", sequences)
    page = (tmp_path / "gallery.html").read_text()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.addresses) == len(CLASSES)
    assert all(address.startswith("data:") for address in outline.addresses)
    assert all(f"<b>{class_name(label)}</b>" in page for label in CLASSES)
    with pytest.raises(UserError, match="cannot write here"):
        write_gallery(tmp_path / "gallery.html" / "page.html", sequences)


def test_the_magnitude_of_an_object_is_that_of_its_median_flux():
    flux = np.array([90.0, 100.0, 110.0, np.nan, -5.0, -6.0, -7.0])
    curves = LightCurves(np.array([0, 4, 7]), np.arange(7.0), flux, np.ones(7))
    empty = np.zeros((2, 1, 1), np.float32)
    objects = FeatureSet(np.array(["a", "b"]), np.array([3, 0]), curves, empty, empty)
    found = median_magnitudes(objects, Preparation(reference_zp=25.0, reference_exptime=10.0))
    assert {label: values.tolist() for label, values in found.items()} == {CLASSES[3]: [22.5]}


def test_a_figure_says_itself_that_its_objects_are_a_surrogate(surrogate):
    assert "mean recall, surrogate objects" in target_mean_recall(surrogate).svg


def test_confusion_matrices_have_rows_only_for_classes_that_occur(hits):
    names = [one.name for one in confusion_matrices(hits)]
    assert names == [
        "simulated_rcnn_zero_shot_confusion",
        "simulated_forest_zero_shot_confusion",
        "real_rcnn_zero_shot_confusion",
        "real_forest_zero_shot_confusion",
        "real_rcnn_fine_tuned_confusion",
        "real_forest_fine_tuned_confusion",
    ]
    real = confusion_matrices(hits)[2].svg
    assert "Supernova (16)" in real
    assert "Galaxy (" not in real
