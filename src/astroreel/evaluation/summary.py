"""What the numbers say, in plain words: made from the metrics alone, so that it cannot flatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from astroreel.classes import CLASSES
from astroreel.evaluation.estimate import Estimate
from astroreel.evaluation.metrics import (
    ACCURACY,
    EARLY_RECALL,
    MEAN_RECALL,
    N_BEFORE,
    N_SAMPLES,
    RECALL,
    SINCE_DETECTION,
)
from astroreel.evaluation.names import class_name, model_name, stage_name
from astroreel.evaluation.results import Evaluation

#: Baselines that see next to nothing of an object.
TRIVIAL = ("two_numbers", "magnitude", "epoch_count", "cadence", "border")

_SMALLER = (
    "This is the {scale} scale: far fewer sequences and iterations than the thesis's 30,000 iterations of"
    " 256 sequences, so the thesis's figures beside ours are no like-for-like comparison."
)
_SCATTER_OF_HITS = (
    "The simulator's images (widths, shapes, scatter, texture) were fitted to stars of all HiTS fields, and"
    " when its supernovae begin was compared with the real ones, those tested included; never to a recall."
    " So the recalls from simulations only are not wholly blind."
)


@dataclass(frozen=True)
class Comparison:
    """The RCNN beside the forest in one measure.

    Attributes
    ----------
    title
        What was measured.
    rcnn, forest
        The two values.
    lead
        The RCNN minus the forest, paired.
    thesis
        What the thesis reports for it (section 4.1), in words; empty where it does not.
    """

    title: str
    rcnn: Estimate
    forest: Estimate
    lead: Estimate
    thesis: str = ""

    @property
    def verdict(self) -> str:
        """Who is ahead, and whether it could be chance."""
        span = f"({signed(self.lead.low)} to {signed(self.lead.high)})"
        if self.lead.low > 0:
            return f"RCNN ahead by {points(self.lead.value)} points {span}"
        if self.lead.high < 0:
            return f"RCNN behind by {points(-self.lead.value)} points {span}"
        return f"No clear difference: {signed(self.lead.value)} points {span}"

    @property
    def rcnn_wins(self) -> bool:
        """Whether the RCNN is ahead by more than chance."""
        return self.lead.low > 0


def points(value: float) -> str:
    """A share in percent, or a difference in points, to one decimal."""
    return f"{100 * value:.1f}"


def whole(value: float) -> str:
    """A share in percent without decimals."""
    return f"{100 * value:.0f}"


def signed(value: float) -> str:
    """A difference in points with its sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def comparisons(evaluation: Evaluation) -> list[Comparison]:
    """The measures in which the RCNN and the forest stand side by side, as far as measured."""
    domain = evaluation.target_domain
    real = domain == "real"
    wanted = (
        (
            "Simulated accuracy",
            "simulated",
            "zero_shot",
            ACCURACY,
            "95.3 and 92.3" if evaluation.labelled else "",
        ),
        (
            f"Mean recall on {domain} objects, trained on simulations only",
            domain,
            "zero_shot",
            MEAN_RECALL,
            "85 and 88 over five classes; RCNN 83.75 over the four public ones" if real else "",
        ),
        (
            f"Mean recall on {domain} objects, with a few labels",
            domain,
            "fine_tuned",
            MEAN_RECALL,
            "94 and 94 over five classes" if real else "",
        ),
        ("Simulated accuracy after fine-tuning", "simulated", "fine_tuned", ACCURACY, ""),
    )
    made = [_compare(evaluation, *one) for one in wanted]
    return [one for one in made if one is not None]


def _compare(
    evaluation: Evaluation, title: str, domain: str, stage: str, measure: str, thesis: str
) -> Comparison | None:
    rcnn, forest, lead = (
        evaluation.estimate(domain, model, stage, measure) for model in ("rcnn", "forest", "difference")
    )
    if rcnn is None or forest is None or lead is None:
        return None
    return Comparison(title, rcnn, forest, lead, thesis)


def findings(evaluation: Evaluation) -> list[str]:
    """What was found, a sentence or two each, the unwelcome included."""
    return [
        *_against_the_forest(comparisons(evaluation)),
        *_against_trivial_baselines(evaluation),
        *_against_few_labels_alone(evaluation),
        *_least_recognised(evaluation),
        *_supernovae_before_detection(evaluation),
        *_supernovae_at_detection(evaluation),
        *_forgetting(evaluation),
    ]


def _against_the_forest(compared: Sequence[Comparison]) -> list[str]:
    """Where the RCNN wins and where it does not."""
    lost = [_uncapitalised(one.title) for one in compared if not one.rcnn_wins]
    won = [_uncapitalised(one.title) for one in compared if one.rcnn_wins]
    return [
        *([f"The RCNN does not beat the forest in: {'; '.join(lost)}."] if lost else []),
        *([f"The RCNN beats the forest in: {'; '.join(won)}."] if won else []),
    ]


def _against_trivial_baselines(evaluation: Evaluation) -> list[str]:
    domain, stage = evaluation.target_domain, "fine_tuned"
    found = {
        model: estimate
        for model in TRIVIAL
        if (estimate := evaluation.estimate(domain, model, stage, MEAN_RECALL)) is not None
    }
    if not found:
        return []
    values = _listed([f"{_uncapitalised(model_name(m))} {points(e.value)} %" for m, e in found.items()])
    best = max(found, key=lambda model: found[model].value)
    lead = evaluation.estimate(domain, best, stage, "rcnn_lead", MEAN_RECALL)
    return [
        "Classifiers that see next to nothing and choose only among the classes of the same few labels"
        f" reach a mean recall of: {values}. {_fine_tuned_rcnn_over(best, lead)}"
    ]


def _against_few_labels_alone(evaluation: Evaluation) -> list[str]:
    path = (evaluation.target_domain, "few_real_forest", "fine_tuned")
    alone = evaluation.estimate(*path, MEAN_RECALL)
    if alone is None:
        return []
    lead = evaluation.estimate(*path, "rcnn_lead", MEAN_RECALL)
    both = evaluation.estimate(evaluation.target_domain, "forest", "fine_tuned", MEAN_RECALL)
    beside = f" (with simulations too: {points(both.value)} %)" if both else ""
    return [
        "A forest trained on the few labels alone, with no simulation at all, reaches"
        f" {points(alone.value)} %{beside}. {_fine_tuned_rcnn_over('few_real_forest', lead)}"
    ]


def _least_recognised(evaluation: Evaluation) -> list[str]:
    """The class that a mean over classes hides, before and after fine-tuning."""
    domain = evaluation.target_domain
    parts = []
    for stage in ("zero_shot", "fine_tuned"):
        recalls = {
            label: estimate
            for label in CLASSES
            if (estimate := evaluation.estimate(domain, "rcnn", stage, RECALL, label)) is not None
        }
        if recalls:
            label = min(recalls, key=lambda name: recalls[name].value)
            low, value, high = (whole(getattr(recalls[label], part)) for part in ("low", "value", "high"))
            name = _uncapitalised(class_name(label))
            parts.append(f"{name}, {value} % of them ({low} to {high}), {stage_name(stage)}")
    if not parts:
        return []
    return [f"The class of {domain} objects that the RCNN recognises least: {'; '.join(parts)}."]


def _supernovae_before_detection(evaluation: Evaluation) -> list[str]:
    """How many supernovae are called so before there is a light curve of them."""
    parts = []
    for stage in ("zero_shot", "fine_tuned"):
        path = (evaluation.target_domain, "rcnn", stage)
        early = evaluation.estimate(*path, EARLY_RECALL, "supernova")
        final = evaluation.estimate(*path, RECALL, "supernova")
        if early and final:
            span = f"{points(early.low)} to {points(early.high)}"
            after = f"{points(final.value)} % after {N_SAMPLES}"
            parts.append(f"{points(early.value)} % ({span}; {after}), {stage_name(stage)}")
    if not parts:
        return []
    return [
        f"After {N_BEFORE} images, that is before its first detection in most windows, a"
        f" {evaluation.target_domain} supernova is already called so by the RCNN in: {'; '.join(parts)}."
        " Brightness and surroundings, not the light curve, tell it there."
    ]


def _supernovae_at_detection(evaluation: Evaluation) -> list[str]:
    """How many supernovae are called so when they are first seen, by either model."""
    parts = []
    for stage in ("zero_shot", "fine_tuned"):
        rcnn, forest, lead = (
            evaluation.estimate(evaluation.target_domain, model, stage, SINCE_DETECTION, "0")
            for model in ("rcnn", "forest", "difference")
        )
        if rcnn and forest and lead:
            parts.append(
                f"{points(rcnn.value)} % and {points(forest.value)} %, a difference of {signed(lead.value)}"
                f" points ({signed(lead.low)} to {signed(lead.high)}), {stage_name(stage)}"
            )
    if not parts:
        return []
    return [
        f"At its first detection a {evaluation.target_domain} supernova is called so by the RCNN and by the"
        f" forest in: {'; '.join(parts)}."
    ]


def _fine_tuned_rcnn_over(baseline: str, lead: Estimate | None) -> str:
    """Whether the RCNN is better than a baseline by more than chance."""
    if lead is None:
        return ""
    better = "is better" if lead.low > 0 else "is not shown to be better"
    return (
        f"The fine-tuned RCNN {better} than {_uncapitalised(model_name(baseline))}:"
        f" {signed(lead.value)} points ({signed(lead.low)} to {signed(lead.high)})."
    )


def _forgetting(evaluation: Evaluation) -> list[str]:
    change = evaluation.estimate("simulated", "rcnn", "fine_tuned", "gain", ACCURACY)
    if change is None:
        return []
    return [
        f"Fine-tuning changes the RCNN's accuracy on simulated objects by {signed(change.value)} points"
        f" ({signed(change.low)} to {signed(change.high)})."
    ]


def not_claimed(evaluation: Evaluation, scale: str) -> list[str]:
    """What a reader must not take from the numbers."""
    return [
        *_about_the_target(evaluation),
        "The intervals cover the chance in the objects, fields and draws that were tested; not that of"
        " another pretraining, and not another survey.",
        *_short_supernovae(evaluation),
        *([] if scale == "thesis" else [_SMALLER.format(scale=scale)]),
    ]


def _short_supernovae(evaluation: Evaluation) -> list[str]:
    """How many simulated supernovae end soon after they are detected, where that is most of them."""
    path = ("simulated", "rcnn", "zero_shot", SINCE_DETECTION)
    seen, later = evaluation.estimate(*path, "0"), evaluation.estimate(*path, "2")
    ended = 1 - (later.n if later else 0) / seen.n if seen else 0.0
    if ended <= 0.5:
        return []
    return [
        f"{whole(ended)} % of the simulated supernovae hold at most two images from the first detection on,"
        " so the simulations teach little of how a supernova goes on."
    ]


def _about_the_target(evaluation: Evaluation) -> list[str]:
    if not evaluation.labelled:
        return [
            f"Nothing is said of the real sky: there are no labelled sequences of {evaluation.target} yet,"
            " and how far its simulation is from it is not measured."
        ]
    domain = evaluation.target_domain
    if domain == "surrogate":
        return [
            "Nothing is said of any real sky: the target's objects are simulated too, with another point"
            " spread function, correlated noise and shifted conditions."
        ]
    known = evaluation.target_classes
    absent = [_uncapitalised(class_name(label)) for label in CLASSES if label not in known]
    return [
        *(
            [
                f"There are no real sequences of: {_listed(absent)}. How well these are recognised on the"
                " sky is not measured."
            ]
            if absent
            else []
        ),
        "A high recall does not by itself show that an object was recognised for what it is: where the"
        " classes differ in brightness, brightness alone goes far, as the baselines show.",
        *([_SCATTER_OF_HITS] if evaluation.target == "hits" else []),
    ]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _uncapitalised(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
