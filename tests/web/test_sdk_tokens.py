from __future__ import annotations

import json
import logging
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from portcast.centrifuge import codes
from portcast.centrifuge.deadlines import FOREVER, Lifetime
from portcast.centrifuge.token_keys import KeySet
from portcast.centrifuge.tokens import ConnectionClaims
from portcast.centrifuge_options import CentrifugeOptions
from portcast.errors import ConfigurationError, MissingDependencyError
from portcast.web.sdk_access import Answer, Verdict
from portcast.web.sdk_jwks import JwksKeys
from portcast.web.sdk_tokens import Tokens
from token_kit import SECRET, jwk, private_pem, public_pem, sign

pytestmark = pytest.mark.anyio

NOW = 1_000_000
JWKS = "https://id.example/jwks"


def tokens(options: CentrifugeOptions) -> Tokens:
    return Tokens(options, lambda: NOW + 0.5)


async def settled(answer: Answer[ConnectionClaims]) -> Verdict[ConnectionClaims]:
    return await answer if isinstance(answer, Awaitable) else answer


class Source:
    """Stands in for `JwksKeys`: what it has, and what a read would give."""

    def __init__(self, now: KeySet | None, then: KeySet | None) -> None:
        self.now, self.then, self.reads = now, then, 0

    def keys_nowait(self) -> KeySet | None:
        return self.now

    async def wait_read(self, old: KeySet | None) -> KeySet | None:
        assert old is self.now
        self.reads += 1
        self.now = self.then or self.now
        return self.then

    async def close(self) -> None: ...


def with_source(
    monkeypatch: pytest.MonkeyPatch, now: KeySet | None, then: KeySet | None, *secrets: str
) -> tuple[Tokens, Source]:
    source = Source(now, then)
    monkeypatch.setattr(JwksKeys, "keys_nowait", lambda _: source.keys_nowait())
    monkeypatch.setattr(JwksKeys, "wait_read", lambda _, old: source.wait_read(old))
    return tokens(CentrifugeOptions(token_jwks=JWKS, token_hmac_secrets=secrets)), source


def keys(*kids: str) -> KeySet:
    return KeySet.from_jwks({"keys": [jwk("P-256", kid=kid) for kid in kids]})


def signed(kid: str = "one", **claims: object) -> str:
    return sign({"sub": "42", **claims}, "P-256", "ES256", kid=kid)


FOUND = ConnectionClaims("42")


@pytest.mark.parametrize(
    ("now", "then", "token", "verdict", "reads"),
    [
        pytest.param(keys("one"), None, signed(), FOUND, 0, id="known"),
        pytest.param(keys("one"), keys("one", "two"), signed("two"), FOUND, 1, id="new"),
        pytest.param(keys("one"), keys("one"), signed("two"), codes.INVALID_TOKEN, 1, id="unknown"),
        pytest.param(keys("one"), None, signed("two"), codes.INTERNAL, 1, id="unknown, and the source is gone"),
        pytest.param(None, keys("one"), signed(), FOUND, 1, id="first"),
        pytest.param(None, keys("one"), signed(exp=NOW), codes.TOKEN_EXPIRED, 1, id="first, expired"),
        pytest.param(None, None, signed(), codes.INTERNAL, 1, id="first, and the source is gone"),
        pytest.param(keys("one"), None, signed(exp=NOW), codes.TOKEN_EXPIRED, 0, id="expired"),
        pytest.param(keys("one"), None, sign({}, "P-384", "ES384", kid="one"), codes.INVALID_TOKEN, 0, id="other key"),
        pytest.param(None, None, sign({"sub": "42"}), FOUND, 0, id="a secret needs no source"),
    ],
)
async def test_when_keys_are_fetched(
    monkeypatch: pytest.MonkeyPatch,
    now: KeySet | None,
    then: KeySet | None,
    token: str,
    verdict: Verdict[ConnectionClaims],
    reads: int,
) -> None:
    """Only for a key that is not there; while nobody can look for it the client is asked to try again."""
    the, source = with_source(monkeypatch, now, then, SECRET)
    assert await settled(the.connection(token)) == verdict
    assert source.reads == reads


async def test_what_was_fetched_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next token is judged at once."""
    the, source = with_source(monkeypatch, None, keys("one"))
    await settled(the.connection(signed()))
    assert the.connection(signed()) == FOUND
    assert source.reads == 1


async def test_subscriptions_are_refused_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad token for one channel does not end the connection."""
    the, _ = with_source(monkeypatch, None, keys("one"))
    answer = the.subscription(sign({"channel": "a"}, "P-256", "ES256", kid="two"))
    assert isinstance(answer, Awaitable)
    assert await answer == codes.PERMISSION_DENIED


def test_keys_in_files(tmp_path: Path) -> None:
    """Each file is one key."""
    files = []
    for name in ("RSA", "Ed25519"):
        files.append(tmp_path / f"{name}.pem")
        files[-1].write_text(public_pem(name))
    the = tokens(CentrifugeOptions(token_public_keys=tuple(map(str, files))))
    assert the.connection(sign({"sub": "42"}, "RSA", "RS256")) == FOUND
    assert the.connection(sign({"sub": "42"}, "Ed25519", "EdDSA")) == FOUND


def test_a_key_set_in_a_file(tmp_path: Path) -> None:
    """It is there at once."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("P-256", kid="one")]}))
    assert tokens(CentrifugeOptions(token_jwks=str(file))).connection(signed()) == FOUND


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"\xff", "not a public key in PEM"),
        (b"x", "not a public key in PEM"),
        (private_pem("RSA").encode(), "not a public key in PEM"),
    ],
    ids=["missing", "binary", "text", "private"],
)
def test_a_file_that_is_no_key(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The error names the option and the file, and nothing of what is in it."""
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        tokens(CentrifugeOptions(token_public_keys=(str(file),)))
    assert caught.value.key == f"centrifuge.token_public_keys: {file}"
    assert "PRIVATE" not in str(caught.value)


def test_errors_name_the_options_as_they_are_written() -> None:
    """The pure package does not know what the options are called."""
    with pytest.raises(ConfigurationError) as caught:
        tokens(CentrifugeOptions(token_hmac_secrets=(public_pem("RSA"),)))
    assert caught.value.key == "centrifuge.token_hmac_secrets"
    assert caught.value.hint == "put public keys in centrifuge.token_public_keys"


def test_what_tokens_must_say() -> None:
    """Audience, issuer and leeway are passed on."""
    the = tokens(
        CentrifugeOptions(token_hmac_secrets=(SECRET,), token_audience="here", token_issuer="there", token_leeway_s=10)
    )
    good: dict[str, object] = {"sub": "42", "aud": "here", "iss": "there"}
    assert the.connection(sign({**good, "exp": NOW - 5})) == ConnectionClaims("42", expire_at=NOW + 5)
    assert the.connection(sign({**good, "aud": "x"})) == codes.INVALID_TOKEN
    assert the.connection(sign({**good, "iss": "x"})) == codes.INVALID_TOKEN


def test_why_a_token_is_refused_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """At debug, because anybody can send them; never the token itself."""
    token = sign({"sub": "42"}, "wrong")
    with caplog.at_level(logging.DEBUG, "portcast"):
        tokens(CentrifugeOptions(token_hmac_secrets=(SECRET,))).connection(token)
    assert "its signature is wrong" in caplog.text
    assert token.rpartition(".")[2] not in caplog.text


def test_a_missing_package_is_noticed_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not with the first client."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(MissingDependencyError):
        tokens(CentrifugeOptions(token_jwks=JWKS))


@pytest.mark.parametrize(
    ("expire_at", "lifetime"), [(0, FOREVER), (NOW + 60, Lifetime(60, True)), (NOW, Lifetime(0, True))]
)
def test_lifetimes(expire_at: int, lifetime: Lifetime) -> None:
    """Whole seconds, rounded up: a client that is told too few comes too early, and gains nothing."""
    assert tokens(CentrifugeOptions(token_hmac_secrets=(SECRET,))).lifetime(expire_at) == lifetime


async def test_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a source."""
    the, _ = with_source(monkeypatch, None, None)
    await the.close()
    await tokens(CentrifugeOptions(token_hmac_secrets=(SECRET,))).close()
