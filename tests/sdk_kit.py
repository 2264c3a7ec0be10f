"""SDK clients without sockets, the rules they live by, and a real client that reads when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

from starlette.requests import HTTPConnection

from centrifuge_messages import as_json, as_protobuf, delimited, from_protobuf, plain, replies_in
from manual_clock import ManualClock
from portcast.brokers import MemoryBroker
from portcast.centrifuge import codes, fossil
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import (
    Command,
    ConnectRequest,
    PublishRequest,
    RefreshRequest,
    Request,
    RpcRequest,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from portcast.centrifuge.options import SessionOptions
from portcast.config import TopicOptions
from portcast.delivery import Batch, OutboxLimits
from portcast.publication import Meta
from portcast.runtime import Hub, Node
from portcast.runtime.memory import BufferedBytes, MemoryGuard
from portcast.runtime.memory_limit import MemoryLimit, MemoryUse
from portcast.runtime.registry import Allowance
from portcast.topics import validate_filter, validate_topic
from portcast.web.sdk_access import Admission, Answer, Caller, Grant, Question, Verdict
from portcast.web.sdk_client import SdkClient
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_wire import wire
from raw_clients import WebSocket
from runtime_kit import LIMITS, Events, FakeSink, make_broker, make_hub, turns

LONG = b'{"from":"a device","text":"long enough to be worth a delta, in which only little differs","n":%d}'
"""A payload whose successors differ little."""


class Rules:
    """An `Access` that allows everything, remembers what it was asked, and may be told otherwise.

    Attributes:
        answers: what to answer instead, by the name of the method, or by ``"method:channel"``: a verdict, an exception
            to raise, or a function that takes the request.
        slow: methods whose answer waits for `let_go`.
        calls: what was asked, in order: the method, and the channel, method or user that it was about.
        accepts_messages: see `Access`.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.slow: set[str] = set()
        self.calls: list[str] = []
        self.callers: list[Caller] = []
        self.messages: list[bytes] = []
        self.accepts_messages = True
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return sum(not one.done() for one in self._waiting)

    async def let_go(self, number: int = 1) -> None:
        """Let the oldest answers be given."""
        for one in [one for one in self._waiting if not one.done()][:number]:
            one.set_result(None)
        await turns()

    def _answer(self, name: str, about: str, request: Any, default: Any) -> Any:
        self.calls.append(f"{name}:{about}" if about else name)
        answer = self.answers.get(f"{name}:{about}", self.answers.get(name, default))
        if name not in self.slow:
            return self._now(answer, request)
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return self._later(future, answer, request)

    def _now(self, answer: Any, request: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    async def _later(self, future: asyncio.Future[None], answer: Any, request: Any) -> Any:
        await future
        return self._now(answer, request)

    async def _soon(self, answer: Any) -> Any:
        return await answer if asyncio.iscoroutine(answer) else answer

    def connect(self, client: str, http: HTTPConnection, request: ConnectRequest) -> Answer[Admission]:
        return cast("Answer[Admission]", self._answer("connect", request.token, request, Admission()))

    def subscribe(self, caller: Caller, request: SubscribeRequest) -> Answer[Grant]:
        self.callers.append(caller)
        return cast("Answer[Grant]", self._answer("subscribe", request.channel, request, Grant()))

    def publish(self, caller: Caller, request: PublishRequest, is_subscribed: bool) -> Answer[None]:
        return cast("Answer[None]", self._answer("publish", request.channel, request, None))

    def ask(self, caller: Caller, question: Question, channel: str, is_subscribed: bool) -> Verdict[None]:
        default = None if is_subscribed else codes.PERMISSION_DENIED
        return cast("Verdict[None]", self._answer(question, channel, None, default))

    async def rpc(self, caller: Caller, request: RpcRequest) -> Verdict[bytes]:
        default = request.data if request.method == "echo" else codes.NOT_AVAILABLE
        return cast("Verdict[bytes]", await self._soon(self._answer("rpc", request.method, request, default)))

    async def message(self, caller: Caller, request: SendRequest) -> None:
        await self._soon(self._answer("message", "", request, None))
        self.messages.append(request.data)

    def refresh(self, caller: Caller, request: RefreshRequest) -> Answer[Lifetime]:
        return cast("Answer[Lifetime]", self._answer("refresh", "", request, FOREVER))

    def sub_refresh(self, caller: Caller, request: SubRefreshRequest) -> Answer[tuple[str, Lifetime]]:
        default = (request.channel or request.token, Lifetime(60, True))
        return cast("Answer[tuple[str, Lifetime]]", self._answer("sub_refresh", request.channel, request, default))


class SdkSink(FakeSink):
    """Keeps what is written in the order in which a client would read it.

    Attributes:
        has_room: what `write_now` returns.
        is_held: whether the client is read.
        out: ASGI messages.
    """

    def __init__(self, *, is_open: bool = True) -> None:
        super().__init__(is_open=is_open)
        self.has_room = True
        self.is_held = False
        self.can_be_held_long = True
        self.out: list[object] = []

    def write(self, batch: Batch) -> bool:
        self.out += batch.items
        return super().write(batch)

    def write_now(self, items: Sequence[object]) -> bool:
        self.out += items
        self.answers += items
        return self.has_room

    def hold_reading(self) -> None:
        self.is_held = True

    def read_on(self) -> None:
        self.is_held = False


class Client:
    """A client that speaks with a `SdkClient` and reads what its sink was given.

    Attributes:
        code: of its close; 0 while it is open.
        texts: what it has seen of each channel, deltas applied, by channel: (offset, data as the publisher wrote it).
    """

    def __init__(self, node: SdkNode, kind: Format, *, is_open: bool, can_be_held: bool) -> None:
        self.format = kind
        self.sink = SdkSink(is_open=is_open)
        self.it: SdkClient = node.accept(
            self.sink,
            wire(kind, "messages"),
            request(),
            bind=self.sink.bind,
            peer="192.0.2.7:5",
            reader=self.sink if can_be_held else None,
        )
        self.texts: dict[str, list[tuple[int, bytes]]] = {}
        self._deltas: set[str] = set()
        self._bases: dict[str, bytes] = {}
        self._asked: dict[int, Request | None] = {}
        self._id = 0
        self._read = 0

    @property
    def code(self) -> int:
        return self.sink.closed[-1][0] if self.sink.closed else 0

    @property
    def is_gone(self) -> bool:
        """True if the hub has forgotten it."""
        return self.it.subscriber.is_closed

    # Speaking

    def commands(self, *requests: Request) -> list[Command]:
        """Number requests."""
        made = []
        for one in requests:
            self._id += 1
            made.append(Command(0 if isinstance(one, SendRequest) else self._id, one))
        return made

    def say(self, *requests: Request) -> None:
        """Send commands in one frame."""
        self.send(*self.commands(*requests))

    def send(self, *commands: Command) -> None:
        """Send commands with ids of one's own, or pongs, in one frame."""
        self._asked.update({one.id: one.request for one in commands})
        if self.format is Format.JSON:
            self.it.on_message("\n".join(as_json(plain(one)) for one in commands))
        else:
            self.it.on_message(delimited(*(as_protobuf(one) for one in commands)))

    def pong(self) -> None:
        self.send(Command())

    def ask(self, *requests: Request) -> list[Any]:
        """Send commands in one frame and return what is written at once."""
        self.say(*requests)
        return self.read()

    def connect(self, **fields: Any) -> dict[str, Any]:
        """Connect and return the result."""
        (reply,) = self.ask(ConnectRequest(**fields))
        result: dict[str, Any] = reply["connect"]
        return result

    def subscribe(self, channel: str, **fields: Any) -> dict[str, Any]:
        """Subscribe and return the result; nothing else must be written before it, and no join after it."""
        (reply,) = self.ask(SubscribeRequest(channel, **fields))
        assert "subscribe" in reply, reply
        result: dict[str, Any] = reply["subscribe"]
        return result

    def unsubscribe(self, channel: str) -> None:
        (reply,) = self.ask(UnsubscribeRequest(channel))
        assert reply.keys() - {"id"} == {"unsubscribe"}

    # Reading

    def frames(self) -> list[list[Any]]:
        """Return the replies of each frame since the last look."""
        new, self._read = self.sink.out[self._read :], len(self.sink.out)
        return [self._replies(cast("Mapping[str, Any]", one)) for one in new]

    def read(self) -> list[Any]:
        """Return the replies since the last look."""
        return [reply for frame in self.frames() for reply in frame]

    def pushes(self) -> list[Any]:
        """Return the pushes since the last look; nothing else must be there."""
        return [one["push"] for one in self.read()]

    def data(self, channel: str) -> list[tuple[int, bytes]]:
        """Read, and return what was seen of a channel so far, in the order of arrival."""
        self.read()
        return self.texts.get(channel, [])

    def _replies(self, message: Mapping[str, Any]) -> list[Any]:
        if self.format is Format.JSON:
            replies = [json.loads(line) for line in message["text"].split("\n")]
        else:
            replies = [from_protobuf(one) for one in replies_in(message["bytes"])]
        for one in replies:
            self._note(one)
        return replies if self.format is Format.JSON else [embedded(one) for one in replies]

    # As an SDK does it

    def _note(self, reply: dict[str, Any]) -> None:
        if "subscribe" in reply:
            request_ = self._asked[reply["id"]]
            assert isinstance(request_, SubscribeRequest)
            self._subscribed(request_.channel, reply["subscribe"])
        for channel, result in reply.get("connect", {}).get("subs", {}).items():
            self._subscribed(channel, result)
        push = reply.get("push", {})
        if "pub" in push:
            self._publication(push["channel"], push["pub"])

    def _subscribed(self, channel: str, result: dict[str, Any]) -> None:
        self._bases.pop(channel, None)
        self._deltas.discard(channel)
        if result.get("delta"):
            self._deltas.add(channel)
        for one in result.get("publications", ()):
            self._publication(channel, one)

    def _publication(self, channel: str, pub: dict[str, Any]) -> None:
        data = pub.get("data", b"")
        if channel in self._deltas:
            # centrifuge-js, `applyDeltaIfNeeded`: of JSON the text is the base.
            whole = data.encode() if self.format is Format.JSON else data
            if pub.get("delta"):
                whole = fossil.apply(self._bases[channel], whole, max_bytes=1 << 20)
            self._bases[channel] = data = whole
        elif self.format is Format.JSON:
            data = json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()
        self.texts.setdefault(channel, []).append((pub.get("offset", 0), data))


def embedded(value: Any) -> Any:
    """Return a reply with its bytes as the JSON that they hold, if they hold any."""
    if isinstance(value, bytes):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        return {key: embedded(one) for key, one in value.items()}
    return [embedded(one) for one in value] if isinstance(value, list) else value


def request(**headers: str) -> HTTPConnection:
    """The request by which a client came."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "websocket", "path": "/", "query_string": b"", "headers": raw})


def options(**changes: Any) -> SessionOptions:
    """Options of sessions that end nothing by themselves for a long time, unless changed."""
    return SessionOptions("portcast", validate_filter, validate_topic, **({"ping_s": 0, "pong_s": 0} | changes))


class World:
    """A hub with history by a clock that stands still, a node for SDK clients, and the clients.

    Its subscribers have no patience: a sink with more than ten messages waiting falls behind at once.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        history: Mapping[str, Any] | None = None,
        topics: Mapping[str, TopicOptions] | None = None,
        limits: OutboxLimits = LIMITS,
        default: TopicOptions | None = None,
        session: SessionOptions | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.events = Events()
        self.broker: MemoryBroker = make_broker(**({"publications": 1000, "topic_bytes": 10**8} | dict(history or {})))
        self.hub: Hub = make_hub(
            self.clock,
            self.events,
            default=default or TopicOptions(patience_s=0),
            topics=topics or {},
            broker=self.broker,
            has_history=True,
            limits=limits,
        )
        self.broker.bind(self.hub.deliver)
        self.rules = rules or Rules()
        self.used = 0
        self.allowance = Allowance()
        self.memory = MemoryGuard(
            MemoryLimit(100, "option"),
            self.clock,
            pause=lambda is_short: None,
            allowance=self.allowance,
            buffered=BufferedBytes,
            emit=self.events,
            use=lambda: MemoryUse(self.used),
            trim=lambda: None,
        )
        self.running = SimpleNamespace(
            hub=self.hub,
            broker=self.broker,
            now=self.clock.time,
            unix_time=lambda at: at + 1000,
            memory=self.memory,
            registry=SimpleNamespace(allowance=self.allowance),
        )
        self.node = SdkNode(cast(Node, self.running), self.rules, session or options(), self.events)

    def client(self, kind: Format = Format.JSON, *, is_open: bool = True, can_be_held: bool = False) -> Client:
        """A client that is not connected yet.

        Args:
            kind: how it speaks.
            is_open: its sink takes all at once.
            can_be_held: its way in is one that can be told to wait.
        """
        return Client(self.node, kind, is_open=is_open, can_be_held=can_be_held)

    def connected(
        self, kind: Format = Format.JSON, *, is_open: bool = True, can_be_held: bool = False, **fields: Any
    ) -> Client:
        """A client that is."""
        client = self.client(kind, is_open=is_open, can_be_held=can_be_held)
        client.connect(**fields)
        return client

    def uses(self, share: int) -> None:
        """Let the process use so many percent of its memory."""
        self.used = share
        self.memory.start()

    def publish(self, topic: str, *payloads: bytes, **tags: str) -> None:
        """Publish without a flush."""
        self.broker.publish_nowait(topic, payloads, self.clock.time(), Meta(tags) if tags else None)

    def send(self, topic: str, *payloads: bytes, **tags: str) -> None:
        """Publish and flush."""
        self.publish(topic, *payloads, **tags)
        self.clock.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, second by second, as the node's ticker sees it."""
        while seconds > 0:
            step = min(1.0, seconds)
            self.clock.advance(step)
            self.node._tick()
            seconds -= step

    def finish(self, client: Client, *, is_open: bool = True) -> None:
        """The client's sink has written its batch."""
        client.sink.is_open = is_open
        if client.sink.is_busy:
            client.sink.finish()
        self.clock.settle()


class SdkWebSocket:
    """A client of a real server, on a blocking socket."""

    def __init__(
        self, port: int, path: str = "/connection/websocket", *, is_protobuf: bool = False, **raw: Any
    ) -> None:
        self.is_protobuf = is_protobuf
        query = "?format=protobuf" if is_protobuf else ""
        self.socket = WebSocket(port, path + query, **raw)
        self._replies: list[Any] = []
        self._id = 0

    def __enter__(self) -> SdkWebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """End without a word."""
        with closing(self.socket.sock):
            pass

    def say(self, *requests: Request) -> None:
        """Send commands in one frame."""
        commands = []
        for one in requests:
            self._id += 1
            commands.append(Command(self._id, one))
        if self.is_protobuf:
            self.socket.say_bytes(delimited(*(as_protobuf(one) for one in commands)))
        else:
            self.socket.say("\n".join(as_json(plain(one)) for one in commands))

    def reply(self) -> Any:
        """Return the next reply, push or ping; None once it is closed."""
        while not self._replies:
            message = self.socket.read()
            if message is None:
                return None
            if isinstance(message, bytes):
                assert self.is_protobuf, "JSON comes as text"
                self._replies += [embedded(from_protobuf(one)) for one in replies_in(message)]
            else:
                assert not self.is_protobuf, "Protobuf comes as bytes"
                self._replies += [json.loads(line) for line in message.split("\n")]
        return self._replies.pop(0)

    def raw(self, data: Any) -> bytes:
        """Return the data of a publication with deltas as bytes: JSON has it as text, and Protobuf was read as JSON."""
        if isinstance(data, bytes):
            return data
        return data.encode() if isinstance(data, str) else json.dumps(data, separators=(",", ":")).encode()

    def take(self, number: int) -> list[Any]:
        """Return so many replies, without pings."""
        found: list[Any] = []
        while len(found) < number:
            reply = self.reply()
            assert reply is not None, f"closed after {len(found)}: {self.socket.code} {self.socket.reason}"
            if reply:
                found.append(reply)
        return found

    def ask(self, one: Request) -> Any:
        """Send a command and return its answer; what is pushed before it is lost."""
        self.say(one)
        while (reply := self.take(1)[0]).get("id") != self._id:
            pass
        return reply
