"""Tests of `portcast.listen_url`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from portcast.config import Address, ListenerOptions, TlsOptions, TopicOptions, option_names, parse_address
from portcast.errors import ConfigurationError
from portcast.framing import FRAMING_NAMES, DelimiterFraming, LineFraming, RawFraming, framing_options
from portcast.listen_url import check_addresses, check_devices_reach, listener_from_table, listener_from_url


def test_a_certificate_makes_it_tls() -> None:
    """Whichever scheme was written; a topic's ``key`` is another thing than a certificate's."""
    for scheme in ("tls", "tcp"):
        listener = listener_from_url(
            f"{scheme}://0.0.0.0:8443?cert=a.pem,b.pem&cert_key=a.key,b.key&client_ca=ca.pem&client_cert=optional"
            "&handshake_timeout=2s&key=name&slow_consumer=latest_per_key"
        )
        assert listener.address.url == "tls://0.0.0.0:8443"
        assert listener.tls == TlsOptions(
            ("a.pem", "b.pem"), ("a.key", "b.key"), "ca.pem", "optional", handshake_timeout_s=2
        )
        assert listener.topic_options is not None
        assert listener.topic_options.key == "name"
    assert not listener_from_url("8001").tls.is_enabled


def test_a_unix_socket_may_speak_tls() -> None:
    assert listener_from_url("unix:///run/a.sock?cert=a.pem").address.url == "unix:///run/a.sock"


def test_lists_may_be_written_as_such_in_a_file() -> None:
    table = {"url": "tls://127.0.0.1:8443", "cert": ["a.pem"], "proxy": ["10.0.0.0/8", "unix"]}
    listener = listener_from_table(table, "f")
    assert (listener.tls.cert, listener.options.proxy) == (("a.pem",), ("10.0.0.0/8", "unix"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("tls://127.0.0.1:8443", "tls:// needs a certificate"),
        ("8443?cert_key=a.key", "the certificate is missing"),
        ("8443?client_ca=ca.pem", "the certificate is missing"),
        ("8443?cert=a.pem&cert_key=a.key,b.key", "1 certificates and 2 keys"),
        ("8443?cert=a.pem&handshake_timeout=0", "too small"),
        ("8443?proxy=10.0.0.1/8", "'10.0.0.1/8' is not a network"),
        ("8443?proxy=proxy.example", "is not a network"),
    ],
)
def test_tls_and_proxies_that_cannot_work(url: str, problem: str) -> None:
    """Said before anything starts, with the URL."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        listener_from_url(url)
    assert caught.value.key.startswith(url)


def test_a_bare_port_is_lines_to_a_topic_of_its_own() -> None:
    listener = listener_from_url("8001")
    assert listener.address == Address("tcp", "127.0.0.1", 8001)
    assert listener.framing == LineFraming()
    assert listener.topic == "tcp/8001"
    assert listener.name is None
    assert listener.options == ListenerOptions()


def test_the_default_topic_of_a_unix_socket_is_its_file_stem() -> None:
    assert listener_from_url("unix:///run/portcast/scales.sock").topic == "unix/scales"


def test_keys_go_where_they_belong() -> None:
    listener = listener_from_url(
        "tcp://0.0.0.0:8001?framing=lines&ending=crlf&max_frame=1KiB&topic=logs&name=syslog"
        "&idle_timeout=1h&patience=10&slow_consumer=disconnect&history=5&history_age=1m"
    )
    assert listener.framing == LineFraming(ending="crlf", max_frame=1024)
    assert (listener.topic, listener.name) == ("logs", "syslog")
    assert listener.options == ListenerOptions(idle_timeout_s=3600)
    assert listener.topic_options == TopicOptions(10.0, "disconnect", history=5, history_age_s=60.0)


def test_topic_options_that_nobody_wrote_are_left_to_the_topic() -> None:
    """None is not the default: the options of the topics table still apply."""
    assert listener_from_url("8001").topic_options is None


def test_a_framing_object_stands_for_all_its_keys() -> None:
    framing = RawFraming()
    assert listener_from_url("8001", framing=framing).framing is framing


def test_python_keywords_add_to_the_url() -> None:
    listener = listener_from_url(
        "8001?topic=logs", name="syslog", options={"idle_timeout_s": 5, "backlog": 7, "patience": "1s"}
    )
    assert (listener.topic, listener.name) == ("logs", "syslog")
    assert listener.options == ListenerOptions(idle_timeout_s=5, backlog=7)
    assert listener.topic_options == TopicOptions(patience_s=1.0)


def test_a_framing_may_be_chosen_by_keywords_too() -> None:
    assert listener_from_url("8001", options={"framing": "delimiter", "delimiter": ";"}).framing == DelimiterFraming(
        b";"
    )


@pytest.mark.parametrize(
    ("url", "keywords", "words"),
    [
        ("8001?topic=a", {"topic": "b"}, "'topic' is given in the URL and beside it"),
        ("8001?name=a", {"name": "b"}, "'name' is given in the URL and beside it"),
        ("8001?backlog=1", {"options": {"backlog": 2}}, "'backlog' is given in the URL and beside it"),
        ("8001?idle_timeout=1", {"options": {"idle_timeout_s": 2}}, "'idle_timeout' is given in the URL and beside it"),
        ("8001?framing=raw", {"framing": RawFraming()}, "'framing' is given in the URL and beside it"),
    ],
)
def test_an_option_is_given_once(url: str, keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        listener_from_url(url, **keywords)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("8001?framng=lines", "unknown option 'framng'; did you mean 'framing'?"),
        ("8001?patiance=1", "unknown option 'patiance'; did you mean 'patience'?"),
        ("8001?backlgo=1", "unknown option 'backlgo'; did you mean 'backlog'?"),
        ("8001?max_fram=1", "unknown option 'max_fram'; did you mean 'max_frame'?"),
        ("8001?framing=line", "framing: there is no framing 'line'; did you mean lines?"),
        ("8001?framing=fixed", "size: framing=fixed needs it"),
        ("8001?framing=fixed&size=0", "size: 0 is too small"),
        ("8001?max_frame=big", "max_frame: 'big' is not a number"),
        ("8001?max_frame=0.5", "max_frame: '0.5' is not a whole number of bytes"),
        ("8001?idle_timeout=soon", "idle_timeout: 'soon' is not a number"),
        ("8001?slow_consumer=wait", "slow_consumer: 'wait' is not one of auto, catch_up, latest, latest_per_key,"),
        ("8001?topic=a/%23/b", "topic: 'a/#/b': '+' and '#' alone in a level are wildcards"),
        ("8001?topic=", "'topic' has no value"),
        ("8001?name=", "'name' has no value"),
        ("8001?name=a%0ab", "name: 'a\\nb' is not a name"),
    ],
)
def test_mistakes_name_the_url_and_the_key(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        listener_from_url(url)
    assert str(caught.value).startswith(f"{url}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_two_options_share_a_name() -> None:
    """All options of a listener are in one name space, so a new one must not hide an old one."""
    options = [name for cls in (ListenerOptions, TlsOptions, TopicOptions) for name in option_names(cls)]
    own = ["framing", "topic", "name", *options]
    for framing in FRAMING_NAMES:
        names = own + [option.name for option in framing_options(framing)]
        assert len(names) == len(set(names)), framing


def test_a_table_has_the_keys_of_a_url_typed() -> None:
    table = {
        "url": "tcp://0.0.0.0:8001?name=x",
        "framing": "delimiter",
        "delimiter": [";", "\\r\\n"],
        "idle_timeout": 60,
    }
    listener = listener_from_table(table, "f.toml: [[listener]] 1")
    assert listener.framing == DelimiterFraming((b";", b"\r\n"))
    assert (listener.name, listener.options.idle_timeout_s) == ("x", 60)


def test_the_url_of_a_table_may_be_a_port() -> None:
    assert listener_from_table({"url": 8001}, "here") == listener_from_url("8001")


@pytest.mark.parametrize("value", ["in:4:8,-2:", ["in:4:8", "-2:"], ("in:4:8", "-2:")], ids=["text", "list", "tuple"])
def test_an_option_may_take_several_values(value: Any) -> None:
    """With commas in a URL or text, as a list in TOML, as a tuple in Python."""
    expected = ListenerOptions(redact=("in:4:8", "-2:"))
    assert listener_from_table({"url": "8001", "redact": value}, "here").options == expected
    assert listener_from_url("8001", options={"redact": value}).options == expected
    assert listener_from_url("tcp://127.0.0.1:8001?redact=in:4:8,-2:").options == expected


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "the url is missing"),
        ({"url": True}, "the url is missing"),
        ({"url": ["8001"]}, "the url is missing"),
        ({"url": "8001?topic=a", "topic": "b"}, "'topic' is given in the url and beside it"),
        ({"url": "8001", "topc": "b"}, "unknown option 'topc'; did you mean 'topic'?"),
        ({"url": "8001", "topic": ["a"]}, "topic: takes one value, not ['a']"),
        ({"url": "8001", "backlog": {"a": 1}}, "backlog: takes one value"),
        ({"url": "8001", "backlog": 0}, "backlog: 0 is too small"),
        ({"url": "8001", "redact": {"a": 1}}, "redact: takes one value"),
        ({"url": "8001", "redact": ["4-8"]}, "redact: '4-8' is no range of bytes"),
    ],
)
def test_mistakes_in_a_table_name_the_table(table: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        listener_from_table(table, "f.toml: [[listener]] 2")
    assert str(caught.value).startswith("f.toml: [[listener]] 2")
    assert words in str(caught.value)


def test_addresses_beside_each_other() -> None:
    check_addresses([listener_from_url(url) for url in ("8001", "8002", "0", "0")], parse_address("8000"))
    check_addresses([listener_from_url(url) for url in ("0.0.0.0:8001", "[::]:8001")])


@pytest.mark.parametrize(
    ("urls", "http", "words"),
    [
        (["8000"], "127.0.0.1:8000", ["listener tcp://127.0.0.1:8000", "http://127.0.0.1:8000"]),
        (["0.0.0.0:8000"], "127.0.0.1:8000", ["listener tcp://0.0.0.0:8000", "http://127.0.0.1:8000"]),
        (["8000"], "[::]:8000", ["listener tcp://127.0.0.1:8000", "http://[::]:8000"]),
        (["8001", "8001"], None, ["listener tcp://127.0.0.1:8001", "the same address"]),
        (["8001", "0.0.0.0:8001"], None, ["listener tcp://0.0.0.0:8001", "on tcp://127.0.0.1:8001"]),
        (["unix:///run/a", "unix:///run/a"], None, ["unix:///run/a", "another path"]),
        (["8001?name=a", "8002?name=a"], None, ["tcp://127.0.0.1:8002", "tcp://127.0.0.1:8001", "named 'a'"]),
    ],
)
def test_addresses_that_collide_are_both_named(urls: list[str], http: str | None, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_addresses([listener_from_url(url) for url in urls], parse_address(http) if http else None)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("tcp://127.0.0.1:1", False),
        ("unix:///x", False),
        ("tcp://0.0.0.0:1", True),
        ("tcp://[::]:1", True),
        ("tcp://192.0.2.1:1", True),
        ("tcp://0.0.0.0:1?insecure=true", False),
        ("tcp://0.0.0.0:1?device_tokens=env:A,env:B", False),
    ],
)
def test_listeners_that_others_can_reach_ask_who_it_is(url: str, is_refused: bool) -> None:
    listener = listener_from_url(url)
    check_devices_reach([listener], is_insecure=True)
    if is_refused:
        with pytest.raises(ConfigurationError, match="device_tokens"):
            check_devices_reach([listener], is_insecure=False)
    else:
        check_devices_reach([listener], is_insecure=False)
