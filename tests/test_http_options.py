from __future__ import annotations

import pytest

from portcast.config import HttpOptions
from portcast.errors import ConfigurationError


@pytest.mark.parametrize(
    "origin", ["example.test", "https://a.test/path", "ftp://a.test", "https://", "*", "https://a:x"]
)
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"HttpOptions\.allowed_origins"):
        HttpOptions(allowed_origins=(origin,))


def test_origins_that_are_right() -> None:
    assert HttpOptions(allowed_origins=("https://a.test", "http://b.test:8080")).allowed_origins


@pytest.mark.parametrize("host", ["https://a.test", "a.test:8000", "a.*", "", "a b", "::1"])
def test_a_host_is_a_name_without_a_port(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"HttpOptions\.allowed_hosts"):
        HttpOptions(allowed_hosts=(host,))


def test_hosts_that_are_right() -> None:
    assert HttpOptions(allowed_hosts=("*", "*.a.test", "a_b", "10.0.0.1", "[2001:db8::1]")).allowed_hosts
