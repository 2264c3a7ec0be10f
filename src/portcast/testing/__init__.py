"""For tests of apps that use Portcast: devices without sockets, time without sleeping, contracts for your own code."""

from portcast.testing.clock import ManualClock
from portcast.testing.codec_contract import check_codec
from portcast.testing.device import TestDevice
from portcast.testing.framing_contract import check_framing
from portcast.testing.golden_frames import GoldenFrame, check_golden, golden, parse_golden
from portcast.testing.lifespan import free_ports, in_memory, without_sockets
from portcast.testing.sockets import RunningApp, ServedApp, running, serving
from portcast.testing.splits import every_split, pieces, splits
from portcast.testing.subscription import Close, Gap, Subscription, collect
from portcast.testing.sync import SyncDevice, SyncSubscription, TestGateway

__all__ = [
    "Close",
    "Gap",
    "GoldenFrame",
    "ManualClock",
    "RunningApp",
    "ServedApp",
    "Subscription",
    "SyncDevice",
    "SyncSubscription",
    "TestDevice",
    "TestGateway",
    "check_codec",
    "check_framing",
    "check_golden",
    "collect",
    "every_split",
    "free_ports",
    "golden",
    "in_memory",
    "parse_golden",
    "pieces",
    "running",
    "serving",
    "splits",
    "without_sockets",
]
