from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Annotated, Any

import fastapi.params
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from portcast.errors import ConfigurationError
from portcast.handlers.markers import InThread, PerConnection, in_thread


def greet(name: str = "you") -> str:
    """Say hello."""
    return f"hello {name}"


def lend() -> Iterator[str]:
    yield "lent"


class Async:
    async def __call__(self) -> None: ...


async def run() -> None: ...


async def lend_async() -> AsyncIterator[int]:
    yield 1


def test_per_connection_is_a_depends() -> None:
    """The marker works wherever FastAPI looks for its own."""
    marker = PerConnection(greet, use_cache=False)
    assert isinstance(marker, fastapi.params.Depends)
    assert (marker.dependency, marker.use_cache) == (greet, False)


def test_per_connection_is_frozen() -> None:
    """FastAPI's marker is a value; so is ours."""
    with pytest.raises(FrozenInstanceError):
        PerConnection(greet).use_cache = False  # type: ignore[misc]  # that it fails is what is tested


def current_thread(name: str = "you") -> str:
    return f"{name} in {threading.current_thread().name}"


async def endpoint(
    first: Annotated[str, PerConnection(greet)],
    second: Annotated[str, Depends(in_thread(current_thread))],
    third: Annotated[str, Depends(in_thread(lend))],
) -> list[str]:
    return [first, second, third, threading.current_thread().name]


def test_http_accepts_the_markers() -> None:
    """A dependency can be declared once for HTTP and TCP: FastAPI runs it, and runs `in_thread` in a thread."""
    app = FastAPI()
    app.get("/")(endpoint)
    with TestClient(app) as client:
        first, second, third, loop_thread = client.get("/", params={"name": "boiler"}).json()
    assert (first, third) == ("hello boiler", "lent")
    assert second.startswith("boiler in ")
    assert second != f"boiler in {loop_thread}"


def test_in_thread_keeps_the_function() -> None:
    """The marked function can still be called, inspected and found in a log."""
    marked = in_thread(greet)
    assert marked("boiler") == "hello boiler"
    assert marked.__doc__ == "Say hello."
    assert "greet" in repr(marked)


def test_in_thread_is_equal_for_equal_functions() -> None:
    """Two markers of one function share a cached value and an override."""
    assert in_thread(greet) == in_thread(greet)
    assert len({in_thread(greet), in_thread(greet)}) == 1
    assert in_thread(greet) != in_thread(lend)
    assert in_thread(greet) != greet


@pytest.mark.parametrize(
    "function", [greet, lend, dict, partial(greet, "x")], ids=["function", "generator", "class", "partial"]
)
def test_in_thread_takes_sync_functions(function: Any) -> None:
    """Everything sync can be moved to a thread."""
    assert isinstance(in_thread(function), InThread)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        pytest.param(run, "in_thread(run): it is async, so it runs on the loop; leave in_thread out", id="function"),
        pytest.param(lend_async, "in_thread(lend_async): it is async", id="generator"),
        pytest.param(Async(), "in_thread(Async): it is async", id="instance"),
        pytest.param(contextmanager(lend), "in_thread(lend): it is a decorated generator function", id="decorated"),
    ],
)
def test_in_thread_refuses(function: Any, sentence: str) -> None:
    """What cannot run in a thread is refused where it is written."""
    with pytest.raises(ConfigurationError) as caught:
        in_thread(function)
    assert str(caught.value).startswith(sentence)
