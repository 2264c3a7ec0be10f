"""From a user's function to a handler that the runtime can serve connections with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from portcast.codecs import Codec, codec_for
from portcast.errors import ConfigurationError
from portcast.handlers.kinds import Kind, kind_of
from portcast.handlers.plan import Environment, Plan, plan
from portcast.handlers.session import ConnectionSession, ManagedSession, PlainSession
from portcast.handlers.signature import Parameter, Signatures, at, name_of, read_signatures
from portcast.runtime.connection import Connection
from portcast.runtime.session import Session

Providers = Mapping[type[Any], Callable[[Connection], object]]
"""By annotation, a sync function that makes the value of such a parameter from the connection."""
Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
"""By dependency, what to call instead; `FastAPI.dependency_overrides` is one."""

_NO_PROVIDERS: Providers = MappingProxyType({})
_NO_OVERRIDES: Overrides = MappingProxyType({})


class CompiledHandler:
    """A user's function with its dependencies, compiled. Made by `compile_handler`; shared by all connections.

    Attributes:
        name: the function's qualified name.
        is_per_connection: True if it is called once per connection, False if once per message.
        needs_open: True if something must run when a device connects: the handler itself or a dependency of the
            connection.
        codec: makes the message from a frame; None for a per-connection handler.
    """

    __slots__ = (
        "_plan",
        "codec",
        "is_per_connection",
        "name",
        "needs_open",
    )

    has_idle_hook = False

    def __init__(
        self,
        function: Callable[..., Any],
        codec: Codec[Any] | None,
        environment: Environment,
        compiled: Plan | None = None,
    ) -> None:
        self._plan = compiled or plan(function, environment)
        # What the runtime asks.
        self.name = name_of(function)
        self.is_per_connection = self._plan.message is None
        self.needs_open = self.is_per_connection or bool(self._plan.connection_steps)
        self.codec = _codec(f"handler {self.name}", codec, self._plan.message)

    def session(self, connection: Connection) -> Session:
        """Return a fresh session for one connection."""
        if self.codec is None:
            return ConnectionSession(self._plan, connection)
        if any(step.lifecycle is not None for step in self._plan.message_steps):
            return ManagedSession(self._plan, connection, self.codec.decode)
        return PlainSession(self._plan, connection, self.codec.decode)

    def __repr__(self) -> str:
        return f"<CompiledHandler {self.name} per {'connection' if self.is_per_connection else 'message'}>"


def compile_handler(
    function: Callable[..., Any],
    *,
    codec: Codec[Any] | None = None,
    providers: Providers = _NO_PROVIDERS,
    overrides: Overrides = _NO_OVERRIDES,
    connection_type: type[Any] = Connection,
    signatures: Signatures | None = None,
) -> CompiledHandler:
    """Return a handler compiled from an ``async def`` function, whose signature says when it is called.

    A parameter that is not the connection, not of a provider's type, not a dependency and without default is the
    message: the function is called once per message. Without one, but with a connection, it is called once per
    connection.

    Args:
        function: the handler.
        codec: makes messages from frames; chosen by the message's annotation if None.
        providers: more types that parameters may ask for; called for each message, or at connect for what lives as
            long as the connection.
        overrides: dependencies to be replaced.
        connection_type: the annotation that asks for the connection.
        signatures: from `read_signatures`, called where the function was declared; read now if None. Names that are
            local to the place of the call are found then, and not later.

    Raises:
        ConfigurationError: the function is not ``async def``, a parameter cannot be provided, an annotation cannot be
            resolved, or no codec makes such messages. The error names the function and the parameter.
    """
    check_kind(function)
    environment = Environment(
        connection_type=connection_type,
        providers=dict(providers),
        overrides=dict(overrides),
        signatures=signatures or read_signatures(function),
    )
    return CompiledHandler(function, codec, environment)


def check_kind(function: Callable[..., Any]) -> None:
    """Check that a handler is ``async def`` and does not yield.

    Raises:
        ConfigurationError: it is not, or does.
    """
    where = f"handler {name_of(function)}"
    kind = kind_of(function)
    if kind in {Kind.GENERATOR, Kind.ASYNC_GENERATOR, Kind.DECORATED}:
        raise ConfigurationError(where, "it yields", "remove the yield: a handler is called once for each message")
    if kind is not Kind.AWAITABLE:
        raise ConfigurationError(
            where, "it is not async", "write `async def`, and move what blocks to Depends(in_thread(…))"
        )


def _codec(where: str, written: Codec[Any] | None, message: Parameter | None) -> Codec[Any] | None:
    if message is None:
        if written is not None:
            raise ConfigurationError(
                where,
                f"the codec {written.name!r} has no use: the handler is called once per connection and gets frames",
                "leave it out, or add a parameter for the message",
            )
        return None
    if written is not None:
        return written
    try:
        return codec_for(message.annotation)
    except ConfigurationError as error:
        raise ConfigurationError(
            at(where, message.name),
            f"no codec makes such messages ({error.problem})",
            error.hint or "if it is not the message, give it Depends(…) or a default",
        ) from error
