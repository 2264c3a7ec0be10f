"""What is recorded: rules such as ``device:boiler-1``, each until a time or until it is taken away.

======================  ==========================================================================================
rule                    records
======================  ==========================================================================================
``device:ID``           the connections on which a device said that it has this id
``connection:ID``       one connection
``listener:NAME``       the connections of one listener
``peer:ADDRESS``        the connections from an address, with its port (``192.0.2.7:50123``) or without
======================  ==========================================================================================

A final ``*`` stands for any rest: ``device:boiler-*``, ``peer:192.0.2.*``, ``listener:*``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

RuleKind = Literal["device", "connection", "listener", "peer"]

MAX_RULES = 100
"""Each is looked at once for every connection that opens."""
MAX_PATTERN = 255
"""Characters of what stands behind the colon."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `parse_rule` makes it, ``str`` writes it.

    Attributes:
        kind: what it looks at.
        pattern: what that must be; a final ``*`` stands for any rest.
    """

    kind: RuleKind
    pattern: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.pattern}"

    def matches(self, value: str) -> bool:
        """Return True if it means this id, name or address."""
        if self.pattern.endswith("*"):
            return value.startswith(self.pattern[:-1])
        return value == self.pattern

    def means_device(self, device_id: str) -> bool:
        """Return True if it is about devices, and means this one."""
        return self.kind == "device" and self.matches(device_id)

    def means_connection(self, connection_id: str, listener: str, peer: str) -> bool:
        """Return True if it means this connection, whoever speaks on it.

        Args:
            connection_id: its id.
            listener: the name of its listener.
            peer: its address, ``192.0.2.7:50123``, ``[2001:db8::7]:50123`` or ``unix``.
        """
        match self.kind:
            case "device":
                return False
            case "connection":
                return self.matches(connection_id)
            case "listener":
                return self.matches(listener)
            case "peer":
                host = peer.rpartition(":")[0].strip("[]")
                return self.matches(peer) or (host != "" and self.matches(host))


def parse_rule(text: str) -> Rule:
    """Return the rule in ``KIND:PATTERN``.

    Raises:
        ValueError: it is none; the message says what is missing, and is for users.
    """
    kind, colon, pattern = text.partition(":")
    if not colon or kind not in get_args(RuleKind):
        raise ValueError(f"{text[:80]!r} is no rule: write device:ID, connection:ID, listener:NAME or peer:ADDRESS")
    if not 1 <= len(pattern) <= MAX_PATTERN or not pattern.isprintable():
        raise ValueError(f"{text[:80]!r} is no rule: 1 to {MAX_PATTERN} printable characters belong behind the colon")
    return Rule(cast("RuleKind", kind), pattern)


class Rules:
    """The rules that hold now, and until when."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[Rule, float | None] = {}

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, rule: object) -> bool:
        return rule in self._until

    def items(self) -> list[tuple[Rule, float | None]]:
        """Return each rule with its end, None for none, in the order in which they came."""
        return list(self._until.items())

    def add(self, rule: Rule, until: float | None) -> None:
        """Add a rule; one that is there already gets the new end.

        Raises:
            ValueError: there are a hundred others.
        """
        if rule not in self._until and len(self._until) >= MAX_RULES:
            raise ValueError(f"{MAX_RULES} rules hold already; take some away, or use a * at the end of one")
        self._until[rule] = until

    def remove(self, rule: Rule) -> bool:
        """Take a rule away; False if it is not there."""
        if rule not in self._until:
            return False
        del self._until[rule]
        return True

    def expire(self, now: float) -> list[Rule]:
        """Take away and return the rules whose end is not after ``now``."""
        over = [rule for rule, until in self._until.items() if until is not None and until <= now]
        for rule in over:
            del self._until[rule]
        return over

    def next_end(self) -> float | None:
        """Return when the next rule ends; None if none does."""
        return min((until for until in self._until.values() if until is not None), default=None)

    @property
    def has_devices(self) -> bool:
        """True if some rule is about devices, so that each new connection may turn out to be meant."""
        return any(rule.kind == "device" for rule in self._until)

    def mean_device(self, device_id: str) -> bool:
        """Return True if a rule means this device."""
        return any(rule.means_device(device_id) for rule in self._until)

    def mean_connection(self, connection_id: str, listener: str, peer: str) -> bool:
        """Return True if a rule means this connection; see `Rule.means_connection`."""
        return any(rule.means_connection(connection_id, listener, peer) for rule in self._until)
