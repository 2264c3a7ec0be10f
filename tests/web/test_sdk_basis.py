from __future__ import annotations

from dataclasses import replace

import pytest

from access_kit import key
from portcast.address import parse_address
from portcast.api_keys import KeyTable
from portcast.centrifuge_options import CentrifugeOptions
from portcast.errors import ConfigurationError
from portcast.permissions import ChannelPermissions, PermissionTable
from portcast.web.sdk_basis import Basis
from token_kit import SECRET


def test_a_start_is_refused_or_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """One line of a secret that is too short, without it; a strong one, and no address, are no matter."""
    Basis().check(None)
    Basis(CentrifugeOptions(token_hmac_secrets=("x" * 32,))).check(parse_address("0.0.0.0:8000"))
    assert caplog.text == ""
    Basis(CentrifugeOptions(token_hmac_secrets=("x" * 32, "hunter2"))).check(None)
    (record,) = caplog.records
    assert (record.levelname, "shorter than 32 bytes" in caplog.text, "hunter2" in caplog.text) == (
        "WARNING",
        True,
        False,
    )
    with pytest.raises(ConfigurationError, match="nothing says who may"):
        Basis().check(parse_address("0.0.0.0:8000"))


def test_a_secret_that_can_be_guessed_does_not_meet_the_network() -> None:
    """RFC 7518 §3.2 asks for 256 bits; whoever has one token can try secrets at leisure."""
    short = CentrifugeOptions(token_hmac_secrets=("x" * 32, "é" * 15 + "x"))
    with pytest.raises(ConfigurationError, match="shorter than 32 bytes") as caught:
        Basis(short).check(parse_address("0.0.0.0:8000"))
    assert "é" not in str(caught.value)
    Basis(short).check(parse_address("127.0.0.1:8000"))
    Basis(replace(short, insecure=True)).check(parse_address("0.0.0.0:8000"))


@pytest.mark.parametrize(
    ("basis", "is_configured", "has_judge"),
    [
        (Basis(), False, False),
        (Basis(is_guarded=True), False, False),
        (Basis(permissions=PermissionTable({"#": ChannelPermissions()})), True, False),
        (Basis(CentrifugeOptions(token_hmac_secrets=(SECRET,))), True, True),
        (Basis(keys=KeyTable({"a": key("k" * 20)}, {})), True, True),
    ],
)
def test_what_says_who_may_do_what(basis: Basis, is_configured: bool, has_judge: bool) -> None:
    """Permissions say what, and not who."""
    assert basis.is_configured == is_configured
    assert basis.has_judge == has_judge
