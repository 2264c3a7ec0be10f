from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.handlers.device_options import check_protocol, device_check, split_options
from portcast.listen_url import listener_from_url
from portcast.runtime import Connection, DeviceProtocol, one_at_a_time


def _who(message: object) -> str | None:
    return None


def test_keywords_of_devices_are_told_from_the_listeners() -> None:
    """Without any there is no protocol, and a message costs nothing for it."""
    assert split_options({"idle_timeout": 5}) == (None, {"idle_timeout": 5})
    protocol, rest = split_options({"identify": _who, "idle_timeout": 5})
    assert protocol == DeviceProtocol(identify=_who)
    assert rest == {"idle_timeout": 5}


def test_a_per_connection_handler_has_no_messages() -> None:
    """So nothing can be read from them."""
    with pytest.raises(ConfigurationError, match="once per connection"):
        check_protocol(DeviceProtocol(), "f", is_per_connection=True, needs_device=False)
    check_protocol(None, "f", is_per_connection=True, needs_device=False)


def test_a_handler_that_asks_for_a_device_needs_to_be_told_who_that_is() -> None:
    """At start, not with the first message."""
    for protocol in (None, DeviceProtocol()):
        with pytest.raises(ConfigurationError, match="nothing says who that is"):
            check_protocol(protocol, "f", is_per_connection=False, needs_device=True)
    check_protocol(DeviceProtocol(identify=_who), "f", is_per_connection=False, needs_device=True)


def test_a_listener_that_asks_nobody_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    """In an application, which may know better."""
    assert device_check(listener_from_url("tcp://0.0.0.0:1"), None, {}) is None
    (record,) = caplog.records
    assert "tcp://0.0.0.0:1 asks nobody" in record.getMessage()


def test_a_listener_that_asks(caplog: pytest.LogCaptureFixture) -> None:
    def check(connection: Connection, frame: bytes) -> bool:
        return True

    assert device_check(listener_from_url("tcp://0.0.0.0:1"), check, {}) is check
    assert device_check(listener_from_url("tcp://0.0.0.0:1?insecure=true"), None, {}) is None
    assert device_check(listener_from_url("tcp://127.0.0.1:1"), None, {}) is None
    assert not caplog.records


@pytest.mark.parametrize("key", ["redelivery_key", "replies", "write"])
def test_what_is_about_a_device_needs_to_be_told_who_that_is(key: str) -> None:
    """At start: `identify` may be declared behind the handler."""
    value = one_at_a_time() if key == "replies" else _who
    protocol = DeviceProtocol(**{key: value})  # type: ignore[arg-type]  # one of three
    with pytest.raises(ConfigurationError, match=f"{key}: it needs to know the device"):
        check_protocol(protocol, "f", is_per_connection=False, needs_device=False)
