"""What the gate concludes of a version, as JSON and as a page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from astroreel.files import write_text
from astroreel.governance.rules import Rule

Word = Literal["passed", "failed", "inconclusive", "error"]

JSON, PAGE = "verdict.json", "verdict.html"


@dataclass(frozen=True)
class Verdict:
    """What the gate concludes.

    Attributes
    ----------
    model, version, bundle
        What was gated, and its bundle's digest.
    word
        passed, failed, inconclusive or error.
    reason
        In one line: which rules were not passed, or why nothing could be measured.
    target
        The domain of the hold-out.
    mode, policy
        The policy's mode and digest.
    power_at
        Gain at which the rules' power is stated.
    holdout, look, level
        The hold-out's digest, how many versions of this model have been measured on it, this one included,
        and the one-sided level that is left for each bound.
    compared
        Digests of the bundles that it was compared with: ``champion``, ``forest``, ``parent``.
    class_changes
        Recall of each class minus the champion's.
    rules
        What was measured, in the policy's order.
    """

    model: str
    version: int
    bundle: str
    word: Word
    reason: str
    target: str
    mode: str
    policy: str
    power_at: float
    holdout: str = ""
    look: int = 0
    level: float = 0.0
    compared: dict[str, str] = field(default_factory=dict)
    class_changes: dict[str, float] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @property
    def measured(self) -> str:
        """What was measured, in one line."""
        return "; ".join(_measured(rule) for rule in self.rules if rule.value is not None)

    def to_json(self) -> str:
        """The report; equal verdicts are equal bytes."""
        return json.dumps(_rounded(asdict(self)), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Verdict:
        """What `to_json` gave; its digest is the same."""
        content = json.loads(text)
        return cls(**content | {"rules": tuple(Rule(**rule) for rule in content["rules"])})

    @property
    def digest(self) -> str:
        """Hexadecimal sha256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def write(self, folder: Path) -> list[Path]:
        """Write report and page into a folder."""
        # Pages load matplotlib, which reading a verdict does not need.
        from astroreel.evaluation.page import render_page

        write_text(folder / JSON, self.to_json())
        render_page(folder / PAGE, PAGE, Path(__file__).parent, verdict=self)
        return [folder / JSON, folder / PAGE]


def conclude(rules: Sequence[Rule]) -> tuple[Word, str]:
    """The verdict that follows from all rules, and its reason: one failed fails, every one must pass."""
    words: tuple[Word, ...] = ("failed", "inconclusive")
    for word in words:
        names = [_told(rule) for rule in rules if rule.outcome == word]
        if names:
            return word, "; ".join(names)
    return "passed", ""


def _told(rule: Rule) -> str:
    if rule.value is None:
        return f"{rule.name}: {rule.note}"
    side = "at least" if rule.at_least else "at most"
    return f"{_measured(rule)}, {side} {rule.threshold:g} needed"


def _measured(rule: Rule) -> str:
    if rule.low is None:
        return f"{rule.name} {rule.value:g}"
    return f"{rule.name} {rule.value:.3g} ({rule.low:.3g} to {rule.high:.3g})"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
