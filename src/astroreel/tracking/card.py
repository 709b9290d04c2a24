"""The description of a version in the registry: what it is, from what, how good, how to use it."""

from __future__ import annotations

from collections.abc import Mapping

_SURROGATE = (
    "**Target: surrogate.** It was measured on a simulated stand-in for a survey, not on real data; "
    "its figures say nothing of a survey.\n\n"
)


def version_card(name: str, digest: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """Markdown for a version's page, from its tags (see :mod:`astroreel.tracking.registry`)."""
    data = [
        f"| `{key.removeprefix('data.')}` | `{tags[key]}` |"
        for key in sorted(tags)
        if key.startswith("data.")
    ]
    figures = [f"| {key} | {value:.4g} |" for key, value in metrics.items()]
    lines = [
        f"Classifier of image sequences, {tags['training']}, for the target domain `{tags['target']}`, "
        f"at scale `{tags['scale']}`.",
        "",
        f"- bundle: `{digest}`",
        f"- code: commit `{tags.get('git.commit', 'unknown')}`, dirty: {tags.get('git.dirty', 'unknown')}",
        f"- fine-tuned from: {tags.get('parent', 'none')}",
    ]
    if figures:
        lines += ["", "| figure | value |", "|---|---|", *figures]
    if data:
        lines += ["", "| data | md5 |", "|---|---|", *data]
    lines += ["", f"Use: `astroreel classify PATH --model models:/{name}/VERSION --out FILE.csv`"]
    warning = _SURROGATE if tags["target"] == "surrogate" else ""
    return warning + "\n".join(lines) + "\n"
