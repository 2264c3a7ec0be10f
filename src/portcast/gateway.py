"""The composition root: joins listeners, handlers, broker, hub and web routes in one FastAPI router."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter

from portcast.address import Address
from portcast.api_keys import ApiKey, KeyTable
from portcast.brokers import MemoryBroker, StateFile
from portcast.centrifuge_options import CentrifugeOptions
from portcast.codecs import Codec, encode_value
from portcast.config import GatewayOptions, HttpOptions, TopicOptions
from portcast.delivery import OutboxLimits
from portcast.errors import ConfigurationError
from portcast.events import Emit, Event
from portcast.framing import Framing
from portcast.handlers import DeclaredListener, DeviceRouter, Overrides, listener_plan
from portcast.handlers.declared import Identify
from portcast.history import HistoryLimits
from portcast.hooks import HookDeclarations
from portcast.listen_url import ListenerConfig, check_addresses
from portcast.observability import LogEvents, fan_out, redact_logs
from portcast.permissions import ChannelPermissions, PermissionTable
from portcast.publication import Meta, Position
from portcast.runtime import (
    OWN_TOPICS,
    STORE_TOPICS,
    Authenticate,
    Connection,
    Device,
    DeviceSettings,
    FlightRecorder,
    Listener,
    Node,
    RecorderSettings,
    Store,
    Surroundings,
    fitting_history,
    subscriber_admission,
    surroundings,
)
from portcast.signals import SignalDrain
from portcast.topic_table import TopicTable
from portcast.version import VERSION
from portcast.web import add_routes, host_guards, network_guards, put_probe
from portcast.web.failed_logins import FailedLogins
from portcast.web.http_access import HttpAccess
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_routes import add_sdk_routes, session_options
from portcast.web.sdk_rules import Rules

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]


class Gateway(HookDeclarations, APIRouter):
    """Raw TCP in, live WebSockets out, as a FastAPI router.

    ```python
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:8001", topic="logs")

    app = FastAPI()
    app.include_router(gateway)
    ```

    Its listeners live in the lifespan of the app that includes it: they accept before the first HTTP request is
    served and are drained when the app stops.

    Attributes:
        emit: takes an event of what runs beside it, such as its HTTP server, to be logged and told as its own.
        store: values shared by TCP handlers, HTTP handlers and background tasks.
        devices: what `listen` and `relay` have declared so far.
    """

    def __init__(
        self,
        *,
        options: GatewayOptions | None = None,
        outbox: OutboxLimits | None = None,
        history: HistoryLimits | None = None,
        http: HttpOptions | None = None,
        topics: Mapping[str, TopicOptions] | None = None,
        centrifuge: CentrifugeOptions | None = None,
        permissions: Mapping[str, ChannelPermissions] | None = None,
        keys: Mapping[str, ApiKey] | None = None,
        devices: DeviceSettings | None = None,
        recorder: RecorderSettings | None = None,
        on_event: Emit | None = None,
        has_page: bool = True,
        lifespan: Lifespan | None = None,
        **router_options: Any,
    ) -> None:
        """Make a gateway without listeners; `listen` and `relay` add them.

        Args:
            options: limits of the process.
            outbox: how much one subscriber may have waiting.
            history: how much is retained.
            http: limits and origins of the HTTP side.
            topics: options by topic filter or namespace (``"fleet:"``); the first match counts, after a listener's.
            centrifuge: who may connect over the Centrifuge protocol.
            permissions: who may do what, by topic filter or namespace; the first that matches a topic counts.
            keys: API keys by name, which is their user's: for programs, and for people on the live page.
            devices: takeover, unknown devices, known ones, how long commands wait.
            recorder: what is recorded of devices from the start on, how much is kept, and what is taken out.
            on_event: is told of everything that happens, beside the log.
            has_page: serve the live page at ``/``.
            lifespan: runs around the listeners, like that of an `APIRouter`.
            **router_options: for `fastapi.APIRouter`: ``prefix``, ``dependencies``, … Any dependency counts as a check
                of who it is: who passes may do all over HTTP, or what ``state.portcast_identity`` says (`Identity`).
        """
        http = http or HttpOptions()
        of_the_app = tuple(router_options.pop("dependencies", None) or ())
        guards = [*host_guards(http.allowed_hosts), *network_guards(http, lambda event: self.emit(event))]
        super().__init__(lifespan=self._lifespan, dependencies=[*guards, *of_the_app], **router_options)
        self._options = options or GatewayOptions()
        self.store = Store(max_keys=self._options.store_keys)
        self.devices = DeviceRouter()
        self._outbox = outbox or OutboxLimits()
        self._topics = dict(topics or {})
        self._centrifuge = centrifuge or CentrifugeOptions()
        self._permissions = PermissionTable(permissions or {})
        self._keys, self._is_guarded = dict(keys or {}), bool(of_the_app)
        self._history = history or HistoryLimits()
        self._device_settings = devices or DeviceSettings()
        self._recorder_settings = recorder or RecorderSettings()
        self._watchers = [on_event] if on_event is not None else []
        self.emit: Emit = fan_out(LogEvents(), self._tell_watchers)
        self._user_lifespan = lifespan
        self._node: Node | None = None
        self._rules: Rules | None = None
        self.http_address: Address | None = None  # if the runner knows: start refuses a listener there, or open to all
        self._add_ways_in(http, has_page=has_page)

    def _add_ways_in(self, http: HttpOptions, *, has_page: bool) -> None:
        self._http = http
        access = HttpAccess(lambda: self._access, http.allowed_origins, is_guarded=self._is_guarded, emit=self.emit)
        add_routes(self, self._running, access, http, version=VERSION, has_page=has_page)
        add_sdk_routes(self, self._running, lambda: self._access, session_options(VERSION, http), http, self.emit)

    # Declaring

    def listen(
        self,
        url: str,
        *,
        framing: Framing | None = None,
        codec: Codec[Any] | None = None,
        message: object = None,
        name: str | None = None,
        authenticate: Authenticate | None = None,
        **options: object,
    ) -> DeclaredListener:
        """Declare a listener with a handler: see `DeviceRouter.listen`."""
        return self.devices.listen(
            url, framing=framing, codec=codec, message=message, name=name, authenticate=authenticate, **options
        )

    def identify(self, handler: Callable[..., Any]) -> Callable[[Identify], Identify]:
        """Declare how the devices of a handler are identified: see `DeviceRouter.identify`."""
        return self.devices.identify(handler)

    def relay(
        self,
        url: str,
        *,
        topic: str | None = None,
        framing: Framing | None = None,
        name: str | None = None,
        authenticate: Authenticate | None = None,
        **options: object,
    ) -> None:
        """Declare a listener whose frames go straight to a topic: see `DeviceRouter.relay`."""
        self.devices.relay(url, topic=topic, framing=framing, name=name, authenticate=authenticate, **options)

    def add_relay(self, config: ListenerConfig) -> None:
        """Declare a relay that is configured already, as from a file."""
        self.devices.add(config)

    def include_devices(self, router: DeviceRouter) -> None:
        """Add the listeners of a `DeviceRouter`, as they are now."""
        self.devices.include(router)

    # Publishing

    async def publish(self, topic: str, value: object, *, tags: Mapping[str, str] | None = None) -> Position:
        """Publish one message and return its position.

        Waits while a slow subscriber of the topic holds its publishers (at most its patience), or while too much
        waits for the next flush. Cancelling while it waits publishes nothing.

        Args:
            topic: levels separated by ``/``, at most 255 bytes and 16 levels.
            value: bytes as they are, str as UTF-8, a Pydantic model or any JSON value as JSON.
            tags: short facts that travel beside the payload: at most 32, keys and values up to 255 characters.

        Raises:
            TopicError: the topic is not valid.
            TagError: the tags are not.
            CodecError: the value cannot be expressed.
            RuntimeError: the gateway is not running.
        """
        return await self._running().publish(topic, encode_value(value), _meta(tags))

    def publish_nowait(self, topic: str, value: object, *, tags: Mapping[str, str] | None = None) -> Position:
        """Publish one message at once, whoever is slow; otherwise as `publish`.

        A subscriber that cannot keep up with what never waits is removed sooner.
        """
        return self._running().publish_nowait(topic, (encode_value(value),), _meta(tags))

    # What runs

    def _running(self) -> Node:
        if self._node is None:
            raise RuntimeError("the gateway is not running: it starts with the app that includes it")
        return self._node

    @property
    def _access(self) -> Rules:
        """The rules for clients; only while the gateway runs."""
        if self._rules is None:
            raise RuntimeError("the gateway is not running: it starts with the app that includes it")
        return self._rules

    @property
    def is_running(self) -> bool:
        """True from start until the end of the stop."""
        return self._node is not None

    @property
    def listeners(self) -> Sequence[Listener]:
        """The running listeners, in the order of their declaration; their `Listener.address` is the bound one."""
        return self._running().listeners

    @property
    def max_connections(self) -> int:
        """How many device connections may be open at a time."""
        return self._running().registry.max_connections

    def connection(self, connection_id: str) -> Connection | None:
        """Return an open device connection by its id."""
        return self._running().registry.get(connection_id)

    def device(self, device_id: str) -> Device:
        """Return a device by its id, connected or not.

        Raises:
            DeviceUnknown: there is none.
            RuntimeError: the gateway is not running.
        """
        return self._running().devices.find(device_id)

    @property
    def recorder(self) -> FlightRecorder:
        """The flight recorder of what runs now.

        Raises:
            RuntimeError: the gateway is not running.
        """
        return self._running().recorder

    @property
    def node(self) -> Node:
        """What runs now, for the packages above this one; applications need none of it.

        Raises:
            RuntimeError: the gateway is not running.
        """
        return self._running()

    def watch(self, receiver: Emit) -> Callable[[], None]:
        """Tell a receiver of everything that happens from now on, like ``on_event``; return what ends that."""
        self._watchers.append(receiver)
        return lambda: self._watchers.remove(receiver)

    def _tell_watchers(self, event: Event) -> None:
        # One that raises keeps nothing from the others, and one may leave meanwhile.
        fan_out(*self._watchers)(event)

    def reload_certificates(self) -> bool:
        """Read the certificates of all TLS listeners anew, as happens by itself within ten seconds of a change.

        Returns False if any cannot be used; those of its listener stay as they were, and an event says why.

        Raises:
            RuntimeError: the gateway is not running.
        """
        return self._running().reload_certificates()

    async def drain(self) -> None:
        """Stop in order (see `portcast.runtime.drain`); returns at once if nothing runs or it is over."""
        if self._node is not None:
            await self._node.drain()

    def hurry(self) -> None:
        """Make a running drain end at once: whatever is left is aborted. Does nothing if no drain has begun."""
        if self._node is not None:
            self._node.hurry()

    # The lifespan

    @asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[Mapping[str, Any]]:
        if self._node is not None:
            raise ConfigurationError("Gateway", "it was included twice", "include_router(gateway) once per process")
        async with AsyncExitStack() as stack:
            state = await stack.enter_async_context(self._user_lifespan(app)) if self._user_lifespan else None
            topics = self._topic_table()
            overrides = getattr(app, "dependency_overrides", {})
            redact_logs()  # uvicorn has configured its own by now
            rules = self.sdk_access(topics, overrides)
            stack.push_async_callback(rules.close)
            node = self._build(topics, overrides)
            node.hub.admission = subscriber_admission(self._http, node.descriptors)
            self._node, self._rules = node, rules
            try:
                await node.start()
                restored = [one.topic for one in node.broker.topics(STORE_TOPICS, node.now()) if one.retained]
                self.store.open(node.clock, node.publish_nowait, restored)
                signals = SignalDrain(self.drain, self.hurry)
                signals.install()
                probed = put_probe(app)
                try:
                    yield {**(state or {}), "portcast": self}
                finally:
                    signals.restore()
                    probed()
                    await node.stop()
                    await signals.wait_passed_on()
            finally:
                self.store.close()
                self._node = self._rules = None

    def sdk_access(self, topics: TopicTable, overrides: Overrides) -> Rules:
        """Return the rules for SDK clients, of what is declared now.

        Args:
            topics: tells which topics are retained.
            overrides: of the app's dependencies.

        Raises:
            ConfigurationError: a key or file cannot be used, a hook asks for what cannot be provided, or nothing says
                who may connect from elsewhere.
            MissingDependencyError: tokens are to be verified, and PyJWT is not installed.
        """
        basis = Basis(
            self._centrifuge,
            self._permissions,
            self._compiled_hooks({Gateway: self, Store: self.store}, overrides, self.emit),
            is_retained=lambda topic: topics.history_of(topic).is_enabled,
            keys=KeyTable(self._keys, os.environ),
            is_guarded=self._is_guarded,
            failed_logins=FailedLogins(self._http),
        )
        basis.check(self.http_address)
        return Rules(basis)

    def _topic_table(self) -> TopicTable:
        relays = [one.config for one in reversed(self.devices.declarations) if one.function is None]
        return TopicTable(
            {**self._topics, **{key: one for key, one in OWN_TOPICS.items() if key not in self._topics}},
            # In reverse, so that the first of two listeners with one topic counts.
            {one.topic: one.topic_options for one in relays if one.topic_options is not None},
            history=self._history,
        )

    def _build(self, topics: TopicTable, overrides: Overrides) -> Node:
        declarations = self.devices.declarations
        check_addresses([one.config for one in declarations], self.http_address)
        kept, directory = fitting_history(self._history, self._options), self._options.state_dir
        state = StateFile(directory, self._history, self.emit) if directory else None
        providers: dict[type[Any], Callable[[Connection], object]]
        providers = {Gateway: lambda _: self, Store: lambda _: self.store}
        return Node(
            [
                listener_plan(one, providers=providers, overrides=overrides, environment=os.environ, emit=self.emit)
                for one in declarations
            ],
            broker=MemoryBroker(kept, limits_of=topics.history_of, state=state),
            options=self._options,
            outbox=self._outbox,
            topics=topics,
            emit=self.emit,
            report=LogEvents(),  # in the watchdog's thread: one of its own, since those of the loop belong to the loop
            on_blocked=self._tell_watchers,  # it is in the log by then
            devices=self._device_settings,
            recorder=self._recorder_settings,
            surroundings=surroundings.get(Surroundings()),
        )


def _meta(tags: Mapping[str, str] | None) -> Meta | None:
    return Meta(tags) if tags else None
