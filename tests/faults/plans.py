"""What the fault proxy does to one connection, and a seeded source of such plans.

A plan is a value: its ``repr`` is what a failed test prints and what replays it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["none", "freeze", "half_close", "close", "reset"]


@dataclass(frozen=True, slots=True)
class Way:
    """What happens to the bytes of one direction.

    Attributes:
        pieces: sizes in which bytes are passed on, over and over; empty passes them on as they come.
        delay_s: before each piece.
        rate: bytes per second; 0 is no limit.
        after: so many bytes are passed on before the fault.
        fault: ``freeze`` reads nothing more and lets nobody know; ``half_close`` ends this direction in order;
            ``close`` ends both in order; ``reset`` ends both with RST.
        freeze_s: how long it is frozen, then bytes are passed on again.
    """

    pieces: tuple[int, ...] = ()
    delay_s: float = 0.0
    rate: float = 0.0
    after: int = 0
    fault: Fault = "none"
    freeze_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Both directions of one connection: ``up`` towards the server."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)


ONE_BYTE = Way(pieces=(1,))
"""Every byte is a read of its own, as far as the kernel lets it."""


class Schedule:
    """Plans by chance, the same for the same seed: each connection takes the next one."""

    def __init__(self, seed: int, *, harms: Literal["up", "down"], most_bytes: int = 4000) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._harms = harms
        self._most_bytes = most_bytes

    def next(self) -> Plan:
        """Return the plan of the next connection; at most half of them end it before its time."""
        is_harmful = self._chance.random() < 0.6
        return Plan(
            self._way(is_harmful=is_harmful and self._harms == "up"),
            self._way(is_harmful=is_harmful and self._harms == "down"),
        )

    def _way(self, *, is_harmful: bool) -> Way:
        chance = self._chance
        most = self._most_bytes // 20
        single = (1,) if most <= 200 else (1,) * 50 + (most,)
        pieces = chance.choice([(), (), single, (7, 1, most // 2), tuple(chance.randrange(1, most) for _ in range(5))])
        delay_s = chance.choice([0.0, 0.0, 0.0, 0.001]) if len(pieces) == 5 else 0.0
        fault: Fault = chance.choice(["freeze", "half_close", "close", "reset"]) if is_harmful else "none"
        return Way(pieces, delay_s, 0.0, chance.randrange(self._most_bytes), fault, chance.choice([0.05, 0.3]))
