"""One running process: its listeners, connections, hub and broker, from start to the end of the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from portcast.brokers.base import Broker
from portcast.config import GatewayOptions
from portcast.delivery import OutboxLimits
from portcast.events import Emit, Event
from portcast.history import HistoryLimits
from portcast.listen_url import ListenerConfig
from portcast.publication import Meta, Position
from portcast.runtime.authentication import Authenticate, Gate
from portcast.runtime.certificates import CertificateWatch
from portcast.runtime.clock import Clock
from portcast.runtime.connection import Connection
from portcast.runtime.consumer import Consumer
from portcast.runtime.device_directory import make_directory
from portcast.runtime.device_inbox import DeviceInbox
from portcast.runtime.device_protocol import DeviceProtocol, DeviceSettings
from portcast.runtime.device_session import DeviceHandler
from portcast.runtime.drain import abort_all, drain
from portcast.runtime.flight_recorder import FlightRecorder, RecorderSettings
from portcast.runtime.handler_timeout import TimedHandler
from portcast.runtime.hub import Hub
from portcast.runtime.inbox import InboxConsumer
from portcast.runtime.limits import connection_budget, raise_descriptor_limit
from portcast.runtime.listener import Listener
from portcast.runtime.memory import MemoryGuard, buffered_bytes
from portcast.runtime.memory_limit import MemoryLimit, memory_limit, memory_use
from portcast.runtime.registry import Registry
from portcast.runtime.relay import RelayConsumer
from portcast.runtime.session import Handler
from portcast.runtime.surroundings import Surroundings
from portcast.runtime.wall_time import WallTime
from portcast.runtime.watchdog import Watchdog
from portcast.topic_table import TopicTable

OUTBOX_SHARE, HISTORY_SHARE = 0.5, 0.25
"""Of the memory that is free at start: most that may wait for all subscribers, and that all histories may take. What
has filled a small container for good would leave memory short for as long."""
ABORT_S = 0.5
"""For handlers to end once they were cancelled, when the stop is in a hurry."""

NodeState = Literal["starting", "ready", "draining", "stopped"]


def fitting_history(history: HistoryLimits, options: GatewayOptions) -> HistoryLimits:
    """Return the limits with a budget for all topics that fits into the process's memory."""
    limit = memory_limit(options.memory_limit_bytes)
    return replace(history, total_bytes=limit.fit(history.total_bytes, HISTORY_SHARE, memory_use()))


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    """A listener to be started.

    Attributes:
        config: address, framing and limits.
        handler: the user's function; None for a relay to ``config.topic``.
        protocol: what was said of devices; None if nothing was.
        needs_device: True if the handler cannot be called for a message that is nobody's.
        check: lets devices in; None lets everybody in.
    """

    config: ListenerConfig
    handler: Handler | None = None
    protocol: DeviceProtocol | None = None
    needs_device: bool = False
    check: Authenticate | None = None

    @property
    def target(self) -> str:
        """Where frames go, in words."""
        return f"topic {self.config.topic}" if self.handler is None else f"handler {self.handler.name}"


class Node:
    """Everything that lives as long as the loop runs. Built by the gateway at start, used once.

    Attributes:
        state: ``starting`` until every listener accepts, ``draining`` from the stop signal on.
        hub: delivery to this process's subscribers.
        broker: numbers and keeps publications.
        registry: all device connections.
        devices: who they are.
        recorder: what of them is recorded.
        listeners: in the order in which they were declared.
        watchdog: sees when the loop is blocked.
        memory: keeps the process below its limit.
        descriptors: the limit of open files of the process.
        clock: measures everything here.
    """

    def __init__(
        self,
        plans: Sequence[ListenerPlan],
        *,
        broker: Broker,
        options: GatewayOptions,
        outbox: OutboxLimits,
        topics: TopicTable,
        emit: Emit,
        devices: DeviceSettings | None = None,
        recorder: RecorderSettings | None = None,
        surroundings: Surroundings | None = None,
        report: Emit = lambda event: None,
        on_blocked: Emit | None = None,
    ) -> None:
        """Build a node on the running loop; nothing is bound yet.

        ``report`` is called in a thread of its own when the loop is blocked; afterwards ``on_blocked``
        (``emit`` if None) takes the same event.
        """
        self._surroundings = surroundings or Surroundings()
        clock: Clock = self._surroundings.clock or asyncio.get_running_loop()
        self.clock = clock
        self._options = options
        self._tell = emit
        self._now = clock.time
        self._wall_time = WallTime(clock.time)
        self._watch: CertificateWatch | None = None
        self._drain: asyncio.Task[None] | None = None
        self._orderly: asyncio.Task[None] | None = None
        self.state: NodeState = "starting"
        self.broker = broker
        self.descriptors = raise_descriptor_limit()
        self.registry = Registry(clock, max_connections=connection_budget(self.descriptors, options.max_connections))
        limit = memory_limit(options.memory_limit_bytes)
        self.hub = Hub(
            clock,
            limits=outbox,
            flush_duty=options.flush_duty,
            topics=topics,
            broker=broker,
            budget_bytes=limit.fit(options.buffer_budget_bytes, OUTBOX_SHARE, memory_use()),
            emit=self._emit,
        )
        broker.bind(self.hub.deliver)
        self.devices = make_directory(
            devices or DeviceSettings(),
            clock,
            publish=self.publish_nowait,
            unix_time=self.unix_time,
            emit=self._emit,
            first_number=self._surroundings.first_number,
        )
        self.registry.when_lost(self.devices.lost)
        self.listeners = [self._listener(plan) for plan in plans]
        self.watchdog = Watchdog(
            options.block_limit_s, report=report, emit=on_blocked or emit, handler_of=self._handler_of
        )
        self.recorder = self._flight_recorder(plans, recorder or RecorderSettings())
        self.memory = self._memory_guard(limit)

    def _memory_guard(self, limit: MemoryLimit) -> MemoryGuard:
        return MemoryGuard(
            limit,
            self.clock,
            pause=self.registry.pause,
            allowance=self.registry.allowance,
            buffered=lambda: buffered_bytes(self.registry, self.hub, self.broker, self.recorder),
            emit=self._emit,
        )

    def _emit(self, event: Event) -> None:
        # Nothing happens before the recorder is made.
        if self.recorder.is_active:
            self.recorder.note(event)
        self._tell(event)

    def _flight_recorder(self, plans: Sequence[ListenerPlan], settings: RecorderSettings) -> FlightRecorder:
        with_devices = [
            listener
            for listener, plan in zip(self.listeners, plans, strict=True)
            if plan.protocol is not None and plan.protocol.identify is not None
        ]
        return FlightRecorder(
            settings,
            self.clock,
            registry=self.registry,
            devices_of=self.devices.roster.devices_of,
            knows_devices=lambda name: any(one.name == name for one in with_devices),
            publish=self.publish_nowait,
            unix_time=self.unix_time,
            emit=self._tell,
        )

    def _listener(self, plan: ListenerPlan) -> Listener:
        config = plan.config
        place = self._surroundings.place(config.address)
        return Listener(
            name=config.name,
            address=place or config.address,
            has_socket=place is not None,
            framing=config.framing,
            target=plan.target,
            options=config.options,
            make_consumer=self._consumer_factory(plan),
            registry=self.registry,
            now=self._now,
            emit=self._emit,
            tls=config.tls,
        )

    def _consumer_factory(self, plan: ListenerPlan) -> Callable[[Connection], Consumer]:
        make, check = self._consumer_of(plan), plan.check
        if check is None:
            return make
        return lambda connection: Gate(connection, check, make, self.registry.tasks, self._emit)

    def _consumer_of(self, plan: ListenerPlan) -> Callable[[Connection], Consumer]:
        config, handler = plan.config, plan.handler
        if handler is None:
            return lambda connection: RelayConsumer(connection, config.topic, self.publish_nowait, self.hub)
        if config.options.handler_timeout_s:
            handler = TimedHandler(handler, config.options.handler_timeout_s)
        inbox: type[InboxConsumer] = InboxConsumer
        if plan.protocol is not None:
            handler = DeviceHandler(handler, plan.protocol, self.devices, needs_device=plan.needs_device)
            inbox = DeviceInbox if plan.protocol.replies is not None else InboxConsumer
        return lambda connection: inbox(
            connection,
            handler,
            limit=config.options.inbox,
            max_bad_frames=config.options.bad_frames,
            tasks=self.registry.tasks,
            emit=self._emit,
        )

    def _handler_of(self, task: asyncio.Task[object]) -> str:
        """Return what a task works for; called by the watchdog's thread, so that it only looks things up."""
        connection = self.registry.get(task.get_name().removeprefix("portcast-"))
        if connection is None:
            return task.get_name()
        return next(
            (one.target.removeprefix("handler ") for one in self.listeners if one.name == connection.listener), ""
        )

    @property
    def takes_clients(self) -> bool:
        """True while newcomers are let in: not before start, from the stop signal on, or while memory is short."""
        return self.state == "ready" and not self.memory.is_short

    # Publishing

    def publish_nowait(self, topic: str, payloads: Sequence[bytes], meta: Meta | None = None) -> Position:
        """Publish consecutive messages at once, whoever is slow; ``meta`` travels with each.

        Raises:
            TopicError: the topic is not valid.
        """
        return self.broker.publish_nowait(topic, payloads, self._now(), meta)

    async def publish(self, topic: str, payload: bytes, meta: Meta | None = None) -> Position:
        """Publish one message, after waiting while the topic is held (see `Hub.is_held`).

        Cancelling while it waits publishes nothing.

        Raises:
            TopicError: the topic is not valid.
        """
        if self.hub.is_held(topic):
            await self.hub.wait_released(topic)
        return self.broker.publish_nowait(topic, (payload,), self._now(), meta)

    def now(self) -> float:
        """Return monotonic seconds, the time by which publications are stamped."""
        return self._now()

    def unix_time(self, at: float) -> float:
        """Turn monotonic seconds into Unix seconds: the same ones each time, unless the system's clock was set."""
        return self._wall_time(at)

    # Life

    async def start(self) -> None:
        """Bind every listener, then accept on all.

        Raises:
            ListenError: an address cannot be bound; none is left bound then.
            ConfigurationError: a file of TLS cannot be used.
        """
        try:
            for listener in self.listeners:
                listener.bind()
            await self.broker.start()
        except BaseException:
            for listener in self.listeners:
                await listener.stop()
            raise
        for listener in self.listeners:
            listener.start()
        self._watch = CertificateWatch([one for it in self.listeners if (one := it.certificates)], self.clock)
        self.watchdog.start()
        self.memory.start()
        self.state = "ready"

    def reload_certificates(self) -> bool:
        """Read the certificates of all listeners anew; return False if any cannot be used and stays as it was."""
        results = [it.certificates.reload() for it in self.listeners if it.certificates is not None]
        return all(results)

    async def drain(self) -> None:
        """Stop in order (see `portcast.runtime.drain`); a second call waits for the first.

        Cancelling a caller does not stop the drain; `hurry` does, and then this returns soon.
        """
        if self._drain is None:
            self.state = "draining"
            self._orderly = asyncio.ensure_future(
                drain(self.listeners, self.registry, self.hub, timeout_s=self._options.drain_timeout_s, emit=self._emit)
            )
            self._drain = asyncio.ensure_future(self._drain_all(self._orderly))
        await asyncio.shield(self._drain)

    async def _drain_all(self, orderly: asyncio.Task[None]) -> None:
        await asyncio.wait([orderly])
        if not orderly.cancelled():
            return orderly.result()
        for listener in self.listeners:
            await listener.stop()
        await abort_all(self.registry, self.hub, until=self._now() + ABORT_S)

    def hurry(self) -> None:
        """End a running drain at once: whatever is left is aborted."""
        if self._orderly is not None:
            self._orderly.cancel()

    async def stop(self) -> None:
        """Drain unless that has happened, then let go of everything.

        If the caller is cancelled, what is left is aborted at once.
        """
        try:
            await self.drain()
        except asyncio.CancelledError:
            self.hurry()
            assert self._drain is not None, "drain() makes it before it waits"
            await asyncio.wait([self._drain])
            raise
        finally:
            if self._watch is not None:
                self._watch.close()
            self.watchdog.stop()
            self.memory.stop()
            self.devices.commands.close()
            self.recorder.close()
            await self.broker.stop()
            self.state = "stopped"
