from __future__ import annotations

import pytest

from access_kit import digest, key
from portcast.api_keys import ApiKey, Identity, KeyTable, Rights, Role, claimed_rights
from portcast.errors import ConfigurationError

KEY = "k" * 20


class TestRights:
    @pytest.mark.parametrize(
        ("role", "read", "publish", "look", "change"),
        [("client", 0, 0, 0, 0), ("reader", 1, 0, 1, 0), ("operator", 1, 1, 1, 1)],
    )
    def test_a_role_without_topics_is_for_everything(
        self, role: Role, read: bool, publish: bool, look: bool, change: bool
    ) -> None:
        rights = Rights(role)
        for channel in ("a", "#", "$devices/x/commands"):
            assert rights.may_read(channel) == read
        assert rights.may_publish("a") == publish
        assert (rights.may_look, rights.may_change) == (look, change)

    @pytest.mark.parametrize("channel", ["$recorder/#", "$recorder/devices/boiler-1", "$recorder"])
    def test_raw_frames_are_for_operators(self, channel: str) -> None:
        """They hold what devices show to be let in; the recorder's routes are for operators, too."""
        assert not Rights("reader").may_read(channel)
        assert Rights("operator").may_read(channel)
        assert Rights("reader", ("$recorder/#",)).may_read(channel)
        assert Rights("reader").may_read("$recorders/a")

    @pytest.mark.parametrize(
        ("channel", "is_reached"),
        [("fleet/a", True), ("fleet/#", True), ("fleet/+/x", True), ("news:x", True), ("news", False), ("#", False)],
    )
    def test_a_role_for_topics_reaches_these_alone(self, channel: str, is_reached: bool) -> None:
        """A wildcard that stands for more than the role's topics is not reached."""
        rights = Rights("operator", ("fleet/#", "news:"))
        assert rights.may_read(channel) == is_reached
        assert not rights.may_look
        assert not rights.may_change


class TestClaims:
    def test_a_token_without_the_claim_gives_no_role(self) -> None:
        assert claimed_rights({}) == Rights()

    def test_a_role_and_topics(self) -> None:
        assert claimed_rights({"role": "reader", "topics": ["a/#"]}) == Rights("reader", ("a/#",))

    @pytest.mark.parametrize(
        "claims",
        [
            {"role": "admin"},
            {"role": 1},
            {"role": "reader", "topics": []},
            {"topics": "a"},
            {"topics": ["a/#/b"]},
            {"role": "operator", "topcis": ["a"]},
        ],
    )
    def test_what_is_not_understood_gives_nothing(self, claims: dict[str, object]) -> None:
        """An empty list of topics, or a misspelt one, would be no limit at all, and may have been meant as none."""
        with pytest.raises(ValueError, match=r".+"):
            claimed_rights(claims)


class TestKeyTable:
    def test_keys_are_found_by_what_they_hash_to(self) -> None:
        table = KeyTable({"page": key(KEY), "job": key("j" * 20, "operator", "a")}, {})
        assert table.find(KEY) == Identity("page", "reader")
        assert table.find("j" * 20) == Identity("job", "operator", ("a",))
        assert table.find("") is table.find(KEY[1:]) is table.find("\ud800") is None
        assert len(table) == 2

    def test_keys_come_from_the_environment(self) -> None:
        table = KeyTable({"page": ApiKey("env:PAGE_KEY")}, {"PAGE_KEY": KEY})
        assert table.find(KEY) == Identity("page", "reader")

    @pytest.mark.parametrize(
        ("keys", "problem"),
        [
            ({"a b": key(KEY)}, "not a name"),
            ({"a": ApiKey("env:NONE")}, "NONE is not set"),
            ({"a": ApiKey("env:SHORT")}, "SHORT holds a key that is short"),
            ({"a": key(KEY), "b": key(KEY)}, "same key as a"),
        ],
    )
    def test_tables_that_cannot_work(self, keys: dict[str, ApiKey], problem: str) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            KeyTable(keys, {"SHORT": "x"})


@pytest.mark.parametrize("secret", ["", KEY, "sha256:12", f"{digest(KEY)}0", "env:", "env:A B"])
def test_keys_in_clear_are_refused_and_not_shown(secret: str) -> None:
    """Whoever writes the key itself into the file learns of it, and the log does not learn the key."""
    with pytest.raises(ConfigurationError, match="neither sha256") as caught:
        ApiKey(secret)
    assert KEY not in str(caught.value)


def test_a_role_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="no role"):
        ApiKey(digest(KEY), "admin")  # type: ignore[arg-type]  # as from Python code without types


def test_topics_that_are_none() -> None:
    with pytest.raises(ConfigurationError, match="last level"):
        ApiKey(digest(KEY), "reader", ("a/#/b",))
