"""How long to wait before the next try of something that may be away for a moment or a day."""

from __future__ import annotations

import random

FIRST_S = 0.5
MOST_S = 10.0


class Backoff:
    """Doubles from 0.5 s to 10 s, each up to a quarter shorter by chance, so that many clients do not come at once."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._tries = 0

    def next_s(self) -> float:
        """Return the seconds to wait after one more failure."""
        delay = min(MOST_S, FIRST_S * 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        return delay * (1 - self._chance.random() / 4)

    def reset(self) -> None:
        """Begin anew after a success."""
        self._tries = 0
