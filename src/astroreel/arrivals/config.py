"""Section ``inbox`` of params.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class InboxConfig(BaseModel):
    """How arrivals are taken in.

    Attributes
    ----------
    reserve
        Share of the new fields whose labelled objects are kept for the hold-out.
    watch
        A folder or bucket to fetch from, any URL of fsspec (``s3://bucket/folder``); empty: none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reserve: float = Field(0.2, ge=0, lt=1)
    watch: str = ""
