"""The model that the typed servers validate, ours and the tutorial's alike."""

from __future__ import annotations

from pydantic import BaseModel


class Reading(BaseModel):
    """One line of `benchmarks.lines.json_line`."""

    sensor: str
    celsius: float
    pressure: float
    sequence: int
    valid: bool
    unit: str
