"""One SDK client: its session (pure), its subscriber in the hub, and the rules of the app, put together.

What the client sends comes as frames. Their commands wait in a queue and are handed to the session one after the
other (`portcast.centrifuge.session`: order), except pongs, which have no place in the order. No command is taken

* while the session is busy with one,
* while the sink has no room for answers, or
* while publications are queued for the client or it is behind: then its subscriptions must not change, because what
  is queued belongs to those that it had when it was published.

So a client that does not read is not served, its queue fills up, and too much in it ends the connection.

A subscription is made in one step, without awaiting: history is read, the hub is told, the answer is written. So
nothing is lost or doubled between what the answer brings and what is pushed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.deadlines import Lifetime
from portcast.centrifuge.decisions import Ask, Decision, Detach
from portcast.centrifuge.messages import (
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    PublishResult,
    RefreshRequest,
    Reply,
    RpcRequest,
    RpcResult,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
)
from portcast.centrifuge.recovery import history_result, wanted_by_history
from portcast.centrifuge.rules import is_pong
from portcast.centrifuge.session import Session
from portcast.centrifuge.tag_filter import validate
from portcast.delivery import Sink
from portcast.errors import CentrifugeError, TagFilterError
from portcast.runtime import Subscriber
from portcast.web.sdk_access import Admission, Answer, Caller, Grant, Question, Verdict
from portcast.web.sdk_channels import SdkChannels
from portcast.web.sdk_wire import Wire

if TYPE_CHECKING:
    from portcast.web.sdk_node import SdkNode

T = TypeVar("T")

MAX_QUEUED_BYTES = 1_048_576
"""Bytes of frames whose commands wait. A reconnect with 128 subscriptions and tokens has 60 KiB."""


class SdkClient:
    """See the theory on top of the module. Implements `portcast.runtime.Follower`."""

    __slots__ = (
        "_granted_later",
        "_has_room",
        "_http",
        "_is_pumping",
        "_out",
        "_queue",
        "_queued_bytes",
        "_sink",
        "_tasks",
        "caller",
        "channels",
        "deadline",
        "has_session",
        "node",
        "session",
        "session_id",
        "subscriber",
        "wire",
    )

    subscriber: Subscriber

    def __init__(self, node: SdkNode, session: Session, wire: Wire, sink: Sink, http: HTTPConnection) -> None:
        """Prepare; `SdkNode.accept` does the rest."""
        self.node = node
        self.session = session
        self.wire = wire
        self._sink = sink
        self._http = http
        self.caller: Caller | None = None
        # For transports whose client cannot write on its connection: its commands come by requests of their own.
        self.has_session = False
        self.session_id = ""
        self.deadline = session.next_deadline()
        # What came in and waits, and what goes out at the end of this step.
        self._queue: deque[Command] | None = None
        self._queued_bytes = 0
        self._out: list[Reply] = []
        self._is_pumping = False
        self._has_room = True
        self._granted_later: tuple[Ask, Grant] | None = None
        self.channels = SdkChannels(self, wire)
        self._tasks: set[asyncio.Task[None]] | None = None

    # In

    def on_message(self, data: str | bytes) -> None:
        """Take a frame of the client."""
        if self.session.is_ended:
            return
        try:
            commands = self.wire.decode(data)
        except CentrifugeError:
            self._carry_out(self.session.end(codes.BAD_COMMAND))
            return
        for command in commands:
            if is_pong(command):
                self._step(command)
            else:
                if self._queue is None:
                    self._queue = deque()
                self._queue.append(command)
        self._queued_bytes += len(data)
        self._pump()
        if not self._queue:
            self._queue, self._queued_bytes = None, 0
        elif self._queued_bytes > MAX_QUEUED_BYTES:
            self._carry_out(self.session.end(codes.TOO_MANY_COMMANDS))

    def _pump(self) -> None:
        """Hand over commands while that is allowed; write what they are answered."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while (
                self._queue
                and self._has_room
                and not self.session.is_busy
                and not self.session.is_ended
                and self.subscriber.outbox.is_queue_empty
            ):
                self._step(self._queue.popleft())
        finally:
            self._is_pumping = False
        self._flush()

    def _step(self, command: Command) -> None:
        answer = self.session.receive(command, self.node.now())
        if isinstance(answer, Ask):
            self._perform(answer)
        elif answer is not None:
            self._carry_out([answer])
        self.deadline = self.session.next_deadline()

    # Out

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out:
            self._has_room = self._sink.write_now(self.wire.encode(out)) and self._has_room

    def write_items(self, items: Sequence[object]) -> None:
        """Write pushes that are encoded already and that a slow client may miss: joins and leaves."""
        if self._has_room:
            self._has_room = self._sink.write_now(items)

    def push(self, reply: Reply) -> None:
        """Write a push that no command asked for."""
        self._carry_out([reply])

    def _carry_out(self, decisions: Sequence[Decision]) -> None:
        for one in decisions:
            if isinstance(one, Reply):
                self._out.append(one)
            elif isinstance(one, Detach):
                self.channels.detach(one.channel)
            else:
                self._close(one)
                return
        if not self._is_pumping:
            self._flush()
        self.deadline = self.session.next_deadline()

    def _close(self, why: Disconnect) -> None:
        self._flush()
        self.subscriber.close(why.code, why.reason)

    # What the hub and the node tell

    def has_room(self) -> None:
        """See `portcast.runtime.Follower.has_room`."""
        self._has_room = True
        later, self._granted_later = self._granted_later, None
        if later is not None:
            self._granted(*later)
        self._pump()

    def overtaken(self, topic_filter: str) -> None:
        """See `portcast.runtime.Follower.overtaken`: the client subscribes again, and recovers or learns of the gap."""
        self._carry_out(self.session.insufficient(topic_filter, self.node.now()))

    def ended(self, reason: str) -> None:
        """See `portcast.runtime.Follower.ended`."""
        self.session.end(codes.CONNECTION_CLOSED)
        self.channels.leave_all()
        self.deadline = None
        self._queue = self._granted_later = None
        for task in self._tasks or ():
            task.cancel()
        self.node.gone(self)

    def expire(self, now: float) -> None:
        """Do what is due: pings, lifetimes; called every second or so."""
        if self.deadline is not None and self.deadline <= now:
            self._carry_out(self.session.expire(now))
        self.channels.settle()

    # Commands

    def _perform(self, ask: Ask) -> None:
        request, access, caller = ask.command.request, self.node.access, self.caller
        if isinstance(request, ConnectRequest):
            answer = access.connect(self.session.client, self._http, request)
            self._when(ask, answer, self._admitted)
            return
        assert caller is not None, "nothing but connect comes before connect"
        match request:
            case SubscribeRequest():
                self._when(ask, access.subscribe(caller, request), self._granted)
            case UnsubscribeRequest():
                self.channels.detach(request.channel)
                self._carry_out(self.session.unsubscribed(ask, self.node.now()))
            case PublishRequest():
                is_subscribed = self.session.is_subscribed(request.channel)
                self._when(ask, access.publish(caller, request, is_subscribed), self._publish)
            case HistoryRequest() | PresenceRequest() | PresenceStatsRequest():
                self._look(ask, caller, request)
            case RpcRequest():
                self._when(ask, access.rpc(caller, request), self._returned)
            case SendRequest():
                self._when(ask, access.message(caller, request), self._taken)
            case RefreshRequest():
                self._when(ask, access.refresh(caller, request), self._refreshed)
            case SubRefreshRequest():
                self._when(ask, access.sub_refresh(caller, request), self._sub_refreshed)

    def _when(self, ask: Ask, answer: Answer[T], then: Callable[[Ask, T], None]) -> None:
        """Go on with the verdict, now or when it is there."""
        if not isawaitable(answer):
            self._judge(ask, answer, then)
            return
        self._spawn(self._judge_later(ask, answer, then))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _judge_later(self, ask: Ask, answer: Awaitable[Verdict[T]], then: Callable[[Ask, T], None]) -> None:
        try:
            verdict: Verdict[T] = await answer
        except Exception as error:  # noqa: BLE001 - the app's functions may raise anything
            self.node.failed(self.session.client, error)
            verdict = codes.INTERNAL
        self._judge(ask, verdict, then)
        self._pump()

    def _judge(self, ask: Ask, verdict: Verdict[T], then: Callable[[Ask, T], None]) -> None:
        if self.session.is_ended:
            return
        if isinstance(verdict, ReplyError | Disconnect):
            self._carry_out(self.session.failed(ask, verdict, self.node.now()))
        else:
            then(ask, verdict)

    def _admitted(self, ask: Ask, admission: Admission) -> None:
        now = self.node.now()
        if admission.lifetime.is_over or any(grant.lifetime.is_over for grant in admission.subs.values()):
            self._carry_out(self.session.failed(ask, codes.EXPIRED, now))
            return
        request = cast("ConnectRequest", ask.command.request)
        self.caller = Caller(
            self.session.client, admission.user, admission.info, admission.meta, self._http, admission.expires_at
        )
        subs = {}
        for channel, grant in admission.subs.items():
            wish = request.subs.get(channel, SubscribeRequest())
            result = self.channels.attach(replace(wish, channel=channel, delta="", tf=None, flag=0), grant)
            assert isinstance(result, SubscribeResult), "only a flag asks for an error"
            subs[channel] = (result, grant.lifetime)
        session_id, node_id = self.node.open_session(self) if self.has_session else ("", "")
        result_ = ConnectResult(data=admission.data, session=session_id, node=node_id)
        self._carry_out(self.session.connected(ask, result_, now, lifetime=admission.lifetime, subs=subs))
        if self.session.is_connected:
            self._flush()
            for channel in subs:
                self.channels.join(channel)

    def _granted(self, ask: Ask, grant: Grant) -> None:
        is_ready = self.node.hub.offer_pending(self.subscriber)
        if self.session.is_ended:
            return
        if not is_ready:
            # It fell behind while the app decided. What it has to get first belongs to the subscriptions that it had.
            self._granted_later = (ask, grant)
            return
        now = self.node.now()
        request = cast("SubscribeRequest", ask.command.request)
        if grant.lifetime.is_over:
            self._carry_out(self.session.failed(ask, codes.EXPIRED, now))
            return
        try:
            if request.tf is not None:
                validate(request.tf)
        except TagFilterError:
            self._carry_out(self.session.failed(ask, codes.BAD_REQUEST, now))
            return
        result = self.channels.attach(request, grant)
        if isinstance(result, ReplyError):
            self._carry_out(self.session.failed(ask, result, now))
            return
        self._carry_out(self.session.subscribed(ask, result, now, lifetime=grant.lifetime))
        self._flush()
        if self.session.is_subscribed(request.channel):
            self.channels.join(request.channel)

    # The other commands

    def _publish(self, ask: Ask, verdict: None) -> None:
        request = cast("PublishRequest", ask.command.request)
        if self.node.hub.is_held(request.channel):
            self._spawn(self._publish_later(ask, request))
        else:
            self.node.publish(request.channel, request.data, self.channels.info(request.channel))
            self._carry_out(self.session.done(ask, PublishResult(), self.node.now()))

    async def _publish_later(self, ask: Ask, request: PublishRequest) -> None:
        await self.node.hub.wait_released(request.channel)
        if not self.session.is_ended:
            self.node.publish(request.channel, request.data, self.channels.info(request.channel))
            self._carry_out(self.session.done(ask, PublishResult(), self.node.now()))
            self._pump()

    def _look(self, ask: Ask, caller: Caller, request: HistoryRequest | PresenceRequest | PresenceStatsRequest) -> None:
        node, now, channel = self.node, self.node.now(), request.channel
        question: Question = "history" if isinstance(request, HistoryRequest) else "presence"
        verdict = node.access.ask(caller, question, channel, self.session.is_subscribed(channel))
        if isinstance(verdict, ReplyError | Disconnect):
            self._carry_out(self.session.failed(ask, verdict, now))
            return
        if isinstance(request, PresenceRequest):
            self._carry_out(self.session.done(ask, node.presence.presence(channel), now))
        elif isinstance(request, PresenceStatsRequest):
            self._carry_out(self.session.done(ask, node.presence.stats(channel), now))
        else:
            top = node.broker.position(channel)
            read = wanted_by_history(request, top)
            if isinstance(read, ReplyError):
                self._carry_out(self.session.failed(ask, read, now))
                return
            found = node.broker.history(channel, **read._asdict(), now=now)
            result = history_result(top, found, node.to_message(self.wire, is_delta=False))
            self._carry_out(self.session.done(ask, result, now))

    def _returned(self, ask: Ask, data: bytes) -> None:
        self._carry_out(self.session.done(ask, RpcResult(data), self.node.now()))

    def _taken(self, ask: Ask, verdict: None) -> None:
        self._carry_out(self.session.done(ask, None, self.node.now()))

    def _refreshed(self, ask: Ask, lifetime: Lifetime) -> None:
        self._carry_out(self.session.refreshed(ask, lifetime, self.node.now()))

    def _sub_refreshed(self, ask: Ask, verdict: tuple[str, Lifetime]) -> None:
        channel, lifetime = verdict
        self._carry_out(self.session.sub_refreshed(ask, channel, lifetime, self.node.now()))
