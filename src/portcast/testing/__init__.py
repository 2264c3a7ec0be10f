"""For tests of apps that use Portcast: devices without sockets, time without sleeping, contracts for your own code."""

from portcast.testing.clock import ManualClock
from portcast.testing.device import TestDevice
from portcast.testing.lifespan import free_ports, in_memory, without_sockets
from portcast.testing.splits import every_split, pieces, splits
from portcast.testing.subscription import Close, Gap, Subscription, collect

__all__ = [
    "Close",
    "Gap",
    "ManualClock",
    "Subscription",
    "TestDevice",
    "collect",
    "every_split",
    "free_ports",
    "in_memory",
    "pieces",
    "splits",
    "without_sockets",
]
