"""The app's say in what SDK clients ask: declared with decorators of the gateway, and called by its rules.

====================  ================  =========================================  =================================
declared by           asked when        a parameter may also be                    answers with
====================  ================  =========================================  =================================
``on_connect``        a client connects  `ConnectRequest`, `Admission`             an `Admission`, or None
``on_subscribe``      it subscribes     `SubscribeRequest`, `Grant`                a `Grant`, or None
``on_publish``        it publishes      `PublishRequest`                           None
``rpc``, ``on_rpc``   it calls          `RpcRequest`                               anything that is JSON
``on_message``        it sends          `SendRequest`                              nothing
====================  ================  =========================================  =================================

Parameters are those of `portcast.handlers.hooks`: the client's data, dependencies, and of these types: `Caller`,
`HTTPConnection`, `Gateway`, `Store`. What a hook raises:

==========================================  ==========================================================================
raised                                      the client gets
==========================================  ==========================================================================
`Refuse`                                    its code
`DisconnectClient`                          its code, and the connection ends
``HTTPException``, ``WebSocketException``   by a dependency that HTTP endpoints use, too: its status; 3507
`DeviceUnknown`                             404: no such device
`ProtocolUnknown`                           409: it never came, and several listeners could be its own
`CommandQueueFull`                          429: as many commands wait for it as may
`CommandFailed`                             504 if the device did not come or answer in time, otherwise 502
the client's data does not fit              107, with the field
`ConfigurationError` in a call              107, as it would be the same again; the event `HandlerFailed`
anything else                               100; the event `HandlerFailed`, with the client's id
==========================================  ==========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection

from portcast.centrifuge import codes
from portcast.centrifuge.codes import Disconnect, ReplyError
from portcast.centrifuge.messages import ConnectRequest, PublishRequest, RpcRequest, SendRequest, SubscribeRequest
from portcast.codecs import encode_value
from portcast.errors import (
    CodecError,
    CommandFailed,
    CommandQueueFull,
    ConfigurationError,
    DeviceUnknown,
    ProtocolUnknown,
)
from portcast.events import Emit, HandlerFailed
from portcast.handlers import Overrides
from portcast.handlers.hooks import CompiledHook, compile_hook
from portcast.handlers.signature import Signatures, name_of, read_signatures
from portcast.refusals import DisconnectClient, Refuse
from portcast.types import ConnectionId, ListenerName
from portcast.web.sdk_access import Admission, Caller, Grant, Verdict
from portcast.web.sdk_basis import Hooks

Function = TypeVar("Function", bound=Callable[..., Any])

LISTENER = ListenerName("centrifuge")
"""Under which faults of hooks are logged and counted."""

_PROTOCOL = {one.code: one for one in vars(codes).values() if isinstance(one, ReplyError)}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a hook: what its parameters get their values from.

    Attributes:
        caller: who asks.
        request: what it asks.
        draft: what the rules give so far.
    """

    caller: Caller
    request: ConnectRequest | SubscribeRequest | PublishRequest | RpcRequest | SendRequest
    draft: Admission | Grant | None = None


_DRAFT = {ConnectRequest: Admission, SubscribeRequest: Grant}


@dataclass(frozen=True, slots=True)
class _Declaration:
    function: Callable[..., Any]
    request: type[Any]
    signatures: Signatures


class HookDeclarations:
    """The decorators; `Gateway` is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # By the name of the decorator, with the method for calls.
        self._declarations: dict[str, _Declaration] = {}

    def on_connect(self, function: Function) -> Function:
        """Declare who decides on connections, after their token.

        What it returns takes the place of what the token says; None changes nothing, and is no consent to a client
        that has shown no token. An `Admission` among the parameters is what the token says.
        """
        return self._declare("on_connect", ConnectRequest, function)

    def on_subscribe(self, function: Function) -> Function:
        """Declare who decides on subscriptions that the permissions allow, or of which they say nothing.

        What it returns takes the place of what they give; None changes nothing. A `Grant` among the parameters is what
        they give.
        """
        return self._declare("on_subscribe", SubscribeRequest, function)

    def on_publish(self, function: Function) -> Function:
        """Declare who decides on publications that the permissions allow, or of which they say nothing.

        It returns nothing, and the publication is published; or it refuses.
        """
        return self._declare("on_publish", PublishRequest, function)

    def rpc(self, method: str) -> Callable[[Function], Function]:
        """Declare a method that clients can call; they get what it returns, as JSON.

        Calls of one client run side by side, at most 16 at once.

        Args:
            method: its name, such as ``device.reboot``.
        """
        if not isinstance(method, str):
            raise ConfigurationError("rpc", "the method has no name", 'write @gateway.rpc("name")')
        return lambda function: self._declare(f"rpc {method}", RpcRequest, function)

    def on_rpc(self, function: Function) -> Function:
        """Declare who is called for methods that `rpc` does not name; ``RpcRequest.method`` says which."""
        return self._declare("on_rpc", RpcRequest, function)

    def on_message(self, function: Function) -> Function:
        """Declare who takes the messages that clients send without waiting for an answer."""
        return self._declare("on_message", SendRequest, function)

    def _declare(self, name: str, request: type[Any], function: Function) -> Function:
        if name in self._declarations:
            raise ConfigurationError(
                name, f"it is {name_of(self._declarations[name].function)} already", "declare each once"
            )
        self._declarations[name] = _Declaration(function, request, read_signatures(function))
        return function

    def _compiled_hooks(self, provided: Mapping[type[Any], object], overrides: Overrides, emit: Emit) -> Hooks:
        """Return what was declared so far, ready to be called.

        Args:
            provided: more values that parameters can ask for, by type.
            overrides: dependencies to be replaced.
            emit: is told of hooks that fail.

        Raises:
            ConfigurationError: a function asks for what cannot be provided.
        """
        made = {name: _Hook(_compile(one, provided, overrides), name, emit) for name, one in self._declarations.items()}
        return _hooks(made)


def _compile(one: _Declaration, provided: Mapping[type[Any], object], overrides: Overrides) -> CompiledHook:
    providers: dict[type[Any], Callable[[Call], object]] = {
        Caller: lambda call: call.caller,
        HTTPConnection: lambda call: call.caller.http,
        one.request: lambda call: call.request,
    }
    if one.request in _DRAFT:
        providers[_DRAFT[one.request]] = lambda call: call.draft
    for annotation, value in provided.items():
        providers[annotation] = lambda call, value=value: value  # type: ignore[misc]  # cannot infer the default
    return compile_hook(
        one.function, source_type=Call, providers=providers, overrides=overrides, signatures=one.signatures
    )


@dataclass(frozen=True, slots=True)
class _Hook:
    """A compiled function that never raises: refusals and faults become verdicts."""

    compiled: CompiledHook
    name: str
    emit: Emit

    async def ask(self, call: Call) -> Verdict[object]:
        """Return what the function answers, or why not."""
        try:
            message = self.compiled.decode(call.request.data)
        except CodecError as error:
            return codes.BAD_REQUEST._replace(message=f"bad request: {error.problem}")
        try:
            return await self.compiled.call(call, message)
        except Exception as error:  # noqa: BLE001 - the app's function can raise anything
            return _refusal(error) or self.failed(call, error)

    def failed(self, call: Call, error: Exception) -> ReplyError:
        """Tell of a fault; return what the client gets."""
        self.emit(
            HandlerFailed(ConnectionId(call.caller.client), LISTENER, f"{self.name}: {self.compiled.name}", error)
        )
        if isinstance(error, ConfigurationError) and isinstance(call.request, RpcRequest):
            # Such as a command for which nothing says what its answer is: another attempt ends in the same way. Its
            # sentence is for the log: it speaks of settings.
            return codes.BAD_REQUEST
        return codes.INTERNAL

    async def ask_for(self, call: Call, wanted: type[Any]) -> Verdict[Any]:
        """Return what the function answers if it is of a type, or None."""
        answer = await self.ask(call)
        if answer is None or isinstance(answer, wanted | ReplyError | Disconnect):
            return answer
        # Not ignored: whoever returns False means something by it.
        return self.failed(call, TypeError(f"it returned {type(answer).__name__} instead of {wanted.__name__} or None"))

    async def result(self, call: Call) -> Verdict[bytes]:
        """Return what the function answers, as JSON."""
        answer = await self.ask(call)
        if isinstance(answer, ReplyError | Disconnect):
            return answer
        try:
            return _as_json(answer)
        except (CodecError, ValueError) as error:
            return self.failed(call, error)


def _hooks(made: Mapping[str, _Hook]) -> Hooks:
    async def connect(caller: Caller, request: ConnectRequest, known: Admission) -> Verdict[Admission | None]:
        return await made["on_connect"].ask_for(Call(caller, request, known), Admission)

    async def subscribe(caller: Caller, request: SubscribeRequest, given: Grant) -> Verdict[Grant | None]:
        return await made["on_subscribe"].ask_for(Call(caller, request, given), Grant)

    async def publish(caller: Caller, request: PublishRequest) -> Verdict[None]:
        return await made["on_publish"].ask_for(Call(caller, request), type(None))

    async def message(caller: Caller, request: SendRequest) -> Verdict[None]:
        answer = await made["on_message"].ask(Call(caller, request))
        return answer if isinstance(answer, ReplyError | Disconnect) else None

    methods = {name.partition(" ")[2]: hook for name, hook in made.items() if name.startswith("rpc ")}
    others = made.get("on_rpc")

    async def rpc(caller: Caller, request: RpcRequest) -> Verdict[bytes]:
        hook = methods.get(request.method, others)
        return codes.NOT_AVAILABLE if hook is None else await hook.result(Call(caller, request))

    return Hooks(
        connect=connect if "on_connect" in made else None,
        subscribe=subscribe if "on_subscribe" in made else None,
        publish=publish if "on_publish" in made else None,
        rpc=rpc if methods or others else None,
        message=message if "on_message" in made else None,
    )


def _refusal(error: Exception) -> ReplyError | Disconnect | None:
    """Return what an exception tells the client; None if it is a fault."""
    match error:
        case Refuse():
            known = _PROTOCOL.get(error.code, ReplyError(error.code, "refused"))
            return ReplyError(error.code, error.message or known.message, error.temporary or known.temporary)
        case DisconnectClient():
            return Disconnect(error.code, error.reason)
        case HTTPException(status_code=status) if 400 <= status <= 599:
            return ReplyError(status, str(error.detail), temporary=status in (429, 503))
        case WebSocketException():
            return codes.DENIED
        # The statuses of the HTTP API; a gateway's own are 502 and 504 (RFC 9110 §15.6.3, §15.6.5).
        case DeviceUnknown():
            return ReplyError(404, str(error))
        case ProtocolUnknown():
            return ReplyError(409, str(error))
        case CommandQueueFull():
            return ReplyError(429, str(error), temporary=True)
        case CommandFailed(state=state):
            return ReplyError(504 if state in ("timed_out", "expired") else 502, str(error))
        case _:
            return None


def _as_json(value: object) -> bytes:
    """Return a result as JSON; bytes must be JSON already.

    Raises:
        CodecError: it cannot be expressed.
        ValueError: bytes are not JSON.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).encode()
    data = encode_value(value)
    if isinstance(value, bytes | bytearray | memoryview):
        json.loads(data)
    return data
