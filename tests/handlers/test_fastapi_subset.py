from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import (
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    File,
    Form,
    Header,
    Path,
    Query,
    Request,
    Response,
    Security,
    UploadFile,
    WebSocket,
)
from fastapi.requests import HTTPConnection
from fastapi.security import OAuth2PasswordBearer, SecurityScopes

from portcast.errors import ConfigurationError
from portcast.handlers.fastapi_subset import dependency_of, display, refuse_http
from portcast.handlers.signature import Parameter, Signatures


class Model: ...


def get_x() -> int:
    return 1


def parameter(annotation: Any, default: Any = ...) -> Parameter:
    def f(x: Any) -> None: ...

    f.__annotations__["x"] = annotation
    if default is not ...:
        f.__defaults__ = (default,)
    return first(f)


def first(call: Callable[..., Any]) -> Parameter:
    return Signatures().of(call, "handler f")[0]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (parameter(Request), "Request"),
        (parameter(HTTPConnection), "HTTPConnection"),
        (parameter(WebSocket), "WebSocket"),
        (parameter(Response), "Response"),
        (parameter(BackgroundTasks), "BackgroundTasks"),
        (parameter(SecurityScopes), "SecurityScopes"),
        (parameter(UploadFile), "UploadFile"),
        (parameter(Annotated[str, Query()]), "Query"),
        (parameter(Annotated[str, Header()]), "Header"),
        (parameter(Annotated[str, Cookie()]), "Cookie"),
        (parameter(Annotated[str, Path()]), "Path"),
        (parameter(Annotated[Model, Body()]), "Body"),
        (parameter(Annotated[str, Form()]), "Form"),
        (parameter(Annotated[str, File()]), "File"),
        (parameter(Annotated[int, Security(get_x)]), "Security"),
        (parameter(str, Query("text")), "Query"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_http_only(asked: Parameter, name: str) -> None:
    """What only an HTTP request has is refused by its name, in both spellings."""
    with pytest.raises(ConfigurationError) as caught:
        refuse_http(asked, "handler f", "Connection")
    assert str(caught.value) == (
        f"handler f, parameter 'x': {name} exists in HTTP requests only; use Connection, or put what HTTP and TCP "
        "share into a dependency without it"
    )


def test_security_scheme() -> None:
    """FastAPI's own security dependencies need a request."""
    with pytest.raises(ConfigurationError, match="exists in HTTP requests only"):
        refuse_http(first(OAuth2PasswordBearer("token")), "handler f", "Connection")


@pytest.mark.parametrize(
    "asked",
    [parameter(Model), parameter(Annotated[str, "text"]), parameter(list[int]), parameter(int, Depends(get_x))],
    ids=["class", "annotated", "generic", "depends"],
)
def test_not_http(asked: Parameter) -> None:
    """Everything else is left to the plan."""
    refuse_http(asked, "handler f", "Connection")


@pytest.mark.parametrize(
    ("annotation", "marker", "dependency"),
    [
        pytest.param(int, Depends(get_x), get_x, id="function"),
        pytest.param(Model, Depends(), Model, id="class of the annotation"),
        pytest.param(Any, Depends(Model), Model, id="class of the marker"),
        pytest.param(int, Depends(get_x, scope="function"), get_x, id="scope function"),
        pytest.param(int, Depends(get_x, scope="request"), get_x, id="scope request"),
    ],
)
def test_dependency(annotation: Any, marker: Any, dependency: Any) -> None:
    """What a marker names. Both scopes of FastAPI are taken."""
    assert dependency_of(parameter(annotation), marker, "handler f") is dependency


def limited() -> Any:
    marker = Depends(get_x)
    object.__setattr__(marker, "max_concurrency", 3)  # an argument in newer versions of FastAPI
    return marker


def scoped(scope: Any) -> Any:
    return Depends(get_x, scope=scope)


@pytest.mark.parametrize(
    ("annotation", "marker", "sentence"),
    [
        pytest.param(int, limited(), "max_concurrency is for HTTP only; hold an", id="limit"),
        pytest.param(int, scoped("connection"), "unknown scope 'connection'; use PerConnection", id="scope"),
        pytest.param(Any, Depends(), "Depends() without a dependency needs a class", id="Any"),
        pytest.param(Model | None, Depends(), "Depends() without a dependency needs a class", id="union"),
        pytest.param(None, Depends(), "Depends() without a dependency needs a class", id="None"),
        pytest.param(int, Depends("x"), "Depends('x') cannot be called", id="text"),  # type: ignore[arg-type]  # tested
    ],
)
def test_refused_marker(annotation: Any, marker: Any, sentence: str) -> None:
    """A marker that cannot work, or whose option would silently be ignored, is refused."""
    with pytest.raises(ConfigurationError) as caught:
        dependency_of(parameter(annotation), marker, "handler f")
    assert str(caught.value).startswith(f"handler f, parameter 'x': {sentence}")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [(Model, "Model"), (Annotated[Model, "more"], "Model"), (list[int], "list[int]")],
    ids=["class", "annotated", "generic"],
)
def test_display(annotation: Any, text: str) -> None:
    """Errors show an annotation as it is written."""
    assert display(parameter(annotation)) == text
