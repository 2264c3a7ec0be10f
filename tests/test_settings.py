"""Tests of `portcast.settings`."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from portcast.centrifuge_options import CentrifugeOptions
from portcast.config import Address, GatewayOptions, TopicOptions
from portcast.delivery import OutboxLimits
from portcast.errors import ConfigurationError
from portcast.listen_url import listener_from_url
from portcast.permissions import ChannelPermissions
from portcast.settings import OPTIONS, SECTIONS, Option, Settings, load_settings

WHOLE = """
listen = ["8101", 8102]

[[listener]]
url = "tcp://0.0.0.0:8103"
insecure = true
framing = "fixed"
size = 16
topic = "scales"
patience = "2s"

[gateway]
drain_timeout = 5

[http]
address = "127.0.0.1:8100"
allowed_origins = ["https://example.test"]

[outbox]
soft_bytes = "64KiB"

[history]
publications = 10

[log]
format = "json"

[devices.known.boiler-1]
site = "north"

[topics."sensors/#"]
patience = 0

[topics."small:"]
history = 2
history_age = "1m"

[topics.logs]
patience = "1m"

[centrifuge]
token_hmac_secrets = ["a, or b", "c"]
personal_channel = true

[permissions."sensors/#"]
subscribe = "user"
join_leave = true

[permissions."news:"]
recover = "cache"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_without_anything_it_is_the_tutorial() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.http == Address("tcp", "127.0.0.1", 8000)
    assert [listener.topic for listener in settings.listeners] == ["tcp/8001", "tcp/8002", "tcp/8003"]


def test_every_section_of_a_file_is_read(file: Path) -> None:
    file.write_text(WHOLE)
    settings = load_settings(file)
    assert settings.http == Address("tcp", "127.0.0.1", 8100)
    assert [listener.address.port for listener in settings.listeners] == [8101, 8102, 8103]
    assert settings.listeners[2] == listener_from_url(
        "tcp://0.0.0.0:8103?framing=fixed&size=16&topic=scales&patience=2&insecure=true"
    )
    assert settings.gateway == GatewayOptions(drain_timeout_s=5)
    assert settings.http_options.allowed_origins == ("https://example.test",)
    assert settings.outbox == OutboxLimits(soft_bytes=65_536)
    assert settings.history.publications == 10
    assert settings.log.format == "json"
    assert settings.devices.known == {"boiler-1": {"site": "north"}}
    assert list(settings.topics.items()) == [
        ("sensors/#", TopicOptions(patience_s=0)),
        ("small:", TopicOptions(history=2, history_age_s=60.0)),
        ("logs", TopicOptions(patience_s=60.0)),
    ]
    assert settings.centrifuge == CentrifugeOptions(token_hmac_secrets=("a, or b", "c"), personal_channel=True)
    assert list(settings.permissions.items()) == [
        ("sensors/#", ChannelPermissions(subscribe="user", join_leave=True)),
        ("news:", ChannelPermissions(recover="cache")),
    ]


def test_the_http_address_alone_may_be_short(file: Path) -> None:
    file.write_text('http = "127.0.0.1:9000"')
    assert load_settings(file).http == Address("tcp", "127.0.0.1", 9000)


def test_no_listeners_at_all_if_the_file_says_so(file: Path) -> None:
    file.write_text("listen = []")
    assert load_settings(file).listeners == ()


def test_the_environment_is_stronger_than_the_file_and_the_command_line_than_both(file: Path) -> None:
    file.write_text(
        'listen = ["8101"]\nhttp = "8100"\n[gateway]\ndrain_timeout = 1\nflush_duty = 0.1\nmax_connections = 9'
    )
    environment = {
        "PORTCAST_HTTP": "127.0.0.1:8200",
        "PORTCAST_LISTEN": "8201 tcp://127.0.0.1:8202?topic=a",
        "PORTCAST_DRAIN_TIMEOUT": "2s",
        "PORTCAST_FLUSH_DUTY": "0.2",
    }
    settings = load_settings(file, environment)
    assert settings.http.port == 8200
    assert [listener.address.port for listener in settings.listeners] == [8201, 8202]
    assert settings.gateway == GatewayOptions(drain_timeout_s=2, flush_duty=0.2, max_connections=9)

    settings = load_settings(file, environment, http="8300", listen=["8301"], arguments={"drain_timeout": "3"})
    assert settings.http.port == 8300
    assert [listener.address.port for listener in settings.listeners] == [8301]
    assert settings.gateway == GatewayOptions(drain_timeout_s=3, flush_duty=0.2, max_connections=9)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.parameter)
def test_each_option_can_be_written_everywhere(option: Option, file: Path) -> None:
    """The names are derived, so none is forgotten: file, environment and command line all reach the field."""
    value = {
        "log_level": "debug",
        "log_format": "json",
        "http_allowed_origins": "https://a.test",
        "flush_duty": "0.125",
        "http_deflate": "true",
        "outbox_hard_bytes": "2MiB",
        "buffer_budget_bytes": "2MiB",
        "recorder_on": "device:a",
        "recorder_max_bytes": "2MiB",
        "recorder_total_bytes": "2MiB",
        "personal_channel": "true",
        "anonymous": "allow",
        "insecure": "yes",
        "http_forwarded_from": "10.0.0.0/8",
        "http_allow": "10.0.0.0/8",
        "http_deny": "10.0.0.0/8",
        "http_client_cert": "optional",
    }
    text = value.get(option.parameter, "500" if "soft" in option.parameter else "700")
    beside = {"PORTCAST_HTTP_CERT": "a.pem"} if option.name in {"cert_key", "client_ca"} else {}
    file.write_text(f'[{option.section.table}]\n{option.name} = "{text}"')
    found = [
        load_settings(file, beside),
        load_settings(None, {option.variable: text, **beside}),
        load_settings(environment=beside, arguments={option.parameter: text}),
    ]
    got = {getattr(getattr(settings, option.section.attribute), option.field.name) for settings in found}
    assert len(got) == 1
    assert got != {getattr(getattr(Settings(), option.section.attribute), option.field.name)}


def test_option_names() -> None:
    option = next(one for one in OPTIONS if one.parameter == "history_publications")
    assert (option.flag, option.variable) == ("--history-publications", "PORTCAST_HISTORY_PUBLICATIONS")
    drain = next(one for one in OPTIONS if one.name == "drain_timeout")
    assert (drain.flag, drain.variable) == ("--drain-timeout", "PORTCAST_DRAIN_TIMEOUT")


def test_names_are_unique() -> None:
    parameters = [option.parameter for option in OPTIONS]
    assert len(parameters) == len(set(parameters))
    assert not {"http", "listen", "config"} & set(parameters)


def test_sections_cover_the_settings() -> None:
    """A new options dataclass in Settings must be reachable."""
    covered = {section.attribute for section in SECTIONS} | {
        "http",
        "listeners",
        "devices",
        "topics",
        "permissions",
        "keys",
    }
    assert covered == {f.name for f in fields(Settings)}


def test_other_programs_variables_are_none_of_ours() -> None:
    assert load_settings(None, {"HOME": "/", "PORTCASTER": "1", "portcast_http": "1"}) == Settings()


def test_empty_variables_count_as_not_set() -> None:
    assert load_settings(None, {"PORTCAST_LISTEN": "", "PORTCAST_DRAIN_TIMEOUT": ""}) == Settings()


def test_the_name_of_the_file_is_not_an_option() -> None:
    assert load_settings(None, {"PORTCAST_CONFIG": "x.toml"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTCAST_SERVICE_HOST", "10.0.0.1"),
        ("PORTCAST_SERVICE_PORT", "80"),
        ("PORTCAST_SERVICE_PORT_HTTP", "80"),
        ("PORTCAST_PORT", "tcp://10.0.0.1:80"),
        ("PORTCAST_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PORTCAST_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PORTCAST_HTTP_PORT", "tcp://10.0.0.1:80"),
    ],
)
def test_variables_that_kubernetes_sets_for_a_service_are_ignored(name: str, value: str) -> None:
    """A service named "portcast" must not keep the pods that it belongs to from starting."""
    assert load_settings(None, {name: value}) == Settings()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"PORTCAST_DRAIN_TIMOUT": "1"},
            "unknown option 'PORTCAST_DRAIN_TIMOUT'; did you mean 'PORTCAST_DRAIN_TIMEOUT'?",
        ),
        ({"PORTCAST_HTTP_PORT": "9000"}, "unknown option 'PORTCAST_HTTP_PORT'"),
        ({"PORTCAST_DRAIN_TIMEOUT": "soon"}, "PORTCAST_DRAIN_TIMEOUT: 'soon' is not a number"),
        ({"PORTCAST_HTTP_ALLOWED_ORIGINS": "a.test"}, "PORTCAST_HTTP_ALLOWED_ORIGINS: 'a.test' is not an origin"),
        (
            {"PORTCAST_OUTBOX_HARD_MESSAGES": "9"},
            "PORTCAST_OUTBOX_HARD_MESSAGES: 9 is below soft_messages, which is 512; raise it",
        ),
        ({"PORTCAST_HTTP": "localhost"}, "PORTCAST_HTTP localhost: the port is missing"),
        ({"PORTCAST_LISTEN": "8001?x=1"}, "8001?x=1: unknown option 'x'"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None, environment)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lisen = []", "gateway.toml: unknown option 'lisen'; did you mean 'listen'?"),
        ("[gatway]", "gateway.toml: unknown option 'gatway'; did you mean 'gateway'?"),
        ("[gateway]\ndrain = 1", "gateway.toml: [gateway]: unknown option 'drain'"),
        ("[http]\nadress = 'x'", "gateway.toml: [http]: unknown option 'adress'; did you mean 'address'?"),
        ("[http]\nallowed_origins = ['a.test']", "gateway.toml: [http]: allowed_origins: 'a.test' is not an origin"),
        ("[http]\nport = 1", "gateway.toml: [http]: unknown option 'port'"),
        ("gateway = 1", "gateway.toml: [gateway]: 1 is not a table"),
        ("[gateway]\ndrain_timeout = -1", "[gateway]: drain_timeout: -1 is too small; at least 0"),
        ("[gateway]\ndrain_timeout = nan", "[gateway]: drain_timeout: nan is not a finite number"),
        ("[history]\npublications = -1", "[history]: publications: -1 is too small"),
        ("listen = '8001'", "gateway.toml: listen: must be a list"),
        ("listen = [[8001]]", "gateway.toml: listen: [8001] must be text or a port number"),
        ("listen = [true]", "gateway.toml: listen: true must be text or a port number"),
        ("http = '8010x'", "8010x: the port is missing; HTTP takes HOST:PORT"),
        ("listen = ['8001?topc=a']", "8001?topc=a: unknown option 'topc'; did you mean 'topic'?"),
        ("[listener]\nurl = 8001", "gateway.toml: listener: must be a list of tables; write [[listener]]"),
        ("listener = [1]", "gateway.toml: [[listener]] 1: 1 is not a table"),
        ("[[listener]]\nurl='8001'\n[[listener]]\nurl='8002'\nsize=1", "[[listener]] 2: unknown option 'size'"),
        ("http = true", "[http]: address: True is not an address"),
        ("http = 'unix:///run/x'", "HTTP is served on TCP only"),
        ("[topics.'a/#/b']", "gateway.toml: [topics.\"a/#/b\"]: '#' stands for the rest"),
        (
            "[topics.a]\npatiance = 1",
            "gateway.toml: [topics.\"a\"]: unknown option 'patiance'; did you mean 'patience'?",
        ),
        ("[permissions.'a/#/b']", "gateway.toml: [permissions.\"a/#/b\"]: '#' stands for the rest"),
        ("[permissions.a]\nsubscribe = 'me'", "[permissions.\"a\"]: subscribe: 'me' is not one of anyone, user, token"),
        ("[permissions.a]\npublish = 'token'", "publish: 'token' is not one of anyone, user, subscriber, nobody"),
        ("http = '0.0.0.0:8000'", "http 0.0.0.0:8000: everybody who can reach it could follow every topic"),
        ("topics = 1", "gateway.toml: [topics]: 1 is not a table"),
        ("= 1", "gateway.toml: is not valid TOML: Invalid"),
        pytest.param(f"a = {'[' * 5000}", "gateway.toml: is not valid TOML: it is nested too deeply", id="nested"),
        pytest.param(f"a = {'9' * 5000}", "gateway.toml: is not valid TOML: Exceeds the limit", id="digits"),
        pytest.param(f"[gateway]\ndrain_timeout = {'9' * 400}", "[gateway]: drain_timeout: is too large", id="huge"),
        ("listen = ['8001', '8001']", "listener tcp://127.0.0.1:8001: another listener is on the same address"),
        (
            "listen = ['8000']",
            "listener tcp://127.0.0.1:8000: its port is taken by the HTTP address http://127.0.0.1:8000",
        ),
        (
            "[outbox]\nsoft_bytes = '2MiB'",
            "gateway.toml: [outbox]: soft_bytes: 2097152 is above hard_bytes, which is 1048576",
        ),
    ],
)
def test_mistakes_in_the_file_name_the_file_and_the_key(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_that_cross_name_the_strongest_place(file: Path) -> None:
    """The command line is what to change, even if the file says something too."""
    file.write_text("[outbox]\nsoft_bytes = '2MiB'")
    with pytest.raises(ConfigurationError, match=r"^--outbox-soft-bytes: 3145728 is above"):
        load_settings(file, arguments={"outbox_soft_bytes": "3MiB"})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: there is no such file"):
        load_settings(tmp_path / "none.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Is a directory\)"):
        load_settings(tmp_path)


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not UTF-8"):
        load_settings(file)


def test_http_on_the_command_line_may_be_pasted_from_a_browser() -> None:
    assert load_settings(http="http://127.0.0.1:8080/").http == Address("tcp", "127.0.0.1", 8080)


@pytest.mark.parametrize("more", ["[centrifuge]\ninsecure = true", "[permissions.a]", "[centrifuge]\ntoken_jwks = 'x'"])
def test_an_open_address_with_somebody_who_answers_for_it(file: Path, more: str) -> None:
    """Consent, permissions or keys: any of them does."""
    file.write_text(f"http = '0.0.0.0:8000'\n{more}")
    assert not load_settings(file).http.is_loopback
