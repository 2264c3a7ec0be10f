"""The state machine of one client connection: which command may come, what answers it, and when it all ends.

===========  =====================================  ==========================  =======================================
state        entered by                             takes                       left by
===========  =====================================  ==========================  =======================================
WAITING      the transport is open                  ``connect``                 ``connect``, the end
CONNECTING   a ``connect``: the app must decide     nothing: it is busy         `Session.connected`, `failed`, the end
REFUSED      the app answered with an error         nothing                     the end
CONNECTED    the app agreed                         everything but ``connect``  the end
ENDED        any `Disconnect`, or `Session.end`     nothing: all is ignored
===========  =====================================  ==========================  =======================================

What a state does not take closes with 3501. What ends by time is in `portcast.centrifuge.life`, the states of a
subscription are in `portcast.centrifuge.subscriptions`, what is wrong with a command by itself is in
`portcast.centrifuge.rules`.

**Order.** The commands of a connection are carried out one after the other: while an `Ask` is open the session
`is_busy`, and the shell must keep the next command. There are two exceptions. ``rpc`` runs beside the rest, up to
``max_rpcs`` (one more is error 111). A pong has no place in the order, and is best not kept: hand it over at once
(`portcast.centrifuge.rules.is_pong`). A ``send`` is in order like the rest, although nobody waits for its answer:
messages keep their order, and since one cannot be refused with an error, waiting is what limits them.

**Answers.** Every command with an id gets exactly one `Reply`, unless the connection ends first; a ``send`` gets none.
An `Ask` is completed once, by the method that belongs to it or by `Session.failed`. A completion that comes after the
end gives nothing.

**Subscribing.** The shell looks at `Session.is_ended`, reads history, attaches to the hub, calls `Session.subscribed`
and writes what that returns, without awaiting in between: so nothing is lost or doubled. What the server wants of a
channel that is just being subscribed (unsubscribe, insufficient state) follows the reply. On an ``unsubscribe`` it
detaches before it awaits anything: the channel is free again at once.

**Invariants.** After ``expire(now)`` no deadline is at or before ``now``. After the end there is no deadline, no open
ask and no decision.

This file must not know formats, history, tokens or the hub. Times are monotonic seconds. A connected session with one
subscription takes 722 bytes on CPython 3.11, with the names of both, and about 90 for each further one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from portcast.centrifuge import codes
from portcast.centrifuge.asks import OpenAsks
from portcast.centrifuge.codes import Disconnect, ReplyError, Unsubscribe
from portcast.centrifuge.deadlines import FOREVER, NEVER, Lifetime
from portcast.centrifuge.decisions import Ask, Decision
from portcast.centrifuge.life import Life, State
from portcast.centrifuge.messages import (
    PING,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    PublishResult,
    Push,
    RefreshRequest,
    RefreshResult,
    Reply,
    Request,
    RpcRequest,
    RpcResult,
    SendRequest,
    SubRefreshRequest,
    SubRefreshResult,
    SubscribePush,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
    UnsubscribeResult,
)
from portcast.centrifuge.options import SessionOptions
from portcast.centrifuge.rules import is_pong, refusal
from portcast.centrifuge.subscriptions import Standing, Subscriptions

PlainResult = PublishResult | PresenceResult | PresenceStatsResult | HistoryResult | RpcResult
"""Results that change nothing in the session."""


class Session:
    """What one connection may do. Times that its methods take never go back."""

    __slots__ = ("_asks", "_life", "_options", "_subscriptions", "client")

    def __init__(self, options: SessionOptions, *, client: str, now: float, first_ping_s: float) -> None:
        """Begin to wait for ``connect``.

        Args:
            options: shared by many sessions.
            client: the id of the connection, unique among all nodes; the client is told.
            now: monotonic seconds.
            first_ping_s: from being connected to the first ping, drawn from ``[ping_s / 2, ping_s)``: clients that
                come back together must not be pinged together.
        """
        self.client = client
        self._options = options
        self._life = Life(options, now, first_ping_s)
        self._asks = OpenAsks()
        self._subscriptions = Subscriptions(options)

    # Looking

    @property
    def state(self) -> State:
        """See the table on top of the module."""
        return self._life.state

    @property
    def is_busy(self) -> bool:
        """True while the shell must keep the next command, unless that is a pong."""
        return self._asks.is_busy

    @property
    def is_connected(self) -> bool:
        """True from the reply to ``connect`` to the end."""
        return self._life.state is State.CONNECTED

    @property
    def is_ended(self) -> bool:
        """True if nothing follows any more."""
        return self._life.state is State.ENDED

    def is_subscribed(self, channel: str) -> bool:
        """Return True if the client has ``channel``, from the reply on."""
        return self._subscriptions.standing(channel) in (Standing.CLIENT_SIDE, Standing.SERVER_SIDE)

    def is_server_side(self, channel: str) -> bool:
        """Return True if the client has ``channel`` because the server wanted it."""
        return self._subscriptions.standing(channel) is Standing.SERVER_SIDE

    def channels(self) -> Iterator[str]:
        """Yield the channels that the client has; after the end, those that the shell still has to detach."""
        return iter(self._subscriptions)

    # Commands

    def receive(self, command: Command, now: float) -> Reply | Disconnect | Ask | None:
        """Take the next command of the client.

        Args:
            command: not before the last one is done (`is_busy`), except for a pong.
            now: monotonic seconds.

        Returns:
            What to write, why to close, or what to carry out; None for a pong, and after the end.
        """
        state = self._life.state
        if state is State.ENDED:
            return None
        if is_pong(command):
            return None if self._life.pong(now) else self._end(codes.BAD_COMMAND)
        assert not self.is_busy, "the shell must keep commands while the session is busy"
        # Connect is what must come first, and may not come again; a refused client has had its turn.
        if state is State.REFUSED or isinstance(command.request, ConnectRequest) != (state is State.WAITING):
            return self._end(codes.BAD_COMMAND)
        answer = refusal(command, self._options) or self._admit(command.request, now)
        if isinstance(answer, Disconnect):
            return self._end(answer)
        if answer is not None:
            return Reply(command.id, answer)
        ask = self._asks.add(command)
        if self.is_busy:
            self._life.stop(now)
        return ask

    def _admit(self, request: Request | None, now: float) -> UnsubscribeResult | ReplyError | Disconnect | None:
        """Let a command in that is good by itself; return the answer if it needs nobody else."""
        match request:
            case ConnectRequest():
                self._life.connecting(now)
            case SubscribeRequest():
                return self._subscriptions.begin(request.channel)
            case UnsubscribeRequest():
                return None if self._subscriptions.remove(request.channel) else UnsubscribeResult()
            case RefreshRequest() if not self._life.is_refreshed_by_client:
                return codes.BAD_COMMAND
            case SubRefreshRequest() if request.channel:
                if not self.is_subscribed(request.channel):
                    return codes.PERMISSION_DENIED
                if not self._subscriptions.is_refreshed_by_client(request.channel):
                    return codes.BAD_COMMAND
            case RpcRequest() if self._asks.calls >= self._options.max_rpcs:
                return codes.TOO_MANY_REQUESTS
        return None

    # Completions

    def _complete(self, ask: Ask, now: float) -> bool:
        """Note that an ask is done; return False if the connection ended before."""
        if self.is_ended:
            return False
        was_busy = self.is_busy
        self._asks.complete(ask)
        if was_busy and not self.is_busy:
            self._life.resume(now)
        return True

    def failed(self, ask: Ask, error: ReplyError | Disconnect, now: float) -> list[Decision]:
        """Complete any ask: it is refused, or the connection must end."""
        if not self._complete(ask, now):
            return []
        if isinstance(error, Disconnect):
            return [self._end(error)]
        match ask.command.request:
            case SendRequest():
                return []
            case ConnectRequest():
                self._life.refused()
            case SubscribeRequest(channel=channel):
                self._subscriptions.remove(channel)
        return [Reply(ask.command.id, error)]

    def connected(
        self,
        ask: Ask,
        result: ConnectResult,
        now: float,
        *,
        lifetime: Lifetime = FOREVER,
        subs: Mapping[str, tuple[SubscribeResult, Lifetime]] | None = None,
    ) -> list[Decision]:
        """Complete a ``connect``: the app agrees.

        Args:
            ask: the command.
            result: what only the shell knows: ``data``, ``time``, and ``session`` and ``node`` for HTTP transports.
            now: monotonic seconds.
            lifetime: of the connection; one that is over already is error 110.
            subs: the server-side subscriptions by channel, made by the shell. More than ``max_subscriptions`` close
                with 3505; a lifetime that is over is error 110.
        """
        subs = subs or {}
        if len(subs) > self._options.max_subscriptions:
            return self.failed(ask, codes.CHANNEL_LIMIT, now)
        if lifetime.is_over or any(one.is_over for _, one in subs.values()):
            return self.failed(ask, codes.EXPIRED, now)
        if not self._complete(ask, now):
            return []
        self._life.connected(lifetime, now)
        for channel, (_, one) in subs.items():
            self._subscriptions.add(channel, one, now)
        expires, ttl = lifetime.told
        full = replace(
            result,
            client=self.client,
            version=self._options.version,
            expires=expires,
            ttl=ttl,
            subs={channel: one for channel, (one, _) in subs.items()},
            ping=self._options.ping_s,
            pong=self._options.wants_pongs,
        )
        return [Reply(ask.command.id, full)]

    def subscribed(
        self, ask: Ask, result: SubscribeResult, now: float, *, lifetime: Lifetime = FOREVER
    ) -> list[Decision]:
        """Complete a ``subscribe``: the app agrees and the client is attached to the hub.

        Args:
            ask: the command.
            result: from `portcast.centrifuge.recovery.subscribe_result`; what it says of expiry is overwritten.
            now: monotonic seconds.
            lifetime: of the subscription; one that is over already is error 110.

        Returns:
            The reply; behind it the end of the subscription, if the server wanted that meanwhile.
        """
        if lifetime.is_over:
            return self.failed(ask, codes.EXPIRED, now)
        if not self._complete(ask, now):
            return []
        request = ask.command.request
        assert isinstance(request, SubscribeRequest)
        expires, ttl = lifetime.told
        reply = Reply(ask.command.id, replace(result, expires=expires, ttl=ttl))
        return [reply, *self._subscriptions.confirm(request.channel, lifetime, now)]

    def unsubscribed(self, ask: Ask, now: float) -> list[Decision]:
        """Complete an ``unsubscribe``: the client is detached."""
        return [Reply(ask.command.id, UnsubscribeResult())] if self._complete(ask, now) else []

    def refreshed(self, ask: Ask, lifetime: Lifetime, now: float) -> list[Decision]:
        """Complete a ``refresh``: the token is good for ``lifetime`` more; if that is over already, error 110."""
        if lifetime.is_over:
            return self.failed(ask, codes.EXPIRED, now)
        if not self._complete(ask, now):
            return []
        lifetime = replace(lifetime, is_refreshed_by_client=True)
        self._life.keep(lifetime, now)
        return [Reply(ask.command.id, RefreshResult(self.client, self._options.version, *lifetime.told))]

    def sub_refreshed(self, ask: Ask, channel: str, lifetime: Lifetime, now: float) -> list[Decision]:
        """Complete a ``sub_refresh``: the token is good for ``lifetime`` more; if that is over already, error 110.

        Args:
            ask: the command.
            channel: the one that the token names, because centrifuge-python sends none.
            lifetime: of the subscription.
            now: monotonic seconds.

        Returns:
            The reply: error 103 if the client does not refresh a channel that only the token names. If the server
            ended the subscription meanwhile the refresh succeeds and changes nothing: its push says what happened.
        """
        if lifetime.is_over:
            return self.failed(ask, codes.EXPIRED, now)
        request = ask.command.request
        assert isinstance(request, SubRefreshRequest)
        is_known = self._subscriptions.is_refreshed_by_client(channel)
        if not is_known and not request.channel:
            return self.failed(ask, codes.PERMISSION_DENIED, now)
        if not self._complete(ask, now):
            return []
        lifetime = replace(lifetime, is_refreshed_by_client=True)
        if is_known:
            self._subscriptions.keep(channel, lifetime, now)
        return [Reply(ask.command.id, SubRefreshResult(*lifetime.told))]

    def done(self, ask: Ask, result: PlainResult | None, now: float) -> list[Decision]:
        """Complete an ask of another kind; ``result`` is None for a ``send``, and for nothing else."""
        if not self._complete(ask, now) or result is None:
            return []
        return [Reply(ask.command.id, result)]

    # Events of the server

    def subscribe(
        self, channel: str, push: SubscribePush, now: float, *, lifetime: Lifetime = FOREVER
    ) -> Reply | Disconnect | None:
        """Subscribe the client without its asking.

        Args:
            channel: a good name; it is not validated.
            push: the position from which publications will follow.
            now: monotonic seconds.
            lifetime: of the subscription; when it is over the connection ends with 3006.

        Returns:
            What to write; the shell attaches the client to the hub then. Disconnect 3505 if it has too many channels.
            None if there is nothing to do: it has the channel, is just subscribing to it, or is not connected.
        """
        if not self.is_connected:
            return None
        refused = self._subscriptions.add(channel, lifetime, now)
        if refused is None:
            return Reply(0, Push(push, channel))
        return self._end(codes.CHANNEL_LIMIT) if refused is codes.LIMIT_EXCEEDED else None

    def unsubscribe(self, channel: str, unsubscribe: Unsubscribe = codes.UNSUBSCRIBED_BY_SERVER) -> list[Decision]:
        """End a subscription of either side; nothing if there is none."""
        return self._subscriptions.end(channel, unsubscribe) if self.is_connected else []

    def insufficient(self, channel: str, now: float) -> list[Decision]:
        """Tell the client that publications of ``channel`` were lost to it, so that it recovers.

        A client-side subscription ends with 2500, and the client subscribes again from its position. A server-side one
        can only be recovered by connecting again: 3010. More than ``max_gaps_per_minute`` close as slow: 3008.
        """
        return self._settle(self._subscriptions.insufficient(channel, now) if self.is_connected else [])

    def end(self, disconnect: Disconnect = codes.SHUTDOWN) -> list[Decision]:
        """End the connection because the server wants it or the transport is gone; nothing if it has ended."""
        return [] if self.is_ended else [self._end(disconnect)]

    # Time

    def next_deadline(self) -> float | None:
        """Return when `expire` must be called; None if nothing will happen by itself."""
        at = self._life.deadline()
        if self.is_connected:
            at = min(at, self._subscriptions.next_expiry())
        return None if at == NEVER else at

    def expire(self, now: float) -> list[Decision]:
        """Return what is due: a ping, subscriptions that are over, the end. A call too early does no harm."""
        if (verdict := self._life.verdict(now)) is not None:
            return [self._end(verdict)]
        decisions = self._settle(self._subscriptions.expire(now) if self.is_connected else [])
        if self._life.ping(now):
            decisions.append(PING)
        return decisions

    # Steps

    def _settle(self, decisions: list[Decision]) -> list[Decision]:
        if decisions and isinstance(decisions[-1], Disconnect):
            self._end(decisions[-1])
        return decisions

    def _end(self, disconnect: Disconnect) -> Disconnect:
        self._life.end()
        self._asks.clear()
        return disconnect
