"""What calling a callable gives back."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from inspect import isasyncgenfunction, isclass, iscoroutinefunction, isgeneratorfunction, unwrap
from typing import Any


class Kind(Enum):
    """What a call gives."""

    VALUE = auto()
    AWAITABLE = auto()
    ASYNC_GENERATOR = auto()
    GENERATOR = auto()
    DECORATED = auto()
    """Known at run time only: a wrapper around a generator function, such as ``@asynccontextmanager``."""


def kind_of(call: Callable[..., Any]) -> Kind:
    """Return what calling gives, seen from the outermost function; a class gives a value, its instance."""
    while isinstance(call, partial):
        call = call.func
    if isclass(call):
        return Kind.VALUE
    function = call if hasattr(call, "__code__") else type(call).__call__
    if isasyncgenfunction(function):
        return Kind.ASYNC_GENERATOR
    if isgeneratorfunction(function):
        return Kind.GENERATOR
    if iscoroutinefunction(function):
        return Kind.AWAITABLE
    inner = unwrap(call)
    if isgeneratorfunction(inner) or isasyncgenfunction(inner):
        return Kind.DECORATED
    return Kind.AWAITABLE if iscoroutinefunction(inner) else Kind.VALUE
