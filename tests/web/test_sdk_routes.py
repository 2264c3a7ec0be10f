from __future__ import annotations

from portcast.config import HttpOptions
from portcast.web.sdk_routes import session_options


def test_sessions_ping_like_websockets() -> None:
    """In whole seconds, as the protocol tells them."""
    options = session_options("1.2", HttpOptions(ping_interval_s=20.4, ping_timeout_s=5))
    assert (options.version, options.ping_s, options.pong_s) == ("portcast 1.2", 20, 5)
