"""What a stranger could do with settings, as `portcast check` tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from access_kit import digest
from portcast import settings as settings_module
from portcast.errors import ConfigurationError
from portcast.posture import CHECKS, worst
from portcast.posture_view import LEVELS, Finding
from portcast.runtime import memory_limit
from posture_kit import KEY, KEYS, NO_DEVICES, PUBLIC, TOKEN, findings, said


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
            PUBLIC + NO_DEVICES + '[centrifuge]\ntoken_hmac_secrets = ["short"]',
            ["tokens: a secret is shorter than 32 bytes, and can be guessed from any token"],
            id="public, with a secret that can be guessed",
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
            NO_DEVICES + '[http]\nforwarded_from = ["127.0.0.1"]',
            [
                "http: a stranger may read every topic, publish, command devices and close connections without a key",
            ],
            id="open on loopback, with a proxy in front",
        ),
        pytest.param(
            PUBLIC + NO_DEVICES + '[permissions."$recorder/#"]\nsubscribe = "anyone"',
            ["http: a stranger may follow without a key: $recorder/#"],
            id="raw frames can be read",
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


def test_what_an_application_does_is_not_seen(tmp_path: Path) -> None:
    """Any dependency of its gateway counts as a check of who it is; whoever reads this shall know."""
    (one,) = [one for one in findings("", tmp_path) if one.subject == "application"]
    assert one.level == "note"
    assert "what its dependencies check" in one.sentence


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
        ('listen = ["8001?proxy=127.0.0.1"]', "whoever the proxies at 127.0.0.1 let through may publish on tcp/8001"),
        ('listen = ["tcp://0.0.0.0:8001?allow=10.0.0.0/8&insecure=true"]', "everybody in 10.0.0.0/8 may publish"),
        ('listen = ["tcp://10.0.0.1:8001?insecure=true"]', "it is plain TCP: data can be read on the way"),
        (f'listen = ["tcp://0.0.0.0:8001?proxy=0.0.0.0/0&device_tokens={TOKEN}"]', "can make up their addresses"),
        (
            NO_DEVICES + KEYS + '[http]\naddress = "0.0.0.0:8000"\nforwarded_from = ["0.0.0.0/0"]',
            "forwarded_from believes everybody",
        ),
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


@pytest.mark.parametrize(
    ("text", "level", "sentence"),
    [
        ("", "ok", "nothing is recorded; it can be turned on, and read, by everybody who can connect to http"),
        (KEYS, "ok", "nothing is recorded; it can be turned on, and read, by operators"),
        (
            '[recorder]\non = ["device:a"]\n' + KEYS.replace("page", "root") + 'role = "operator"',
            "note",
            "whole frames, credentials included, of device:a are kept; they can be read by keys with the role operator "
            "(root)",
        ),
        (
            'listen = ["8001?redact=0:4"]\n[recorder]\non = ["device:a"]',
            "note",
            "frames, without what redact leaves out, of device:a are kept; they can be read by everybody who can "
            "connect to http",
        ),
    ],
)
def test_who_reads_what_is_recorded(text: str, level: str, sentence: str, tmp_path: Path) -> None:
    assert f"recorder: {sentence}" in said(text, tmp_path, level)


def test_no_watchdog_is_noted(tmp_path: Path) -> None:
    assert any("block_limit is 0" in one for one in said("[gateway]\nblock_limit = 0", tmp_path, "note"))


def test_certificates_on_http(tmp_path: Path) -> None:
    """Then who comes in is no stranger."""
    tls = 'cert = ["server.pem"]\nclient_ca = "ca.pem"\n'
    text = f'{NO_DEVICES}[centrifuge]\ninsecure = true\n[http]\naddress = "0.0.0.0:8000"\n{tls}'
    assert said(text, tmp_path, "danger") == []
    seen = said(text, tmp_path, "ok")
    assert "http: clients show a certificate of ca.pem before anything else" in seen
    assert any(one.startswith("http: whoever shows a certificate may read every topic") for one in seen)
    assert said(text + 'client_cert = "optional"', tmp_path, "danger") != []


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
    assert "listener tls://0.0.0.0:8443: it is encrypted: TLS 1.2 and up" in ok
    noted = said(f'{text}client_cert = "optional"\ninsecure = true', tmp_path, "note")
    assert any("client_cert is optional: who shows no certificate is let in, too" in one for one in noted)
    with pytest.raises(ConfigurationError):
        findings(f'{text}client_cert = "optional"', tmp_path)


@pytest.mark.parametrize(
    ("limit", "allowed", "used", "told"),
    [
        ("0", (1000, "cgroup"), 9, ("ok", "above 800 bytes devices wait and newcomers are refused")),
        ("500", (1000, "cgroup"), 9, ("ok", "above 500 bytes devices wait and newcomers are refused")),
        (
            "2000",
            (1000, "cgroup"),
            9,
            ("danger", "memory_limit_bytes is 2000 bytes, and the control group allows 1000"),
        ),
        ("0", (0, "none"), 0, ("warning", "this system does not tell what is used")),
    ],
)
def test_the_limit_of_memory(
    limit: str,
    allowed: tuple[int, str],
    used: int,
    told: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit above that of the kernel is none."""
    monkeypatch.setattr(memory_limit, "hard_limit", lambda root=None: allowed)
    monkeypatch.setattr("portcast.posture.hard_limit", lambda: allowed)
    monkeypatch.setattr("portcast.posture.memory_use", lambda: memory_limit.MemoryUse(used))
    (one,) = [
        one for one in findings(f"[gateway]\nmemory_limit_bytes = {limit}\n", tmp_path) if one.subject == "memory"
    ]
    assert (one.level, one.sentence[: len(told[1])]) == told
