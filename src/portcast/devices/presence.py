"""What the roster tells: its decisions about connections, and devices as they are at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from portcast.types import ConnectionId, DeviceId


class DeviceStatus(Enum):
    """See the table on top of `portcast.devices.roster`."""

    ONLINE = "online"
    OFFLINE = "offline"
    QUARANTINED = "quarantined"


RejectReason = Literal["connected", "unknown", "roster_full", "connection_full"]
"""Why a device was not attached:

* ``connected``: it has another connection, and takeover is ``reject``.
* ``unknown``: nobody announced it, and unknown devices are rejected.
* ``roster_full``: as many devices as may be remembered have a connection, or are known.
* ``connection_full``: this connection speaks for as many devices as it may.
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The device is attached; its messages are to be handled.

    Attributes:
        came_online: True if it had no connection before: its presence changed.
        replaced: the connections that lost it.
        to_close: those of them that have no other device, and are to be closed.
        forgotten: the device that had to give way; None if there was room.
    """

    came_online: bool = False
    replaced: tuple[ConnectionId, ...] = ()
    to_close: tuple[ConnectionId, ...] = ()
    forgotten: DeviceId | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The device is attached, but its messages are to go nowhere until it is approved.

    Attributes:
        replaced: as in `Accepted`.
        to_close: as in `Accepted`.
        forgotten: as in `Accepted`.
    """

    replaced: tuple[ConnectionId, ...] = ()
    to_close: tuple[ConnectionId, ...] = ()
    forgotten: DeviceId | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The device is not attached.

    Attributes:
        reason: why.
        holder: the connection that has the device, if that is the reason.
    """

    reason: RejectReason
    holder: ConnectionId | None = None


Attachment: TypeAlias = Accepted | Quarantined | Rejected


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device at one moment.

    Attributes:
        device_id: which.
        status: see the table on top of `portcast.devices.roster`.
        is_known: True if it was configured or approved.
        first_seen: when it was first attached; None if it never was.
        last_seen: when it was last attached, detached or heard of; None if it never was.
        address: where its newest connection came from; empty if it never had one, or that is not known.
        connections: oldest first.
        attached: how often it got a connection.
        frames: messages that came from it.
        payload_bytes: of these messages.
        tags: what the application says of it.
    """

    device_id: DeviceId
    status: DeviceStatus
    is_known: bool
    first_seen: float | None
    last_seen: float | None
    address: str
    connections: tuple[ConnectionId, ...]
    attached: int
    frames: int
    payload_bytes: int
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Some devices in the order of their ids.

    Attributes:
        devices: at most as many as were asked for.
        after: where the next page begins; None if this is the last. A page may be short, even empty, and not the last.
    """

    devices: tuple[DeviceInfo, ...]
    after: DeviceId | None


@dataclass(frozen=True, slots=True)
class RosterStatistics:
    """How many there are, and how many there were not."""

    online: int
    offline: int
    quarantined: int
    replaced: int
    rejected: int
    forgotten: int
