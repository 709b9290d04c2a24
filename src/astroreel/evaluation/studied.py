"""The study as the report shows it: every number, and a picture where one says more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import MEAN_RECALL
from astroreel.evaluation.names import MAIN_MODELS, model_name, stage_name
from astroreel.evaluation.plots import intervals, lines

Tree = Mapping[str, Any]

_TARGETS = ("real", "surrogate")


@dataclass(frozen=True)
class Studied:
    """One section of the study.

    Attributes
    ----------
    name, about
        Its name, and what it measures.
    made_by
        The command that made it.
    drawings
        Its pictures.
    rows
        All its numbers by their place in it.
    """

    name: str
    about: str
    made_by: str
    drawings: Sequence[Drawing]
    rows: Sequence[tuple[str, Estimate]]


def studied(study: Tree) -> list[Studied]:
    """The sections of a study.json, in the order in which it holds them."""
    return [
        Studied(
            name,
            tree.get("describe", ""),
            tree.get("made_by", ""),
            _PICTURES[name](tree) if name in _PICTURES else [],
            list(numbers(tree)),
        )
        for name, tree in study.items()
    ]


def numbers(tree: Tree, place: str = "") -> Iterator[tuple[str, Estimate]]:
    """The estimates of a tree, each with its place."""
    for name, node in tree.items():
        here = f"{place} / {name}" if place else name
        if (estimate := _leaf(node)) is not None:
            yield here, estimate
        elif isinstance(node, Mapping):
            yield from numbers(node, here)


def _leaf(node: object) -> Estimate | None:
    if isinstance(node, Mapping) and {"value", "low", "high", "n"} <= node.keys():
        return Estimate.from_json(dict(node))
    return None


def _at(tree: Tree, *path: str) -> Any:
    """The node at a path; an empty one where there is none."""
    node: Any = tree
    for name in path:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    return node


def _series(rows: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Estimate]]:
    """Rows of those nodes that are leaves."""
    found = {
        row: {key: leaf for key, node in nodes.items() if (leaf := _leaf(node)) is not None}
        for row, nodes in rows.items()
    }
    return {row: leaves for row, leaves in found.items() if leaves}


def _samples(tree: Tree) -> list[Drawing]:
    domain = next((name for name in _TARGETS if tree.get(name)), None)
    if domain is None:
        return []
    by_number = {float(shots): models for shots, models in tree[domain].items()}
    models = dict.fromkeys(model for found in by_number.values() for model in found if model != "rcnn_lead")
    found = {
        model_name(model): [
            (shots, leaf)
            for shots, members in sorted(by_number.items())
            if (leaf := _leaf(_at(members, model, MEAN_RECALL))) is not None
        ]
        for model in models
    }
    axes = ("labels a class", f"mean recall, {domain} objects")
    caption = "Mean recall after 22 samples against the number of labels of each class; 0: simulations alone."
    return [lines(found, axes, "study_samples", "How many labels", caption, evenly=True)]


def _ablation(tree: Tree) -> list[Drawing]:
    arms = dict.fromkeys(arm for stage in ("zero_shot", "fine_tuned") for arm in _at(tree, stage))
    rows = {
        arm.replace("_", " "): {
            stage_name(stage): _at(tree, stage, arm, "gain", MEAN_RECALL)
            for stage in ("zero_shot", "fine_tuned")
        }
        for arm in arms
    }
    found = _series(rows)
    if not found:
        return []
    axis = "gain in mean recall over the pipeline's own"
    caption = "What each change buys on the target, the same objects and draws compared."
    return [intervals(found, axis, "study_ablation", "Closing the gap", caption, reference=0.0)]


def _normalisation(tree: Tree) -> list[Drawing]:
    norms = {
        name: node["curves"] for name, node in tree.items() if isinstance(node, Mapping) and "curves" in node
    }
    if not norms:
        return []
    with canvas(0.6 + 1.35 * len(norms)) as figure:
        panels = figure.subplots(len(norms), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (norm, curves) in zip(panels, norms.items(), strict=True):
            for steps, losses in zip(curves["iteration"], curves["valid_loss"], strict=True):
                axes.plot(steps, losses, color=drawing.BLUE, linewidth=1.0, alpha=0.8)
            axes.set_title(norm.replace("_", " "), loc="left", size=9, pad=2)
        panels[len(panels) // 2].set_ylabel("validation loss [nat]")
        panels[-1].set_xlabel("iteration")
        return [
            Drawing(
                "study_normalisation",
                "Normalisation and stability",
                "A narrow copy of the thesis's network, trained alike with each normalisation between its"
                " convolutions; a line a seed (compare the thesis's Figure 4.11).",
                to_svg(figure),
            )
        ]


def _arena(tree: Tree) -> list[Drawing]:
    rows: dict[str, dict[str, object]] = {}
    for arm, node in tree.items():
        if not isinstance(node, Mapping):
            continue
        for stage in ("zero_shot", "fine_tuned"):
            told = {model_name(model): _at(node, stage, model, "auc") for model in MAIN_MODELS}
            beside = {model_name("magnitude"): _at(node, "magnitude", "auc")}
            rows[f"{arm.replace('_', ' ')},\n{stage_name(stage)}"] = {**told, **beside}
    found = _series(rows)
    if not found:
        return []
    caption = (
        "How well real supernovae are told from faint stars and asteroids that were put into real frames at"
        " the same magnitudes and in the same conditions (semi-real). Half: not at all."
    )
    return [
        intervals(found, "area under the curve", "study_arena", "The faint arena", caption, reference=0.5)
    ]


def _robustness(tree: Tree) -> list[Drawing]:
    drawings = []
    for header, title in (("true_header", "and said so"), ("wrong_header", "and not said")):
        rows: dict[str, dict[str, object]] = {}
        for kind, shares in tree.items():
            for share in shares if isinstance(shares, Mapping) else ():
                rows[f"{kind.replace('_', ' ')}, {share} %"] = {
                    model_name(model): _at(shares, share, header, "zero_shot", model, "change")
                    for model in MAIN_MODELS
                }
        if found := _series(rows):
            caption = (
                "Change of the accuracy on simulated objects where the conditions differ from the training's"
            )
            drawing_name = f"study_robustness_{header}"
            axis = "change of the accuracy"
            title = f"Conditions changed, {title}"
            drawings.append(intervals(found, axis, drawing_name, title, f"{caption}.", reference=0.0))
    return drawings


def _slices(tree: Tree) -> list[Drawing]:
    return [*_by_magnitude(tree), *_abstention(tree)]


def _by_magnitude(tree: Tree) -> list[Drawing]:
    spans = _at(tree, "simulated", "magnitude")
    rows = {
        f"{span} mag": {"RCNN minus forest": _at(spans, span, "zero_shot", "difference")} for span in spans
    }
    found = _series(rows)
    if not found:
        return []
    caption = "The RCNN's accuracy less the forest's on simulated objects (compare the thesis's Figure 4.3)."
    axis = "difference of the accuracies"
    return [intervals(found, axis, "study_magnitude", "By brightness", caption, reference=0.0)]


def _abstention(tree: Tree) -> list[Drawing]:
    stage = next((s for s in ("fine_tuned", "zero_shot") if _at(tree, "target", "abstention", s)), None)
    if stage is None:
        return []
    found = {
        model_name(model): sorted(
            (float(part) / 100, leaf)
            for part, node in _at(tree, "target", "abstention", stage, model).items()
            if (leaf := _leaf(node)) is not None
        )
        for model in MAIN_MODELS
    }
    if not all(found.values()):
        return []
    caption = (
        "Accuracy on the target where a model may keep silent about the objects that it is least sure of."
    )
    axes = ("share answered", "accuracy of those answered")
    return [lines(found, axes, "study_abstention", "Silence", caption)]


_PICTURES: Mapping[str, Callable[[Tree], list[Drawing]]] = {
    "samples": _samples,
    "ablation": _ablation,
    "normalisation": _normalisation,
    "arena": _arena,
    "robustness": _robustness,
    "slices": _slices,
}
