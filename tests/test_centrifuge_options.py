from __future__ import annotations

import math
from contextlib import nullcontext

import pytest

from portcast.address import parse_address
from portcast.centrifuge_options import CentrifugeOptions, check_reach, check_secrets
from portcast.errors import ConfigurationError


def test_secrets_are_not_shown() -> None:
    """Options appear in error messages and debuggers; secrets must not."""
    assert "hunter2" not in repr(CentrifugeOptions(token_hmac_secrets=("hunter2",)))


@pytest.mark.parametrize(
    ("secrets", "is_short"),
    [((), False), (("x" * 32,), False), (("é" * 16,), False), (("x" * 31,), True), (("x" * 32, "x"), True)],
)
def test_secrets_that_are_too_short(secrets: tuple[str, ...], is_short: bool) -> None:
    """RFC 7518 §3.2 counts bytes."""
    assert CentrifugeOptions(token_hmac_secrets=secrets).has_short_secret is is_short


@pytest.mark.parametrize("leeway_s", [-1.0, math.nan, math.inf])
def test_a_leeway_that_cannot_work(leeway_s: float) -> None:
    """Values built in Python are held to the same range as written ones."""
    with pytest.raises(ConfigurationError, match="token_leeway_s"):
        CentrifugeOptions(token_leeway_s=leeway_s)


@pytest.mark.parametrize(
    ("options", "has_keys"),
    [
        (CentrifugeOptions(), False),
        (CentrifugeOptions(token_audience="a", token_issuer="b"), False),
        (CentrifugeOptions(token_hmac_secrets=("x",)), True),
        (CentrifugeOptions(token_public_keys=("x.pem",)), True),
        (CentrifugeOptions(token_jwks="https://x"), True),
    ],
)
def test_whether_tokens_can_be_verified(options: CentrifugeOptions, has_keys: bool) -> None:
    """Any kind of key does; what tokens must say does not."""
    assert options.has_keys is has_keys


@pytest.mark.parametrize(
    ("address", "is_configured", "insecure", "is_refused"),
    [
        ("0.0.0.0:8000", False, False, True),
        ("[::]:8000", False, False, True),
        ("gateway.example:8000", False, False, True),
        ("127.0.0.1:8000", False, False, False),
        ("localhost:8000", False, False, False),
        ("0.0.0.0:8000", True, False, False),
        ("0.0.0.0:8000", False, True, False),
    ],
)
def test_where_start_is_refused(address: str, is_configured: bool, insecure: bool, is_refused: bool) -> None:
    """An open address needs somebody who says who may connect; the error names all that would do."""
    options = CentrifugeOptions(insecure=insecure)
    if not is_refused:
        check_reach(parse_address(address), options, is_configured=is_configured)
        return
    with pytest.raises(ConfigurationError, match=r"\[keys\.NAME\].*\[centrifuge\].*\[permissions\].*--insecure"):
        check_reach(parse_address(address), options, is_configured=is_configured)


@pytest.mark.parametrize(
    ("address", "secret", "insecure", "is_refused"),
    [
        ("0.0.0.0:8000", "x" * 31, False, True),
        ("0.0.0.0:8000", "x" * 32, False, False),
        ("0.0.0.0:8000", "x" * 31, True, False),
        ("127.0.0.1:8000", "x" * 31, False, False),
    ],
)
def test_where_a_short_secret_is_refused(address: str, secret: str, insecure: bool, is_refused: bool) -> None:
    """Only where others can reach it, and nobody said that they may; the secret is not repeated."""
    options = CentrifugeOptions(token_hmac_secrets=(secret,), insecure=insecure)
    with pytest.raises(ConfigurationError, match="shorter than 32 bytes") if is_refused else nullcontext():
        check_secrets(parse_address(address), options)
