"""Rules and credentials for tests of the HTTP side."""

from __future__ import annotations

from hashlib import sha256

from portcast.api_keys import ApiKey, Role
from portcast.web.http_access import HttpAccess
from portcast.web.sdk_basis import Basis
from portcast.web.sdk_rules import Rules


def open_access() -> HttpAccess:
    """What holds while nothing is configured."""
    rules = Rules(Basis())
    return HttpAccess(lambda: rules)


def digest(key: str) -> str:
    """The key as it is configured."""
    return f"sha256:{sha256(key.encode()).hexdigest()}"


def key(text: str, role: Role = "reader", *topics: str) -> ApiKey:
    """A key that is shown as ``text``."""
    return ApiKey(digest(text), role, topics)
