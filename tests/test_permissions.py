from __future__ import annotations

import pytest

from portcast.errors import ConfigurationError
from portcast.permissions import (
    CLOSED,
    ChannelPermissions,
    MaySubscribe,
    MayUse,
    PermissionTable,
    is_left_to,
    may_subscribe,
    may_use,
    shows_personal,
)

SECRET = ChannelPermissions(subscribe="nobody")
NEWS = ChannelPermissions(subscribe="anyone")
FLEET = ChannelPermissions(subscribe="user")
REST = ChannelPermissions(subscribe="token")

TABLE = PermissionTable({"secret/#": SECRET, "news:": NEWS, "a/b:": NEWS, "fleet/+/position": FLEET, "#": REST})
SHORT = PermissionTable({"fleet/secret": SECRET, "fleet/#": FLEET, "$SYS/#": NEWS})


@pytest.mark.parametrize(
    ("table", "channel", "permissions", "is_complete"),
    [
        pytest.param(TABLE, "secret/x", (SECRET,), True, id="filter"),
        pytest.param(TABLE, "secret", (SECRET,), True, id="the level above #"),
        pytest.param(TABLE, "news:today/1", (NEWS,), True, id="namespace"),
        pytest.param(TABLE, "news", (REST,), True, id="no namespace without the colon"),
        pytest.param(TABLE, "a/b:1", (NEWS,), True, id="namespace with levels"),
        pytest.param(TABLE, "fleet/7/position", (FLEET,), True, id="the first counts"),
        pytest.param(TABLE, "fleet/7", (REST,), True, id="else a later one"),
        pytest.param(TABLE, "$SYS/load", (CLOSED,), True, id="wildcards hide $"),
        pytest.param(SHORT, "$SYS/load", (NEWS,), True, id="$ by its name"),
        pytest.param(SHORT, "other", (), False, id="nothing said"),
        pytest.param(TABLE, "fleet/+/position", (FLEET,), True, id="wildcard equal"),
        pytest.param(TABLE, "fleet/#", (FLEET, REST), True, id="wildcard across two"),
        pytest.param(TABLE, "#", (SECRET, NEWS, NEWS, FLEET, REST), True, id="wildcard across all"),
        pytest.param(TABLE, "+", (SECRET, NEWS, REST), True, id="wildcard of one level"),
        pytest.param(TABLE, "news:x/#", (NEWS,), True, id="wildcard in a namespace"),
        pytest.param(TABLE, "a/+", (NEWS, REST), True, id="wildcard across a namespace"),
        pytest.param(TABLE, "a/b:1/+", (NEWS,), True, id="wildcard behind a namespace"),
        pytest.param(TABLE, "a/c/+", (REST,), True, id="wildcard beside a namespace"),
        pytest.param(SHORT, "+/secret", (SECRET, FLEET), False, id="wildcard partly"),
        pytest.param(SHORT, "other/#", (), False, id="wildcard not at all"),
        pytest.param(SHORT, "$SYS/+", (NEWS,), True, id="wildcard under $"),
        pytest.param(SHORT, "$x/#", (CLOSED,), True, id="wildcard under $, not named"),
    ],
)
def test_what_a_table_says(
    table: PermissionTable, channel: str, permissions: tuple[ChannelPermissions, ...], is_complete: bool
) -> None:
    """The first line counts; for a wildcard every line that some of its topics would meet."""
    assert table.match(channel) == (permissions, is_complete)


@pytest.mark.parametrize("key", ["", "a/#/b", "a:b\x00", "#/x:"])
def test_keys_that_are_neither(key: str) -> None:
    """A key is a valid topic filter, or a namespace."""
    with pytest.raises(ConfigurationError, match="permissions"):
        PermissionTable({key: REST})


def test_a_table_knows_its_size() -> None:
    """An empty table is false: nothing was configured."""
    assert not PermissionTable({})
    assert len(TABLE) == 5


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ("anyone", ["nobody's", "user's", "token's", "owner's"]),
        ("user", ["user's", "token's", "owner's"]),
        ("token", ["token's", "owner's"]),
        ("nobody", []),
    ],
)
def test_who_may_subscribe(who: MaySubscribe, allowed: list[str]) -> None:
    """A token does for whatever is not closed, and a personal channel needs none from its owner."""
    line = ChannelPermissions(subscribe=who)
    asked = {
        "nobody's": may_subscribe(line, "", "x", has_token=False),
        "user's": may_subscribe(line, "42", "x", has_token=False),
        "token's": may_subscribe(line, "", "x", has_token=True),
        "owner's": may_subscribe(line, "42", "#42", has_token=False),
    }
    assert [name for name, is_allowed in asked.items() if is_allowed] == allowed


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        ("anyone", [("", False), ("", True), ("42", False)]),
        ("user", [("42", False)]),
        ("subscriber", [("", True)]),
        ("nobody", []),
    ],
)
def test_who_may_use(right: MayUse, allowed: list[tuple[str, bool]]) -> None:
    """Each right names exactly one condition."""
    asked = [("", False), ("", True), ("42", False)]
    assert [one for one in asked if may_use(right, *one)] == allowed


@pytest.mark.parametrize(
    ("user", "channel", "is_left"),
    [
        ("", "a", True),
        ("", "#", True),
        ("42", "#42", True),
        ("42", "#43", False),
        ("", "#42", False),
        ("4", "#42", False),
        ("42", "#42/x", False),
        ("42/x", "#42/x", True),
        ("42", "#42/+", False),
        ("42/+", "#42/+", False),
        ("+", "#+", True),
    ],
)
def test_personal_channels(user: str, channel: str, is_left: bool) -> None:
    """It is its user's alone, and wildcards do not reach among them, whatever a user is called."""
    assert is_left_to(user, channel) is is_left


@pytest.mark.parametrize(
    ("channel", "shows"), [("#", True), ("+", True), ("+/#", True), ("#42", False), ("a/#", False), ("+a", False)]
)
def test_wildcards_that_show_personal_channels(channel: str, shows: bool) -> None:
    """Those whose first level can be one that begins with #."""
    assert shows_personal(channel) is shows
