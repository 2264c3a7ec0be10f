"""What a node finds around it: its clock, where its listeners bind, and where the numbers of commands begin.

Outside of tests that is the running loop, the address that was declared, and anywhere. A test kit cannot hand anything
to a gateway that is buried in somebody's application, so it says here what the gateways that start within its block
shall find. A context variable, because a server starts the application in a task of its own, which inherits it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import SystemRandom

from portcast.address import Address
from portcast.runtime.clock import Clock

Placement = Callable[[Address], Address | None]
"""Returns where to bind instead of a declared address; None: nowhere, connections come from `Listener.adopt` alone."""


def as_declared(address: Address) -> Address:
    """Return the address as it is."""
    return address


def anywhere() -> int:
    """Return the number of a device's first command: at random, for a late answer may be older than this process."""
    return SystemRandom().randrange(1, 1 << 31)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """See the theory on top of the module.

    Attributes:
        clock: measures deadlines, patience and ages; the running loop if None.
        place: where listeners bind.
        first_number: returns the number of a device's first command, from 1; asked once for each device.
    """

    clock: Clock | None = None
    place: Placement = as_declared
    first_number: Callable[[], int] = anywhere


surroundings: ContextVar[Surroundings] = ContextVar("portcast_surroundings")
"""What gateways find that start in this context; unset outside of tests."""
