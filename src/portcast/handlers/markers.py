"""What users write beside `fastapi.Depends` to say how a dependency is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

import fastapi.params

from portcast.errors import ConfigurationError
from portcast.handlers.kinds import Kind, kind_of

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class PerConnection(fastapi.params.Depends):
    """Declare a dependency that lives as long as the device's connection.

    It runs when the device connects, before the first message; its value is shared by all messages of that
    connection and it is closed when the connection ends. Used like ``Depends``::

        async def on_reading(reading: Reading, log: Annotated[Log, PerConnection(open_log)]): ...

    HTTP endpoints accept it too, and treat it as ``Depends``.
    """


class InThread(Generic[P, R]):
    """A function that handlers run in a worker thread. Calling it directly calls the function.

    Equal to any other `InThread` of an equal function, so that both share one cached value and one override.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        # FastAPI then sees the function's own parameters, and still runs it in a thread: `__call__` is not async.
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, in the caller's thread."""
        return self.function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InThread) and bool(self.function == other.function)

    def __hash__(self) -> int:
        return hash((InThread, self.function))

    def __repr__(self) -> str:
        return f"in_thread({self.function!r})"


def in_thread(function: Callable[P, R]) -> InThread[P, R]:
    """Return the function marked to be run in a worker thread, for one that blocks.

    Handlers run sync dependencies on the event loop, because a thread costs more than most of them: about 50 µs, and
    every connection would wait for a free one. ``Depends(in_thread(read_disk))`` moves one that really blocks to the
    threads that FastAPI uses for sync functions. A sync generator is moved whole: opening and closing. HTTP endpoints
    accept the result too.

    Args:
        function: a sync function, class or generator function.

    Raises:
        ConfigurationError: it is async, or is decorated with ``contextmanager``.
    """
    name = getattr(function, "__qualname__", type(function).__qualname__)
    kind = kind_of(function)
    if kind is Kind.DECORATED:
        raise ConfigurationError(
            f"in_thread({name})", "it is a decorated generator function", "pass the generator function undecorated"
        )
    if kind not in {Kind.VALUE, Kind.GENERATOR}:
        raise ConfigurationError(f"in_thread({name})", "it is async, so it runs on the loop", "leave in_thread out")
    return InThread(function)
