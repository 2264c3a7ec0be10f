"""A listener as an application declares it: what it is given bit by bit, until the gateway starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from portcast.codecs import Codec, check_union
from portcast.errors import ConfigurationError
from portcast.handlers.listener_hooks import HookName
from portcast.handlers.signature import Signatures, name_of, read_signatures
from portcast.handlers.typed import Claims
from portcast.listen_url import ListenerConfig
from portcast.runtime import Authenticate, DeviceProtocol

Function = TypeVar("Function", bound=Callable[..., Any])
Identify = TypeVar("Identify", bound=Callable[..., str | None])

Declared = tuple[Callable[..., Any], Signatures]
"""A function as written, with the signatures of it and its dependencies, read where it was declared."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declared listener.

    Attributes:
        config: address, framing and limits.
        function: the user's handler as written, the first if there are several; None for a relay.
        codec: what the user chose; None: by the handler's annotation, or by ``message``.
        signatures: of the handler and its dependencies, read where it was declared; None for a relay.
        protocol: what was said of devices; None if nothing was.
        message: the models that have handlers of their own; None if one handler gets all.
        more: the other handlers.
        hooks: what is told of connections, by name.
        authenticate: lets devices in (`portcast.runtime.authentication`); None lets everybody in.
    """

    config: ListenerConfig
    function: Callable[..., Any] | None
    codec: Codec[Any] | None
    signatures: Signatures | None = None
    protocol: DeviceProtocol | None = None
    message: object = None
    more: tuple[Declared, ...] = ()
    hooks: Mapping[HookName, Declared] = field(default_factory=dict)
    authenticate: Authenticate | None = None

    @property
    def handlers(self) -> tuple[Declared, ...]:
        """All handlers, in order; none for a relay."""
        if self.function is None or self.signatures is None:
            return ()
        return ((self.function, self.signatures), *self.more)

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """All handlers as written."""
        return tuple(function for function, _ in self.handlers)


def identified_by(declaration: Declaration, function: Callable[..., str | None]) -> Declaration:
    """Return a declaration whose devices are identified by a function."""
    return replace(declaration, protocol=replace(declaration.protocol or DeviceProtocol(), identify=function))


class DeclaredListener:
    """A listener before it runs; what `Gateway.listen` returns.

    As a decorator it declares the handler. Kept, it takes handlers for several models, and hooks:

    ```python
    trackers = gateway.listen("tcp://0.0.0.0:5023", message=Annotated[Login | Position, BinaryUnion("protocol")])

    @trackers.on
    async def on_login(login: Login): ...

    @trackers.on
    async def on_position(position: Position): ...

    @trackers.on_disconnect
    async def gone(connection: Connection, reason: str): ...
    ```

    A hook may be sync or async, and asks for what it wants: the `Connection`, `Gateway`, `Store`, dependencies, also
    those that live as long as the connection. When each is called: `portcast.handlers.listener_hooks`.
    """

    def __init__(self, declarations: list[Declaration], draft: Declaration) -> None:
        """Prepare a listener; it is declared with its first handler.

        Args:
            declarations: where it is put then.
            draft: all but the handler.

        Raises:
            ConfigurationError: nothing says of which model of ``message`` a message is.
        """
        if draft.message is not None and draft.codec is None:
            check_union(draft.message)
        self._claims = None if draft.message is None else Claims(draft.message)
        self._declarations = declarations
        self._draft = draft
        self._index: int | None = None

    def __call__(self, function: Function) -> Function:
        """Declare a handler; the same as `on`."""
        return self.on(function)

    def on(self, function: Function) -> Function:
        """Declare a handler, which stays as it is.

        With ``message=`` there may be several: each gets the messages of the model, or the models, with which its
        parameter is annotated; one with the whole union gets the rest. Without it there is one.

        Raises:
            ConfigurationError: there is a handler already, of the whole listener or of one of these models.
        """
        signatures = read_signatures(function)
        declaration = self._declaration
        if declaration.function is None:
            self._claim(function, signatures)
            self._declarations.append(replace(declaration, function=function, signatures=signatures))
            self._index = len(self._declarations) - 1
            return function
        if declaration.message is None:
            raise ConfigurationError(
                f"listener {declaration.config.address.url}",
                f"{name_of(declaration.function)} is its handler already",
                "for a handler per model, say which there are: message=A | B, with a discriminator",
            )
        self._claim(function, signatures)
        self._change(more=(*declaration.more, (function, signatures)))
        return function

    def identify(self, function: Identify) -> Identify:
        """Declare the function as ``identify=``: it says whose a message is (see `portcast.DeviceProtocol`)."""
        self._change(protocol=identified_by(self._declaration, function).protocol)
        return function

    def on_connect(self, function: Function) -> Function:
        """Declare what is called when a device has connected, before its first message. The socket is open.

        Once for each connection whose own dependencies could be made.
        """
        return self._hook("on_connect", function)

    def on_disconnect(self, function: Function) -> Function:
        """Declare what is called when a connection has ended and all that was received of it is handled or dropped.

        Once for each connection for which `on_connect` was, or would have been, called. A parameter ``reason: str``
        gets who ended it and why (`portcast.events.CloseReason`). ``connection.is_open`` tells whether the device can
        still be told something: after ``peer_closed`` it may, if it closed its own side only, and after an end that
        was ours, except ``closed``. The socket is closed when the function is done.
        """
        return self._hook("on_disconnect", function)

    def on_error(self, function: Function) -> Function:
        """Declare what is called when a message is lost: a handler or dependency raised, or its frame was refused.

        A parameter ``error: Exception`` gets it. What the device is told (``nack=``) is sent already. The socket is
        open, unless the device is gone or the error was one too many. Errors of framing end the connection instead,
        with their own reason.
        """
        return self._hook("on_error", function)

    def on_idle(self, function: Function) -> Function:
        """Declare what is called when nothing was received for half of ``idle_timeout``, once for each silence.

        The socket is open. A device that answers what the function sends keeps its connection; after the other half
        it is closed with ``idle_timeout``. Looked at every second, and after the message that is being handled.
        """
        return self._hook("on_idle", function)

    @property
    def _declaration(self) -> Declaration:
        return self._draft if self._index is None else self._declarations[self._index]

    def _change(self, **changes: Any) -> None:
        changed = replace(self._declaration, **changes)
        if self._index is None:
            self._draft = changed
        else:
            self._declarations[self._index] = changed

    def _hook(self, name: HookName, function: Function) -> Function:
        hooks = self._declaration.hooks
        if name in hooks:
            raise ConfigurationError(
                f"listener {self._declaration.config.address.url}",
                f"{name} is {name_of(hooks[name][0])} already",
                "declare each once",
            )
        self._change(hooks={**hooks, name: (function, read_signatures(function))})
        return function

    def _claim(self, function: Callable[..., Any], signatures: Signatures) -> None:
        """Find two handlers of one model as early as can be; what cannot be seen yet is found at start."""
        if self._claims is None:
            return
        try:
            parameters = signatures.of(function, name_of(function))
        except ConfigurationError:
            return
        for parameter in parameters:
            if parameter.depends is None and not parameter.has_default and self._claims.is_message(parameter):
                self._claims.claim(function, parameter)
