"""Several handlers behind one listener: the model of a message says which of them gets it.

Each model of the union has one handler at most. A handler that asks for the whole union gets the rest. All of them
share what lives as long as the connection. Per message the choice is one look into a dict: it happens before the
coroutine of the handler is made, so nothing is awaited or allocated for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from portcast.codecs import Codec, members_of
from portcast.errors import ConfigurationError, MessageUnhandled
from portcast.handlers.plan import Plan
from portcast.handlers.session import ManagedSession, MessageSession, PlainSession
from portcast.handlers.signature import Parameter, at, name_of
from portcast.runtime.connection import Connection

Way = tuple[Plan, Callable[[Any, object], Awaitable[object]]]
"""What to run for a message, and how."""


class Claims:
    """Who takes which model. Looked at when a handler is declared, and again when it is compiled.

    Args:
        message: the union.
    """

    def __init__(self, message: object) -> None:
        self.members = members_of(message)
        self._taken: dict[type[Any], str] = {}
        self._rest = ""

    def is_message(self, parameter: Parameter) -> bool:
        """Return True if a parameter can be the message: it is annotated with models, and not all are others'."""
        try:
            return not set(self.members).isdisjoint(members_of(parameter.annotation))
        except ConfigurationError:
            return False

    def claim(self, function: Callable[..., Any], message: Parameter) -> tuple[type[Any], ...] | None:
        """Return the models that a handler takes by name; None if it takes the rest.

        Raises:
            ConfigurationError: it asks for what is not in the union, or for what another handler takes.
        """
        name = name_of(function)
        where = at(f"handler {name}", message.name)
        wanted = members_of(message.annotation)
        if set(wanted) == set(self.members) and len(self.members) > 1:
            if self._rest:
                raise ConfigurationError(where, f"{self._rest} takes the rest already", "keep one of the two")
            self._rest = name
            return None
        for model in wanted:
            if model not in self.members:
                names = ", ".join(one.__name__ for one in self.members)
                raise ConfigurationError(
                    where, f"{model.__name__} is none of the listener's messages ({names})", "add it to message="
                )
            if model in self._taken:
                raise ConfigurationError(where, f"{self._taken[model]} takes {model.__name__} already", "keep one")
            self._taken[model] = name
        return wanted


class TypedHandler:
    """Handlers of one listener, by the model of the message; see `portcast.runtime.session.Handler`.

    Attributes:
        name: their names.
        codec: makes the messages.
        ways: by model.
    """

    is_per_connection = False
    has_idle_hook = False

    def __init__(self, message: object, handlers: Sequence[tuple[Callable[..., Any], Plan]], codec: Codec[Any]) -> None:
        """Join compiled handlers.

        Args:
            message: the union.
            handlers: the functions and their plans, which were made together.
            codec: makes the messages.

        Raises:
            ConfigurationError: two handlers take the same, one takes none of the union, or is called once per
                connection.
        """
        self.name = ", ".join(name_of(function) for function, _ in handlers)
        self.needs_open = bool(handlers[0][1].connection_steps)
        self.codec = codec
        self.ways = _ways(message, handlers)

    def session(self, connection: Connection) -> TypedSession:
        """Return a fresh session for one connection."""
        return TypedSession(self, connection)


class TypedSession(MessageSession):
    """Calls the handler of each message."""

    __slots__ = ("_ways",)

    def __init__(self, handler: TypedHandler, connection: object) -> None:
        # Any plan will do to open and close by: the steps of the connection are the same in all.
        plan, _ = next(iter(handler.ways.values()))
        super().__init__(plan, connection, handler.codec.decode)
        self._ways: Mapping[type[Any], Way] = handler.ways

    def handle(self, message: object) -> Awaitable[object]:
        """Return what runs the message's dependencies and its handler; see `PlainSession` and `ManagedSession`.

        Raises:
            MessageUnhandled: at once, if no handler takes it.
        """
        way = self._ways.get(type(message))
        if way is None:
            raise MessageUnhandled("message", f"no handler takes {type(message).__name__}")
        # One message at a time: the plan is read before the first await.
        self._plan, run = way
        return run(self, message)


def _ways(message: object, handlers: Sequence[tuple[Callable[..., Any], Plan]]) -> dict[type[Any], Way]:
    claims = Claims(message)
    ways: dict[type[Any], Way] = {}
    rest: Way | None = None
    for function, plan in handlers:
        if plan.message is None:
            raise ConfigurationError(
                f"handler {name_of(function)}",
                "its listener has message=, but it is called once per connection",
                "add a parameter for the message",
            )
        run = ManagedSession.handle if any(one.lifecycle for one in plan.message_steps) else PlainSession.handle
        way: Way = (plan, run)
        models: Iterable[type[Any]] | None = claims.claim(function, plan.message)
        if models is None:
            rest = way
        else:
            ways.update(dict.fromkeys(models, way))
    if rest is not None:
        ways.update({model: rest for model in claims.members if model not in ways})
    return ways
