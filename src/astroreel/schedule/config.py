"""The section ``schedule`` of params.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ScheduleConfig(BaseModel):
    """When a pass begins, what it may cost, where its data are committed and who is told.

    Attributes
    ----------
    labels, labels_a_class
        New labels that begin a pass: in all, or of any one class.
    age_days
        A pass also begins when the oldest new label has waited this long.
    drift
        Chance of a false alarm, over all that is compared, at which drift of the unlabelled stream begins a
        pass with fewer labels; 0: it is not looked for.
    cool_down_hours
        Least time from the end of one pass to the beginning of the next.
    minutes
        After which a pass gives its fine-tuning up.
    runs_a_day
        Most passes within 24 hours, failed ones included.
    every_minutes
        Time between two ticks of ``astroreel schedule run``.
    branch
        The git branch that the labelled set is committed on; ``current``: the one checked out.
    address
        Of a Ray cluster on which the candidates are compared; None: here.
    webhook
        URL that is sent each pass's record as JSON; None: none.
    command
        Program with its arguments that gets each pass's message on its standard input, such as
        ``[mail, -s, astroreel, vera@example.org]``; empty: none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: int = Field(20, ge=1)
    labels_a_class: int = Field(10, ge=1)
    age_days: float = Field(14.0, gt=0)
    drift: float = Field(0.01, ge=0, lt=1)
    cool_down_hours: float = Field(6.0, ge=0)
    minutes: float = Field(60.0, gt=0)
    runs_a_day: int = Field(4, ge=1)
    every_minutes: float = Field(10.0, gt=0)
    branch: str = Field("astroreel/labelled", min_length=1)
    address: str | None = None
    webhook: str | None = Field(None, pattern=r"^https?://")
    command: tuple[str, ...] = ()
