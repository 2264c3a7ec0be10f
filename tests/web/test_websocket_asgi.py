from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidHeaderValue
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from asgi_fakes import Message, until
from portcast.web.websocket_asgi import MAX_HEAD_BYTES, MAX_WAITING, MAX_WAITING_BYTES, AsgiConversation, ClientGone
from runtime_kit import turns
from websocket_kit import App, Owner, Receive, Send, Wire, accepting

pytestmark = pytest.mark.anyio

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"who?")]}
BODY = {"type": "websocket.http.response.body", "body": b"log in"}
TEXT = {"type": "websocket.send", "text": "hello"}


def saying(*messages: Message) -> App:
    """An application that sends these and returns."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


class Conversation:
    """An application that a test leads by the hand, once it has accepted or at once."""

    def __init__(self, *first: Message) -> None:
        self._first = first
        self._leave = asyncio.Event()
        self.scope: Message = {}
        self.receive: Receive
        self.send: Send
        self.is_called = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        for message in self._first:
            await send(message)
        self.is_called = True
        await self._leave.wait()

    def leave(self) -> None:
        """Return."""
        self._leave.set()


async def begun(*first: Message, **options: Any) -> tuple[Conversation, Wire]:
    """A conversation and its wire, once the application is called and has said this."""
    app = Conversation(*first)
    wire = Wire(app, **options)
    wire.ask()
    await until(lambda: app.is_called, "the application's turn")
    return app, wire


async def raised(awaitable: Awaitable[object]) -> type[BaseException] | None:
    """What it raises; for tables."""
    try:
        await awaitable
    except Exception as error:
        return type(error)
    return None


# The scope


async def test_the_scope() -> None:
    """Everything that the specification names, as under uvicorn's own classes."""
    app, wire = await begun(
        client={"subprotocols": ["chat", "mqtt"]}, extra={"peername": ("::1", 40_000, 0, 0)}, root_path="/base"
    )
    scope = dict(app.scope)
    headers = dict(scope.pop("headers"))
    assert headers[b"host"] == b"127.0.0.1:8000"
    assert headers[b"sec-websocket-protocol"] == b"chat, mqtt"
    extensions = scope.pop("extensions")
    assert extensions == {"websocket.http.response": {}, "portcast.sink": wire.protocol}
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", 8000),
        "client": ("::1", 40_000),
        "root_path": "/base",
        "path": "/base/chat room",
        "raw_path": b"/base/chat%20room",
        "query_string": b"a=%20b",
        "subprotocols": ["chat", "mqtt"],
        "state": {"shared": [1]},
    }


async def test_the_scope_over_tls() -> None:
    """The scheme says so."""
    app, _ = await begun(extra={"sslcontext": object()})
    assert app.scope["scheme"] == "wss"


async def test_the_scope_on_a_unix_socket() -> None:
    """The server is its path; the client has no address."""
    app, _ = await begun(extra={"sockname": "/run/app.sock", "peername": ""})
    assert (app.scope["server"], app.scope["client"]) == (("/run/app.sock", None), None)


async def test_the_state_is_a_copy() -> None:
    """What a call puts into it is its own; what lies in it is shared (ASGI lifespan state)."""
    state = {"shared": [1]}
    one, other = (AsgiConversation(wire.protocol, wire.config, wire.state, state) for wire in [Wire(accepting)] * 2)
    one.scope["state"]["mine"] = 1
    assert other.scope["state"] == state == {"shared": [1]}
    assert other.scope["state"]["shared"] is state["shared"]


async def test_header_values_keep_their_bytes() -> None:
    """Values that are not ASCII happen; `websockets` 17 has them as Latin-1, 15 as surrogates."""
    app = Conversation()
    wire = Wire(app)
    wire.ask(("X-Name", "Zo\xeb"), ("X-Twice", "1"), ("X-Twice", "2"))
    await until(lambda: app.is_called, "the application's turn")
    headers = [(name, value) for name, value in app.scope["headers"] if name.startswith(b"x-")]
    assert headers == [(b"x-name", b"Zo\xeb"), (b"x-twice", b"1"), (b"x-twice", b"2")]


# Acceptance


async def test_accept() -> None:
    """The handshake is checked by the client."""
    _, wire = await begun(ACCEPT)
    assert wire.response.status_code == 101
    assert wire.client.handshake_exc is None
    assert wire.protocol.is_open


async def test_accept_with_headers_and_subprotocol() -> None:
    """The application's headers go out after those of the server's configuration."""
    app = Conversation({"type": "websocket.accept", "subprotocol": "mqtt", "headers": [(b"X-A", b"1"), (b"X-A", b"2")]})
    wire = Wire(app, client={"subprotocols": ["chat", "mqtt"]})
    wire.state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
    wire.ask()
    await until(lambda: app.is_called, "the application's turn")
    assert wire.response.headers.get_all("X-A") == ["1", "2"]
    assert wire.response.headers.get_all("Date") == ["today"]
    assert wire.response.headers.get_all("Server") == ["uvicorn"]
    assert wire.client.subprotocol == "mqtt"


async def test_a_header_that_would_split_the_response_is_refused() -> None:
    """The application's mistake is told to it, and nothing is out yet."""
    app, wire = await begun()
    assert await raised(app.send({"type": "websocket.accept", "headers": [(b"x", b"1\r\ny: 2")]})) is InvalidHeaderValue
    assert not wire.transport.written
    await app.send(ACCEPT)
    assert wire.response.status_code == 101


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([""], []),
        ([" , "], []),
        (["a"], ["a"]),
        (["a, b", "c"], ["a", "b", "c"]),
    ],
    ids=["empty", "comma", "one", "several"],
)
async def test_subprotocols(values: list[str], expected: list[str]) -> None:
    """An empty header, which some client libraries send, is no reason to refuse a client."""
    app = Conversation(ACCEPT)
    wire = Wire(app)
    wire.ask(*(("Sec-WebSocket-Protocol", value) for value in values))
    await until(lambda: app.is_called, "the application's turn")
    assert app.scope["subprotocols"] == expected
    assert wire.response.status_code == 101


@pytest.mark.parametrize("is_configured", [True, False])
@pytest.mark.parametrize(
    ("offer", "is_agreed"),
    [
        (ClientPerMessageDeflateFactory(client_max_window_bits=True), True),
        (ClientPerMessageDeflateFactory(), True),
        (ClientPerMessageDeflateFactory(server_max_window_bits=12), True),
        (ClientPerMessageDeflateFactory(server_max_window_bits=10), False),
        (None, False),
    ],
    ids=["browser", "bare", "same window", "smaller window", "none"],
)
async def test_deflate_is_negotiated(
    offer: ClientPerMessageDeflateFactory | None, is_agreed: bool, is_configured: bool
) -> None:
    """Only where it is configured, and only in the form in which all clients can share a compressed frame."""
    _, wire = await begun(
        ACCEPT, client={"extensions": [offer] if offer else None}, ws_per_message_deflate=is_configured
    )
    answer = wire.response.headers.get("Sec-WebSocket-Extensions", "")
    assert wire.client.handshake_exc is None
    assert wire.protocol.is_deflated is (is_agreed and is_configured)
    assert bool(answer) is (is_agreed and is_configured)
    if answer:
        assert "server_no_context_takeover" in answer
        assert "client_no_context_takeover" in answer


async def test_what_a_client_sends_before_the_answer_waits_for_it() -> None:
    """RFC 6455 §4.1 forbids it, but some do; it must neither be lost nor be answered before the handshake is."""
    app, wire = await begun()
    client = Wire(accepting).client  # to make frames with
    client.state = type(client.state).OPEN
    client.send_ping(b"?")
    client.send_text(b"early")
    for part in client.data_to_send():
        wire.send(part)
    assert not wire.transport.written
    await app.send(ACCEPT)
    assert wire.response.status_code == 101
    assert (await app.receive())["type"] == "websocket.connect"
    assert (await app.receive())["text"] == "early"
    assert len(wire.frames) == 1


# Refusal


@pytest.mark.parametrize(
    ("messages", "status", "body"),
    [
        ([CLOSE], 403, b""),
        ([{"type": "websocket.close", "code": 4000, "reason": "no"}], 403, b""),
        ([START, BODY], 401, b"log in"),
        ([START, {**BODY, "more_body": True}, BODY], 401, b"log inlog in"),
        ([{**START, "status": 599}, {"type": BODY["type"]}], 599, b""),
        ([], 500, b"Internal Server Error"),
        ([START], 500, b"Internal Server Error"),
    ],
    ids=["close", "close with code", "response", "in parts", "unknown status", "returns", "returns halfway"],
)
async def test_refusal(messages: list[Message], status: int, body: bytes) -> None:
    """Whatever the application does, the client gets one whole HTTP response."""
    wire = Wire(saying(*messages))
    wire.ask()
    await wire.lost()
    response = wire.response
    assert (response.status_code, bytes(response.body or b"")) == (status, body)
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Connection"] == "close"
    assert wire.transport.closes == 1


async def test_the_headers_of_a_response_are_the_applications() -> None:
    """Ours only fill the gaps."""
    headers = [(b"x-why", b"who?"), (b"content-type", b"application/json"), (b"date", b"today"), (b"x-why", b"you?")]
    wire = Wire(saying({**START, "headers": headers}, BODY))
    wire.ask()
    await wire.lost()
    written = wire.response.headers
    assert written.get_all("X-Why") == ["who?", "you?"]
    assert written["Content-Type"] == "application/json"
    assert written["Date"] == "today"


@pytest.mark.parametrize("status", [101, 199, 600])
async def test_a_response_needs_the_status_of_a_response(status: int) -> None:
    """101 in particular would open a connection that nobody accepted."""
    app, _ = await begun()
    assert await raised(app.send({**START, "status": status})) is RuntimeError


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec_WebSocket_Version": "8"}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Upgrade": "h2c"}, 426),
    ],
    ids=["version", "no key", "key", "upgrade"],
)
async def test_a_bad_handshake_never_reaches_the_application(changed: dict[str, str | None], status: int) -> None:
    """RFC 6455 §4.2.2: it is answered with an error."""
    wire = Wire(accepting)
    wire.ask(**changed)
    await wire.lost()
    assert wire.response.status_code == status
    assert not wire.state.tasks


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nX-Long: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 1000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 405),
    ],
    ids=["large", "many headers", "control character", "path", "cut", "method"],
)
async def test_a_bad_request_is_answered(head: bytes, status: int) -> None:
    """Its head is bounded; what another parser let pass must not end in silence."""
    wire = Wire(accepting)
    wire.send(head)
    await wire.lost()
    assert bytes(wire.transport.written).startswith(b"HTTP/1.1 %d " % status)


async def test_what_comes_before_the_answer_is_bounded() -> None:
    """It is kept in memory."""
    _, wire = await begun()
    for _ in range(MAX_HEAD_BYTES // 1024 + 1):
        wire.send(b"x" * 1024)
    assert wire.response.status_code == 400
    await wire.lost()


# Order


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ([], TEXT),
        ([], BODY),
        ([], {"type": "http.response.start", "status": 200}),
        ([START], START),
        ([START], ACCEPT),
        ([START], CLOSE),
        ([ACCEPT], ACCEPT),
        ([ACCEPT], START),
        ([ACCEPT], {"type": "websocket.send"}),
        ([ACCEPT], {"type": "websocket.send", "bytes": None, "text": None}),
        ([ACCEPT, CLOSE], TEXT),
        ([ACCEPT, CLOSE], CLOSE),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "+".join(one["type"] for one in value) or "nothing",
)
async def test_what_is_said_out_of_order_raises(said: list[Message], wrong: Message) -> None:
    """The application's mistake, which it must hear of."""
    app, _ = await begun(*said)
    assert await raised(app.send(wrong)) is RuntimeError


# Receiving


async def test_messages_arrive_in_order_after_connect() -> None:
    """Text as text, binary as bytes."""
    app, wire = await begun(ACCEPT)
    wire.text("one")
    wire.client.send_binary(b"\xff")
    wire.send(b"".join(wire.client.data_to_send()))
    assert [await app.receive() for _ in range(3)] == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "one"},
        {"type": "websocket.receive", "bytes": b"\xff"},
    ]


async def test_receive_waits_for_a_message() -> None:
    """And a cancelled one takes nothing with it."""
    app, wire = await begun(ACCEPT)
    await app.receive()
    waiting = asyncio.ensure_future(app.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    wire.text("one")
    assert (await app.receive())["text"] == "one"


@pytest.mark.parametrize(("size", "number"), [(1, MAX_WAITING), (MAX_WAITING_BYTES // 4, 4)], ids=["messages", "bytes"])
async def test_reading_pauses_while_messages_wait(size: int, number: int) -> None:
    """An application that does not receive makes the client wait, and not our memory grow."""
    app, wire = await begun(ACCEPT)
    await app.receive()
    for sent in range(number):
        await turns(20)  # a large message is looked at in pieces
        assert not wire.transport.is_paused, f"after {sent}"
        wire.text("x" * size)
    await turns(20)
    assert wire.transport.is_paused
    received = 0
    while wire.transport.is_paused:
        await app.receive()
        received += 1
    assert received >= number // 2


async def test_the_end_is_told_as_often_as_it_is_asked_for() -> None:
    """An application that asks once more must not wait for ever."""
    app, wire = await begun(ACCEPT)
    wire.read()
    wire.client.send_close(4001, "bye")
    wire.send(b"".join(wire.client.data_to_send()))
    await wire.lost()
    await app.receive()
    for _ in range(3):
        assert await app.receive() == {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}


async def test_a_lost_connection_is_1006() -> None:
    """No close frame was received (RFC 6455 §7.1.5)."""
    app, wire = await begun(ACCEPT)
    await app.receive()
    wire.transport.breaks()
    assert await app.receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def test_the_applications_own_close_ends_its_receiving() -> None:
    """A loop in another task over `receive` must end too."""
    app, _ = await begun(ACCEPT)
    await app.receive()
    await app.send({"type": "websocket.close", "code": 4000, "reason": "done"})
    assert await app.receive() == {"type": "websocket.disconnect", "code": 4000, "reason": "done"}


# Sending


@pytest.mark.parametrize("is_deflated", [False, True])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"text": "grüß dich " * 20}, "grüß dich " * 20),
        ({"bytes": b"\xff" * 300}, b"\xff" * 300),
        ({"bytes": b"", "text": None}, b""),
        ({"bytes": None, "text": ""}, ""),
    ],
    ids=["text", "bytes", "empty bytes", "empty text"],
)
async def test_send(message: Message, expected: str | bytes, is_deflated: bool) -> None:
    """With and without compression the client reads the same."""
    app, wire = await begun(
        ACCEPT,
        client={"extensions": [ClientPerMessageDeflateFactory(client_max_window_bits=True)]},
        ws_per_message_deflate=is_deflated,
    )
    await app.send({"type": "websocket.send", **message})
    assert wire.messages == [expected]
    assert wire.protocol.is_deflated is is_deflated


async def test_send_waits_while_the_transport_is_full() -> None:
    """Any number of tasks may wait, and all of them go on; the cancelled one alone does not."""
    app, wire = await begun(ACCEPT)
    wire.protocol.pause_writing()
    sends = [asyncio.ensure_future(app.send({**TEXT, "text": str(number)})) for number in range(3)]
    await asyncio.sleep(0)
    sends[1].cancel()
    await asyncio.wait([sends[1]])
    assert wire.messages == []
    wire.protocol.resume_writing()
    await asyncio.gather(sends[0], sends[2])
    assert wire.messages == ["0", "2"]


async def test_send_waits_again_if_another_one_filled_the_transport() -> None:
    """To be woken is no promise."""
    app, wire = await begun(ACCEPT)
    wire.protocol.pause_writing()
    waiting = asyncio.ensure_future(app.send(TEXT))
    await asyncio.sleep(0)
    wire.protocol.resume_writing()
    wire.protocol.pause_writing()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    wire.protocol.resume_writing()
    await waiting


def _breaks(wire: Wire) -> None:
    wire.transport.breaks()


def _ends(wire: Wire) -> None:
    wire.transport.is_stuck = True
    wire.protocol.shutdown()


@pytest.mark.parametrize("end", [_breaks, _ends], ids=["lost", "server stops"])
@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "full"])
async def test_send_to_a_client_that_is_gone(end: Callable[[Wire], None], is_full: bool) -> None:
    """It raises an `OSError` (ASGI 2.4), also where it already waits."""
    app, wire = await begun(ACCEPT)
    if is_full:
        wire.protocol.pause_writing()
    sending = asyncio.ensure_future(app.send(TEXT)) if is_full else None
    await asyncio.sleep(0)
    end(wire)
    await until(lambda: not wire.protocol.is_open, "the end")
    with pytest.raises(OSError, match="ended"):
        await (sending or app.send(TEXT))
    assert issubclass(ClientGone, OSError)


@pytest.mark.parametrize("message", [ACCEPT, CLOSE, START], ids=lambda one: one["type"])
@pytest.mark.parametrize("end", [_breaks, _ends], ids=["lost", "server stops"])
async def test_an_answer_to_a_client_that_is_gone(end: Callable[[Wire], None], message: Message) -> None:
    """The application did nothing wrong: it is told that the client is gone, whatever it answers."""
    app, wire = await begun()
    end(wire)
    await until(lambda: not wire.protocol.is_in_handshake, "the end")
    assert await raised(app.send(message)) is ClientGone


async def test_to_close_what_is_gone_is_fine() -> None:
    """The application has what it wanted."""
    app, wire = await begun(ACCEPT)
    wire.transport.breaks()
    await wire.lost()
    await app.send(CLOSE)


# The end of the call


async def test_the_call_is_one_of_the_servers_tasks() -> None:
    """uvicorn waits for these when it stops, and cancels them when it has waited long enough."""
    app, wire = await begun(ACCEPT)
    assert len(wire.state.tasks) == 1
    app.leave()
    await wire.returned()


async def test_a_call_that_returns_closes_the_connection() -> None:
    """A normal end."""
    app, wire = await begun(ACCEPT)
    app.leave()
    await wire.returned()
    assert wire.close is not None
    assert wire.close.code == 1000


def failing(error: BaseException, *first: Message) -> App:
    """An application that sends these, and fails."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        raise error

    return app


@pytest.mark.parametrize("error", [ValueError("broken"), ConnectionRefusedError("the database is down")])
async def test_an_error_before_the_answer_is_500(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """And is logged, also when it is an `OSError` of the application's own."""
    wire = Wire(failing(error))
    wire.ask()
    await wire.lost()
    assert wire.response.status_code == 500
    assert str(error) in caplog.text
    assert "Exception in ASGI application" in caplog.text


@pytest.mark.parametrize("error", [ValueError("broken"), ConnectionRefusedError("the database is down")])
async def test_an_error_after_the_answer_is_1011(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns that the server failed, and nothing about how."""
    wire = Wire(failing(error, ACCEPT))
    wire.ask()
    await wire.returned()
    assert wire.close is not None
    assert (wire.close.code, wire.close.reason) == (1011, "")
    assert str(error) in caplog.text


async def test_an_application_that_fails_because_the_client_left_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Clients leave all the time."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        scope["extensions"]["portcast.sink"].abort()
        await send(TEXT)

    wire = Wire(app)
    wire.ask()
    await wire.lost()
    await wire.returned()
    assert "Exception" not in caplog.text


@pytest.mark.parametrize("first", [(), (ACCEPT,)], ids=["before the answer", "after it"])
async def test_a_cancelled_call_ends_its_connection(first: tuple[Message, ...]) -> None:
    """uvicorn cancels what its stop has waited for too long; the client is told to come back."""
    _, wire = await begun(*first)
    (task,) = wire.state.tasks
    task.cancel()
    await wire.returned()
    assert task.cancelled()
    if first:
        assert wire.close is not None
        assert wire.close.code == 1012
    else:
        assert wire.response.status_code == 503


# The log


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ACCEPT], '127.0.0.9:40000 - "WebSocket /chat%20room?a=%20b" [accepted]'),
        ([CLOSE], '127.0.0.9:40000 - "WebSocket /chat%20room?a=%20b" 403'),
        ([START, BODY], '127.0.0.9:40000 - "WebSocket /chat%20room?a=%20b" 401'),
    ],
    ids=["accepted", "refused", "answered"],
)
async def test_the_log_says_what_uvicorns_does(
    messages: list[Message], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tools that read it find what they look for."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    wire = Wire(saying(*messages))
    wire.ask()
    await wire.returned()
    assert expected in [record.getMessage() for record in caplog.records]


async def test_the_log_without_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """A client on a Unix socket has none."""
    caplog.set_level(logging.INFO, "uvicorn.error")
    wire = Wire(saying(ACCEPT), extra={"peername": None})
    wire.ask()
    await wire.returned()
    assert caplog.records[0].getMessage().startswith(' - "WebSocket')


async def test_the_parsers_log_no_line_per_client(caplog: pytest.LogCaptureFixture) -> None:
    """`websockets` would say "connection open" and "connection closed" at level info."""
    caplog.set_level(logging.INFO)
    _, wire = await begun(ACCEPT)
    wire.transport.breaks()
    await wire.lost()
    assert not [record for record in caplog.records if record.name.startswith("portcast")]


# Detachment


async def test_a_detached_call_has_nothing_more_to_say() -> None:
    """The connection is another's: what waited goes there, reading goes on, and its end does not end the client."""
    app, wire = await begun(ACCEPT)
    for _ in range(MAX_WAITING + 1):
        wire.text("a")
    assert wire.transport.is_paused
    owner, messages = Owner(), list[str | bytes]()
    wire.protocol.bind(owner)
    wire.protocol.detach(messages.append)
    await until(lambda: not wire.transport.is_paused, "reading")
    assert messages == ["a"] * (MAX_WAITING + 1)
    assert await raised(app.send(TEXT)) is RuntimeError
    assert (await app.receive())["type"] == "websocket.disconnect"
    app.leave()
    await wire.returned()
    assert wire.protocol.is_open


async def test_a_call_cannot_be_detached_before_it_accepted() -> None:
    """A bug of ours, not of a client: there is no connection yet."""
    _, wire = await begun()
    wire.protocol.bind(Owner())
    with pytest.raises(AssertionError):
        wire.protocol.detach()
