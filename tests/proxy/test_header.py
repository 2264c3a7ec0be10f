"""Tests of `portcast.proxy.header`."""

from __future__ import annotations

import dataclasses

import pytest

from portcast.proxy import ProxyHeader, ProxyTls


def test_a_header_that_says_nothing_has_no_source() -> None:
    """Who connected is then whoever the socket names; there is no made-up address."""
    header = ProxyHeader(1)
    assert (header.source, header.destination, header.tls, header.is_local) == (None, None, None, False)


@pytest.mark.parametrize("value", [ProxyHeader(2), ProxyTls(True, True)])
def test_what_was_said_stays(value: ProxyHeader | ProxyTls) -> None:
    """Handlers share it with limits and logs."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.version = 1  # type: ignore[misc]  # that is the point
