"""A device as users hold it: an identity that outlives connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from portcast.devices import DeviceInfo, DeviceStatus
from portcast.errors import DeviceUnknown
from portcast.types import DeviceId

if TYPE_CHECKING:
    from portcast.runtime.connection import Connection
    from portcast.runtime.device_directory import DeviceDirectory
    from portcast.runtime.device_protocol import DeviceProtocol


class Device:
    """One device. There is one such object for each, whatever becomes of its connections.

    Attributes:
        id: its id.
        connections: those on which it said who it is and that have not ended, oldest first.
        protocol: how its newest connection speaks; None if it never had one.
    """

    __slots__ = ("_directory", "connections", "id", "protocol")

    def __init__(self, device_id: DeviceId, directory: DeviceDirectory) -> None:
        self.id = device_id
        self.connections: tuple[Connection, ...] = ()
        self.protocol: DeviceProtocol | None = None
        self._directory = directory

    def __repr__(self) -> str:
        return f"<Device {self.id}>"

    @property
    def info(self) -> DeviceInfo:
        """All that is known of it, as of now. Times are monotonic seconds.

        Raises:
            DeviceUnknown: it was forgotten meanwhile.
        """
        info = self._directory.roster.get(self.id)
        if info is None:
            raise DeviceUnknown(self.id)
        return info

    @property
    def status(self) -> DeviceStatus:
        """Online, offline or quarantined; as `info`."""
        return self.info.status

    @property
    def is_online(self) -> bool:
        """True while it has a connection and is not quarantined."""
        return self.status is DeviceStatus.ONLINE

    @property
    def tags(self) -> Mapping[str, str]:
        """What the application says of it; as `info`."""
        return self.info.tags

    def tag(self, **tags: str) -> None:
        """Add to what is said of it, or replace.

        Raises:
            DeviceUnknown: it was forgotten meanwhile.
        """
        self._directory.roster.tag(self.id, {**self.tags, **tags})

    def approve(self) -> None:
        """Make it known; if it was quarantined, its messages are handled from now on."""
        self._directory.approve(self.id)

    def close(self) -> None:
        """Close its connections. Those on which other devices speak stay."""
        self._directory.close(self)

    def forget(self) -> None:
        """Remove it, known or not, with its commands. If it says again who it is, it is a new device."""
        self._directory.forget(self.id)
