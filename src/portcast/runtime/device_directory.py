"""The devices of a node and their connections: the shell around `portcast.devices.Roster`.

The roster decides, this file acts: it closes connections that lost their device, publishes presence, and keeps one
`Device` object for each entry of the roster, made when somebody asks for it first.

* ``connection in device.connections`` exactly if the roster has the two attached.
* A connection that has ended is attached to nothing. What is still handled of it belongs to its device all the same,
  but takes no other connection's place.
* A device can be commanded (`ready`) once the message by which it said who it is has been handled and acknowledged, so
  that nothing is written to it before the answer to its login.

Presence is published on ``$devices/<id>/status`` whenever a device's status or newest connection changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from portcast.devices import (
    Accepted,
    DeviceInfo,
    DeviceStatus,
    Quarantined,
    RedeliveryWindow,
    Rejected,
    Roster,
    checked_tags,
    validate_device_id,
)
from portcast.errors import DeviceUnknown
from portcast.events import DeviceAttached, DeviceDetached, DeviceRejected, Emit
from portcast.runtime.clock import Clock
from portcast.runtime.connection import Connection
from portcast.runtime.device import Device
from portcast.runtime.device_commands import DeviceCommands, Publish
from portcast.runtime.device_json import status_json
from portcast.runtime.device_protocol import DeviceProtocol, DeviceSettings
from portcast.types import DeviceId, ListenerName

STATUS_TOPICS = "$devices/+/status"
"""The topics of presence; each keeps its last value."""


class DeviceDirectory:
    """See the theory on top of the module.

    Attributes:
        roster: who is there. Ask it, and change nothing.
        commands: what is asked of them.
        dropped: messages of quarantined devices, which went nowhere.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        commands: DeviceCommands,
        *,
        publish: Publish,
        now: Callable[[], float],
        unix_time: Callable[[float], float],
        emit: Emit,
    ) -> None:
        """Make the directory, with the devices that are announced.

        Args:
            settings: what the application says of its devices.
            commands: is told who can be written to.
            publish: publishes on a topic.
            now: monotonic seconds.
            unix_time: turns them into Unix seconds.
            emit: takes what happens.

        Raises:
            DeviceIdError: an announced id is none.
            ConfigurationError: more are announced than there may be.
        """
        self.roster = Roster(settings.options)
        self.commands = commands
        self.dropped = 0
        self._settings = settings
        self._publish = publish
        self._now = now
        self._unix_time = unix_time
        self._emit = emit
        self._devices: dict[DeviceId, Device] = {}
        self._windows: dict[DeviceId, RedeliveryWindow] = {}
        # Those that wait for approval and have a connection; nearly always empty.
        self._quarantined: set[DeviceId] = set()
        for device_id, tags in settings.known.items():
            self.roster.preload(validate_device_id(device_id), tags)

    def find(self, device_id: str) -> Device:
        """Return a device by its id.

        Raises:
            DeviceUnknown: there is none.
        """
        device = self._devices.get(DeviceId(device_id))
        if device is None:
            if device_id not in self.roster:
                raise DeviceUnknown(device_id)
            device = self._devices[DeviceId(device_id)] = Device(DeviceId(device_id), self)
        return device

    def info(self, device_id: DeviceId) -> DeviceInfo | None:
        """Return what is known of a device."""
        return self.roster.get(device_id)

    def redelivery(self, device: Device) -> RedeliveryWindow:
        """Return what is remembered of a device's messages."""
        window = self._windows.get(device.id)
        if window is None:
            window = self._windows[device.id] = RedeliveryWindow(self._settings.redelivery)
        return window

    def is_quarantined(self, device: Device) -> bool:
        """Return True if its messages go nowhere; the caller counts them in `dropped`."""
        return bool(self._quarantined) and device.id in self._quarantined

    # Connections come and go

    def attached(self, device_id: DeviceId, connection: Connection) -> Device | None:
        """Return the device if it has said who it is on this connection; it is the connection's device now."""
        device = self._devices.get(device_id)
        if device is None or connection not in device.connections:
            return None
        connection.device = device
        return device

    async def enter(self, connection: Connection, protocol: DeviceProtocol, device_id: DeviceId) -> Device | None:
        """Return the device that spoke on a connection, attached to it; None if it is rejected.

        Cancelling while the application looks it up leaves nothing attached.

        Args:
            connection: on which it spoke.
            protocol: of its listener.
            device_id: a valid id.

        Raises:
            ConfigurationError: what it returned are no tags.
            Exception: what the application's lookup raised.
        """
        known = self.roster.get(device_id)
        tags = None
        if self._settings.lookup is not None and (known is None or not known.is_known):
            tags = await self._settings.lookup(device_id)
            if tags is not None:
                tags = checked_tags(device_id, tags)
        if connection.is_lost or connection.is_closing:
            known = self.roster.get(device_id)
            if (
                known is not None
                and known.status is not DeviceStatus.QUARANTINED
                and (connection.is_lost or known.connections)
            ):
                connection.device = self.find(device_id)
                return connection.device
        if protocol.identity == "connection" and connection.device is not None:
            self._leave(connection.device, connection)
        device = self._attach(connection, protocol, device_id, is_known=tags is not None)
        if device is not None and tags:
            self.roster.tag(device_id, tags)
        connection.device = device
        if connection.is_lost:
            self.lost(connection)
        return device

    def _attach(
        self, connection: Connection, protocol: DeviceProtocol, device_id: DeviceId, *, is_known: bool
    ) -> Device | None:
        address = connection.peer
        attachment = self.roster.attach(device_id, connection.id, self._now(), address=address, is_known=is_known)
        if isinstance(attachment, Rejected):
            self._reject(connection, device_id, attachment)
            return None
        if attachment.forgotten is not None:
            self._drop(attachment.forgotten)
        device = self.find(device_id)
        before = device.connections
        _share_rates(connection, before)
        if attachment.replaced:
            self.commands.disconnected(device)
            device.connections = ()
            for old in before:
                if old.device is device:
                    old.device = None
                if old.id in attachment.to_close:
                    old.end("replaced", f"device {device_id} connected anew")
        device.connections = (*device.connections, connection)
        device.protocol = protocol
        is_quarantined = isinstance(attachment, Quarantined)
        if is_quarantined:
            self._quarantined.add(device_id)
        is_new = isinstance(attachment, Accepted) and attachment.came_online
        reason: Literal["online", "again", "quarantined"] = (
            "quarantined" if is_quarantined else "online" if is_new else "again"
        )
        self._emit(DeviceAttached(device_id, connection.id, ListenerName(connection.listener), reason))
        self._publish_status(device_id)
        return device

    def _reject(self, connection: Connection, device_id: DeviceId, rejected: Rejected) -> None:
        self._emit(DeviceRejected(device_id, connection.id, ListenerName(connection.listener), rejected.reason))
        if not self.roster.devices_of(connection.id):
            connection.end("rejected", f"device {device_id}: {rejected.reason}")

    def ready(self, device: Device) -> None:
        """Note that a device's newest connection can be written to, as its first message has been handled."""
        if device.connections and device.id not in self._quarantined:
            self.commands.connected(device)

    def lost(self, connection: Connection) -> None:
        """Note that a connection's socket is gone."""
        for device_id in self.roster.devices_of(connection.id):
            self._leave(self.find(device_id), connection)

    def _leave(self, device: Device, connection: Connection) -> None:
        """Separate a device from a connection that has ended, or speaks for another device now."""
        was_newest = device.connections[-1:] == (connection,)
        is_offline = self.roster.detach_device(device.id, connection.id, self._now())
        device.connections = tuple(one for one in device.connections if one is not connection)
        if was_newest:
            self.commands.disconnected(device)
            self.ready(device)
        if not device.connections:
            self._quarantined.discard(device.id)
            self._emit(DeviceDetached(device.id, connection.id, ListenerName(connection.listener)))
        if is_offline or was_newest:
            self._publish_status(device.id)

    def heard(self, device: Device, payload_bytes: int, at: float) -> None:
        """Count a message."""
        self.roster.heard(device.id, at, 1, payload_bytes)

    # What the application decides

    def approve(self, device_id: DeviceId) -> None:
        """Make a device known; it leaves quarantine.

        Raises:
            DeviceUnknown: there is none.
        """
        device = self.find(device_id)
        was_quarantined = device.status is DeviceStatus.QUARANTINED
        self.roster.approve(device_id)
        self._quarantined.discard(device_id)
        if was_quarantined:
            self._publish_status(device_id)
            self.ready(device)

    def close(self, device: Device) -> None:
        """Close the connections that are a device's own."""
        for connection in device.connections:
            if self.roster.devices_of(connection.id) == (device.id,):
                connection.close()

    def forget(self, device_id: DeviceId) -> None:
        """Remove a device.

        Raises:
            DeviceUnknown: there is none.
        """
        device = self.find(device_id)
        self.roster.forget(device_id)
        for connection in device.connections:
            if connection.device is device:
                connection.device = None
        device.connections = ()
        self._drop(device_id)

    def _drop(self, device_id: DeviceId) -> None:
        """Let go of what is kept of a device that the roster has forgotten."""
        self._devices.pop(device_id, None)
        self._windows.pop(device_id, None)
        self._quarantined.discard(device_id)
        self.commands.forgotten(device_id)

    def _publish_status(self, device_id: DeviceId) -> None:
        info = self.roster.get(device_id)
        if info is not None:
            self._publish(f"$devices/{device_id}/status", (status_json(info, self._unix_time(self._now())),))


def _share_rates(connection: Connection, others: Iterable[Connection]) -> None:
    """Let a device have its rates once, however many connections to a listener it has, or had until this moment."""
    for other in others:
        if other.listener == connection.listener:
            connection.throttle = other.throttle
            return


def make_directory(
    settings: DeviceSettings,
    clock: Clock,
    *,
    publish: Publish,
    unix_time: Callable[[float], float],
    emit: Emit,
    first_number: Callable[[], int],
) -> DeviceDirectory:
    """Return the directory of a node, with its commands; otherwise as `DeviceDirectory`."""
    commands = DeviceCommands(
        settings.commands, clock=clock, publish=publish, unix_time=unix_time, emit=emit, first_number=first_number
    )
    return DeviceDirectory(settings, commands, publish=publish, now=clock.time, unix_time=unix_time, emit=emit)
