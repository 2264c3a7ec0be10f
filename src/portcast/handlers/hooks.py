"""From a user's function to a hook of SDK clients, asked when one connects, subscribes, publishes or calls.

A hook differs from a handler of messages in four ways. It gives an answer. It may be a plain function, which runs on
the event loop like a plain dependency. It may leave the client's data alone. And a dependency that ends its error does
not turn a refusal into consent: the error counts all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable
from types import MappingProxyType
from typing import Any

from portcast.codecs import Codec, codec_for
from portcast.codecs.model import ModelCodec
from portcast.errors import ConfigurationError
from portcast.handlers.calls import Slots, run_steps
from portcast.handlers.kinds import Kind, kind_of
from portcast.handlers.lifecycle import Opened, unwind
from portcast.handlers.plan import Environment, plan
from portcast.handlers.signature import Parameter, Signatures, at, name_of, read_signatures

_NO_OVERRIDES: Mapping[Callable[..., Any], Callable[..., Any]] = MappingProxyType({})


class CompiledHook:
    """A user's function with its dependencies, compiled. Made by `compile_hook`; shared by all clients.

    Attributes:
        name: the function's qualified name.
    """

    __slots__ = ("_codec", "_plan", "name")

    def __init__(self, function: Callable[..., Any], environment: Environment) -> None:
        self.name = name_of(function)
        self._plan = plan(function, environment)
        self._codec = _codec(f"hook {self.name}", self._plan.message)

    def decode(self, data: bytes) -> object:
        """Return the client's data as the function wants it; None if it does not look at it.

        Args:
            data: as it came, JSON or whatever the client sends; absent data is ``null`` for all but ``bytes``.

        Raises:
            CodecError: it is not what the function's annotation says.
        """
        if self._codec is None:
            return None
        return self._codec.decode(data if data or self._codec.name == "bytes" else b"null")

    async def call(self, source: object, message: object) -> object:
        """Run the dependencies and the function, close the dependencies, return the function's result.

        Args:
            source: what the providers take their values from.
            message: from `decode`.

        Raises:
            BaseException: whatever the function or a dependency raised, also if a dependency ended it.
        """
        slots: Slots = [source, message]
        opened: Opened = []
        error: BaseException | None = None
        result: object = None
        try:
            await run_steps(self._plan.message_steps, slots, opened)
            result = self._plan.call(slots)
            if isawaitable(result):
                result = await result
        except BaseException as raised:  # noqa: BLE001 - raised again below
            error = raised
        # Outside of the except block: inside, `raise` would overwrite the context of an error from closing.
        error = await unwind(opened, error) or error
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return result

    def __repr__(self) -> str:
        return f"<CompiledHook {self.name}>"


def compile_hook(
    function: Callable[..., Any],
    *,
    source_type: type[Any],
    providers: Mapping[type[Any], Callable[[Any], object]],
    overrides: Mapping[Callable[..., Any], Callable[..., Any]] = _NO_OVERRIDES,
    signatures: Signatures | None = None,
) -> CompiledHook:
    """Return a hook compiled from a function.

    A parameter that is not of a provider's type, not a dependency and without default is the client's data: ``bytes``
    as it came, anything else JSON that is validated.

    Args:
        function: ``async def``, plain, or marked with `portcast.in_thread`.
        source_type: what the providers take; a parameter may also ask for it.
        providers: by annotation, a sync function that makes the value.
        overrides: dependencies to be replaced.
        signatures: from `read_signatures`, called where the function was declared; read now if None.

    Raises:
        ConfigurationError: the function yields, a parameter cannot be provided, an annotation cannot be resolved, or
            no codec makes such data. The error names the function and the parameter.
    """
    if kind_of(function) in {Kind.GENERATOR, Kind.ASYNC_GENERATOR, Kind.DECORATED}:
        raise ConfigurationError(f"hook {name_of(function)}", "it yields", "return the answer instead")
    environment = Environment(
        connection_type=source_type,
        providers=dict(providers),
        overrides=dict(overrides),
        signatures=signatures or read_signatures(function),
        is_hook=True,
        has_connection=False,
    )
    return CompiledHook(function, environment)


def _codec(where: str, message: Parameter | None) -> Codec[Any] | None:
    if message is None:
        return None
    if message.annotation is str:
        return ModelCodec(str)  # a JSON string, where a device's frame would be bare text
    try:
        return codec_for(message.annotation)
    except ConfigurationError as error:
        raise ConfigurationError(
            at(where, message.name),
            f"no codec makes such data ({error.problem})",
            error.hint or "if it is not the client's data, give it Depends(…) or a default",
        ) from error
