"""How models, stages and classes are called in figures and in the report."""

from __future__ import annotations

_MODELS = {
    "rcnn": "RCNN",
    "forest": "Forest",
    "few_real_forest": "Forest on the few labels alone",
    "two_numbers": "Brightness and scatter",
    "magnitude": "Brightness alone",
    "epoch_count": "Number of epochs alone",
    "cadence": "Times of the images alone",
    "border": "Texture of the border alone",
}
_STAGES = {"zero_shot": "simulations only", "fine_tuned": "with a few labels"}
_CLASSES = {"rr_lyrae": "RR Lyrae", "non_variable": "Non-variable"}

#: The models that the project is about; all others are baselines.
MAIN_MODELS = ("rcnn", "forest")


def model_name(model: str) -> str:
    """A model's name in words."""
    return _MODELS.get(model, _words(model))


def stage_name(stage: str) -> str:
    """A stage's name in words."""
    return _STAGES[stage]


def class_name(label: str) -> str:
    """A class's name in words."""
    return _CLASSES.get(label, _words(label))


def is_baseline(model: str) -> bool:
    """Whether a model is there only to put the others' numbers in their place."""
    return model not in MAIN_MODELS


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
