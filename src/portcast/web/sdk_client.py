"""One SDK client: its session (pure), its subscriber in the hub, and the rules of the app, put together.

What the client sends comes as frames. Their commands wait in a queue and are handed to the session one after the
other (`portcast.centrifuge.session`: order), except pongs, which have no place in the order. No command is taken

* while the session is busy with one,
* while the sink has no room for answers, or
* while publications are queued for the client or it is behind: then its subscriptions must not change, because what
  is queued belongs to those that it had when it was published.

So a client that does not read is not served, and its queue fills up; then it is not read either
(`portcast.web.sdk_queue`). What a client asks for at once is carried out in slices, so that it does not keep the loop
from others.

A subscription is made in one step, without awaiting: history is read, the hub is told, the answer is made. So nothing
is lost or doubled between what the answer brings and what is pushed. Answers are written together at the end of a step;
those to subscriptions before anything happens that may let the hub flush (`flush_first`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.decisions import Ask, Decision, Detach
from portcast.centrifuge.messages import (
    Command,
    ConnectRequest,
    Reply,
    SubscribeRequest,
)
from portcast.centrifuge.rules import is_pong
from portcast.centrifuge.session import Session
from portcast.delivery import Sink
from portcast.errors import CentrifugeError
from portcast.runtime import Subscriber
from portcast.runtime.rates import Throttle as RateThrottle
from portcast.web.sdk_access import Answer, Caller, Grant, Verdict
from portcast.web.sdk_channels import SdkChannels
from portcast.web.sdk_commands import granted, perform
from portcast.web.sdk_queue import CommandQueue, Pace, Reader, SharedReader, Throttle
from portcast.web.sdk_wire import Wire

if TYPE_CHECKING:
    from portcast.web.sdk_node import SdkNode

_logger = logging.getLogger("portcast")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Then = Callable[["SdkClient", Ask, T], None]
"""Completes a command with what was asked for."""

SLICE_S = 0.005
"""How long commands of one client are carried out before the loop gets a turn."""

CLOSE_TOO_BIG = 1009
"""RFC 6455 §7.4.1, as the reference server closes."""

MOST_REPLIES = 64
"""Replies that are collected for one frame."""


class SdkClient:
    """See the theory on top of the module. Implements `portcast.runtime.Follower`."""

    __slots__ = (
        "_has_room",
        "_is_pumping",
        "_is_resuming",
        "_out",
        "_pace",
        "_queue",
        "_reader",
        "_sink",
        "_tasks",
        "_throttle",
        "caller",
        "channels",
        "deadline",
        "granted_later",
        "has_news",
        "has_session",
        "http",
        "node",
        "session",
        "session_id",
        "subscriber",
        "wire",
    )

    subscriber: Subscriber

    def __init__(
        self, node: SdkNode, session: Session, wire: Wire, sink: Sink, http: HTTPConnection, reader: Reader | None
    ) -> None:
        """Prepare; `SdkNode.accept` does the rest."""
        self.node = node
        self.session = session
        self.wire = wire
        self._sink = sink
        self._reader = SharedReader(reader) if reader is not None else None
        self.http = http
        self.caller: Caller | None = None
        # For transports whose client cannot write on its connection: its commands come by requests of their own.
        self.has_session = False
        self.session_id = ""
        self.deadline = session.next_deadline()
        # What came in and waits, and what goes out at the end of this step.
        self._queue = CommandQueue()
        self._throttle: Throttle | None = None
        self._pace: Pace | None = None
        self._out: list[Reply] = []
        self._is_pumping = self._is_resuming = False
        self._has_room = True
        # Whether it goes with news of a subscription (`flush_first`); a subscription that waits for room.
        self.has_news = False
        self.granted_later: tuple[Ask, Grant] | None = None
        self.channels = SdkChannels(self, wire)
        self._tasks: set[asyncio.Future[Any]] | None = None

    # In

    def on_message(self, data: str | bytes) -> None:
        """Take a frame of the client."""
        if self.session.is_ended:
            return
        if len(data) > self.node.max_message_bytes:
            self.subscriber.close(CLOSE_TOO_BIG, "message too big")
            return
        self.node.allowance.spend(len(data))
        try:
            commands = self.wire.decode(data)
        except CentrifugeError as error:
            # At debug: anybody can send garbage, as fast as the network allows. That it ended is an event.
            _logger.debug("bad frame client=%s problem=%r", self.session.client, str(error))
            self.carry_out(self.session.end(codes.BAD_COMMAND))
            return
        if self.node.rates is not None and not self._is_in_pace(len(commands), len(data)):
            self.carry_out(self.session.end(codes.TOO_MANY_COMMANDS))
            return
        for command in commands:
            if is_pong(command):
                self._step(command)
        if self.session.is_ended:
            return
        self._queue.put([command for command in commands if not is_pong(command)], len(data))
        self.pump()
        if self._queue.is_too_long:
            self._too_much()

    def _is_in_pace(self, commands: int, size: int) -> bool:
        assert self.node.rates is not None, "there is a limit"
        now = self.node.now()
        if self._pace is None:
            self._pace = Pace(RateThrottle(*self.node.rates, now), self._reader)
        return self._pace.allows(commands, size, now)

    def _too_much(self) -> None:
        if self._throttle is None and self._reader is not None:
            self._throttle = Throttle(self._reader, len(self._queue), self.node.now())
        elif self._throttle is None or self._throttle.is_spent:
            self.carry_out(self.session.end(codes.TOO_MANY_COMMANDS))

    def pump(self) -> None:
        """Hand over commands while that is allowed; write what they are answered."""
        if self._is_pumping:
            return
        self._is_pumping = True
        began = self.node.now()
        try:
            while self._may_step():
                self._step(self._queue.take())
                if len(self._out) >= MOST_REPLIES:
                    self.flush()
                if self._queue and not self._is_resuming and self.node.now() - began > SLICE_S:
                    self._is_resuming = True
                    asyncio.get_running_loop().call_soon(self._resume)
        finally:
            self._is_pumping = False
        self.flush()
        if self._throttle is not None and self._queue.is_short:
            self._throttle.end()
            self._throttle = None

    def _may_step(self) -> bool:
        return (
            bool(self._queue)
            and self._has_room
            and not self._is_resuming
            and not self.session.is_busy
            and not self.session.is_ended
            and self.subscriber.outbox.is_queue_empty
        )

    def _resume(self) -> None:
        self._is_resuming = False
        self.pump()

    def _step(self, command: Command) -> None:
        if not isinstance(command.request, SubscribeRequest):
            self.flush_first()
        answer = self.session.receive(command, self.node.now())
        if isinstance(answer, Ask):
            perform(self, answer)
        elif answer is not None:
            self.carry_out([answer])
        self.deadline = self.session.next_deadline()

    @property
    def may_wait_for_memory(self) -> bool:
        """True if the client need not be read until memory is not short any more."""
        return self._reader is not None and self._reader.can_be_held_long

    async def wait_for_memory(self) -> None:
        """Return when memory is not short; until then the client is not read."""
        if self._reader is None or not self.node.memory.is_short:
            return
        self._reader.hold_reading()
        try:
            await self.node.memory.wait_enough()
        finally:
            self._reader.read_on()

    # Out

    def flush(self) -> None:
        """Write what was answered so far."""
        self.has_news = False
        out, self._out = self._out, []
        if out:
            self._has_room = self._sink.write_now(self.wire.encode(out)) and self._has_room

    def flush_first(self) -> None:
        """Write that a subscription is made before anything can be pushed for it."""
        if self.has_news:
            self.flush()

    def write_items(self, items: Sequence[object]) -> None:
        """Write pushes that are encoded already and that a slow client may miss: joins and leaves."""
        self.flush()
        if self._has_room:
            self._has_room = self._sink.write_now(items)

    def push(self, reply: Reply) -> None:
        """Write a push that no command asked for."""
        self.carry_out([reply])

    def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Do what the session decided."""
        for one in decisions:
            if isinstance(one, Reply):
                self._out.append(one)
            elif isinstance(one, Detach):
                self.channels.detach(one.channel)
            else:
                self._close(one)
                return
        if not self._is_pumping:
            self.flush()
        self.deadline = self.session.next_deadline()

    def _close(self, why: Disconnect) -> None:
        self.flush()
        self.subscriber.close(why.code, why.reason)

    # What the hub and the node tell

    def has_room(self) -> None:
        """See `portcast.runtime.Follower.has_room`."""
        self._has_room = True
        later, self.granted_later = self.granted_later, None
        if later is not None:
            granted(self, *later)
        self.pump()

    def overtaken(self, topic_filter: str) -> None:
        """See `portcast.runtime.Follower.overtaken`: the client subscribes again, and recovers or learns of the gap."""
        self.carry_out(self.session.insufficient(topic_filter, self.node.now()))

    def ended(self, reason: str) -> None:
        """See `portcast.runtime.Follower.ended`."""
        self.session.end(codes.CONNECTION_CLOSED)
        self.channels.leave_all()
        self.deadline = self.granted_later = self._throttle = self._pace = None
        self._queue.clear()
        for task in self._tasks or ():
            task.cancel()
        self.node.gone(self)

    def expire(self, now: float) -> None:
        """Do what is due: pings, lifetimes; called every second or so."""
        if self.deadline is not None and self.deadline <= now:
            self.carry_out(self.session.expire(now))
        # Short of memory nothing may move.
        if self._throttle is not None and not self.node.memory.is_short:
            self._throttle.look(len(self._queue), now)
        if self._pace is not None and self._pace.look(now):
            self._pace = None
        self.channels.settle()

    # The rules

    def when(
        self,
        ask: Ask,
        then: Then[T],
        rule: Callable[[*Ts], Answer[T]],
        *args: *Ts,
    ) -> None:
        """Ask the rules, and go on with the verdict, now or when it is there."""
        try:
            answer = rule(*args)
        except Exception as error:  # noqa: BLE001 - the app's functions may raise anything
            self.node.failed(self.session.client, error)
            answer = codes.INTERNAL
        if not isawaitable(answer):
            self._judge(ask, answer, then)
            return
        # Not awaited in a task of ours: one that is cancelled before its first step would never await it.
        task = asyncio.ensure_future(answer)
        self._own(task)
        task.add_done_callback(partial(self._judge_later, ask, then))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with the client."""
        self._own(asyncio.get_running_loop().create_task(work))

    def _own(self, task: asyncio.Future[Any]) -> None:
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _judge_later(self, ask: Ask, then: Then[T], task: asyncio.Future[Verdict[T]]) -> None:
        if self.session.is_ended:
            # What it says, or raises, is of no use to anybody.
            _ = task.cancelled() or task.exception()
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self.node.failed(self.session.client, error)
        self._judge(ask, codes.INTERNAL if error is not None else task.result(), then)
        self.pump()

    def _judge(self, ask: Ask, verdict: Verdict[T], then: Then[T]) -> None:
        if self.session.is_ended:
            return
        if isinstance(verdict, ReplyError | Disconnect):
            if isinstance(ask.command.request, ConnectRequest):
                self.node.refused(self.http, ask.command.request, verdict)
            self.carry_out(self.session.failed(ask, verdict, self.node.now()))
        else:
            then(self, ask, verdict)
