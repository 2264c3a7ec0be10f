from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portcast.devices import (
    Accepted,
    DeviceOptions,
    DeviceStatus,
    Quarantined,
    Rejected,
    Roster,
    Takeover,
    UnknownDevice,
)
from portcast.errors import ConfigurationError
from portcast.types import ConnectionId, DeviceId

A, B, C, D = map(DeviceId, "ABCD")
X, Y, Z = map(ConnectionId, "xyz")
ONLINE, OFFLINE, QUARANTINED = DeviceStatus


def roster(**options: Any) -> Roster:
    return Roster(DeviceOptions(**options))


def status(it: Roster, device_id: DeviceId) -> DeviceStatus:
    info = it.get(device_id)
    assert info is not None
    return info.status


class TestAttach:
    def test_a_device_outlives_its_connections(self) -> None:
        """One entry, with what happened on each."""
        it = roster()
        assert it.attach(A, X, 1.0, address="192.0.2.1") == Accepted(came_online=True)
        it.heard(A, 2.0, 3, 120)
        assert it.detach(X, 4.0) == (A,)
        assert it.attach(A, Y, 9.0, address="192.0.2.2") == Accepted(came_online=True)
        info = it.get(A)
        assert info is not None
        assert (info.status, info.first_seen, info.last_seen, info.address) == (ONLINE, 1.0, 9.0, "192.0.2.2")
        assert (info.connections, info.attached, info.frames, info.payload_bytes) == ((Y,), 2, 3, 120)
        assert (info.device_id, info.is_known, info.tags) == (A, False, {})
        assert A in it
        assert len(it) == 1

    def test_said_again_on_the_same_connection(self) -> None:
        """Devices log in again after a pause; nothing changes but when it was seen."""
        it = roster(takeover="reject")
        it.attach(A, X, 1.0)
        assert it.attach(A, X, 5.0) == Accepted()
        info = it.get(A)
        assert info is not None
        assert (info.attached, info.last_seen, info.connections) == (1, 5.0, (X,))

    def test_replace(self) -> None:
        """The old connection loses the device and is closed; its end does not touch the device any more."""
        it = roster()
        it.attach(A, X, 1.0)
        assert it.attach(A, Y, 2.0) == Accepted(replaced=(X,), to_close=(X,))
        assert it.detach(X, 3.0) == ()
        assert status(it, A) is ONLINE
        assert it.devices_of(X) == ()
        assert it.statistics().replaced == 1

    def test_replace_spares_a_connection_with_other_devices(self) -> None:
        """A concentrator is not cut off because one of its devices moved."""
        it = roster()
        it.attach(A, X, 1.0)
        it.attach(B, X, 1.0)
        assert it.attach(A, Y, 2.0) == Accepted(replaced=(X,))
        assert it.devices_of(X) == (B,)

    def test_reject(self) -> None:
        """As long as the old connection lives."""
        it = roster(takeover="reject")
        it.attach(A, X, 1.0)
        assert it.attach(A, Y, 2.0) == Rejected("connected", X)
        it.detach(X, 3.0)
        assert it.attach(A, Y, 4.0) == Accepted(came_online=True)
        assert it.statistics().rejected == 1

    def test_allow(self) -> None:
        """Both; it is offline when the last has gone."""
        it = roster(takeover="allow")
        it.attach(A, X, 1.0)
        assert it.attach(A, Y, 2.0) == Accepted()
        assert it.detach(X, 3.0) == ()
        assert it.detach(Y, 4.0) == (A,)

    def test_several_devices_on_one_connection(self) -> None:
        """They go together when it ends, or one by one."""
        it = roster()
        for device_id in (B, A, C):
            it.attach(device_id, X, 1.0)
        assert it.devices_of(X) == (B, A, C)
        assert it.detach_device(A, X, 2.0)
        assert not it.detach_device(A, X, 2.0)
        assert not it.detach_device(D, X, 2.0)
        assert it.detach(X, 3.0) == (B, C)
        assert it.detach(X, 3.0) == ()

    def test_one_connection_cannot_claim_every_device(self) -> None:
        """The bound holds for new devices and known ones."""
        it = roster(max_devices_per_connection=2)
        it.preload(C)
        it.attach(A, X, 1.0)
        it.attach(B, X, 1.0)
        assert it.attach(C, X, 1.0) == it.attach(D, X, 1.0) == Rejected("connection_full")
        assert D not in it
        assert it.attach(A, X, 2.0) == Accepted()


class TestUnknown:
    def test_reject(self) -> None:
        """Nothing is remembered of it; configured devices and those with a voucher come in."""
        it = roster(unknown="reject")
        it.preload(A, {"site": "north"})
        assert it.attach(A, X, 1.0) == Accepted(came_online=True)
        assert it.attach(B, Y, 1.0) == Rejected("unknown")
        assert B not in it
        assert it.attach(B, Y, 1.0, is_known=True) == Accepted(came_online=True)
        info = it.get(A)
        assert info is not None
        assert (info.tags, info.is_known) == ({"site": "north"}, True)

    def test_quarantine(self) -> None:
        """Kept connected and listed; approved it is a device like any other, for good."""
        it = roster(unknown="quarantine")
        assert it.attach(A, X, 1.0) == Quarantined()
        assert it.attach(A, X, 2.0) == Quarantined()
        assert status(it, A) is QUARANTINED
        assert it.attach(A, Y, 3.0) == Quarantined(replaced=(X,), to_close=(X,))
        assert it.detach(Y, 4.0) == (), "its presence was never published"
        it.attach(A, Z, 5.0)
        assert it.approve(A) == (Z,)
        assert status(it, A) is ONLINE
        assert it.approve(A) == ()
        assert it.detach(Z, 6.0) == (A,)
        assert it.attach(A, X, 7.0) == Accepted(came_online=True)

    def test_a_lookup_may_approve(self) -> None:
        """The application learned of the device since it was last here."""
        it = roster(unknown="quarantine")
        it.attach(A, X, 1.0)
        it.detach(X, 2.0)
        assert it.attach(A, Y, 3.0, is_known=True) == Accepted(came_online=True)

    def test_who_is_not_there(self) -> None:
        """Cannot be approved, tagged, heard or found."""
        it = roster()
        assert it.approve(A) == ()
        assert not it.tag(A, {"a": "b"})
        it.heard(A, 1.0, 1, 1)
        assert it.get(A) is None
        assert it.forget(A) == ()


class TestBound:
    def test_the_one_that_is_offline_longest_gives_way(self) -> None:
        """Not the one that was seen first."""
        it = roster(max_devices=3)
        for device_id, connection_id in ((A, X), (B, Y), (C, Z)):
            it.attach(device_id, connection_id, 1.0)
        it.detach(Y, 2.0)
        it.detach(X, 3.0)
        assert it.attach(D, X, 4.0) == Accepted(came_online=True, forgotten=B)
        assert [B in it, A in it] == [False, True]
        assert it.statistics().forgotten == 1

    def test_who_came_back_is_not_forgotten(self) -> None:
        """Offline begins anew when it leaves again."""
        it = roster(max_devices=2)
        it.attach(A, X, 1.0)
        it.attach(B, Y, 1.0)
        it.detach(X, 2.0)
        it.detach(Y, 3.0)
        it.attach(A, X, 4.0)
        it.detach(X, 5.0)
        assert it.attach(C, X, 6.0) == Accepted(came_online=True, forgotten=B)

    def test_known_and_connected_devices_stay(self) -> None:
        """A crowd of unknown devices cannot push them out."""
        it = roster(max_devices=2)
        it.preload(A)
        it.attach(B, X, 1.0)
        assert it.attach(C, Y, 2.0) == Rejected("roster_full")
        with pytest.raises(ConfigurationError, match="no room for 'C' beside 2 others"):
            it.preload(C)
        it.detach(X, 3.0)
        it.preload(C)
        assert (A in it, B in it, C in it) == (True, False, True)

    def test_a_quarantined_device_gives_way_too(self) -> None:
        """When it has no connection."""
        it = roster(max_devices=1, unknown="quarantine")
        it.attach(A, X, 1.0)
        it.detach(X, 2.0)
        assert it.attach(B, Y, 3.0) == Quarantined(forgotten=A)

    def test_forget(self) -> None:
        """By hand, known or not; its connections are told."""
        it = roster()
        it.preload(A)
        it.attach(A, X, 1.0)
        assert it.forget(A) == (X,)
        assert it.devices_of(X) == ()
        assert it.statistics() == type(it.statistics())(0, 0, 0, 0, 0, 1)

    def test_preload_makes_known(self) -> None:
        """Also who is there already, or in quarantine."""
        it = roster(unknown="quarantine")
        it.attach(A, X, 1.0)
        it.preload(A)
        assert status(it, A) is ONLINE


class TestPages:
    def test_pages_are_in_order_and_whole(self) -> None:
        """Whoever follows them sees each device once."""
        it = roster()
        for number in (5, 3, 1, 4, 2):
            it.attach(DeviceId(f"d{number}"), ConnectionId(f"c{number}"), 0.0)
        first = it.page(limit=2)
        assert ([info.device_id for info in first.devices], first.after) == (["d1", "d2"], "d2")
        second = it.page(after="d2", limit=2)
        assert ([info.device_id for info in second.devices], second.after) == (["d3", "d4"], "d4")
        last = it.page(after="d4", limit=1)
        assert ([info.device_id for info in last.devices], last.after) == (["d5"], None)
        assert it.page(after="d9").devices == ()
        assert it.page(after="d2x", limit=1).devices[0].device_id == "d3"

    def test_pages_of_one_status(self) -> None:
        """The others are passed over."""
        it = roster()
        for number in range(10):
            it.attach(DeviceId(f"d{number}"), ConnectionId(f"c{number}"), 0.0)
            if number % 2:
                it.detach(ConnectionId(f"c{number}"), 1.0)
        page = it.page(limit=3, status=OFFLINE)
        assert ([info.device_id for info in page.devices], page.after) == (["d1", "d3", "d5"], "d5")

    def test_search(self) -> None:
        """In ids, addresses and tags, in any case; with a status both must be so."""
        it = roster()
        it.preload(DeviceId("Boiler-1"), {"site": "North"})
        it.preload(DeviceId("boiler-2"), {"NORTHERN": ""})
        it.attach(DeviceId("pump"), X, 0.0, address="192.0.2.7:50")

        def ids(search: str, status: DeviceStatus | None = None) -> list[str]:
            return [info.device_id for info in it.page(search=search, status=status).devices]

        assert ids("bOILER") == ids("north") == ["Boiler-1", "boiler-2"]
        assert ids("2.7:") == ["pump"]
        assert ids("p", ONLINE) == ["pump"]
        assert ids("boiler", ONLINE) == ids("192.0.2.8") == []

    def test_a_rare_status_among_many(self) -> None:
        """A page looks at a thousand devices at most; it may be empty and not the last."""
        it = roster()
        for number in range(2500):
            it.preload(DeviceId(f"d{number:04d}"))
        it.attach(DeviceId("d2400"), X, 0.0)
        after, pages = "", 0
        while True:
            page = it.page(after=after, status=ONLINE)
            pages += 1
            if page.after is None:
                break
            after = page.after
        assert pages == 3
        assert [info.device_id for info in page.devices] == ["d2400"]

    def test_last_seen_is_never_before_first_seen(self) -> None:
        """A device is attached by a message that came a moment earlier, or seconds, while it was looked up."""
        it = roster()
        it.attach(A, X, 10)
        it.heard(A, 7, frames=1, payload_bytes=1)
        info = it.get(A)
        assert info is not None
        assert (info.first_seen, info.last_seen) == (10, 10)

    @pytest.mark.parametrize("tags", [{"floor": 5}, {"site": None}, {7: "seven"}, ["north"]], ids=repr)
    def test_tags_that_are_no_text_are_refused(self, tags: Any) -> None:
        """They come from a database perhaps; one of them would make every list of devices fail."""
        it = roster()
        it.attach(A, X, 0)
        with pytest.raises(ConfigurationError, match="give text by text"):
            it.tag(A, tags)
        assert it.page(search="5").devices == ()
        with pytest.raises(ConfigurationError, match="give text by text"):
            it.preload(B, tags)

    def test_tags_are_a_copy(self) -> None:
        """Nobody changes them behind the roster's back."""
        it = roster()
        it.preload(A)
        tags = {"site": "north"}
        assert it.tag(A, tags)
        tags["site"] = "south"
        info = it.get(A)
        assert info is not None
        assert info.tags == {"site": "north"}


devices = st.sampled_from([DeviceId(f"d{number}") for number in range(6)])
connections = st.sampled_from([ConnectionId(f"c{number}") for number in range(5)])


class Model(RuleBasedStateMachine):
    """Devices and connections agree, whatever happens in which order."""

    takeover: Takeover = "replace"
    unknown: UnknownDevice = "quarantine"

    def __init__(self) -> None:
        super().__init__()
        self.it = roster(takeover=self.takeover, unknown=self.unknown, max_devices=4, max_devices_per_connection=3)
        self.now = 0.0

    @rule(device_id=devices, connection_id=connections, is_known=st.booleans())
    def attach(self, device_id: DeviceId, connection_id: ConnectionId, is_known: bool) -> None:
        self.now += 1.0
        before = self.it.get(device_id)
        decision = self.it.attach(device_id, connection_id, self.now, is_known=is_known)
        if isinstance(decision, Rejected):
            assert connection_id not in (before.connections if before else ())
            return
        assert connection_id in self.connections_of(device_id)
        if self.takeover == "replace":
            assert self.connections_of(device_id) == (connection_id,)
        for old in decision.to_close:
            assert self.it.devices_of(old) == ()
        assert isinstance(decision, Quarantined) == (status(self.it, device_id) is QUARANTINED)

    @rule(connection_id=connections)
    def detach(self, connection_id: ConnectionId) -> None:
        self.now += 1.0
        for device_id in self.it.detach(connection_id, self.now):
            assert status(self.it, device_id) is OFFLINE
        assert self.it.devices_of(connection_id) == ()

    @rule(device_id=devices)
    def approve(self, device_id: DeviceId) -> None:
        self.it.approve(device_id)

    @rule(device_id=devices)
    def forget(self, device_id: DeviceId) -> None:
        self.it.forget(device_id)
        assert device_id not in self.it

    def connections_of(self, device_id: DeviceId) -> tuple[ConnectionId, ...]:
        info = self.it.get(device_id)
        return info.connections if info else ()

    @invariant()
    def agrees(self) -> None:
        infos = self.it.page().devices
        assert [info.device_id for info in infos] == sorted(info.device_id for info in infos)
        assert len(infos) == len(self.it) <= 4
        for info in infos:
            assert all(info.device_id in self.it.devices_of(connection_id) for connection_id in info.connections)
            assert info.status is not QUARANTINED or not info.is_known
        for number in range(5):
            connection_id = ConnectionId(f"c{number}")
            assert len(self.it.devices_of(connection_id)) <= 3
            assert all(connection_id in self.connections_of(d) for d in self.it.devices_of(connection_id))
        counts = self.it.statistics()
        for state, count in ((ONLINE, counts.online), (OFFLINE, counts.offline), (QUARANTINED, counts.quarantined)):
            assert count == sum(info.status is state for info in infos)


class AllowingModel(Model):
    takeover = "allow"
    unknown = "accept"


class RejectingModel(Model):
    takeover = "reject"
    unknown = "reject"


TestModel = Model.TestCase
TestAllowingModel = AllowingModel.TestCase
TestRejectingModel = RejectingModel.TestCase
