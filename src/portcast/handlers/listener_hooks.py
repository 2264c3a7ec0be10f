"""What an application is told of a listener's connections: their beginning, their end, faults and silence.

=====================  ====================================================  =========================================
hook                   when                                                  the socket
=====================  ====================================================  =========================================
``on_connect``         accepted, the dependencies of the connection are      open
                       made, no message was handled yet
``on_disconnect``      no more is read, and all that was received is         as `Connection.is_open` says; it is closed
                       handled; the dependencies are still there              when the hook is done
``on_error``           a handler or a dependency raised, or a frame was       open, unless the error ends the connection
                       refused, and what the device is told of it is sent     or it has ended meanwhile
``on_idle``            nothing was received for half of ``idle_timeout``;     open; closed if the other half passes, too
                       once for each silence
=====================  ====================================================  =========================================

All are called in the task of the connection, one at a time and between its messages, so messages wait for them. What
one raises costs nothing else: it is `HandlerFailed`, with the hook's name. A listener without hooks runs none of this.

The first two need a task for as long as the connection lives (3 KiB), which idle devices otherwise do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable, isclass
from typing import Any, Literal, get_args

from portcast.errors import ConfigurationError
from portcast.events import CloseReason, Emit, HandlerFailed
from portcast.handlers.calls import Slots, run_steps
from portcast.handlers.kinds import Kind, kind_of
from portcast.handlers.lifecycle import Opened, unwind
from portcast.handlers.plan import Plan
from portcast.handlers.session import ConnectionSession, MessageSession
from portcast.handlers.signature import at, name_of
from portcast.runtime import Handler, Session
from portcast.runtime.connection import Connection
from portcast.types import ListenerName

HookName = Literal["on_connect", "on_disconnect", "on_error", "on_idle"]
HOOKS: tuple[HookName, ...] = get_args(HookName)


class ListenerHook:
    """A function of the application, with its dependencies.

    Args:
        kind: which hook it is.
        function: sync or async.
        plan: of the function, made together with those of the handlers.

    Raises:
        ConfigurationError: it yields, or asks for more than such a hook is told.
    """

    def __init__(self, kind: HookName, function: Callable[..., Any], plan: Plan) -> None:
        self.name = f"{kind}: {name_of(function)}"
        self._plan = plan
        where = f"{kind} {name_of(function)}"
        if kind_of(function) in {Kind.GENERATOR, Kind.ASYNC_GENERATOR, Kind.DECORATED}:
            raise ConfigurationError(where, "it yields", "remove the yield: it is called once")
        message = plan.message
        if message is None:
            return
        told = {"on_disconnect": (str, "reason: str"), "on_error": (Exception, "error: Exception")}.get(kind)
        if told is None:
            raise ConfigurationError(
                at(where, message.name), "nothing provides it", "ask for the Connection, or use Depends(…) or a default"
            )
        wanted, hint = told
        if message.type != CloseReason and not (isclass(message.type) and issubclass(wanted, message.type)):
            raise ConfigurationError(at(where, message.name), f"{kind} is told of its {hint}", f"write {hint}")

    async def call(self, values: Slots, told: object) -> None:
        """Run the dependencies and the function, and close the dependencies.

        Args:
            values: of the connection.
            told: the reason or the error.

        Raises:
            BaseException: whatever the function or a dependency raised, if no dependency ended it.
        """
        plan = self._plan
        slots: Slots = [*values, told]
        opened: Opened = []
        error: BaseException | None = None
        try:
            await run_steps(plan.message_steps, slots, opened)
            result = plan.call(slots)
            if isawaitable(result):
                await result
        except BaseException as raised:  # noqa: BLE001 - raised again below, unless a dependency ended it
            error = raised
        error = await unwind(opened, error)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame


class HookedHandler:
    """A handler whose listener has hooks; see `portcast.runtime.session.Handler`."""

    def __init__(self, handler: Handler, hooks: Mapping[HookName, ListenerHook], emit: Emit) -> None:
        """Wrap a compiled handler.

        Args:
            handler: whose plans were made together with those of the hooks.
            hooks: at least one.
            emit: is told of hooks that fail.
        """
        self.name = handler.name
        self.is_per_connection = handler.is_per_connection
        self.needs_open = handler.needs_open or not hooks.keys().isdisjoint({"on_connect", "on_disconnect"})
        self.has_idle_hook = "on_idle" in hooks
        self.hooks = hooks
        self.emit = emit
        self._handler = handler

    def session(self, connection: Connection) -> HookedSession:
        """Return a fresh session for one connection."""
        inner = self._handler.session(connection)
        assert isinstance(inner, MessageSession | ConnectionSession)
        return HookedSession(self, inner, connection)


class HookedSession:
    """The session of a handler, with hooks around; see `portcast.runtime.session.Session`."""

    __slots__ = ("_connection", "_handler", "_is_open", "_session", "decode", "handle", "run")

    def __init__(
        self, handler: HookedHandler, session: MessageSession | ConnectionSession, connection: Connection
    ) -> None:
        self._handler = handler
        self._session = session
        self._connection = connection
        self._is_open = False
        inner: Session = session
        self.decode, self.handle, self.run = inner.decode, inner.handle, inner.run

    async def open(self) -> None:
        """Make what lives as long as the connection, then tell of it. If the first fails, no hook is called."""
        await self._session.open()
        self._is_open = True
        await self._tell("on_connect")

    async def close(self, error: BaseException | None) -> None:
        """Tell of the end, then close what was made."""
        try:
            reason = self._connection.close_reason or ("closed" if error is None else "handler_failed")
            await self._tell("on_disconnect", reason)
        finally:
            await self._session.close(error)

    async def failed(self, error: Exception) -> None:
        """Tell of a fault."""
        await self._tell("on_error", error)

    async def idle(self) -> None:
        """Tell of silence."""
        await self._tell("on_idle")

    async def _tell(self, kind: HookName, told: object = None) -> None:
        hook = self._handler.hooks.get(kind)
        if hook is None or not self._is_open:
            return
        try:
            await hook.call(self._session.values, told)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the application's function can raise anything
            connection = self._connection
            self._handler.emit(HandlerFailed(connection.id, ListenerName(connection.listener), hook.name, error))
