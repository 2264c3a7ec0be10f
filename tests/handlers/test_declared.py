from __future__ import annotations

import pytest

from portcast import Connection
from portcast.errors import ConfigurationError
from portcast.handlers.declared import Declaration, DeclaredListener, identified_by
from portcast.handlers.router import DeviceRouter
from portcast.listen_url import listener_from_url
from portcast.runtime import DeviceProtocol

URL = "tcp://127.0.0.1:9001"


async def on_number(number: int) -> None: ...
async def on_text(text: str) -> None: ...


def who(message: object) -> str | None:
    return None


def test_a_relay_has_no_handlers() -> None:
    """Nor functions."""
    declaration = Declaration(listener_from_url("9001"), None, None)
    assert (declaration.handlers, declaration.functions) == ((), ())


def test_identified_by_keeps_the_rest() -> None:
    """What else was said of devices stays."""
    declaration = Declaration(listener_from_url("9001"), None, None, protocol=DeviceProtocol(identity="connection"))
    assert identified_by(declaration, who).protocol == DeviceProtocol(identify=who, identity="connection")


def test_nothing_is_declared_without_a_handler() -> None:
    """What was said before the first handler counts all the same."""
    declarations: list[Declaration] = []
    listener = DeclaredListener(declarations, Declaration(listener_from_url(URL), None, None))
    assert listener.identify(who) is who
    assert listener.on_idle(who) is who
    assert declarations == []
    assert listener(on_text) is on_text
    (one,) = declarations
    assert one.protocol == DeviceProtocol(identify=who)
    assert one.functions == (on_text,)
    assert one.hooks["on_idle"][0] is who


def test_what_is_said_later_counts_too() -> None:
    """Whatever else was declared in between; a copy that was included before keeps what it had."""
    router, other = DeviceRouter(), DeviceRouter()
    listener = router.listen(URL)
    listener.on(on_text)
    router.relay("9002")
    other.include(router)
    listener.on_disconnect(who)
    assert [set(one.hooks) for one in router.declarations] == [{"on_disconnect"}, set()]
    assert not other.declarations[0].hooks


def test_one_handler_unless_there_are_models() -> None:
    """With what to write instead."""
    listener = DeviceRouter().listen(URL)
    listener.on(on_text)
    with pytest.raises(ConfigurationError, match=r"9001: on_text is its handler already; .*message=A \| B"):
        listener.on(on_number)


def test_each_hook_once() -> None:
    """A second one would be forgotten in silence otherwise."""
    listener = DeviceRouter().listen(URL)

    def gone(connection: Connection) -> None: ...

    listener.on_connect(gone)
    listener.on_error(gone)
    with pytest.raises(ConfigurationError, match=r"on_connect is .*gone already"):
        listener.on_connect(who)


def test_models_without_a_discriminator_are_refused_at_once() -> None:
    """Where the listener is declared."""
    with pytest.raises(ConfigurationError, match="int is no model"):
        DeviceRouter().listen(URL, message=int | str)


def test_identify_of_a_router_finds_every_handler() -> None:
    """Also one that is not the first of its listener."""
    from portcast.codecs import JsonCodec

    router = DeviceRouter()
    listener = router.listen(URL, message=int | str, codec=JsonCodec())
    listener.on(on_number)
    listener.on(on_text)
    router.identify(on_text)(who)
    assert router.declarations[0].protocol == DeviceProtocol(identify=who)
