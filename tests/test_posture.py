"""What a stranger could do with settings, as `portcast check` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from access_kit import digest
from portcast import settings as settings_module
from portcast.errors import ConfigurationError
from portcast.posture import CHECKS, LEVELS, Finding, posture, worst
from portcast.settings import load_settings

KEY = "key-0123456789-0123456789"
TOKEN = digest(KEY)
PUBLIC = 'http = "0.0.0.0:8000"\n'
KEYS = f'[keys.page]\nsecret = "{digest(KEY)}"\n'
NO_DEVICES = "listen = []\n"


def findings(text: str, folder: Path) -> list[Finding]:
    file = folder / "gateway.toml"
    file.write_text(text, "utf-8")
    return posture(load_settings(file, {}), {}, connections=1000)


def said(text: str, folder: Path, level: str) -> list[str]:
    return [f"{one.subject}: {one.sentence}" for one in findings(text, folder) if one.level == level]


@pytest.mark.parametrize(
    ("text", "dangers"),
    [
        pytest.param("", [], id="as installed"),
        pytest.param(PUBLIC + NO_DEVICES + KEYS, [], id="public, with keys"),
        pytest.param(
            PUBLIC + NO_DEVICES + "[centrifuge]\ninsecure = true",
            [
                "http: a stranger may read every topic, publish, command devices and close connections without a key",
            ],
            id="public, open",
        ),
        pytest.param(
            PUBLIC + NO_DEVICES + '[permissions."#"]\nsubscribe = "anyone"',
            ["http: a stranger may follow without a key: #"],
            id="everything can be read",
        ),
        pytest.param(
            PUBLIC + NO_DEVICES + '[permissions."wall"]\npublish = "anyone"',
            ["http: a stranger may publish without a key: wall"],
            id="something can be written",
        ),
        pytest.param(
            PUBLIC + NO_DEVICES + KEYS + '[permissions."wall"]\npublish = "anyone"',
            [],
            id="anyone, but nobody is anonymous",
        ),
        pytest.param(
            '[http]\nallowed_hosts = ["*"]',
            ["http: any web page can read and publish by DNS rebinding: allowed_hosts checks no names"],
            id="any name on this machine",
        ),
        pytest.param(
            'listen = ["tcp://0.0.0.0:8001?topic=logs&insecure=true"]',
            [
                "listener tcp://0.0.0.0:8001: everybody who can reach this machine may publish on logs without "
                "showing who it is"
            ],
            id="an open device port",
        ),
        pytest.param(
            'listen = ["8001?allow_http=true"]',
            ["listener tcp://127.0.0.1:8001: allow_http: any web page can publish through it"],
            id="a device port for web pages",
        ),
    ],
)
def test_dangers(text: str, dangers: list[str], tmp_path: Path) -> None:
    assert said(text, tmp_path, "danger") == dangers


def test_half_a_request_for_ever(tmp_path: Path) -> None:
    text = NO_DEVICES + '[http]\naddress = "0.0.0.0:8000"\nrequest_timeout = 0\n' + KEYS
    assert said(text, tmp_path, "danger") == ["http: request_timeout is 0: half a request is held for ever"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (PUBLIC + KEYS, "http: it is plain HTTP"),
        ('listen = ["tcp://10.0.0.1:8001?insecure=true"]', "everybody in the network of 10.0.0.1 may publish"),
        ('listen = ["8001?idle_timeout=0&write_timeout=0"]', "idle_timeout, write_timeout is 0"),
        (f'listen = ["8001?device_tokens={TOKEN}&authentication_timeout=0"]', "authentication_timeout is 0"),
        (f'listen = ["tcp://0.0.0.0:8001?device_tokens={TOKEN}"]', "it is plain TCP"),
        ('[log]\nlevel = "debug"', "log: at level debug"),
        ('[centrifuge]\ntoken_hmac_secrets = ["short"]', "a secret is shorter than 32 bytes"),
        ('[centrifuge]\ntoken_jwks = "https://id.example/keys"', "token_audience is not set"),
        ("[http]\nrequest_timeout = 0", "request_timeout is 0"),
    ],
)
def test_warnings(text: str, warning: str, tmp_path: Path) -> None:
    assert any(warning in one for one in said(text, tmp_path, "warning"))
    assert said(text, tmp_path, "danger") == []


def test_who_may_what_with_a_key(tmp_path: Path) -> None:
    other = f'[keys.van]\nsecret = "{digest(KEY * 2)}"\nrole = "operator"\ntopics = ["fleet/#"]\n'
    seen = said(PUBLIC + NO_DEVICES + KEYS + other, tmp_path, "ok")
    assert "http: who shows no valid key or token may do nothing" in seen
    assert "key page: may read, for everything" in seen
    assert "key van: may read, publish and command, for fleet/#" in seen


def test_with_which_limits(tmp_path: Path) -> None:
    seen = said('listen = ["8001?max_connections=20", "8002"]', tmp_path, "ok")
    assert "listener tcp://127.0.0.1:8001: at most 20 connections, then it waits for room" in seen
    assert "listener tcp://127.0.0.1:8002: at most 1000 connections, then it waits for room" in seen
    assert "http: bodies and messages have at most 65536 bytes" in seen


def test_what_is_open_on_purpose_is_noted(tmp_path: Path) -> None:
    text = PUBLIC + NO_DEVICES + '[permissions."news:"]\nsubscribe = "anyone"\n[permissions."a"]\n'
    assert "http: a stranger may follow without a key: news:x" in said(text, tmp_path, "note")
    text = '[http]\nallowed_origins = ["https://a.example"]'
    assert any("https://a.example" in one for one in said(text, tmp_path, "note"))
    nobody = said(PUBLIC + NO_DEVICES + '[permissions."a"]\n', tmp_path, "ok")
    assert "http: who shows nothing is let in as nobody, and may do nothing" in nobody


def test_keys_that_cannot_be_used_are_found(tmp_path: Path) -> None:
    for text in ('[keys.a]\nsecret = "env:NO_SUCH"', 'listen = ["8001?device_tokens=env:NO_SUCH"]'):
        with pytest.raises(ConfigurationError, match="NO_SUCH is not set"):
            findings(text, tmp_path)


def test_the_worst_counts() -> None:
    assert worst([]) == "ok"
    for level in LEVELS:
        assert worst([Finding("ok", "", ""), Finding(level, "", "")]) == level


def test_every_check_says_what_it_is_for() -> None:
    assert all(check.__doc__ for check in CHECKS)
    assert settings_module.Settings().is_configured is False


def test_what_tls_takes_away(tmp_path: Path) -> None:
    """Encryption is said, and a certificate that devices must show is as good as a token; an optional one is not."""
    cert = 'cert = ["server.pem"]\n'
    listener = f'[[listener]]\nurl = "tls://0.0.0.0:8443"\n{cert}client_ca = "devices-ca.pem"\n'
    text = f'{KEYS}[http]\naddress = "0.0.0.0:8000"\n{cert}{listener}'
    assert said(text, tmp_path, "warning") == []
    ok = said(text, tmp_path, "ok")
    assert "http: it is encrypted: TLS 1.2 and up" in ok
    assert "listener tls://0.0.0.0:8443: devices show a certificate of devices-ca.pem before anything else" in ok
    with pytest.raises(ConfigurationError):
        findings(f'{text}client_cert = "optional"', tmp_path)
