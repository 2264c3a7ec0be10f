"""Who sent what and who saw what, and whether the promises hold: order, nothing twice, nothing lost in silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Sent:
    """The numbered messages of one connection of a device, ``<name>:<number>`` from 0 on."""

    name: str
    number: int = 0
    is_whole: bool = True
    """False if its plan ends it with bytes still on the way: then any beginning of it may have arrived."""


@dataclass(slots=True)
class Seen:
    """What one subscriber has got: messages, and how many it was told to have missed."""

    name: str
    messages: list[str] = field(default_factory=list)
    missed: int = 0


class Ledger:
    """Both sides, and the judgement."""

    def __init__(self) -> None:
        self.sent: dict[str, Sent] = {}
        self.seen: list[Seen] = []

    def connection(self, name: str, *, is_whole: bool) -> Sent:
        """Open the account of a device's connection."""
        assert name not in self.sent
        self.sent[name] = Sent(name, is_whole=is_whole)
        return self.sent[name]

    def subscriber(self, name: str) -> Seen:
        """Open the account of a subscriber."""
        self.seen.append(Seen(name))
        return self.seen[-1]

    def problems(self) -> list[str]:
        """Return everything that breaks a promise, in words; empty if all hold.

        The first subscriber is the reference: it must have everything, because nothing harms it.
        """
        reference = self.seen[0]
        return [*self._arrived(reference), *(one for seen in self.seen[1:] for one in _compared(seen, reference))]

    def _arrived(self, seen: Seen) -> list[str]:
        found = []
        numbers: dict[str, list[int]] = {name: [] for name in self.sent}
        for message in seen.messages:
            name, _, number = message.partition(":")
            if name not in numbers or not number.isdigit():
                found.append(f"{seen.name} saw {message!r}, which nobody sent")
                continue
            numbers[name].append(int(number))
        if seen.missed:
            found.append(f"{seen.name} missed {seen.missed}")
        for name, got in numbers.items():
            sent = self.sent[name]
            if got != list(range(len(got))):
                found.append(f"{name}: out of order, twice or with a hole: {got[:20]}")
            elif len(got) > sent.number or (sent.is_whole and len(got) != sent.number):
                found.append(f"{name}: {len(got)} of {sent.number} arrived")
        return found


def _compared(seen: Seen, reference: Seen) -> list[str]:
    """Say where a subscriber saw something else than the reference, but for holes that it was told of."""
    place = {message: index for index, message in enumerate(reference.messages)}
    unknown = [message for message in seen.messages if message not in place]
    if unknown:
        return [f"{seen.name} saw {unknown[:3]}, which the reference did not see"]
    places = [place[message] for message in seen.messages]
    if any(later <= earlier for earlier, later in pairwise(places)):
        return [f"{seen.name} saw messages twice or in another order"]
    holes = len(reference.messages) - places[0] - len(places) if places else len(reference.messages)
    return [f"{seen.name}: {holes} are missing, of {seen.missed} it was told"] if holes != seen.missed else []
