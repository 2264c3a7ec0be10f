from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.refusals import DisconnectClient, Refuse


def test_what_hooks_raise_says_what_happened() -> None:
    """For the logs of an app that catches it."""
    assert str(Refuse(403)) == "refused with 403"
    assert str(Refuse(403, "not yours")) == "refused with 403: not yours"
    assert str(DisconnectClient(4500, "go away")) == "disconnected with 4500: go away"


@pytest.mark.parametrize("code", [0, 99, 114, 399, 2000, 3500])
def test_codes_that_refuse_nothing(code: int) -> None:
    """SDKs take codes below 100 for failures of the transport, and know none above 1999."""
    with pytest.raises(ConfigurationError, match="400 to 1999"):
        Refuse(code)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (2999, "words"),
        (5000, "words"),
        (4500, ""),
        (4500, "x" * 124),
        (4500, "ä" * 62),
        (4500, "123"),
        (4500, '{"reconnect": false}'),
    ],
)
def test_disconnects_that_clients_misunderstand(code: int, reason: str) -> None:
    """centrifuge-js reconnects for ever after an empty reason, and takes JSON for advice."""
    with pytest.raises(ConfigurationError, match="DisconnectClient"):
        DisconnectClient(code, reason)
