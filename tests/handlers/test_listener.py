from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends

from portcast import Connection, Device
from portcast.codecs import JsonCodec
from portcast.errors import ConfigurationError
from portcast.handlers import CompiledHandler, DeviceRouter, asks_for
from portcast.handlers.listener import compile_listener
from portcast.handlers.listener_hooks import HookedHandler
from portcast.handlers.typed import TypedHandler
from portcast.runtime import Handler

URL = "tcp://127.0.0.1:9001"


def name_of(connection: Connection) -> str:
    return ""


def device_of(device: Device) -> str:
    return device.id


async def on_number(number: int) -> None: ...
async def on_text(text: str, name: Annotated[str, Depends(name_of)]) -> None: ...
async def on_known(text: str, name: Annotated[str, Depends(device_of)]) -> None: ...
def gone(reason: str) -> None: ...
def not_async(number: int) -> None: ...


def compiled(*functions: Callable[..., Any], hooked: bool = False, **options: Any) -> Handler:
    router = DeviceRouter()
    listener = router.listen(URL, **options)
    for function in functions:
        listener.on(function)
    if hooked:
        listener.on_disconnect(gone)
    return compile_listener(
        router.declarations[0],
        providers={Device: lambda connection: connection.device},
        overrides={},
        hook_providers={},
        emit=lambda event: None,
    )


def test_a_listener_pays_for_what_it_has() -> None:
    """Without models and hooks it has the plain handler, with its own codec or the one that its message asks for."""
    plain = compiled(on_number)
    assert isinstance(plain, CompiledHandler)
    assert plain.codec is not None
    assert plain.codec.name == "model"
    typed = compiled(on_number, on_text, message=int | str, codec=JsonCodec())
    assert isinstance(typed, TypedHandler)
    assert typed.codec.name == "json"
    assert typed.name == "on_number, on_text"
    hooked = compiled(on_number, hooked=True)
    assert isinstance(hooked, HookedHandler)
    assert (hooked.needs_open, hooked.has_idle_hook) == (True, False)


def test_a_handler_among_several_must_be_async_too() -> None:
    """As if it were alone."""
    with pytest.raises(ConfigurationError, match="handler not_async: it is not async"):
        compiled(on_text, not_async, message=int | str, codec=JsonCodec())


def test_who_asks_for_a_device() -> None:
    """Any of the handlers, or one of its dependencies."""
    router = DeviceRouter()
    listener = router.listen(URL, message=int | str, codec=JsonCodec())
    listener.on(on_number)
    assert not asks_for(router.declarations[0], Device)
    listener.on(on_known)
    assert asks_for(router.declarations[0], Device)


def test_hooks_are_not_given_a_device() -> None:
    """A connection may have none, or have had several; it is in `connection.device`."""
    router = DeviceRouter()
    listener = router.listen(URL)
    listener.on(on_number)
    listener.on_connect(device_of)
    with pytest.raises(ConfigurationError, match="parameter 'device': nothing provides it; ask for the Connection"):
        compile_listener(router.declarations[0], providers={}, overrides={}, hook_providers={}, emit=lambda event: None)
