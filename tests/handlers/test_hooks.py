from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, Request
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from portcast.errors import CodecError, ConfigurationError
from portcast.handlers.hooks import CompiledHook, compile_hook
from portcast.handlers.markers import PerConnection, in_thread
from portcast.handlers.signature import read_signatures

pytestmark = pytest.mark.anyio


@dataclass
class Source:
    who: str = "Ann"


class Who(str): ...


class Opaque: ...


class Params(BaseModel):
    celsius: float


PROVIDERS: dict[type[Any], Callable[[Any], object]] = {
    Who: lambda source: Who(source.who),
    HTTPConnection: lambda source: HTTPConnection({"type": "http", "headers": [(b"cookie", b"a=1")]}),
}


def hook(function: Callable[..., Any], **options: Any) -> CompiledHook:
    return compile_hook(function, source_type=Source, providers=PROVIDERS, **options)


async def ask(function: Callable[..., Any], data: bytes = b"", **options: Any) -> object:
    compiled = hook(function, **options)
    return await compiled.call(Source(), compiled.decode(data))


# What a function may be


async def with_await(who: Who) -> str:
    await asyncio.sleep(0)
    return f"async {who}"


def plain(who: Who) -> str:
    return f"plain {who}"


def gives_a_coroutine(who: Who) -> Any:
    return with_await(who)


class Callables:
    def method(self, who: Who) -> str:
        return f"method {who}"

    async def __call__(self, who: Who) -> str:
        return f"instance {who}"


@pytest.mark.parametrize(
    ("function", "answer"),
    [
        pytest.param(with_await, "async Ann", id="async"),
        pytest.param(plain, "plain Ann", id="plain"),
        pytest.param(gives_a_coroutine, "async Ann", id="gives a coroutine"),
        pytest.param(in_thread(plain), "plain Ann", id="in a thread"),
        pytest.param(Callables().method, "method Ann", id="method"),
        pytest.param(Callables(), "instance Ann", id="instance"),
        pytest.param(partial(plain), "plain Ann", id="partial"),
        pytest.param(lambda: None, None, id="takes nothing"),
    ],
)
async def test_what_a_function_may_be(function: Callable[..., Any], answer: object) -> None:
    """Its answer is the hook's."""
    assert await ask(function) == answer


async def test_where_a_marked_function_runs() -> None:
    """Not on the loop, which it would hold up."""
    threads: list[threading.Thread] = []
    await ask(in_thread(lambda: threads.append(threading.current_thread())))
    assert threads != [threading.current_thread()]


async def test_what_it_may_ask_for() -> None:
    """Everything that is provided, dependencies, and what the values come from; defaults stay."""

    def cookie(http: HTTPConnection) -> str:
        return http.cookies["a"]

    async def all_of_it(
        source: Source, who: Who, http: HTTPConnection, value: Annotated[str, Depends(cookie)], *, more: int = 5
    ) -> object:
        return source, who, http.cookies, value, more

    assert await ask(all_of_it) == (Source(), "Ann", {"a": "1"}, "1", 5)


# The client's data


def takes_model(params: Params) -> object:
    return params


def takes_maybe(params: Params | None) -> object:
    return params


def takes_bytes(data: bytes) -> object:
    return data


def takes_text(text: str) -> object:
    return text


def takes_object(values: dict[str, Any]) -> object:
    return values


@pytest.mark.parametrize(
    ("function", "data", "answer"),
    [
        (takes_model, b'{"celsius": 5}', Params(celsius=5)),
        (takes_maybe, b"", None),
        (takes_maybe, b"null", None),
        (takes_bytes, b"\xff", b"\xff"),
        (takes_bytes, b"", b""),
        (takes_text, b'"a"', "a"),
        (takes_object, b'{"a": 1}', {"a": 1}),
        (plain, b"not looked at", "plain Ann"),
    ],
)
async def test_data(function: Callable[..., Any], data: bytes, answer: object) -> None:
    """The annotation says how it is read; bytes as they came, anything else is JSON."""
    assert await ask(function, data) == answer


@pytest.mark.parametrize(
    ("function", "data", "words"),
    [
        (takes_model, b"", "Params"),
        (takes_model, b'{"celsius": "warm"}', "celsius: Input should be a valid number"),
        (takes_text, b"a", "str"),
        (takes_text, b"5", "str"),
        (takes_object, b"[]", "json"),
    ],
)
def test_data_that_does_not_fit(function: Callable[..., Any], data: bytes, words: str) -> None:
    """It is told apart from an error of the function, before anything runs."""
    with pytest.raises(CodecError, match=words):
        hook(function).decode(data)


async def test_dependencies_see_the_data() -> None:
    """Under the function's own annotation."""

    def doubled(params: Params) -> float:
        return params.celsius * 2

    def function(params: Params, twice: Annotated[float, Depends(doubled)]) -> float:
        return params.celsius + twice

    assert await ask(function, b'{"celsius": 5}') == 15


# Dependencies


async def test_dependencies_of_each_kind() -> None:
    """Opened in order, closed in reverse before the answer is given."""
    order: list[str] = []

    def value() -> str:
        return "value"

    async def later() -> str:
        return "later"

    def generator() -> Iterator[str]:
        yield "generator"
        order.append("generator closed")

    async def async_generator(first: Annotated[str, Depends(generator)]) -> AsyncIterator[str]:
        yield f"async {first}"
        order.append("async generator closed")

    async def function(
        a: Annotated[str, Depends(value)],
        b: Annotated[str, Depends(later)],
        c: Annotated[str, Depends(async_generator)],
        d: Annotated[str, Depends(in_thread(value))],
    ) -> list[str]:
        order.append("asked")
        return [a, b, c, d]

    assert await ask(function) == ["value", "later", "async generator", "value"]
    assert order == ["asked", "async generator closed", "generator closed"]


async def test_overrides() -> None:
    """As in endpoints."""

    def user() -> str:
        return "real"

    def function(name: Annotated[str, Depends(user)]) -> str:
        return name

    assert await ask(function, overrides={user: lambda: "fake"}) == "fake"


async def test_signatures_that_were_read_at_the_declaration() -> None:
    """Names that are local there are not found later."""

    def declare() -> tuple[Callable[..., Any], Any]:
        class Local(BaseModel):
            x: int

        def function(local: Local) -> int:
            return local.x

        return function, read_signatures(function)

    function, signatures = declare()
    assert await ask(function, b'{"x": 1}', signatures=signatures) == 1


# Errors


async def test_errors_reach_the_caller() -> None:
    """With dependencies closed."""
    seen: list[BaseException] = []

    def watching() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(error)
            raise

    def function(_: Annotated[None, Depends(watching)]) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        await ask(function)
    assert seen == [caught.value]


async def test_a_dependency_cannot_consent() -> None:
    """One that ends the error, say after logging it, would turn a refusal into None, which means yes."""

    def swallowing() -> Iterator[None]:
        with contextlib.suppress(ValueError):
            yield

    def function(_: Annotated[None, Depends(swallowing)]) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await ask(function)


async def test_a_dependency_can_say_it_otherwise() -> None:
    """Its error takes the place of the function's."""

    def translating() -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise KeyError("other") from error

    def function(_: Annotated[None, Depends(translating)]) -> None:
        raise ValueError("no")

    with pytest.raises(KeyError, match="other"):
        await ask(function)


async def test_cancelling() -> None:
    """What was opened is closed."""
    closed: list[bool] = []

    async def held() -> AsyncIterator[None]:
        try:
            yield
        finally:
            closed.append(True)

    async def function(_: Annotated[None, Depends(held)]) -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(ask(function, signatures=read_signatures(function)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]


# What cannot work


def yields() -> Iterator[None]:
    yield


async def yields_later() -> AsyncIterator[None]:
    yield


def takes_two(params: Params, other: Params) -> None: ...
def takes_anything(params) -> None: ...  # type: ignore[no-untyped-def]  # that is the mistake
def takes_stars(*args: object) -> None: ...
def takes_request(request: Request) -> None: ...
def takes_cookie(session: Annotated[str, Cookie()]) -> None: ...
def takes_per_connection(value: Annotated[str, PerConnection(plain)]) -> None: ...
def takes_opaque(value: Opaque) -> None: ...
def bad_dependency(other: Params) -> None: ...
def takes_bad(_: Annotated[None, Depends(bad_dependency)]) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (yields, "hook yields: it yields; return the answer instead"),
        (yields_later, "hook yields_later: it yields"),
        (takes_two, "hook takes_two, parameter 'other': a hook takes one message"),
        (takes_anything, "it has no annotation"),
        (takes_stars, "does not say what to pass"),
        (takes_request, "Request exists in HTTP requests only; use HTTPConnection"),
        (takes_cookie, "Cookie exists in HTTP requests only; use HTTPConnection"),
        (takes_per_connection, "nothing lives longer than one call of a hook; use Depends"),
        (takes_opaque, "hook takes_opaque, parameter 'value': no codec makes such data"),
        (takes_bad, "nothing provides Params; use Who, HTTPConnection, Depends"),
    ],
)
def test_what_cannot_work(function: Callable[..., Any], words: str) -> None:
    """It is refused at start, with the function, the parameter and what to do."""
    with pytest.raises(ConfigurationError) as caught:
        hook(function)
    assert words in str(caught.value)


def test_representation() -> None:
    """A hook says what it is."""
    assert repr(hook(plain)) == "<CompiledHook plain>"
