"""The flight recorder of a node: the shell around `portcast.recorder`.

Rules say what is meant (`portcast.recorder.rules`); this file puts a tap on each connection that is, takes it off
again, and publishes what the taps record, as it comes, on ``$recorder/<subject>``.

Whose a frame is: its connection's device, ``devices/<id>``. While a connection has no device, and when several devices
speak on it, frames are those of the connection, ``connections/<id>``. When a connection says for the first time who it
is, what was recorded of it before becomes its device's.

Nobody knows whose a new connection is before it says so, and the login is what one wants to see. So while a rule means
devices, each connection of a listener that knows devices is recorded *on trial* until it names one: nothing of it is
published, and if it turns out not to be meant, or ends before, all of it is dropped. Connections that have named their
device, and those of other listeners, are not touched.

It learns what happens from the node's events, and only while there is a rule or a tap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from portcast.devices import validate_device_pattern
from portcast.errors import ConfigurationError
from portcast.events import (
    ConnectionClosed,
    ConnectionOpened,
    DeviceAttached,
    DeviceRejected,
    Emit,
    Event,
    FrameRejected,
    RecordingCapped,
    RecordingChanged,
    RedactionFailed,
)
from portcast.recorder import (
    MAX_SUBJECTS,
    EntryKind,
    FlightLog,
    Recorded,
    RecorderOptions,
    RedactFunction,
    Redaction,
    Rule,
    Rules,
    parse_range,
    parse_rule,
)
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.connection import Connection
from portcast.runtime.connection_tap import ConnectionTap
from portcast.runtime.recorder_json import CONNECTION, DEVICE, entry_json
from portcast.runtime.registry import Registry
from portcast.types import ConnectionId, DeviceId, ListenerName

TOPIC = "$recorder/"
"""What the topics begin with on which recorded frames are published; the subject follows."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What a gateway is told of its flight recorder.

    Attributes:
        options: what is recorded from the start on, and how much is kept.
        redact: takes out of frames what must not be recorded, after the listener's own ``redact`` ranges.
    """

    options: RecorderOptions = field(default_factory=RecorderOptions)
    redact: RedactFunction | None = None


class FlightRecorder:
    """See the theory on top of the module. Everything here belongs to the loop that runs the app.

    Attributes:
        options: how much is kept.
        log: what was recorded. Read it, and change nothing.
        unpublished: entries that the broker did not take.
    """

    def __init__(
        self,
        settings: RecorderSettings,
        clock: Clock,
        *,
        registry: Registry,
        devices_of: Callable[[ConnectionId], Sequence[DeviceId]],
        knows_devices: Callable[[str], bool],
        publish: Callable[[str, Sequence[bytes]], object],
        unix_time: Callable[[float], float],
        emit: Emit,
    ) -> None:
        """Make the recorder; the rules of its options hold from now on.

        Args:
            settings: what the application says of it.
            clock: measures ages and the ends of rules.
            registry: knows all connections.
            devices_of: returns the devices of a connection.
            knows_devices: returns True for the name of a listener whose connections say who they are.
            publish: publishes on a topic, at once.
            unix_time: turns monotonic seconds into Unix seconds.
            emit: takes what happens.
        """
        self.options = settings.options
        self.log = FlightLog(settings.options)
        self.unpublished = 0
        self._redact = settings.redact
        self._clock = clock
        self._registry = registry
        self._devices_of = devices_of
        self._knows_devices = knows_devices
        self._publish = publish
        self._unix_time = unix_time
        self._emit = emit
        self._rules = Rules()
        self._taps: dict[ConnectionId, ConnectionTap] = {}
        self._timer: Timer | None = None
        for text in settings.options.on:
            self._rules.add(_rule(text), None)

    # What users decide

    def record(self, rule: str, *, for_s: float | None = None) -> Rule:
        """Record what a rule means from now on, connections that are open included.

        Args:
            rule: such as ``device:ID`` or ``listener:*``; see `portcast.recorder.rules`.
            for_s: seconds after which it ends by itself; None: it does not. Said again, the new end counts.

        Raises:
            ConfigurationError: it is no rule or can never match, the time cannot be, or a hundred others hold.
        """
        if for_s is not None and not 0 < for_s < float("inf"):
            raise ConfigurationError(f"record {rule[:80]}", f"it would last {for_s} s", "use seconds above 0, or None")
        parsed = _rule(rule)
        try:
            self._rules.add(parsed, None if for_s is None else self._clock.time() + for_s)
        except ValueError as error:
            raise ConfigurationError(f"record {rule[:80]}", str(error)) from error
        self._emit(RecordingChanged(str(parsed), "on"))
        self._rule_added(parsed)
        return parsed

    def stop(self, rule: str) -> bool:
        """Take a rule away; what was recorded stays until it is too old. False if there is no such rule.

        Raises:
            ConfigurationError: it is no rule.
        """
        parsed = _rule(rule)
        if not self._rules.remove(parsed):
            return False
        self._emit(RecordingChanged(str(parsed), "off"))
        self._rules_removed()
        return True

    def rules(self) -> list[tuple[Rule, float | None]]:
        """Return the rules that hold, each with its end in monotonic seconds, or None."""
        return self._rules.items()

    def means(self, device: str) -> bool:
        """Return True if a rule means a device, whether it has come or not."""
        return self._rules.mean_device(device)

    def frames(
        self, *, device: str | None = None, connection: str | None = None, after: int = 0, limit: int = 100
    ) -> list[Recorded]:
        """Return what was recorded, oldest first.

        Args:
            device: of this device only, with what was recorded of the connections on which it speaks among others.
            connection: of this connection only, without what became its device's.
            after: only entries with a greater number.
            limit: at most so many.
        """
        self.log.expire(self._clock.time())
        return self.log.page(self.subjects_of(device, connection), after, limit)

    def forget(self, *, device: str | None = None, connection: str | None = None) -> int:
        """Drop what was recorded, otherwise as `frames`; return how many entries these were. Recording goes on."""
        subjects = self.subjects_of(device, connection)
        if subjects is None:
            subjects = [one.subject for one in self.log.subjects(limit=MAX_SUBJECTS)]
        return sum(map(self.log.drop, subjects))

    def subjects_of(self, device: str | None, connection: str | None) -> list[str] | None:
        """Return whose entries are meant, see `frames`; None for all."""
        if device is not None:
            shared = [one.connection.id for one in self._taps.values() if one.is_shared_by(device)]
            return [DEVICE + device, *(CONNECTION + one for one in shared)]
        return None if connection is None else [CONNECTION + connection]

    def is_recording(self, *, device: str | None = None, connection: str | None = None) -> bool:
        """Return True if a device or connection has a tap now that is not on trial."""
        if connection is not None:
            tap = self._taps.get(ConnectionId(connection))
            return tap is not None and not tap.is_trial
        return any(not one.is_trial and device in self._devices_of(one.connection.id) for one in self._taps.values())

    @property
    def recorded_connections(self) -> int:
        """Connections that are recorded now, those on trial included."""
        return len(self._taps)

    # What the node tells

    @property
    def is_active(self) -> bool:
        """False while nothing is recorded nor could be: `note` need not be called then."""
        return bool(self._rules or self._taps)

    def note(self, event: Event) -> None:
        """Take note of what happened to connections and devices."""
        if isinstance(event, ConnectionOpened):
            connection = self._registry.get(event.connection_id)
            if connection is not None:
                self._judge(connection, is_meant=self._is_meant(connection))
                self._add(event.connection_id, "opened", event.peer, event.peer)
        elif isinstance(event, DeviceAttached):
            connection = self._registry.get(event.connection_id)
            if connection is not None:
                self._attached(connection, event.device_id)
        elif isinstance(event, DeviceRejected):
            self._refused(event.connection_id, event.device_id)
        elif isinstance(event, FrameRejected):
            self._add(event.connection_id, "rejected", event.detail)
        elif isinstance(event, ConnectionClosed):
            detail = f"{event.reason}: {event.detail}" if event.detail else event.reason
            self._add(event.connection_id, "closed", detail, event.reason)
            tap = self._taps.get(event.connection_id)
            if tap is not None:
                self._take_off(tap)

    def _add(self, connection_id: ConnectionId, kind: EntryKind, detail: str, unquoted: str = "") -> None:
        """Record what happened to a connection; ``unquoted`` is what can be said without quoting its bytes."""
        tap = self._taps.get(connection_id)
        if tap is not None:
            tap.happened(kind, unquoted if tap.redaction else detail)

    # Who is recorded

    def _is_meant(self, connection: Connection) -> bool:
        if self._rules.mean_connection(connection.id, connection.listener, connection.peer):
            return True
        return any(map(self._rules.mean_device, self._devices_of(connection.id)))

    def _may_turn_out(self, connection: Connection) -> bool:
        return (
            self._rules.has_devices and not self._devices_of(connection.id) and self._knows_devices(connection.listener)
        )

    def _judge(self, connection: Connection, *, is_meant: bool) -> None:
        """Put a tap on a connection or take it off, by the rules as they are."""
        tap = self._taps.get(connection.id)
        if is_meant:
            if tap is None:
                tap = self._put_on(connection)
                tap.speakers(self._devices_of(connection.id))
            tap.is_trial = False
        elif tap is None:
            if self._may_turn_out(connection):
                self._put_on(connection).is_trial = True
        elif not tap.is_trial or not self._rules.has_devices:
            self._take_off(tap)

    def _put_on(self, connection: Connection) -> ConnectionTap:
        ranges = [parse_range(text) for text in connection.options.redact]
        tap = ConnectionTap(self, connection, Redaction(connection.listener, ranges, self._redact))
        self._taps[connection.id] = tap
        connection.tap_with(tap, self.options.max_frame_bytes)
        return tap

    def _take_off(self, tap: ConnectionTap) -> None:
        del self._taps[tap.connection.id]
        tap.connection.tap_with(None)
        if tap.is_trial:
            self.log.drop(tap.subject)

    def _attached(self, connection: Connection, device_id: DeviceId) -> None:
        tap, devices = self._taps.get(connection.id), self._devices_of(connection.id)
        if len(devices) == 1:
            # Also when a connection that spoke for another device is this one's now.
            is_meant = self._is_meant(connection)
        else:
            is_meant = (tap is not None and not tap.is_trial) or self._rules.mean_device(device_id)
        if not is_meant:
            if tap is not None:
                self._take_off(tap)
            return
        if tap is None:
            tap = self._put_on(connection)
        self._turned_out(tap, devices)

    def _refused(self, connection_id: ConnectionId, device_id: DeviceId) -> None:
        """Keep what a device that is meant has said on a connection that is on trial, although it is not let in."""
        tap = self._taps.get(connection_id)
        if tap is not None and tap.is_trial and self._rules.mean_device(device_id):
            self._turned_out(tap, (device_id,))

    def _turned_out(self, tap: ConnectionTap, devices: Sequence[DeviceId]) -> None:
        """Take note of who speaks on a connection that is meant."""
        before, was_trial = tap.subject, tap.is_trial
        tap.speakers(devices)
        tap.is_trial = False
        if before == CONNECTION + tap.connection.id and len(devices) == 1 and not tap.was_shared:
            moved = self.log.move(before, tap.subject, self._clock.time())
            if was_trial:
                self.publish(tap.subject, moved)

    def _rule_added(self, rule: Rule) -> None:
        # By this rule alone, and only where it changes something: all connections are looked at in one go.
        is_about_devices = rule.kind == "device"
        for connection in self._registry:
            if connection.is_lost:
                continue
            if is_about_devices:
                devices = self._devices_of(connection.id)
                is_meant = any(map(rule.matches, devices))
            else:
                devices = ()
                is_meant = rule.means_connection(connection.id, connection.listener, connection.peer)
            if is_meant or (is_about_devices and not devices and connection.id not in self._taps):
                self._judge(connection, is_meant=is_meant)
        self._set_timer()

    def _rules_removed(self) -> None:
        for tap in list(self._taps.values()):
            self._judge(tap.connection, is_meant=self._is_meant(tap.connection))
        self._set_timer()

    # Recording

    def publish(self, subject: str, entries: Sequence[Recorded]) -> None:
        """Publish entries of one subject."""
        if not entries:
            return
        try:
            self._publish(TOPIC + subject, [entry_json(one, self._unix_time) for one in entries])
        except Exception:  # noqa: BLE001 - a broker that failed: the device's connection has nothing to do with it
            self.unpublished += len(entries)

    def recorded(self) -> None:
        """See to it that what was just recorded is gone in time."""
        if self._timer is None:
            self._set_timer()

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._clock.time()

    def capped(self, tap: ConnectionTap) -> None:
        """Tell once for each connection that it is too fast to be recorded whole."""
        self._emit(RecordingCapped(tap.connection.id, ListenerName(tap.connection.listener), self.options.max_rate))

    def redaction_failed(self, tap: ConnectionTap, error: Exception) -> None:
        """Tell once for each connection that the application's function raised."""
        self._emit(RedactionFailed(tap.connection.id, ListenerName(tap.connection.listener), type(error).__name__))

    # Time

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends = [at for at in (self._rules.next_end(), self.log.next_expiry()) if at is not None]
        if ends:
            self._timer = self._clock.call_at(min(ends), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.time()
        self.log.expire(now)
        over = self._rules.expire(now)
        for rule in over:
            self._emit(RecordingChanged(str(rule), "expired"))
        if over:
            self._rules_removed()
        else:
            self._set_timer()

    def close(self) -> None:
        """Stop the timer; nothing is recorded any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rules = Rules()
        for tap in list(self._taps.values()):
            self._take_off(tap)


def _rule(text: str) -> Rule:
    try:
        if (rule := parse_rule(text)).kind == "device":
            validate_device_pattern(rule.pattern)
    except ValueError as error:  # a DeviceIdError, too
        raise ConfigurationError(f"record {text[:80]}", str(error)) from error
    return rule
