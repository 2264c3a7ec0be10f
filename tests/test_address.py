"""Tests of `portcast.address`."""

from __future__ import annotations

import pytest

from portcast.address import Address, parse_address, parse_listen_url, parse_networks
from portcast.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8001", Address("tcp", "127.0.0.1", 8001)),
        ("0", Address("tcp", "127.0.0.1", 0)),
        (":8001", Address("tcp", "127.0.0.1", 8001)),
        ("0.0.0.0:8001", Address("tcp", "0.0.0.0", 8001)),
        ("localhost:8001", Address("tcp", "localhost", 8001)),
        ("[::1]:8001", Address("tcp", "::1", 8001)),
        ("tcp://example.test:8001/", Address("tcp", "example.test", 8001)),
        ("unix:///run/a%20b.sock", Address("unix", path="/run/a b.sock")),
    ],
)
def test_an_address_is_written_in_several_ways(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:8001", "tcp://[::1]:8001", "unix:///run/a%20b.sock"])
def test_an_address_is_shown_as_it_can_be_written(url: str) -> None:
    assert str(parse_address(url)) == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "port is missing"),
        ("localhost", "port is missing"),
        ("unix:/run/x", "port is missing"),
        ("tcp://127.0.0.1", "port is missing"),
        ("127.0.0.1:99999", "not an address"),
        ("[::1:8001", "not an address"),
        ("http://127.0.0.1:8001", "unknown scheme 'http'"),
        ("unix://run/x.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("tcp://127.0.0.1:8001/path", "only a host, a port and options"),
        ("tcp://user@127.0.0.1:8001", "only a host, a port and options"),
        ("*:8001", "0.0.0.0 is every IPv4 address"),
        ("8001?framing=lines", "options are not allowed"),
        ("tcp://127.0.0.1:8001#x", "%23"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_address(text, "--http")
    assert caught.value.key == "--http"
    assert words in str(caught.value)


def test_only_a_listener_may_be_tls() -> None:
    """What connects to one, such as `portcast send`, does not speak it."""
    address, _ = parse_listen_url("tls://127.0.0.1:8443?cert=a.pem")
    assert (address.scheme, address.is_tls, address.url) == ("tcp", True, "tls://127.0.0.1:8443")
    assert address.overlaps(parse_address("8443"))
    assert address.with_port(9).url == "tls://127.0.0.1:9"
    with pytest.raises(ConfigurationError, match="unknown scheme 'tls'"):
        parse_address("tls://127.0.0.1:8443")


def test_networks() -> None:
    """An address alone is a network of one."""
    networks = parse_networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], "proxy")
    assert [str(network) for network in networks] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "proxy.example", "", "10"])
def test_what_is_no_network(text: str) -> None:
    """Bits behind the prefix are a mistake in one or the other, so they are not cut off in silence."""
    with pytest.raises(ConfigurationError, match="is not a network") as caught:
        parse_networks([text], "proxy")
    assert caught.value.key == "proxy"


def test_options_follow_the_address() -> None:
    address, options = parse_listen_url("tcp://0.0.0.0:8001?framing=lines&topic=a/b%26c")
    assert address == Address("tcp", "0.0.0.0", 8001)
    assert options == {"framing": "lines", "topic": "a/b&c"}


def test_a_bare_port_may_have_options_even_with_a_url_in_them() -> None:
    assert parse_listen_url("8001?name=a://b") == (Address("tcp", "127.0.0.1", 8001), {"name": "a://b"})


def test_a_unix_socket_may_have_options() -> None:
    assert parse_listen_url("unix:///run/x.sock?topic=x") == (Address("unix", path="/run/x.sock"), {"topic": "x"})


def test_a_plus_sign_is_itself_and_not_a_space() -> None:
    """RFC 3986: only HTML forms write a space as '+', and a delimiter may well be '+'."""
    assert parse_listen_url("8001?delimiter=+%20")[1] == {"delimiter": "+ "}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("framing", "'framing' is not an option"),
        ("=lines", "'=lines' is not an option"),
        ("a=1&&b=2", "'' is not an option"),
        ("a=1&a=2", "'a' is written twice"),
        ("a=%ff", "not percent-encoded UTF-8"),
        ("a=%zz", "'a' has a % without two"),
        ("a=5%", "'a' has a % without two"),
        ("proxy=", "'proxy' has no value"),
    ],
)
def test_malformed_options_are_refused(query: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"tcp://127.0.0.1:8001") as caught:
        parse_listen_url(f"tcp://127.0.0.1:8001?{query}")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "is_overlap"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("0.0.0.0:1", "example.test:1", True),
        ("0.0.0.0:1", "[::1]:1", False),
        ("[::]:1", "[::1]:1", True),
        ("[::]:1", "127.0.0.1:1", False),
        ("[::]:1", "0.0.0.0:1", False),
        ("localhost:1", "127.0.0.1:1", True),
        ("localhost:1", "[::1]:1", True),
        ("localhost:1", "127.0.0.2:1", False),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", True),
        ("[0:0:0:0:0:0:0:1]:1", "[::1]:1", True),
        ("0", "0", False),
        ("unix:///run/x", "unix:///run/./x", True),
        ("unix:///run/x", "unix:///run/y", False),
        ("unix:///run/x", "8001", False),
    ],
)
def test_overlap(one: str, other: str, is_overlap: bool) -> None:
    a, b = parse_address(one), parse_address(other)
    assert a.overlaps(b) is is_overlap
    assert b.overlaps(a) is is_overlap


@pytest.mark.parametrize("narrow", ["127.0.0.1:1", "0.0.0.0:1", "[::1]:1"])
def test_a_dual_stack_wildcard_covers_everything(narrow: str) -> None:
    assert parse_address("[::]:1").overlaps(parse_address(narrow), is_dual_stack=True)


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:///run/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("127.example.test:1", False),
        ("192.0.2.1:1", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(text: str, is_loopback: bool) -> None:
    assert parse_address(text).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("text", "is_ip"), [("127.0.0.1:1", True), ("[::1]:1", True), ("localhost:1", False), ("unix:///run/x", False)]
)
def test_whether_the_host_is_an_address_or_a_name(text: str, is_ip: bool) -> None:
    assert parse_address(text).is_ip is is_ip


def test_the_port_that_the_system_chose() -> None:
    assert parse_address("127.0.0.1:0").with_port(4711).url == "tcp://127.0.0.1:4711"
