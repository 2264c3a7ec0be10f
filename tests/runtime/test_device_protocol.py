from __future__ import annotations

from typing import Any

import pytest

from portcast.errors import ConfigurationError
from portcast.runtime import DeviceProtocol, DeviceSettings, one_at_a_time


def _who(message: Any) -> str | None:
    return None


def test_defaults_name_nobody_and_say_nothing() -> None:
    """A protocol is what was declared, and no more."""
    protocol = DeviceProtocol()
    assert (protocol.identify, protocol.identity, protocol.ack) == (None, "message", None)
    assert not DeviceSettings().known


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"identify": "imei"}, "identify"),
        ({"ack": b"ok"}, "ack"),
        ({"identity": "address"}, "identity"),
        ({"identify": _who, "replies": "serial"}, "replies"),
        ({"redelivery_key": _who}, "redelivery_key"),
        ({"replies": one_at_a_time()}, "replies"),
        ({"write": _who}, "write"),
    ],
    ids=["identify", "ack", "identity", "no replies", "key alone", "replies alone", "write alone"],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], key: str) -> None:
    """At declaration, by the keyword's name."""
    with pytest.raises(ConfigurationError) as caught:
        DeviceProtocol(**values)
    assert caught.value.key == key
