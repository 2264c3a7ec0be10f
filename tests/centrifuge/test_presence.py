"""Who is where; nothing is left of those who left."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portcast.centrifuge.messages import ClientInfo, PresenceResult, PresenceStatsResult
from portcast.centrifuge.presence import MAX_BYTES, MAX_CLIENTS, Presence


def test_clients_are_listed_in_the_order_in_which_they_came() -> None:
    """By client id, with all that is known of them."""
    presence = Presence()
    one, two = ClientInfo("42", "c1", b'{"n":1}', b"{}"), ClientInfo("", "c2")
    assert presence.join("a", two)
    assert presence.join("a", one)
    assert presence.join("b", one)
    result = presence.presence("a")
    assert result == PresenceResult({"c2": two, "c1": one})
    assert list(result.presence) == ["c2", "c1"]


def test_nobody_is_in_an_unknown_channel() -> None:
    """That is an answer, not an error."""
    presence = Presence()
    assert presence.presence("a") == PresenceResult()
    assert presence.stats("a") == PresenceStatsResult()
    assert presence.leave("a", "c1") is None


def test_anonymous_users_are_one_user() -> None:
    """centrifuge-js expects one user for clients without a name."""
    presence = Presence()
    for client, user in ("c1", ""), ("c2", ""), ("c3", "42"), ("c4", "42"):
        presence.join("a", ClientInfo(user, client))
    assert presence.stats("a") == PresenceStatsResult(4, 2)


def test_the_same_client_is_there_once() -> None:
    """A second join renews what is known, even the user, and nobody needs to be told; it keeps its place."""
    presence = Presence()
    presence.join("a", ClientInfo("42", "c1"))
    presence.join("a", ClientInfo("42", "c2"))
    assert not presence.join("a", ClientInfo("7", "c1", b"1"))
    assert presence.stats("a") == PresenceStatsResult(2, 2)
    assert list(presence.presence("a").presence) == ["c1", "c2"]
    assert presence.leave("a", "c1") == ClientInfo("7", "c1", b"1")
    assert presence.stats("a") == PresenceStatsResult(1, 1)


def test_the_last_one_leaves_nothing_behind() -> None:
    """A channel name is a client's choice; it must not stay in memory."""
    presence = Presence()
    presence.join("a", ClientInfo("42", "c1"))
    assert presence.leave("a", "c2") is None
    assert len(presence) == 1
    assert presence.leave("a", "c1") == ClientInfo("42", "c1")
    assert presence.leave("a", "c1") is None
    assert len(presence) == 0


def test_a_result_is_bounded_in_clients_and_bytes() -> None:
    """The longest there are listed, and the stats have the truth; one is listed however large it is."""
    presence = Presence()
    for number in range(MAX_CLIENTS + 5):
        presence.join("many", ClientInfo("42", f"c{number}"))
    assert list(presence.presence("many").presence) == [f"c{number}" for number in range(MAX_CLIENTS)]
    assert presence.stats("many").num_clients == MAX_CLIENTS + 5
    for number in range(5):
        presence.join("large", ClientInfo("42", f"c{number}", bytes(MAX_BYTES // 3)))
    assert list(presence.presence("large").presence) == ["c0", "c1"]
    small = Presence(max_clients=0, max_bytes=0)
    small.join("a", ClientInfo("42", "c1"))
    assert len(small.presence("a").presence) == 1


class Model(RuleBasedStateMachine):
    """Whatever comes and goes, the counts are those of a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = Presence()
        self.model: dict[tuple[str, str], str] = {}

    @rule(channel=st.sampled_from("ab"), client=st.sampled_from("123"), user=st.sampled_from(["", "x", "y"]))
    def join(self, channel: str, client: str, user: str) -> None:
        is_new = (channel, client) not in self.model
        self.model[channel, client] = user
        assert self.presence.join(channel, ClientInfo(user, client)) is is_new

    @rule(channel=st.sampled_from("ab"), client=st.sampled_from("123"))
    def leave(self, channel: str, client: str) -> None:
        user = self.model.pop((channel, client), None)
        expected = None if user is None else ClientInfo(user, client)
        assert self.presence.leave(channel, client) == expected

    @invariant()
    def counts(self) -> None:
        clients = Counter(channel for channel, _ in self.model)
        assert len(self.presence) == len(clients)
        for channel in "ab":
            users = {user for (where, _), user in self.model.items() if where == channel}
            assert self.presence.stats(channel) == PresenceStatsResult(clients[channel], len(users))


TestModel = Model.TestCase
