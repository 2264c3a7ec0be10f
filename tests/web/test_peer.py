from __future__ import annotations

from typing import Any

import pytest

from portcast.web.peer import peer_of


@pytest.mark.parametrize(
    ("scope", "peer"),
    [
        pytest.param({"client": ("192.0.2.7", 50123)}, "192.0.2.7:50123", id="IPv4"),
        pytest.param({"client": ["2001:db8::7", 50123]}, "[2001:db8::7]:50123", id="IPv6 in brackets"),
        pytest.param({"client": ("testclient", 50000)}, "testclient:50000", id="name"),
        pytest.param({"client": None}, "", id="Unix socket"),
        pytest.param({}, "", id="server without addresses"),
    ],
)
def test_a_peer_is_written_as_host_and_port(scope: dict[str, Any], peer: str) -> None:
    """The same form as for devices, so that logs can be searched for an address."""
    assert peer_of(scope) == peer
