from __future__ import annotations

import pytest

from access_kit import key
from portcast.api_keys import KeyTable
from portcast.centrifuge_options import CentrifugeOptions
from portcast.permissions import ChannelPermissions, PermissionTable
from portcast.web.sdk_basis import Basis
from token_kit import SECRET


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
