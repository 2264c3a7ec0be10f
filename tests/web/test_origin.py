from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from portcast.web.origin import is_allowed_origin

LISTED = ("https://ops.example:8443", "http://Panel.example")


def asking(headers: dict[str, str], scheme: str = "http") -> HTTPConnection:
    """Return a request that came by a scheme."""
    kind = "websocket" if scheme in {"ws", "wss"} else "http"
    return HTTPConnection({"type": kind, "scheme": scheme, "headers": Headers(headers).raw})


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        pytest.param({"host": "127.0.0.1:8000"}, True, id="no origin: not a browser"),
        pytest.param({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, True, id="own"),
        pytest.param({"host": "Box.Local", "origin": "http://box.local"}, True, id="own, other case"),
        pytest.param({"host": "gw.example", "origin": "https://gw.example"}, True, id="own, behind a TLS proxy"),
        pytest.param({"host": "gw.example", "origin": "https://ops.example:8443"}, True, id="listed"),
        pytest.param({"host": "gw.example", "origin": "http://panel.example"}, True, id="listed, other case"),
        pytest.param({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:9000"}, False, id="other port"),
        pytest.param({"host": "gw.example", "origin": "https://evil.example"}, False, id="foreign"),
        pytest.param({"host": "gw.example", "origin": "https://gw.example.evil"}, False, id="longer name"),
        pytest.param({"host": "gw.example", "origin": "https://ops.example"}, False, id="listed with another port"),
        pytest.param({"host": "null", "origin": "null"}, False, id="sandboxed page"),
        pytest.param({"host": "", "origin": ""}, False, id="empty"),
        pytest.param({"origin": "http://gw.example"}, False, id="no host"),
        pytest.param({"host": "gw.example", "origin": "*"}, False, id="a star is nobody"),
    ],
)
def test_pages_of_foreign_origins_are_refused(headers: dict[str, str], is_allowed: bool) -> None:
    """No page that a user visits elsewhere may read the devices' data from this server (CSWSH)."""
    assert is_allowed_origin(asking(headers), LISTED) is is_allowed


def test_nothing_is_listed_by_default() -> None:
    """Safe as installed: only the server's own pages."""
    assert not is_allowed_origin(asking({"host": "a", "origin": "http://b"}), ())
    assert is_allowed_origin(asking({"host": "a", "origin": "http://a"}), ())


@pytest.mark.parametrize(
    ("scheme", "origin", "is_allowed"),
    [
        ("https", "https://gw.example", True),
        ("https", "http://gw.example", False),
        ("wss", "https://gw.example", True),
        ("wss", "http://gw.example", False),
        ("wss", "http://panel.example", True),
        ("ws", "http://gw.example", True),
        ("ws", "https://gw.example", True),
        ("http", "ftp://gw.example", False),
    ],
)
def test_a_page_without_tls_is_foreign_to_a_server_with(scheme: str, origin: str, is_allowed: bool) -> None:
    """Port 80 of the same host may be another service, or somebody on the path; neither gets what TLS protects."""
    assert is_allowed_origin(asking({"host": "gw.example", "origin": origin}, scheme), LISTED) is is_allowed
