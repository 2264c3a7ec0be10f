"""A small fleet of made-up thermometers. Pure: the same seed gives the same readings."""

from __future__ import annotations

import json
import math
import random

KINDS = (
    ("boiler", 78.0, 6.0),
    ("freezer", -19.0, 1.5),
    ("office", 21.5, 1.5),
    ("pump", 46.0, 5.0),
    ("rack", 31.0, 4.0),
)
"""Name, usual temperature in °C, how far it swings from there."""


class Thermometer:
    """One device: its temperature swings slowly, wanders a little and is never quite still."""

    def __init__(self, number: int, seed: int) -> None:
        """Make a device.

        Args:
            number: from 0; devices of one fleet differ by it, in name and behaviour.
            seed: of the fleet.
        """
        kind, usual, swing = KINDS[number % len(KINDS)]
        self.sensor = f"{kind}-{number // len(KINDS) + 1}"
        # Text seeds give the same sequence on every platform and Python version.
        self._chance = random.Random(f"{seed}/{number}")  # noqa: S311 - make-believe
        self._usual = usual
        self._swing = swing
        self._phase = self._chance.uniform(0, 2 * math.pi)
        self._readings_per_swing = self._chance.uniform(40, 120)
        self._drift = 0.0
        self._count = 0

    @property
    def offset(self) -> float:
        """Where between two readings of the fleet this device sends, 0 to 1, so that not all send at once."""
        return self._phase / (2 * math.pi)

    def reading(self) -> bytes:
        r"""Return the next reading as a line: ``{"sensor":"boiler-1","celsius":81.2}\n``."""
        angle = self._phase + 2 * math.pi * self._count / self._readings_per_swing
        self._count += 1
        self._drift = 0.9 * self._drift + self._chance.gauss(0, self._swing / 20)
        celsius = round(self._usual + self._swing * math.sin(angle) + self._drift, 1)
        return json.dumps({"sensor": self.sensor, "celsius": celsius}, separators=(",", ":")).encode() + b"\n"
