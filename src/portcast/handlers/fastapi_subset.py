"""What of FastAPI's declarations works outside HTTP, and a clear error for the rest.

Only public names of FastAPI are used: its resolver of dependencies is private and changes from version to version.
"""

from __future__ import annotations

from inspect import Parameter as Raw
from inspect import isclass
from typing import Any

import fastapi.params
from fastapi import Response, UploadFile
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from starlette.background import BackgroundTasks

from portcast.errors import ConfigurationError
from portcast.handlers.signature import Call, Parameter, at

HTTP_TYPES = (HTTPConnection, Response, BackgroundTasks, SecurityScopes, UploadFile)
"""``Request`` and ``WebSocket`` are ``HTTPConnection``; FastAPI's ``BackgroundTasks`` is Starlette's."""
HTTP_MARKERS = (fastapi.params.Param, fastapi.params.Body, fastapi.params.Security)
"""``Query``, ``Path``, ``Header`` and ``Cookie`` are ``Param``; ``Form`` and ``File`` are ``Body``."""


def refuse_http(parameter: Parameter, where: str, instead: str) -> None:
    """Raise if a parameter asks for what only an HTTP request has.

    Args:
        parameter: of a handler or dependency.
        where: names the callable in errors.
        instead: the name of the type that handlers use.

    Raises:
        ConfigurationError: names the callable and the parameter.
    """
    markers = [item for item in (parameter.default, *parameter.metadata) if isinstance(item, HTTP_MARKERS)]
    is_http = isclass(parameter.type) and issubclass(parameter.type, HTTP_TYPES)
    if markers or is_http:
        what = type(markers[0]).__name__ if markers else display(parameter)
        raise ConfigurationError(
            at(where, parameter.name),
            f"{what} exists in HTTP requests only",
            f"use {instead}, or put what HTTP and TCP share into a dependency without it",
        )


def dependency_of(parameter: Parameter, depends: fastapi.params.Depends, where: str) -> Call:
    """Return the callable that a marker names; ``Depends()`` means the class in the annotation.

    FastAPI's scopes ``function`` and ``request`` are both the message's: they differ in whether a dependency is closed
    before or after the response is sent, and a message has none.

    Args:
        parameter: what the marker belongs to.
        depends: the marker.
        where: names the callable in errors.

    Raises:
        ConfigurationError: it names nothing that can be called, or has an option that is for HTTP only.
    """
    key = at(where, parameter.name)
    if getattr(depends, "max_concurrency", None) is not None:  # since FastAPI 0.165
        raise ConfigurationError(key, "max_concurrency is for HTTP only", "hold an asyncio.Semaphore in the dependency")
    if depends.scope not in {None, "function", "request"}:
        raise ConfigurationError(
            key, f"unknown scope {depends.scope!r}", "use PerConnection for the connection's scope"
        )
    if depends.dependency is None:
        if isclass(parameter.type) and parameter.type not in {Any, object, type(None), Raw.empty}:
            return parameter.type
        raise ConfigurationError(
            key, "Depends() without a dependency needs a class as annotation", "name the dependency"
        )
    if not callable(depends.dependency):
        raise ConfigurationError(
            key, f"Depends({depends.dependency!r}) cannot be called", "pass a function, a class or a callable object"
        )
    return depends.dependency


def display(parameter: Parameter) -> str:
    """Return a parameter's annotation as a user would write it."""
    return parameter.type.__name__ if isclass(parameter.type) else str(parameter.annotation)
