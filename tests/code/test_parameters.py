"""params.yaml: every departure is one line with key, rule, value and way out; what was set by hand stays."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from astroreel.errors import UserError
from astroreel.models.networks import NETWORKS
from astroreel.parameters import Parameters, Scale, configure, preset, read_parameters
from astroreel.survey.survey import load_survey
from astroreel.training.config import Network

ROOT = Path(__file__).resolve().parents[2]
SCALES = get_args(Scale)


def silent(line: str) -> None:
    raise AssertionError(f"said {line!r}")


def make_hits(folder: Path) -> Path:
    for name in ("real_stamps", "Blind15A_info"):
        (folder / "real_obs" / name).mkdir(parents=True)
        (folder / "real_obs" / name / "file").write_text("stamps")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose params.yaml is the smoke preset on a surrogate."""
    root = tmp_path / "house" / "project"
    root.mkdir(parents=True)
    configure(root, "smoke", "surrogate", None, silent)
    return root


def edit(root: Path, old: str, new: str) -> str:
    """Change params.yaml by hand, at one place; returns the new text."""
    text = (root / "params.yaml").read_text()
    assert text.count(old) == 1
    (root / "params.yaml").write_text(text.replace(old, new))
    return text.replace(old, new)


def without_source(text: str) -> str:
    return re.sub(r"(?m)^source:\n(  .*\n)+", "", text)


@pytest.mark.parametrize("scale", SCALES)
def test_every_preset_is_valid_and_can_be_read_back(tmp_path: Path, scale: Scale) -> None:
    written = configure(tmp_path, scale, "surrogate", None, silent)
    assert read_parameters(tmp_path) == written
    assert (written.scale, written.source.target) == (scale, "surrogate")


def test_a_scale_is_larger_than_the_one_before() -> None:
    sizes = [Parameters.model_validate(preset(scale)) for scale in SCALES]
    for small, large in itertools.pairwise(sizes):
        assert small.simulate.n_train < large.simulate.n_train
        assert small.pretrain.iterations < large.pretrain.iterations


def test_the_thesis_scale_has_the_sizes_of_the_thesis() -> None:
    thesis = Parameters.model_validate(preset("thesis"))
    assert (thesis.pretrain.iterations, thesis.pretrain.batch_size) == (30_000, 256)
    sequences = thesis.pretrain.iterations * thesis.pretrain.batch_size / thesis.pretrain.reuse
    assert (thesis.pretrain.source, round(sequences / 7, -4)) == ("stream", 120_000)
    assert thesis.search.networks == ("thesis",)


def test_a_search_may_choose_from_every_network() -> None:
    assert set(get_args(Network)) == set(NETWORKS)


def test_every_key_that_a_stage_reads_is_a_parameter() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    parameters = Parameters.model_validate(preset("default")).model_dump()
    for key in {key for stage in stages.values() for key in stage.get("params", [])}:
        value: Any = parameters
        for part in key.split("."):
            assert part in value, key
            value = value[part]


def test_a_changed_value_is_read(project: Path) -> None:
    edit(project, "n_train: 1400", "n_train: 70")
    assert read_parameters(project).simulate.n_train == 70


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "scale: smoke",
            "scale: large",
            "scale: Input should be 'smoke', 'default' or 'thesis', not 'large'",
        ),
        ("target: surrogate\n", "target: lsst\n", "source.target: must be hits or surrogate .*, not 'lsst'"),
        ("n_train: 1400", "n_train: 0", "simulate.n_train: .*greater than or equal to 1, not 0"),
        ("n_train: 1400", "n_train: many", "simulate.n_train: Input should be a valid integer, not 'many'$"),
        ("n_train: 1400", "n_train: 1.5", "simulate.n_train: .*integer.*, not 1.5"),
        ("n_train: 1400", "n_trains: 1400", "simulate.n_train: missing|simulate.n_trains: unknown"),
        (
            "n_train: 1400",
            "n_train: 1400\n  n_trains: 1",
            "simulate.n_trains: unknown.*1: known are .*n_train,",
        ),
        (
            "scale: smoke",
            "scale: smoke\nfrobnicate: 1",
            "frobnicate: unknown, its value is 1: known are scale,",
        ),
        ("scale: smoke\n", "", "scale: missing: correct it, or write a preset with `astroreel configure"),
        ("simulate:\n", "simulates:\n", "simulate: missing"),
        (
            "    iterations: 10\n",
            "    epochs: 10\n",
            r"search.training.epochs: unknown.*known are iterations,",
        ),
        ("clip: 1.0\n  label", "clip: .nan\n  label", "pretrain.clip: .*greater than 0, not nan"),
        (
            "device: auto\n\n# The RCNN on a few",
            "device: tpu\n\n# The RCNN on a few",
            "pretrain.device: .*'tpu'",
        ),
        ("[photometric, compact]", "[photometric, vast]", r"search.networks.1: .*, not 'vast'"),
        ("max_depth: [10, 15]", "max_depth: [10, -1]", r"forest.max_depth.1: .*greater than 0, not -1"),
        ("draw: 0", "draw: 2", r"registry.draw is 2, but split.draws is 2: choose one from 0 to 1"),
        ("fold: 0", "fold: 7", r"registry.fold is 7, but split.folds is 2: choose one from 0 to 1"),
        (
            "evaluate:\n  seed: 1\n  resamples: 200",
            "evaluate:",
            "evaluate: expected the keys seed, resamples",
        ),
        ("scale: smoke", "scale: smoke\n1: x", "Keys should be strings"),
        ("scale: smoke", "scale: smoke\nscale: smoke", "line 5: not valid YAML .*duplicate key"),
        ("scale: smoke", "scale: [", "line 8: not valid YAML .*: correct it, or write a preset"),
        ("scale: smoke", "scale: 2020-13-45", "not valid YAML .*month must be in"),
    ],
)
def test_a_departure_is_one_line_with_key_rule_and_value(
    project: Path, old: str, new: str, message: str
) -> None:
    text = edit(project, old, new)
    for command in (read_parameters, lambda root: configure(root, None, None, None, silent)):
        with pytest.raises(UserError, match=rf"params\.yaml.*{message}") as caught:
            command(project)
        assert "\n" not in str(caught.value)
        assert (project / "params.yaml").read_text() == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "None where sections are expected"),
        (b"# nothing but this\n", "None where sections are expected"),
        (b"- 1\n- 2\n", r"\[1, 2\] where sections are expected"),
        (b"some text", "'some text' where sections are expected"),
        (b"\xff\xfe\x00", r"not a text in UTF-8 \(byte 0\)"),
        (b"scale: \x00", "not valid YAML"),
    ],
)
def test_what_is_no_parameter_file_is_refused_with_the_way_out(
    project: Path, content: bytes, message: str
) -> None:
    (project / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"params\.yaml: {message}.*`astroreel configure --scale NAME`$"):
        read_parameters(project)
    configure(project, "smoke", "surrogate", None, silent)
    assert read_parameters(project).scale == "smoke"


def test_a_file_that_is_not_there_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: no such file: `astroreel configure` writes it$"):
        read_parameters(tmp_path)


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    for scale, message in ((None, "cannot be read"), ("smoke", "cannot write here")):
        with pytest.raises(UserError, match=rf"params\.yaml: {message} \(Is a directory\)"):
            configure(tmp_path, scale, "surrogate", None, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("a1-:[]{}&*!|>'\"#%@` \n\t?,.~<=\x00é"), max_size=30))
def test_no_text_whatever_ends_in_anything_but_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    root = tmp_path_factory.mktemp("params")
    (root / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_parameters(root)


LEAVES = [
    (section, key)
    for section, values in preset("default").items()
    if isinstance(values, dict)
    for key in values
]
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@settings(max_examples=60, deadline=None)
@given(
    leaf=st.sampled_from(LEAVES), value=ODD | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)
def test_any_value_of_any_key_is_taken_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, leaf: tuple[str, str], value: object
) -> None:
    root = tmp_path_factory.mktemp("params")
    content = preset("default")
    content[leaf[0]][leaf[1]] = value
    with (root / "params.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(content, stream)
    try:
        read_parameters(root)
    except UserError as error:
        assert ".".join(leaf) in str(error)


def test_without_a_file_the_default_scale_is_written(tmp_path: Path) -> None:
    assert configure(tmp_path, None, "surrogate", None, silent).scale == "default"


def test_configuring_again_changes_no_byte(project: Path) -> None:
    before = (project / "params.yaml").stat()
    text = (project / "params.yaml").read_text()
    configure(project, None, None, None, silent)
    assert (project / "params.yaml").read_text() == text
    assert (project / "params.yaml").stat().st_mtime_ns == before.st_mtime_ns
    configure(project, "smoke", "surrogate", None, silent)
    assert (project / "params.yaml").read_text() == text


def test_what_was_set_by_hand_stays_with_its_comments(project: Path) -> None:
    edit(project, "n_train: 1400", "n_train: 1_470  # mine, see the log")
    edit(project, "survey: hits", 'survey: "hits"')
    by_hand = edit(project, "# The RCNN on a few real", "# My own remark.\n\n# The RCNN on a few real")
    make_hits(project.parent / "mine")
    found = configure(project, None, None, "../mine", silent)
    after = (project / "params.yaml").read_text()
    assert (found.source.target, found.source.path, found.simulate.n_train) == ("hits", "../mine", 1470)
    assert found.source.digest in after
    assert without_source(after) == without_source(by_hand)
    assert "# auto: HiTS where it can be had" in after


def test_a_scale_writes_the_file_anew(project: Path) -> None:
    edit(project, "n_train: 1400", "n_train: 70")
    default = preset("default")["simulate"]["n_train"]
    assert configure(project, "default", "surrogate", None, silent).simulate.n_train == default


def test_a_long_path_stays_one_value(project: Path) -> None:
    name = " ".join(["a folder with a long name"] * 6)
    make_hits(project.parent / name)
    configure(project, None, None, f"../{name}", silent)
    assert read_parameters(project).source.path == f"../{name}"
    assert f'path: "../{name}"\n' in (project / "params.yaml").read_text()


def test_a_source_once_named_is_kept_until_it_is_gone(project: Path) -> None:
    folder = make_hits(project.parent / "mine")
    first = configure(project, None, None, "../mine", silent)
    assert configure(project, None, None, None, silent) == first
    folder.rename(project.parent / "moved")
    make_hits(project / "../shared/data/hits2015")
    said: list[str] = []
    assert configure(project, None, None, None, said.append).source.path == "../shared/data/hits2015"
    assert said == ["../mine: no HiTS files there any more: looking elsewhere"]


def test_a_surrogate_asked_for_stays_one_though_hits_is_near(project: Path) -> None:
    make_hits(project / "../shared/data/hits2015")
    assert configure(project, None, None, None, silent).source.target == "surrogate"
    assert configure(project, None, "auto", None, silent).source.target == "hits"


@pytest.mark.parametrize(
    ("scale", "target", "source", "message"),
    [
        ("large", None, None, "^--scale is 'large': choose from smoke, default, thesis$"),
        (
            None,
            "lsss",
            None,
            "^target 'lsss': choose from auto, hits, surrogate, lsst, ztf, or a survey's file$",
        ),
        (None, "", None, "^--target is empty: choose from auto"),
        (None, "lsst", "../mine", "^--source ../mine with --target lsst, which has no source"),
        (None, None, "nowhere", "^nowhere: no real_obs/real_stamps in this folder"),
        (None, None, "", "^--source is empty"),
        (None, "surrogate", "../mine", "^--source ../mine with --target surrogate"),
    ],
)
def test_an_option_that_means_nothing_is_refused_and_nothing_written(
    tmp_path: Path, scale: str | None, target: str | None, source: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        configure(tmp_path, scale, target, source, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_survey_without_labels_sets_what_depends_on_it_and_is_kept(project: Path) -> None:
    edit(project, "n_train: 1400", "n_train: 70")
    lsst = load_survey("lsst")
    chosen = configure(project, None, "lsst", None, silent)
    assert (chosen.source.target, chosen.source.labelled, chosen.simulate.survey) == ("lsst", False, "lsst")
    assert chosen.preparation.reference_zp == lsst.reference_zp
    assert chosen.preparation.reference_exptime == lsst.exptime
    assert chosen.split.max_seeing == lsst.max_seeing
    assert chosen.simulate.n_train == 70
    edit(project, f"max_seeing: {lsst.max_seeing}", "max_seeing: 1.1")
    assert configure(project, None, None, None, silent).split.max_seeing == 1.1


def test_what_follows_the_survey_comes_back_with_it(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    configure(project, None, "ztf", None, silent)
    configure(project, None, "surrogate", None, silent)
    assert read_parameters(project) == Parameters.model_validate(YAML(typ="safe").load(before))


def test_a_survey_of_ones_own_is_pinned_by_its_file(project: Path) -> None:
    own = load_survey("lsst").model_copy(update={"name": "own"})
    (project / "own.yaml").write_text(own.model_dump_json())
    first = configure(project, None, "own.yaml", None, silent)
    assert (first.source.target, first.simulate.survey) == ("own", "own.yaml")
    (project / "own.yaml").write_text(own.model_copy(update={"exptime": 45.0}).model_dump_json())
    assert configure(project, None, None, None, silent).source.digest != first.source.digest
    (project / "own.yaml").unlink()
    with pytest.raises(UserError, match=r"^target 'own\.yaml': choose from .*, or a survey's file"):
        configure(project, None, None, None, silent)


def test_a_survey_of_ones_own_does_not_take_the_name_of_a_target(project: Path) -> None:
    (project / "own.yaml").write_text(load_survey("hits").model_dump_json())
    with pytest.raises(UserError, match=r"^own\.yaml: name is 'hits', which means another target"):
        configure(project, None, "own.yaml", None, silent)


def test_a_surveys_models_are_not_trained_on_another(project: Path) -> None:
    configure(project, None, "lsst", None, silent)
    edit(project, "survey: lsst", "survey: ztf")
    with pytest.raises(UserError, match=r"simulate\.survey is ztf, but the target's is lsst"):
        read_parameters(project)


@pytest.mark.parametrize("module", ["astroreel.cli", "astroreel.parameters"])
def test_reading_parameters_loads_no_heavy_library(module: str) -> None:
    heavy = ("torch", "mlflow", "optuna", "ray", "sklearn", "matplotlib")
    code = f"import sys, {module}; print(*sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
