"""The devices that are known, and the connections that each has.

=============  ======================================  ==========================  ===========================
status         entered when                            its messages                ends when
=============  ======================================  ==========================  ===========================
online         it has a connection                     are handled                 the last connection is gone
offline        it has none                             (there are none)            attached, or forgotten
quarantined    it is unknown, and the rule says so     go nowhere                  approved, or forgotten
=============  ======================================  ==========================  ===========================

A quarantined device may have connections or not. *Known* devices, which were configured or approved, are never
forgotten and never quarantined. Of the others the one that is without a connection longest gives way when there are too
many; if all have one, a new device is refused.

A device and a connection are attached to each other in both directions, always: ``c in device.connections`` exactly if
``device in devices_of(c)``. What `attach` takes from another connection is gone at once, so that the end of that
connection, whenever it comes, does not touch the device.

Times are those of the shell's clock. This file must not know what a connection is, or how a device said who it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from types import MappingProxyType

from portcast.devices.options import DeviceOptions
from portcast.devices.presence import (
    Accepted,
    Attachment,
    DeviceInfo,
    DevicePage,
    DeviceStatus,
    Quarantined,
    Rejected,
    RosterStatistics,
)
from portcast.errors import ConfigurationError
from portcast.types import ConnectionId, DeviceId


class _Device:
    """One entry of the roster."""

    __slots__ = (
        "address",
        "attached",
        "connections",
        "first_seen",
        "frames",
        "is_known",
        "is_quarantined",
        "last_seen",
        "payload_bytes",
        "tags",
    )

    def __init__(self, *, is_known: bool, is_quarantined: bool) -> None:
        self.is_known = is_known
        self.is_quarantined = is_quarantined
        self.first_seen: float | None = None
        self.last_seen: float | None = None
        self.address = ""
        # A list: nearly every device has one.
        self.connections: list[ConnectionId] = []
        self.attached = 0
        self.frames = 0
        self.payload_bytes = 0
        self.tags: Mapping[str, str] = _NO_TAGS

    @property
    def status(self) -> DeviceStatus:
        if self.is_quarantined:
            return DeviceStatus.QUARANTINED
        return DeviceStatus.ONLINE if self.connections else DeviceStatus.OFFLINE


_NO_TAGS: Mapping[str, str] = MappingProxyType({})

_SCANNED = 1_000
"""Devices that a page with a filter looks at, so that a rare status among many devices does not hold the loop up."""


def checked_tags(device_id: DeviceId, tags: object) -> Mapping[str, str]:
    """Return what is said of a device, as nobody can change it any more.

    Raises:
        ConfigurationError: names or values are no text; lists of devices could then be neither searched nor written.
    """
    if not isinstance(tags, Mapping):
        problem = f"are {type(tags).__name__}"
    elif odd := [one for one in (*tags, *tags.values()) if not isinstance(one, str)]:
        problem = f"hold {odd[0]!r:.80}"
    else:
        return MappingProxyType(dict(tags))
    raise ConfigurationError(f"tags of {device_id!r}", problem, "give text by text, such as {'site': 'north'}")


class Roster:
    """All devices of a process."""

    __slots__ = (
        "_connections",
        "_counts",
        "_devices",
        "_forgettable",
        "_forgotten",
        "_ids",
        "_options",
        "_rejected",
        "_replaced",
    )

    def __init__(self, options: DeviceOptions) -> None:
        self._options = options
        self._devices: dict[DeviceId, _Device] = {}
        # The same ids in order, for pages.
        self._ids: list[DeviceId] = []
        self._connections: dict[ConnectionId, list[DeviceId]] = {}
        # Unknown devices without a connection, those without one longest first; a dict as an ordered set.
        self._forgettable: dict[DeviceId, None] = {}
        self._counts = dict.fromkeys(DeviceStatus, 0)
        self._replaced = 0
        self._rejected = 0
        self._forgotten = 0

    def __contains__(self, device_id: object) -> bool:
        return device_id in self._devices

    def __len__(self) -> int:
        return len(self._devices)

    def preload(self, device_id: DeviceId, tags: Mapping[str, str] = _NO_TAGS) -> None:
        """Make a device known before it connects, as configured; a device that is there already becomes known.

        Raises:
            ConfigurationError: more devices than may be remembered.
        """
        if device_id not in self._devices:
            if len(self._devices) >= self._options.max_devices and not self._forgettable:
                problem = f"no room for {device_id!r} beside {len(self._devices)} others"
                raise ConfigurationError("DeviceOptions.max_devices", problem, "allow more devices")
            self._make_room()
            self._add(device_id, _Device(is_known=True, is_quarantined=False))
        self.approve(device_id)
        if tags:
            self.tag(device_id, tags)

    def attach(
        self,
        device_id: DeviceId,
        connection_id: ConnectionId,
        now: float,
        *,
        address: str = "",
        is_known: bool = False,
    ) -> Attachment:
        """Decide about a device that said who it is on a connection.

        Said again on the same connection, as devices do after a pause, it is accepted and changes nothing.

        Args:
            device_id: a valid id.
            connection_id: the connection; it may have other devices.
            now: the time.
            address: where the connection comes from.
            is_known: True if the application vouches for the device, by a lookup of its own.
        """
        device = self._devices.get(device_id)
        if is_known and device is not None:
            self.approve(device_id)
        refused = self._refusal(device_id, device, connection_id, is_known=is_known)
        if refused is not None:
            self._rejected += 1
            return refused
        forgotten = None
        if device is None:
            forgotten = self._make_room()
            is_quarantined = self._options.unknown == "quarantine" and not is_known
            device = _Device(is_known=is_known, is_quarantined=is_quarantined)
            self._add(device_id, device)
        device.last_seen = now
        if connection_id in device.connections:
            return Quarantined() if device.is_quarantined else Accepted()
        came_online = not device.connections
        replaced = tuple(device.connections) if self._options.takeover == "replace" else ()
        to_close = tuple(old for old in replaced if self._connections[old] == [device_id])
        for old in replaced:
            self._separate(device_id, device, old)
        self._join(device_id, device, connection_id)
        self._replaced += len(replaced)
        device.address = address
        device.attached += 1
        if device.first_seen is None:
            device.first_seen = now
        if device.is_quarantined:
            return Quarantined(replaced, to_close, forgotten)
        return Accepted(came_online, replaced, to_close, forgotten)

    def _refusal(
        self, device_id: DeviceId, device: _Device | None, connection_id: ConnectionId, *, is_known: bool
    ) -> Rejected | None:
        if device is None:
            if self._options.unknown == "reject" and not is_known:
                return Rejected("unknown")
            if len(self._devices) >= self._options.max_devices and not self._forgettable:
                return Rejected("roster_full")
        elif connection_id in device.connections:
            return None
        elif device.connections and self._options.takeover == "reject":
            return Rejected("connected", device.connections[0])
        if len(self._connections.get(connection_id, ())) >= self._options.max_devices_per_connection:
            return Rejected("connection_full")
        return None

    def detach(self, connection_id: ConnectionId, now: float) -> tuple[DeviceId, ...]:
        """Note that a connection has ended, and return the devices that are left without one and were online."""
        left = tuple(self._connections.get(connection_id, ()))
        return tuple(device_id for device_id in left if self.detach_device(device_id, connection_id, now))

    def detach_device(self, device_id: DeviceId, connection_id: ConnectionId, now: float) -> bool:
        """Note that one device has left a connection that goes on; True if it is offline now and was online before."""
        device = self._devices.get(device_id)
        if device is None or connection_id not in device.connections:
            return False
        was_online = device.status is DeviceStatus.ONLINE
        self._separate(device_id, device, connection_id)
        device.last_seen = now
        return was_online and not device.connections

    def heard(self, device_id: DeviceId, now: float, frames: int, payload_bytes: int) -> None:
        """Count what came from a device; one that was forgotten meanwhile is passed over."""
        device = self._devices.get(device_id)
        if device is not None:
            # A first message came before its device was attached, by as long as the application looked it up.
            if device.last_seen is None or device.last_seen < now:
                device.last_seen = now
            device.frames += frames
            device.payload_bytes += payload_bytes

    def approve(self, device_id: DeviceId) -> tuple[ConnectionId, ...]:
        """Make a device known, and return its connections if it was quarantined: it is online from now on.

        Returns:
            Nothing if it was not quarantined, has no connection, or is not there.
        """
        device = self._devices.get(device_id)
        if device is None:
            return ()
        was_quarantined, before = device.is_quarantined, device.status
        device.is_known, device.is_quarantined = True, False
        self._update(device_id, device, before)
        return tuple(device.connections) if was_quarantined else ()

    def tag(self, device_id: DeviceId, tags: Mapping[str, str]) -> bool:
        """Say something of a device, in place of what was said before; False if it is not there.

        Raises:
            ConfigurationError: as `checked_tags`.
        """
        device = self._devices.get(device_id)
        if device is None:
            return False
        device.tags = checked_tags(device_id, tags)
        return True

    def forget(self, device_id: DeviceId) -> tuple[ConnectionId, ...]:
        """Remove a device, known or not, and return the connections that lost it."""
        device = self._devices.get(device_id)
        if device is None:
            return ()
        connections = tuple(device.connections)
        for connection_id in connections:
            self._separate(device_id, device, connection_id)
        self._counts[device.status] -= 1
        self._forgettable.pop(device_id, None)
        del self._devices[device_id]
        del self._ids[bisect_left(self._ids, device_id)]
        self._forgotten += 1
        return connections

    def get(self, device_id: DeviceId) -> DeviceInfo | None:
        """Return a device as it is now; None if it is not there."""
        device = self._devices.get(device_id)
        return None if device is None else _info(device_id, device)

    def devices_of(self, connection_id: ConnectionId) -> tuple[DeviceId, ...]:
        """Return the devices of a connection, in the order in which they came."""
        return tuple(self._connections.get(connection_id, ()))

    def page(
        self, after: str = "", limit: int = 100, status: DeviceStatus | None = None, search: str = ""
    ) -> DevicePage:
        """Return devices in the order of their ids.

        Args:
            after: the id behind which the page begins, there or not; empty for the first page.
            limit: how many devices, at least 1.
            status: only devices of this status. At most 1000 are looked at, so the page may be short.
            search: only devices whose id, address or tags contain this, in any case; likewise.
        """
        needle = search.lower()
        begin = bisect_right(self._ids, after) if after else 0
        found: list[DeviceInfo] = []
        end = begin
        for device_id in self._ids[begin : begin + _SCANNED]:
            end += 1
            device = self._devices[device_id]
            if (status is None or device.status is status) and _shows(device_id, device, needle):
                found.append(_info(device_id, device))
                if len(found) == limit:
                    break
        return DevicePage(tuple(found), self._ids[end - 1] if begin < end < len(self._ids) else None)

    def statistics(self) -> RosterStatistics:
        """Return how many devices there are, by status, and what happened to others."""
        counts = self._counts
        return RosterStatistics(
            online=counts[DeviceStatus.ONLINE],
            offline=counts[DeviceStatus.OFFLINE],
            quarantined=counts[DeviceStatus.QUARANTINED],
            replaced=self._replaced,
            rejected=self._rejected,
            forgotten=self._forgotten,
        )

    def _make_room(self) -> DeviceId | None:
        """Forget a device if there is no room for another; the caller knows that one can be."""
        if len(self._devices) < self._options.max_devices:
            return None
        oldest = next(iter(self._forgettable))
        self.forget(oldest)
        return oldest

    def _add(self, device_id: DeviceId, device: _Device) -> None:
        self._devices[device_id] = device
        insort(self._ids, device_id)
        self._counts[device.status] += 1
        self._update(device_id, device, device.status)

    def _join(self, device_id: DeviceId, device: _Device, connection_id: ConnectionId) -> None:
        before = device.status
        device.connections.append(connection_id)
        self._connections.setdefault(connection_id, []).append(device_id)
        self._update(device_id, device, before)

    def _separate(self, device_id: DeviceId, device: _Device, connection_id: ConnectionId) -> None:
        before = device.status
        device.connections.remove(connection_id)
        others = self._connections[connection_id]
        others.remove(device_id)
        if not others:
            del self._connections[connection_id]
        self._update(device_id, device, before)

    def _update(self, device_id: DeviceId, device: _Device, before: DeviceStatus) -> None:
        """Keep the counts and the order of forgetting true, after a device changed."""
        self._counts[before] -= 1
        self._counts[device.status] += 1
        if device.is_known or device.connections:
            self._forgettable.pop(device_id, None)
        else:
            self._forgettable.setdefault(device_id)


def _shows(device_id: DeviceId, device: _Device, needle: str) -> bool:
    """Return True if something that a reader sees of a device contains ``needle``, which is in lower case."""
    if needle in device_id.lower() or needle in device.address.lower():
        return True
    return any(needle in key.lower() or needle in value.lower() for key, value in device.tags.items())


def _info(device_id: DeviceId, device: _Device) -> DeviceInfo:
    return DeviceInfo(
        device_id=device_id,
        status=device.status,
        is_known=device.is_known,
        first_seen=device.first_seen,
        last_seen=device.last_seen,
        address=device.address,
        connections=tuple(device.connections),
        attached=device.attached,
        frames=device.frames,
        payload_bytes=device.payload_bytes,
        tags=device.tags,
    )
