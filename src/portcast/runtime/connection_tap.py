"""The tap that records a connection for the flight recorder: redaction, the rate cap, and whose the frames are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from portcast.recorder import EntryKind, FrameKind, Recorded, Redaction
from portcast.runtime.connection import Connection
from portcast.runtime.recorder_json import CONNECTION, DEVICE
from portcast.types import DeviceId, ListenerName

if TYPE_CHECKING:
    from portcast.runtime.flight_recorder import FlightRecorder


class ConnectionTap:
    """Records one connection; see `portcast.runtime.tap.Tap`.

    Attributes:
        connection: which.
        redaction: what is taken out of its frames.
        subject: whose its frames are.
        is_trial: True while nobody knows whether it is meant.
        was_shared: True once several devices have spoken on it.
    """

    __slots__ = (
        "_devices",
        "_has_told",
        "_recorder",
        "connection",
        "is_trial",
        "redaction",
        "subject",
        "was_shared",
    )

    def __init__(self, recorder: FlightRecorder, connection: Connection, redaction: Redaction) -> None:
        self.connection = connection
        self.redaction = redaction
        self.subject = CONNECTION + connection.id
        self.is_trial = False
        self.was_shared = False
        self._recorder = recorder
        self._devices: Sequence[DeviceId] = ()
        # What was told of it already.
        self._has_told: set[str] = set()

    def speakers(self, devices: Sequence[DeviceId]) -> None:
        """Take note of the devices that speak on it: one has the frames, of several the connection has them."""
        self._devices = devices
        self.was_shared = self.was_shared or len(devices) > 1
        self.subject = DEVICE + devices[0] if len(devices) == 1 else CONNECTION + self.connection.id

    def is_shared_by(self, device_id: str) -> bool:
        """Return True if its frames are its own although this device speaks on it."""
        return self.was_shared and device_id in self._devices

    def received(self, frames: list[bytes]) -> None:
        """See `Tap.received`."""
        self._record("in", frames)

    def sent(self, frame: bytes) -> None:
        """See `Tap.sent`."""
        self._record("out", (frame,))

    def refused(self, data: bytes, size: int, detail: str) -> None:
        """See `Tap.refused`."""
        left = self._redacted(data, "refused") if self.redaction else data
        # The sentence quotes the first bytes.
        self._put("refused", left, size, is_redacted=left != data, detail="" if self.redaction else detail)

    def happened(self, kind: EntryKind, detail: str) -> None:
        """Record what happened to the connection."""
        self._put(kind, b"", 0, is_redacted=False, detail=detail)

    def _record(self, kind: FrameKind, frames: Sequence[bytes]) -> None:
        recorder = self._recorder
        log, now, subject, connection = recorder.log, recorder.now(), self.subject, self.connection
        listener = ListenerName(connection.listener)
        entries = []
        for frame in frames:
            if not log.admits(subject, now):
                if "capped" not in self._has_told and not self.is_trial:
                    self._has_told.add("capped")
                    recorder.capped(self)
                continue
            left = self._redacted(frame, kind) if self.redaction else frame
            entries.append(
                log.add(
                    subject,
                    now,
                    kind,
                    connection.id,
                    listener,
                    data=left,
                    size=len(frame),
                    is_redacted=left != frame,
                )
            )
        self._show(entries)

    def _put(self, kind: EntryKind, data: bytes, size: int, *, is_redacted: bool, detail: str) -> None:
        recorder, connection = self._recorder, self.connection
        entry = recorder.log.add(
            self.subject,
            recorder.now(),
            kind,
            connection.id,
            ListenerName(connection.listener),
            data=data,
            size=size,
            is_redacted=is_redacted,
            detail=detail,
        )
        self._show([entry])

    def _show(self, entries: Sequence[Recorded]) -> None:
        self._recorder.recorded()
        if not self.is_trial:
            self._recorder.publish(self.subject, entries)

    def _redacted(self, data: bytes, kind: FrameKind) -> bytes:
        try:
            return self.redaction.apply(data, kind)
        except Exception as error:  # noqa: BLE001 - the application's function: without its word nothing is recorded
            if "redaction" not in self._has_told:
                self._has_told.add("redaction")
                self._recorder.redaction_failed(self, error)
            return b""
