from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends
from pydantic import BaseModel

from portcast.codecs import TextCodec
from portcast.errors import ConfigurationError
from portcast.framing import FixedLengthFraming, LineFraming
from portcast.handlers import compile_handler
from portcast.handlers.declared import Declaration
from portcast.handlers.router import DeviceRouter
from portcast.listen_url import listener_from_url
from portcast.runtime import Connection, DeviceProtocol


async def handle(message: bytes) -> None: ...


def _topics(router: DeviceRouter) -> list[str]:
    return [one.config.topic for one in router.declarations]


def test_listen_declares_and_returns_the_function() -> None:
    """The function stays as it is, so that it can be called and tested as any other."""
    router = DeviceRouter()
    codec = TextCodec()
    assert (
        router.listen("tcp://127.0.0.1:9001?idle_timeout=5", codec=codec, name="scales", bad_frames=3)(handle) is handle
    )
    (one,) = router.declarations
    assert (one.function, one.codec) == (handle, codec)
    assert one.config.name == "scales"
    assert (one.config.options.idle_timeout_s, one.config.options.bad_frames) == (5, 3)
    assert one.config.framing == LineFraming()


def test_one_function_may_serve_many_ports() -> None:
    """In the order in which they were declared: the outermost decorator last."""
    router = DeviceRouter()
    router.listen("9001")(router.listen("9002", framing=FixedLengthFraming(4))(handle))
    assert [one.config.address.port for one in router.declarations] == [9002, 9001]
    assert {one.function for one in router.declarations} == {handle}
    assert router.declarations[0].config.framing == FixedLengthFraming(4)


def test_relay_declares_without_a_function() -> None:
    """With a topic of its own or by its port, and options of listener and topic."""
    router = DeviceRouter()
    router.relay("9001")
    router.relay("9002", topic="logs", name="logs", framing=FixedLengthFraming(2), patience=3, inbox=7)
    first, second = router.declarations
    assert (first.function, first.signatures, first.config.topic) == (None, None, "tcp/9001")
    assert first.config.topic_options is None
    assert (second.config.topic, second.config.name) == ("logs", "logs")
    assert second.config.topic_options is not None
    assert (second.config.topic_options.patience_s, second.config.options.inbox) == (3, 7)


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("9001", {"idel_timeout": 1}, "did you mean 'idle_timeout'"),
        ("9001?inbox=0", {}, "too small"),
        ("9001?inbox=1", {"inbox": 2}, "twice|beside it"),
        ("http://127.0.0.1:9001", {}, "http"),
    ],
)
def test_what_cannot_work_is_found_at_the_declaration(url: str, options: dict[str, Any], problem: str) -> None:
    """With the line of the user's file in the traceback, not when the application starts."""
    with pytest.raises(ConfigurationError, match=problem):
        DeviceRouter().listen(url, **options)
    with pytest.raises(ConfigurationError, match=problem):
        DeviceRouter().relay(url, **options)


def test_a_wrong_topic_is_found_with_its_prefix() -> None:
    """A prefix and a topic that are fine apart may be too long together."""
    router = DeviceRouter(topic_prefix="x" * 200 + "/")
    with pytest.raises(ConfigurationError, match="longer than 255"):
        router.relay("9001", topic="y" * 100)
    with pytest.raises(ConfigurationError, match="wildcard"):
        DeviceRouter(topic_prefix="a/#/")


def test_names_local_to_the_declaration_are_known() -> None:
    """A handler in a factory function may use types that only exist there."""

    class Reading(BaseModel):
        celsius: float

    class Session: ...

    def get_session() -> Session:
        return Session()

    router = DeviceRouter()

    def declare() -> None:
        class Inner(BaseModel):
            x: int

        async def on_inner(inner: Inner, session: Session = Depends(get_session)) -> None: ...

        router.listen("9001")(on_inner)

    declare()
    (one,) = router.declarations
    assert one.function is not None
    assert compile_handler(one.function, signatures=one.signatures).name.endswith("on_inner")


# Groups


def test_groups_put_their_prefix_before_relays() -> None:
    """Handlers name their topics in full; relays have only the one."""
    router = DeviceRouter(topic_prefix="scales/")
    router.relay("9001", topic="a")
    router.add(listener_from_url("9002", topic="b"))
    router.listen("9003")(handle)
    assert _topics(router) == ["scales/a", "scales/b", "tcp/9003"]


def test_groups_nest() -> None:
    """As routers do: the outer prefix comes first, and the inner group stays as it was."""
    inner = DeviceRouter(topic_prefix="line-1/")
    inner.relay("9001", topic="a")
    inner.listen("9002")(handle)
    outer = DeviceRouter(topic_prefix="hall/")
    outer.include(inner)
    outer.relay("9003", topic="b")
    assert _topics(outer) == ["hall/line-1/a", "tcp/9002", "hall/b"]
    assert _topics(inner) == ["line-1/a", "tcp/9002"]
    assert outer.declarations[1].signatures is inner.declarations[1].signatures


def test_a_group_is_included_as_it_is_now() -> None:
    """What it gets afterwards is not."""
    inner = DeviceRouter()
    inner.relay("9001")
    outer = DeviceRouter()
    outer.include(inner)
    inner.relay("9002")
    assert len(outer.declarations) == 1


def test_a_group_does_not_include_itself() -> None:
    """It would double its listeners."""
    router = DeviceRouter()
    router.relay("9001")
    with pytest.raises(ConfigurationError, match="itself"):
        router.include(router)


def test_a_declaration_is_a_value() -> None:
    """Nothing changes it after the fact."""
    declaration = Declaration(listener_from_url("9001"), None, None)
    with pytest.raises(AttributeError):
        declaration.codec = None  # type: ignore[misc]


def test_listen_takes_what_is_said_of_devices() -> None:
    """Beside the listener's options; nothing said is no protocol."""
    router = DeviceRouter()

    @router.listen("8001", identify=str, identity="connection", idle_timeout=5)
    async def on_frame(frame: bytes) -> None: ...

    @router.listen("8002")
    async def other(frame: bytes) -> None: ...

    one, two = router.declarations
    assert one.protocol == DeviceProtocol(identify=str, identity="connection")
    assert one.config.options.idle_timeout_s == 5
    assert two.protocol is None


def test_identify_as_decorator() -> None:
    """For every listener of the handler, whether it said something else of devices or not."""
    router = DeviceRouter()

    @router.listen("8001", identity="connection")
    @router.listen("8002")
    async def on_frame(frame: bytes) -> None: ...

    @router.identify(on_frame)
    def who(frame: bytes) -> str | None:
        return None

    assert {one.protocol for one in router.declarations} == {
        DeviceProtocol(identify=who, identity="connection"),
        DeviceProtocol(identify=who),
    }
    with pytest.raises(ConfigurationError, match="no listener has this handler"):
        router.identify(who)


def test_who_is_let_in_is_declared_beside_the_rest() -> None:
    def check(connection: Connection, frame: bytes) -> bool:
        return True

    router = DeviceRouter()
    router.relay("8001", authenticate=check)
    router.listen("8002", authenticate=check)(lambda message: None)
    outer = DeviceRouter()
    outer.include(router)
    assert [one.authenticate for one in outer.declarations] == [check, check]
