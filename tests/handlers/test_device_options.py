from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.handlers.device_options import check_protocol, split_options
from portcast.runtime import DeviceProtocol


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
