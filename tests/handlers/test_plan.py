from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any

import pytest
from fastapi import Depends, Request
from pydantic import BaseModel

from portcast.errors import ConfigurationError
from portcast.handlers.calls import run_steps
from portcast.handlers.lifecycle import Opened
from portcast.handlers.markers import PerConnection, in_thread
from portcast.handlers.plan import Environment, Plan, plan
from portcast.handlers.signature import Signatures


class Reading(BaseModel):
    celsius: float


class Connection: ...


NONE = Connection()


class Device: ...


class Hub: ...


def compiled(function: Callable[..., Any], overrides: Mapping[Any, Any] | None = None) -> Plan:
    providers = {Device: lambda connection: ("device of", connection), Hub: lambda connection: "hub"}
    return plan(function, Environment(Connection, providers, overrides or {}, Signatures()))


def problem(function: Callable[..., Any], overrides: Mapping[Any, Any] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        compiled(function, overrides)
    return str(caught.value)


async def result(function: Callable[..., Any], overrides: Mapping[Any, Any] | None = None) -> Any:
    """Return what the handler returns for connection "c" and message "m"; needs no loop-bound dependency."""
    made = compiled(function, overrides)
    slots, opened = list[Any](["c"]), Opened()
    await run_steps(made.connection_steps, slots, opened)
    if made.message is not None:
        slots.append("m")
    await run_steps(made.message_steps, slots, opened)
    return await made.call(slots)


def needing(dependency: Any) -> Callable[..., Any]:
    async def handler(text: str, x: object = Depends(dependency)) -> object:
        return x

    return handler


def counts(made: Plan) -> tuple[int, int]:
    return len(made.connection_steps), len(made.message_steps)


async def on_model(reading: Reading) -> None: ...
async def on_text(text: str, connection: Connection) -> None: ...
async def on_bytes(connection: Connection, frame: bytes, limit: int = 3) -> None: ...
async def on_dict(value: dict[str, Any], device: Device, plain=3) -> None: ...  # type: ignore[no-untyped-def]
async def on_connection(connection: Connection) -> None: ...
async def on_connection_and_more(connection: Connection, device: Device, limit: int = 3) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(on_model, "reading", id="model"),
        pytest.param(on_text, "text", id="text and connection"),
        pytest.param(on_bytes, "frame", id="bytes last"),
        pytest.param(on_dict, "value", id="dict, provider and default"),
        pytest.param(on_connection, None, id="connection only"),
        pytest.param(on_connection_and_more, None, id="connection and provider"),
    ],
)
def test_signature_decides(function: Callable[..., Any], message: str | None) -> None:
    """The one parameter that nothing else provides is the message; without it the handler is per connection."""
    found = compiled(function).message
    assert (found.name if found else None) == message


async def two_messages(a: Reading, b: str, c: bytes) -> None: ...
async def nothing() -> None: ...
async def only_provided(device: Device, limit: int = 3) -> None: ...
async def unannotated(a, connection: Connection) -> None: ...  # type: ignore[no-untyped-def]


UNDECIDED = {
    "two": (
        two_messages,
        "handler two_messages, parameter 'b': a handler takes one message, but 'a', 'b', 'c' could each be it; keep "
        "one; give the others a default or Depends(…)",
    ),
    "none": (nothing, "handler nothing: it takes neither a message nor a Connection; add a parameter"),
    "only provided": (only_provided, "handler only_provided: it takes neither a message nor a Connection"),
    "unannotated": (unannotated, "handler unannotated, parameter 'a': it has no annotation; annotate the message"),
}


@pytest.mark.parametrize(("function", "sentence"), UNDECIDED.values(), ids=UNDECIDED)
def test_signature_that_does_not_decide(function: Callable[..., Any], sentence: str) -> None:
    """An unclear signature is an error that names function and parameter and says what to do."""
    assert problem(function).startswith(sentence)


@pytest.mark.anyio
async def test_arguments() -> None:
    """Message, connection, provided values and defaults each reach their parameter, by position or by name."""

    async def handler(
        device: Device, text: str, /, limit: int = 3, connection: Connection = NONE, *, hub: Hub, again: Device
    ) -> object:
        return device, text, limit, connection, hub, again

    assert await result(handler) == (("device of", "c"), "m", 3, "c", "hub", ("device of", "c"))
    assert counts(compiled(handler)) == (0, 2)


@pytest.mark.anyio
async def test_dependencies_of_dependencies() -> None:
    """A dependency gets what a handler gets, the message included, and other dependencies."""

    def first(text: str, connection: Connection, extra: int = 1) -> object:
        return (text, connection, extra)

    async def second(x: Annotated[object, Depends(first)], device: Device) -> object:
        return (x, device)

    async def handler(text: str, y: object = Depends(second)) -> object:
        return y

    assert await result(handler) == (("m", "c", 1), ("device of", "c"))


@dataclass
class Repository:
    connection: Connection


class Factory:
    def __call__(self, connection: Connection) -> object:
        return ("made for", connection)


def two(a: int, connection: Connection) -> object:
    return (a, connection)


def by_name_only(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(**kwargs: Any) -> Any:
        return function(**kwargs)

    return wrapper


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("dependency", "value"),
    [
        pytest.param(Repository, Repository("c"), id="class"),  # type: ignore[arg-type]  # stands for a connection
        pytest.param(Factory(), ("made for", "c"), id="instance"),
        pytest.param(partial(two, 1), (1, "c"), id="partial"),
        pytest.param(by_name_only(partial(two, 2)), (2, "c"), id="decorated"),
        pytest.param(in_thread(Repository), Repository("c"), id="in a thread"),  # type: ignore[arg-type]  # as above
    ],
)
async def test_callables(dependency: Any, value: object) -> None:
    """Whatever can be called can be a dependency."""
    assert await result(needing(dependency)) == value


def get_x() -> list[int]:
    return []


def use_x(x: Annotated[object, Depends(get_x)]) -> object:
    return x


async def cached(text: str, a: object = Depends(get_x), b: object = Depends(use_x)) -> object:
    return a is b


async def uncached_last(text: str, a: object = Depends(get_x), b: object = Depends(get_x, use_cache=False)) -> object:
    return a is b


async def uncached_first(text: str, a: object = Depends(get_x, use_cache=False), b: object = Depends(get_x)) -> object:
    return a is b


async def same_thread(
    text: str, a: object = Depends(in_thread(get_x)), b: object = Depends(in_thread(get_x))
) -> object:
    return a is b


async def two_scopes(text: str, a: object = Depends(get_x), b: object = PerConnection(get_x)) -> object:
    return a is b


async def one_scope(connection: Connection, a: object = Depends(get_x), b: object = PerConnection(get_x)) -> object:
    return a is b


CACHED = {
    cached: True,
    uncached_last: False,
    uncached_first: True,
    same_thread: True,
    two_scopes: False,
    one_scope: True,
}


@pytest.mark.anyio
@pytest.mark.parametrize(("function", "is_same"), CACHED.items(), ids=lambda value: getattr(value, "__name__", ""))
async def test_cache(function: Callable[..., Any], is_same: bool) -> None:
    """A dependency runs once per scope; `use_cache=False` always runs its own, which later ones may share."""
    assert await result(function) is is_same


def get_device(connection: Connection) -> object:
    return connection


def open_log(device: Annotated[object, PerConnection(get_device)]) -> Iterator[object]:
    yield device


async def get_session(log: Annotated[object, PerConnection(open_log)]) -> AsyncIterator[object]:
    yield log


async def scoped(
    text: str, session: Annotated[object, Depends(get_session)], log: Annotated[object, PerConnection(open_log)]
) -> object:
    return session, log


async def whole(connection: Connection, session: Annotated[object, Depends(get_session)], device: Device) -> None: ...


def needs_device(device: Device) -> Device:
    return device


async def provided_twice(text: str, device: Device, x: Annotated[object, PerConnection(needs_device)]) -> object:
    return device, x


SCOPES = {scoped: (2, 1), whole: (4, 0), provided_twice: (2, 1)}


@pytest.mark.parametrize(("function", "expected"), SCOPES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_scopes(function: Callable[..., Any], expected: tuple[int, int]) -> None:
    """PerConnection runs at connect; in a per-connection handler everything does."""
    assert counts(compiled(function)) == expected


@pytest.mark.anyio
async def test_values_of_both_scopes() -> None:
    """A message's dependency sees the values of its connection."""
    assert await result(scoped) == ("c", "c")
    assert await result(provided_twice) == (("device of", "c"), ("device of", "c"))


def wants_message(text: str) -> str:
    return text


def wants_session(session: Annotated[object, Depends(get_session)]) -> object:
    return session


async def message_at_connect(text: str, x: Annotated[str, PerConnection(wants_message)]) -> None: ...
async def session_at_connect(text: str, x: Annotated[object, PerConnection(wants_session)]) -> None: ...
async def no_message(connection: Connection, x: Annotated[str, Depends(wants_message)]) -> None: ...


def takes(annotation: Any) -> Callable[..., Any]:
    def wants(x: Any) -> None: ...

    wants.__annotations__["x"] = annotation
    return wants


def test_http_only() -> None:
    """What only an HTTP request has is refused before anything starts, in handlers and in dependencies."""
    expected = "takes.<locals>.wants, parameter 'x': Request exists in HTTP requests only; use Connection"
    assert problem(takes(Request)).startswith(f"handler {expected}")
    assert problem(needing(takes(Request))).startswith(f"handler needing.<locals>.handler -> {expected}")


def circle(x: Annotated[object, Depends("circle")]) -> None: ...


def other_circle(x: object = None) -> None: ...


circle.__annotations__["x"] = Annotated[object, Depends(other_circle)]
other_circle.__defaults__ = (Depends(circle),)


VIA = "handler needing.<locals>.handler"
REFUSED = {
    "message at connect": (
        message_at_connect,
        "handler message_at_connect -> wants_message, parameter 'text': it asks for the message, but lives as long as "
        "the connection; use Depends instead of PerConnection",
    ),
    "message dependency at connect": (
        session_at_connect,
        "handler session_at_connect -> wants_session, parameter 'session': it lives as long as the connection, but "
        "get_session only as long as a message; write PerConnection(get_session) here too, or Depends for both",
    ),
    "no message": (
        no_message,
        "handler no_message -> wants_message, parameter 'text': nothing provides str; use Connection, Device, Hub, "
        "Depends(…) or a default",
    ),
    "unknown type": (
        needing(takes(Reading)),
        f"{VIA} -> takes.<locals>.wants, parameter 'x': nothing provides Reading; use Connection, Device, Hub, the "
        "message (str), Depends(…) or a default",
    ),
    "unknown generic": (
        needing(takes(list[int])),
        f"{VIA} -> takes.<locals>.wants, parameter 'x': nothing provides list[",
    ),
    "unannotated": (needing(lambda x: x), f"{VIA} -> <lambda>, parameter 'x': it has no annotation; annotate it, or"),
    "circle": (needing(circle), f"{VIA} -> circle -> other_circle, parameter 'x': circle depends on itself; break"),
    "not callable": (needing("get_x"), f"{VIA}, parameter 'x': Depends('get_x') cannot be called"),
}


@pytest.mark.parametrize(("function", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(function: Callable[..., Any], sentence: str) -> None:
    """Each mistake is found when the handler is compiled and names the way to it."""
    assert problem(function).startswith(sentence)


def fake_x(connection: Connection, text: str) -> object:
    return ("fake", connection, text)


class Unhashable(list[int]):
    def __call__(self) -> str:
        return "unhashable"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("dependency", "overrides"),
    [
        pytest.param(get_x, {get_x: fake_x}, id="function"),
        pytest.param(use_x, {get_x: fake_x}, id="inner"),
        pytest.param(Repository, {Repository: fake_x}, id="class"),
        pytest.param(in_thread(get_x), {in_thread(get_x): fake_x}, id="in_thread"),
        pytest.param(in_thread(get_x), {get_x: fake_x}, id="function in a thread"),
    ],
)
async def test_overrides(dependency: Any, overrides: Mapping[Any, Any]) -> None:
    """An override takes the place of its dependency, and gets its own parameters."""
    assert await result(needing(dependency), overrides) == ("fake", "c", "m")


@pytest.mark.anyio
async def test_unhashable_dependency() -> None:
    """What cannot be a key cannot be overridden, and works."""
    assert await result(needing(Unhashable()), {get_x: fake_x}) == "unhashable"


def test_override_keeps_the_scope() -> None:
    """The marker says how long a dependency lives, also when it is replaced."""

    async def handler(text: str, x: Annotated[object, PerConnection(get_x)]) -> None: ...

    assert counts(compiled(handler, {get_x: needs_device})) == (2, 0)
    assert "handler test_override_keeps_the_scope.<locals>.handler -> wants_message" in problem(
        handler, {get_x: wants_message}
    )


def test_override_that_needs_the_original() -> None:
    """An override is an override everywhere, so it cannot ask for what it replaces; FastAPI would never end."""
    assert "get_x depends on itself" in problem(needing(get_x), {get_x: use_x})
