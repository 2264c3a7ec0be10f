"""The interface of the rules: its defaults are those of an open channel with history."""

from __future__ import annotations

from portcast.centrifuge.deadlines import FOREVER
from portcast.web.sdk_access import Admission, Grant


def test_a_plain_grant_is_for_a_channel_with_history() -> None:
    """It does not end, recovers, and nobody is told of comings and goings."""
    grant = Grant()
    assert (grant.mode, grant.lifetime) == ("stream", FOREVER)
    assert not grant.sends_join_leave
    assert not grant.gets_join_leave


def test_a_plain_admission_is_anonymous() -> None:
    """Without a user, without subscriptions of the server."""
    assert (Admission().user, Admission().subs, Admission().lifetime) == ("", {}, FOREVER)
