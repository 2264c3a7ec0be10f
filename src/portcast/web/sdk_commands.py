"""What each command of an SDK client does, once the session has let it in: ask the rules, act, complete it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from portcast.centrifuge import codes
from portcast.centrifuge.codes import ReplyError
from portcast.centrifuge.deadlines import Lifetime
from portcast.centrifuge.decisions import Ask
from portcast.centrifuge.messages import (
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    PublishResult,
    RefreshRequest,
    RpcRequest,
    RpcResult,
    SendRequest,
    SubRefreshRequest,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
)
from portcast.centrifuge.tag_filter import validate
from portcast.errors import TagFilterError
from portcast.web.sdk_access import Admission, Caller, Grant, Question

if TYPE_CHECKING:
    from portcast.web.sdk_client import SdkClient


def perform(client: SdkClient, ask: Ask) -> None:
    """Carry a command out, or begin to."""
    request, access, caller = ask.command.request, client.node.access, client.caller
    if isinstance(request, ConnectRequest):
        client.when(ask, _admitted, access.connect, client.session.client, client.http, request)
        return
    assert caller is not None, "nothing but connect comes before connect"
    match request:
        case SubscribeRequest():
            client.when(ask, granted, access.subscribe, caller, request)
        case UnsubscribeRequest():
            client.channels.detach(request.channel)
            client.carry_out(client.session.unsubscribed(ask, client.node.now()))
        case PublishRequest():
            is_subscribed = client.session.is_subscribed(request.channel)
            client.when(ask, _publish, access.publish, caller, request, is_subscribed)
        case HistoryRequest() | PresenceRequest() | PresenceStatsRequest():
            question: Question = "history" if isinstance(request, HistoryRequest) else "presence"
            is_subscribed = client.session.is_subscribed(request.channel)
            client.when(ask, _look, access.ask, caller, question, request.channel, is_subscribed)
        case RpcRequest():
            client.when(ask, _returned, access.rpc, caller, request)
        case SendRequest():
            client.when(ask, _taken, access.message, caller, request)
        case RefreshRequest():
            client.when(ask, _refreshed, access.refresh, caller, request)
        case SubRefreshRequest():
            client.when(ask, _sub_refreshed, access.sub_refresh, caller, request)


def _admitted(client: SdkClient, ask: Ask, admission: Admission) -> None:
    now = client.node.now()
    if admission.lifetime.is_over or any(grant.lifetime.is_over for grant in admission.subs.values()):
        client.carry_out(client.session.failed(ask, codes.EXPIRED, now))
        return
    request = cast("ConnectRequest", ask.command.request)
    client.caller = Caller(
        client.session.client,
        admission.user,
        admission.info,
        admission.meta,
        client.http,
        admission.expires_at,
        admission.rights,
    )
    subs = {}
    for channel, grant in admission.subs.items():
        wish = request.subs.get(channel, SubscribeRequest())
        result = client.channels.attach(replace(wish, channel=channel, data=b"", delta="", tf=None, flag=0), grant)
        assert isinstance(result, SubscribeResult), "only a flag asks for an error"
        subs[channel] = (result, grant.lifetime)
    session_id, node_id = client.node.open_session(client) if client.has_session else ("", "")
    result_ = ConnectResult(data=admission.data, session=session_id, node=node_id)
    client.has_news = bool(subs)
    client.carry_out(client.session.connected(ask, result_, now, lifetime=admission.lifetime, subs=subs))
    if client.session.is_connected:
        for channel in subs:
            client.channels.join(channel)


def granted(client: SdkClient, ask: Ask, grant: Grant) -> None:
    """Make a subscription, or let it wait until nothing is held back for the client."""
    hub = client.node.hub
    if hub.has_pending(client.subscriber):
        client.flush_first()
        hub.flush()
    if client.session.is_ended:
        return
    if not client.subscriber.outbox.is_queue_empty:
        # It fell behind while the app decided. What it has to get first belongs to the subscriptions that it had.
        client.granted_later = (ask, grant)
        return
    now = client.node.now()
    request = cast("SubscribeRequest", ask.command.request)
    if grant.lifetime.is_over:
        client.carry_out(client.session.failed(ask, codes.EXPIRED, now))
        return
    try:
        if request.tf is not None:
            validate(request.tf)
    except TagFilterError:
        client.carry_out(client.session.failed(ask, codes.BAD_REQUEST, now))
        return
    result = client.channels.attach(request, grant)
    if isinstance(result, ReplyError):
        client.carry_out(client.session.failed(ask, result, now))
        return
    client.has_news = True
    client.carry_out(client.session.subscribed(ask, result, now, lifetime=grant.lifetime))
    if result.publications:
        client.flush()
    if client.session.is_subscribed(request.channel):
        client.channels.join(request.channel)


def _publish(client: SdkClient, ask: Ask, verdict: None) -> None:
    request = cast("PublishRequest", ask.command.request)
    is_short = client.node.memory.is_short
    if is_short and not client.may_wait_for_memory:
        client.carry_out(client.session.failed(ask, codes.TOO_MANY_REQUESTS, client.node.now()))
    elif is_short or client.node.hub.is_held(request.channel):
        client.spawn(_publish_later(client, ask, request))
    else:
        client.node.publish(request.channel, request.data, client.channels.info(request.channel))
        client.carry_out(client.session.done(ask, PublishResult(), client.node.now()))


async def _publish_later(client: SdkClient, ask: Ask, request: PublishRequest) -> None:
    # Meanwhile the session is busy, so that the clock of its pongs stands still.
    await client.wait_for_memory()
    await client.node.hub.wait_released(request.channel)
    if not client.session.is_ended:
        client.node.publish(request.channel, request.data, client.channels.info(request.channel))
        client.carry_out(client.session.done(ask, PublishResult(), client.node.now()))
        client.pump()


def _look(client: SdkClient, ask: Ask, verdict: None) -> None:
    node, now, request = client.node, client.node.now(), ask.command.request
    match request:
        case PresenceRequest():
            client.carry_out(client.session.done(ask, node.presence.presence(request.channel), now))
        case PresenceStatsRequest():
            client.carry_out(client.session.done(ask, node.presence.stats(request.channel), now))
        case HistoryRequest():
            page = client.channels.page(request)
            if isinstance(page, ReplyError):
                client.carry_out(client.session.failed(ask, page, now))
            else:
                client.carry_out(client.session.done(ask, page, now))
    # One such answer may be large; the next waits if the sink has no room for it.
    client.flush()


def _returned(client: SdkClient, ask: Ask, data: bytes) -> None:
    client.carry_out(client.session.done(ask, RpcResult(data), client.node.now()))


def _taken(client: SdkClient, ask: Ask, verdict: None) -> None:
    client.carry_out(client.session.done(ask, None, client.node.now()))


def _refreshed(client: SdkClient, ask: Ask, lifetime: Lifetime) -> None:
    client.carry_out(client.session.refreshed(ask, lifetime, client.node.now()))


def _sub_refreshed(client: SdkClient, ask: Ask, verdict: tuple[str, Lifetime]) -> None:
    channel, lifetime = verdict
    client.carry_out(client.session.sub_refreshed(ask, channel, lifetime, client.node.now()))
