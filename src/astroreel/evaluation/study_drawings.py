"""The pictures of each section of the study, read off its tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from astroreel.classes import CLASSES
from astroreel.evaluation import drawing
from astroreel.evaluation.drawing import Drawing, canvas, to_svg
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import MEAN_RECALL
from astroreel.evaluation.names import MAIN_MODELS, class_name, model_name, stage_name
from astroreel.evaluation.plots import intervals, lines

Tree = Mapping[str, Any]

#: Places in a tree, ``a/b/c``, by row and series of a picture.
Places = Mapping[str, Mapping[str, str]]

_STAGES = ("zero_shot", "fine_tuned")
_DOMAINS = ("real", "surrogate", "simulated")


def draw(section: str, tree: Tree) -> list[Drawing]:
    """The pictures of a section; none of one that has none."""
    return _DRAW[section](tree) if section in _DRAW else []


def leaf_of(node: object) -> Estimate | None:
    """The estimate that a node is, if it is one."""
    if isinstance(node, Mapping) and {"value", "low", "high", "n"} <= node.keys():
        return Estimate.from_json(dict(node))
    return None


def _controls(tree: Tree) -> list[Drawing]:
    before, permuted = (_domain(tree.get(control, {})) for control in ("before", "permuted"))
    told: dict[str, dict[str, str]] = {}
    for stage in _STAGES:
        own = _of_models(f"before/{before}/{stage}/{{}}/auc")
        told[f"before the detection,\n{stage_name(stage)}"] = own | {
            model_name("magnitude"): f"before/{before}/light_alone/auc"
        }
    for stage in _STAGES:
        rims = _of_models(f"rim/{before}/{stage}/{{}}/auc_supernova")
        told[f"only the stamps' rims,\n{stage_name(stage)}"] = rims
    few = (*MAIN_MODELS, "few_real_forest", "border")
    taught = {
        "labels shuffled, from nothing": _of_models("shuffled/from_nothing/{}/accuracy"),
        "labels shuffled, pretrained": _of_models(f"shuffled/fine_tuned/{{}}/{MEAN_RECALL}", few),
        "only the stamps' rims": _of_models(f"rim/taught/{{}}/{MEAN_RECALL}", few),
    }
    lost = {
        f"{class_name(label)},\n{stage_name(stage)}": _of_models(
            f"permuted/{permuted}/{stage}/{{}}/lost/{label}"
        )
        for label in CLASSES
        for stage in _STAGES
    }
    return [
        *_intervals(
            tree,
            told,
            "area under the curve",
            "study_controls_told",
            "Supernovae told where no light curve tells",
            "Before their first detection what tells them is how faint they are, and their hosts; the rims of"
            " the stamps alone must tell nothing. Half: not told at all.",
            reference=0.5,
        ),
        *_intervals(
            tree,
            taught,
            "share classified rightly",
            "study_controls_taught",
            "Taught what should say nothing",
            "Dotted: one in seven, chance among all classes; among the four of the labels it is a quarter. A"
            " pretrained model has its simulations beside the few shuffled labels.",
            reference=1 / len(CLASSES),
        ),
        *_intervals(
            tree,
            lost,
            "recall lost",
            "study_controls_permuted",
            "Frames in another order",
            "What the recall of variable stars loses was known from phase and speed; the rest from how bright"
            " they are and how much that scatters.",
            reference=0.0,
        ),
    ]


def _arena(tree: Tree) -> list[Drawing]:
    arms = [(arm, stage) for arm, node in tree.items() if isinstance(node, Mapping) for stage in _STAGES]

    def each(measure: str) -> dict[str, dict[str, str]]:
        names = {f"{arm.replace('_', ' ')},\n{stage_name(stage)}": f"{arm}/{stage}" for arm, stage in arms}
        return {name: _of_models(f"{place}/{{}}/{measure}") for name, place in names.items()}

    told = {
        name: models | {model_name("magnitude"): f"{arm}/magnitude/auc"}
        for (name, models), (arm, _) in zip(each("auc").items(), arms, strict=True)
    }
    rising = {
        f"{epochs} epochs after,\n{stage_name(stage)}": _of_models(
            f"host_kept/{stage}/{{}}/since_detection/{epochs}/auc"
        )
        for stage in _STAGES
        for epochs in _at(tree, f"host_kept/{stage}/rcnn/since_detection")
    }
    return [
        *_intervals(
            tree,
            told,
            "area under the curve",
            "study_arena",
            "The faint arena",
            "How well real supernovae are told from faint stars and asteroids that were put into real frames"
            " at the same magnitudes and in the same conditions (semi-real). Half: not at all.",
            reference=0.5,
        ),
        *_intervals(
            tree,
            rising,
            "area under the curve",
            "study_arena_rising",
            "The arena since the detection",
            "The same, hosts kept, so many epochs after the first 5 sigma detection.",
            reference=0.5,
        ),
        *_intervals(
            tree,
            each("mean_recall"),
            "mean recall",
            "study_arena_classes",
            "Classes in the arena",
            "Mean recall of supernovae and injected classes among all seven. Dotted: chance.",
            reference=1 / len(CLASSES),
        ),
    ]


def _samples(tree: Tree) -> list[Drawing]:
    domain = _domain(tree)
    numbers = sorted(tree.get(domain, {}), key=float)

    def drawn(models: Sequence[str], name: str, title: str, caption: str) -> list[Drawing]:
        found = {
            model_name(model): [
                (float(shots), leaf)
                for shots in numbers
                if (leaf := leaf_of(_at(tree, f"{domain}/{shots}/{model}/{MEAN_RECALL}"))) is not None
            ]
            for model in models
        }
        series = {model: points for model, points in found.items() if points}
        axes = ("labels a class", f"mean recall, {domain} objects")
        return [lines(series, axes, name, title, caption, evenly=True)] if series else []

    learners = (*MAIN_MODELS, "few_real_forest", "forest_without_augmentation")
    others = {model for shots in numbers for model in _at(tree, f"{domain}/{shots}")}.difference(learners)
    return [
        *drawn(
            learners,
            "study_samples",
            "How many labels",
            "Mean recall after 22 samples against the number of labels of each class; 0: simulations alone."
            " The forest has learned from 100 copies of each label, that without augmentation from none.",
        ),
        *drawn(
            sorted(others),
            "study_samples_baselines",
            "What next to nothing tells",
            "The same of what sees next to nothing, and knows the labels alone.",
        ),
    ]


def _ablation(tree: Tree) -> list[Drawing]:
    domain = _domain(tree)
    arms = dict.fromkeys(arm for stage in _STAGES for arm in _at(tree, f"{domain}/{stage}"))
    rows = {
        arm.replace("_", " "): {
            stage_name(stage): f"{domain}/{stage}/{arm}/gain/{MEAN_RECALL}" for stage in _STAGES
        }
        for arm in arms
    }
    axis = "gain in mean recall over the pipeline's own"
    caption = "What each change buys on the target, the same objects and draws compared."
    return _intervals(tree, rows, axis, "study_ablation", "Closing the gap", caption, reference=0.0)


def _gap(tree: Tree) -> list[Drawing]:
    recall = {stage_name(stage): _of_models(f"{stage}/{{}}/gap") for stage in _STAGES}
    told = {
        f"{class_name(label)},\n{stage_name(stage)}": _of_models(f"{stage}/{{}}/domain_auc_by_class/{label}")
        for label in CLASSES
        for stage in _STAGES
    }
    return [
        *_intervals(
            tree,
            recall,
            "simulated less real recall",
            "study_gap_recall",
            "What reality costs",
            "Mean recall on simulated objects less that on the target's, over the classes that both have.",
            reference=0.0,
        ),
        *_intervals(
            tree,
            told,
            "area under the curve",
            "study_gap_told",
            "Simulated told from real",
            "How well a second classifier tells a class's simulated objects from the target's by what the"
            " model makes of them, brightness included. Half: not at all.",
            reference=0.5,
        ),
    ]


def _slices(tree: Tree) -> list[Drawing]:
    spans = _at(tree, "simulated/magnitude")
    differences = {
        f"{span} mag": {"RCNN minus forest": f"simulated/magnitude/{span}/zero_shot/difference"}
        for span in spans
    }
    caption = "The RCNN's accuracy less the forest's on simulated objects (compare the thesis's Figure 4.3)."
    axis, title = "difference of the accuracies", "By brightness"
    by_magnitude = _intervals(tree, differences, axis, "study_magnitude", title, caption, reference=0.0)
    return [*by_magnitude, *_abstention(tree)]


def _abstention(tree: Tree) -> list[Drawing]:
    domain = _domain(tree)
    stage = next((one for one in reversed(_STAGES) if _at(tree, f"{domain}/abstention/{one}")), "")
    found = {
        model_name(model): sorted(
            (float(part) / 100, leaf)
            for part, node in _at(tree, f"{domain}/abstention/{stage}/{model}").items()
            if (leaf := leaf_of(node)) is not None
        )
        for model in MAIN_MODELS
    }
    caption = f"Accuracy on {domain} objects where a model may keep silent about those it is least sure of."
    axes = ("share answered", "accuracy of those answered")
    return [lines(found, axes, "study_abstention", "Silence", caption)] if all(found.values()) else []


def _robustness(tree: Tree) -> list[Drawing]:
    changed = {
        f"{kind.replace('_', ' ')}, {share} %": f"{kind}/{share}"
        for kind, shares in tree.items()
        if isinstance(shares, Mapping)
        for share in shares
    }
    caption = "Change of the accuracy on simulated objects where the conditions differ from the training's."
    drawings = []
    for header, title in (("true_header", "and said so"), ("wrong_header", "and not said")):
        rows = {row: _of_models(f"{place}/{header}/zero_shot/{{}}/change") for row, place in changed.items()}
        name, title = f"study_robustness_{header}", f"Conditions changed, {title}"
        drawings += _intervals(tree, rows, "change of the accuracy", name, title, caption, reference=0.0)
    return drawings


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


def _intervals(
    tree: Tree, places: Places, axis: str, name: str, title: str, caption: str, reference: float
) -> list[Drawing]:
    """`intervals` of the leaves at some places; no picture where there is none of them."""
    found = {
        row: {key: leaf for key, place in series.items() if (leaf := leaf_of(_at(tree, place))) is not None}
        for row, series in places.items()
    }
    rows = {row: leaves for row, leaves in found.items() if leaves}
    return [intervals(rows, axis, name, title, caption, reference)] if rows else []


def _of_models(place: str, models: tuple[str, ...] = MAIN_MODELS) -> dict[str, str]:
    """A place for each model, by its name in words."""
    return {model_name(model): place.format(model) for model in models}


def _domain(tree: Tree) -> str:
    """The domain that a tree is about: the target's before the simulation's."""
    return next((domain for domain in _DOMAINS if tree.get(domain)), _DOMAINS[-1])


def _at(tree: Tree, place: str) -> Any:
    """The node at a place; an empty one where there is none."""
    node: Any = tree
    for name in place.split("/"):
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    return node


_DRAW: Mapping[str, Callable[[Tree], list[Drawing]]] = {
    "controls": _controls,
    "arena": _arena,
    "samples": _samples,
    "ablation": _ablation,
    "gap": _gap,
    "slices": _slices,
    "robustness": _robustness,
    "normalisation": _normalisation,
}

#: The sections that have pictures, in the order in which a sceptic asks for them.
DRAWN = tuple(_DRAW)
