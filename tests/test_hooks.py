"""The app's own functions, from their decorators to verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, HTTPException, WebSocketException
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.messages import ConnectRequest, PublishRequest, RpcRequest, SendRequest, SubscribeRequest
from portcast.errors import CommandFailed, CommandQueueFull, ConfigurationError, DeviceUnknown, ProtocolUnknown
from portcast.events import Event, HandlerFailed
from portcast.hooks import HookDeclarations
from portcast.refusals import DisconnectClient, Refuse
from portcast.runtime import Store
from portcast.web.sdk_access import Admission, Caller, Grant
from portcast.web.sdk_basis import Hooks

pytestmark = pytest.mark.anyio

HTTP = HTTPConnection(
    {"type": "websocket", "headers": [(b"cookie", b"id=7"), (b"x-role", b"admin")], "session": {"user": "Ann"}}
)
CALLER = Caller("c1", "42", b"", {}, HTTP)


class Reboot(BaseModel):
    device: str
    delay_s: int = 0


def compiled(app: HookDeclarations, overrides: Any = None, events: list[Event] | None = None) -> Hooks:
    emit = events.append if events is not None else _unexpected
    return app._compiled_hooks({Store: STORE}, overrides or {}, emit)


def _unexpected(event: Event) -> None:
    raise AssertionError(event)


STORE = Store()


@pytest.fixture
def app() -> HookDeclarations:
    return HookDeclarations()


async def connect(hooks: Hooks, data: bytes = b"") -> object:
    assert hooks.connect is not None
    return await hooks.connect(CALLER, ConnectRequest(data=data), Admission("42"))


async def subscribe(hooks: Hooks, channel: str = "a") -> object:
    assert hooks.subscribe is not None
    return await hooks.subscribe(CALLER, SubscribeRequest(channel), Grant(info=b"1"))


async def publish(hooks: Hooks, data: bytes = b"{}") -> object:
    assert hooks.publish is not None
    return await hooks.publish(CALLER, PublishRequest("a", data))


async def call(hooks: Hooks, method: str, data: bytes = b"") -> object:
    assert hooks.rpc is not None
    return await hooks.rpc(CALLER, RpcRequest(data, method))


def test_nothing_declared(app: HookDeclarations) -> None:
    """Then nothing is asked."""
    assert compiled(app) == Hooks()


# Connecting


async def test_on_connect_knows_the_cookies_and_the_session(app: HookDeclarations) -> None:
    """It is the app's own: no token is needed between the two."""

    def user_of(http: HTTPConnection) -> str:
        return str(http.session["user"])

    @app.on_connect
    async def who(
        http: HTTPConnection,
        request: ConnectRequest,
        caller: Caller,
        known: Admission,
        store: Store,
        user: Annotated[str, Depends(user_of)],
    ) -> Admission:
        assert (request.token, caller, known, store) == ("", CALLER, Admission("42"), STORE)
        return Admission(user, meta={"id": http.cookies["id"], "role": http.headers["x-role"]})

    assert await connect(compiled(app)) == Admission("Ann", meta={"id": "7", "role": "admin"})
    assert await connect(compiled(app, {user_of: lambda: "Bob"})) == Admission("Bob", meta={"id": "7", "role": "admin"})


async def test_on_connect_may_look_at_what_the_client_sent(app: HookDeclarations) -> None:
    """As any other hook."""

    @app.on_connect
    def who(data: Reboot) -> Admission:
        return Admission(data.device)

    assert await connect(compiled(app), b'{"device": "x"}') == Admission("x")


# Subscribing and publishing


async def test_on_subscribe(app: HookDeclarations) -> None:
    """It sees what would be granted."""

    @app.on_subscribe
    def may(request: SubscribeRequest, grant: Grant) -> Grant | None:
        return Grant(info=grant.info * 2) if request.channel == "a" else None

    assert await subscribe(compiled(app)) == Grant(info=b"11")
    assert await subscribe(compiled(app), "b") is None


async def test_on_publish(app: HookDeclarations) -> None:
    """The data is validated before it is asked."""
    seen: list[Reboot] = []

    @app.on_publish
    def may(data: Reboot, request: PublishRequest) -> None:
        assert request.channel == "a"
        seen.append(data)

    assert await publish(compiled(app), b'{"device": "x"}') is None
    assert seen == [Reboot(device="x")]
    answer = await publish(compiled(app), b'{"device": "x", "delay_s": "soon"}')
    assert isinstance(answer, ReplyError)
    assert answer.code == 107
    assert "delay_s: Input should be a valid integer" in answer.message
    assert len(seen) == 1


# Calling


async def test_methods(app: HookDeclarations) -> None:
    """Each by its name; what has none is answered by nobody."""

    @app.rpc("device.reboot")
    async def reboot(params: Reboot, caller: Caller) -> dict[str, object]:
        return {"device": params.device, "by": caller.user}

    @app.rpc("version")
    def version() -> str:
        return "ä"

    hooks = compiled(app)
    assert await call(hooks, "device.reboot", b'{"device": "x"}') == b'{"device":"x","by":"42"}'
    assert await call(hooks, "version") == '"ä"'.encode()
    assert await call(hooks, "other") == codes.NOT_AVAILABLE
    assert await call(hooks, "device.reboot", b'{"device": 1}') == ReplyError(
        107, "bad request: not a valid Reboot: device: Input should be a valid string"
    )


async def test_other_methods(app: HookDeclarations) -> None:
    """One function may take all that have none of their own."""

    @app.rpc("a")
    def a() -> int:
        return 1

    @app.on_rpc
    def rest(request: RpcRequest) -> str:
        if request.method == "b":
            return "rest"
        raise Refuse(108)

    hooks = compiled(app)
    assert await call(hooks, "a") == b"1"
    assert await call(hooks, "b") == b'"rest"'
    assert await call(hooks, "c") == codes.NOT_AVAILABLE


@pytest.mark.parametrize(
    ("result", "data"),
    [
        (None, b"null"),
        ("a", b'"a"'),
        ({"a": [1, None]}, b'{"a":[1,null]}'),
        (Reboot(device="x"), b'{"device":"x","delay_s":0}'),
        (b'{"a":1}', b'{"a":1}'),
        (bytearray(b"[]"), b"[]"),
    ],
)
async def test_results(app: HookDeclarations, result: object, data: bytes) -> None:
    """They are JSON; bytes must be already."""
    app.rpc("x")(lambda: result)
    assert await call(compiled(app), "x") == data


@pytest.mark.parametrize("result", [b"\xff", b"{", object(), {1, 2}, float("nan")])
async def test_results_that_are_no_json(app: HookDeclarations, result: object) -> None:
    """They would break the stream of a client that speaks JSON."""
    events: list[Event] = []
    app.rpc("x")(lambda: result)
    assert await call(compiled(app, events=events), "x") == codes.INTERNAL
    assert len(events) == 1


# Messages


async def test_messages(app: HookDeclarations) -> None:
    """Nobody waits for an answer, but the connection can be ended."""
    seen: list[Reboot] = []

    @app.on_message
    async def take(data: Reboot) -> int:
        seen.append(data)
        if data.delay_s:
            raise DisconnectClient(4500, "no delays")
        return 5

    hooks = compiled(app)
    assert hooks.message is not None
    assert await hooks.message(CALLER, SendRequest(b'{"device": "x"}')) is None
    assert seen == [Reboot(device="x")]
    assert await hooks.message(CALLER, SendRequest(b'{"device": "x", "delay_s": 1}')) == Disconnect(4500, "no delays")


# Saying no


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        pytest.param(Refuse(403, "not yours"), ReplyError(403, "not yours"), id="the app's own"),
        pytest.param(Refuse(1999), ReplyError(1999, "refused"), id="without words"),
        pytest.param(Refuse(400, temporary=True), ReplyError(400, "refused", True), id="temporary"),
        pytest.param(Refuse(103), codes.PERMISSION_DENIED, id="the protocol's"),
        pytest.param(Refuse(111), codes.TOO_MANY_REQUESTS, id="the protocol's, temporary"),
        pytest.param(Refuse(103, "no"), ReplyError(103, "no"), id="the protocol's, in other words"),
        pytest.param(DisconnectClient(4500, "go away"), Disconnect(4500, "go away"), id="disconnect"),
        pytest.param(DeviceUnknown("a"), ReplyError(404, "no device 'a' is known"), id="no device"),
        pytest.param(ProtocolUnknown("a"), ReplyError(409, str(ProtocolUnknown("a"))), id="a device that never came"),
        pytest.param(
            CommandQueueFull("a", 3), ReplyError(429, str(CommandQueueFull("a", 3)), True), id="too many commands"
        ),
        pytest.param(
            CommandFailed("a", "1", "refused"), ReplyError(502, "command 1 to device 'a': refused"), id="refused"
        ),
        pytest.param(
            CommandFailed("a", "1", "timed_out"), ReplyError(504, "command 1 to device 'a': timed out"), id="no answer"
        ),
        pytest.param(HTTPException(401, "who?"), ReplyError(401, "who?"), id="HTTP"),
        pytest.param(HTTPException(503), ReplyError(503, "Service Unavailable", True), id="HTTP, for now"),
        pytest.param(WebSocketException(1008), codes.DENIED, id="WebSocket"),
    ],
)
async def test_what_a_hook_may_raise(app: HookDeclarations, error: Exception, verdict: ReplyError | Disconnect) -> None:
    """Refusing is no fault: nothing is logged."""

    def refuse() -> None:
        raise error

    app.on_connect(refuse)
    app.on_subscribe(refuse)
    app.on_publish(refuse)
    app.rpc("x")(refuse)
    hooks = compiled(app)
    assert await connect(hooks) == verdict
    assert await subscribe(hooks) == verdict
    assert await publish(hooks) == verdict
    assert await call(hooks, "x") == verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ValueError("secret"), codes.INTERNAL),
        (HTTPException(304), codes.INTERNAL),
        (ConfigurationError("x", "y"), codes.BAD_REQUEST),
    ],
    ids=["any", "no error", "configuration"],
)
async def test_faults(app: HookDeclarations, error: Exception, verdict: ReplyError) -> None:
    """The client learns nothing of them but whether to try again; the log and the counters do, with its id."""
    assert verdict.temporary == (verdict is codes.INTERNAL)
    events: list[Event] = []

    @app.rpc("device.reboot")
    def reboot() -> None:
        raise error

    assert await call(compiled(app, events=events), "device.reboot") == verdict
    (event,) = events
    assert isinstance(event, HandlerFailed)
    assert (event.connection_id, event.listener, event.error) == ("c1", "centrifuge", error)
    assert event.handler.startswith("rpc device.reboot: ")


@pytest.mark.parametrize("answer", [False, True, "42", Admission])
async def test_answers_of_another_kind(app: HookDeclarations, answer: object) -> None:
    """Whoever returns False wants to refuse; to ignore it would be consent."""
    events: list[Event] = []
    for declare in (app.on_connect, app.on_subscribe, app.on_publish):
        declare(lambda: answer)
    hooks = compiled(app, events=events)
    assert [await connect(hooks), await subscribe(hooks), await publish(hooks)] == [codes.INTERNAL] * 3
    assert len(events) == 3


# Declaring


def test_the_function_stays_as_it_is(app: HookDeclarations) -> None:
    """It can be called and tested like any other."""

    def function() -> int:
        return 1

    assert app.on_connect(function) is function
    assert app.rpc("x")(function) is function


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.on_connect,
        lambda app: app.on_subscribe,
        lambda app: app.on_publish,
        lambda app: app.on_rpc,
        lambda app: app.on_message,
        lambda app: app.rpc("x"),
    ],
)
def test_each_is_declared_once(app: HookDeclarations, declare: Callable[[HookDeclarations], Any]) -> None:
    """Nobody could say which of two counts."""
    declare(app)(lambda: None)
    with pytest.raises(ConfigurationError, match="already"):
        declare(app)(lambda: None)


def test_a_method_without_a_name(app: HookDeclarations) -> None:
    """The parentheses are easily forgotten."""
    with pytest.raises(ConfigurationError, match=r'write @gateway\.rpc\("name"\)'):
        app.rpc(lambda: None)  # type: ignore[arg-type]  # that is the mistake


def test_what_another_hook_could_ask_for(app: HookDeclarations) -> None:
    """A grant is there when a client subscribes, and not when it connects."""

    @app.on_connect
    def who(grant: Grant, request: SubscribeRequest) -> None: ...

    with pytest.raises(ConfigurationError, match="hook"):
        compiled(app)


async def test_a_configuration_error_while_connecting_passes(app: HookDeclarations) -> None:
    """Clients would stay away for good: they come back, and somebody repairs it."""

    def fail() -> None:
        raise ConfigurationError("x", "y")

    app.on_connect(fail)
    events: list[Event] = []
    assert await connect(compiled(app, events=events)) == codes.INTERNAL
    assert len(events) == 1
