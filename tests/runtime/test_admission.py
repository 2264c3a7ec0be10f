from __future__ import annotations

import pytest

from portcast.config import HttpOptions, ListenerOptions
from portcast.errors import ConfigurationError
from portcast.events import ConnectionOpened, ConnectionRefused
from portcast.runtime.admission import MOST_ADDRESSES, Admission, Networks, admission_of, subscriber_admission, too_many
from portcast.runtime.rates import BucketTable
from runtime_kit import eventually, recording, serving


def of(**options: object) -> Admission:
    """Return the admission of a listener with these options."""
    admission = admission_of(ListenerOptions(**options))  # type: ignore[arg-type]  # options of a listener
    assert admission is not None
    return admission


def test_a_listener_without_limits_pays_nothing() -> None:
    """The default asks nobody."""
    assert admission_of(ListenerOptions()) is None


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("10.1.2.3", None, id="allowed"),
        pytest.param("10.9.9.9", "denied", id="denied within what is allowed"),
        pytest.param("192.0.2.1", "denied", id="not allowed"),
        pytest.param("::ffff:10.1.2.3", None, id="IPv4 dressed as IPv6"),
        pytest.param("::ffff:10.9.0.1", "denied", id="dressed, and denied"),
        pytest.param("2001:db8::7", None, id="IPv6"),
        pytest.param("fe80::1%eth0", "denied", id="with a zone"),
        pytest.param("unix", None, id="a Unix socket"),
    ],
)
def test_networks(host: str, reason: str | None) -> None:
    """Denied wins; if any network is allowed, all others are denied; a Unix socket has no network."""
    admission = of(allow=("10.0.0.0/8", "2001:db8::/32"), deny=("10.9.0.0/16",))
    assert admission.refusal(host, 0.0) == reason


def test_denied_networks_alone_deny_nobody_else() -> None:
    """Without a list of allowed ones everybody else may."""
    admission = of(deny=("10.9.0.0/16",))
    assert admission.refusal("192.0.2.1", 0.0) is None


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "10.0.0.0/33", "somewhere", ""])
def test_a_network_that_is_none_is_an_error(wrong: str) -> None:
    """10.0.0.1/8 too: one of its two halves is not what the user meant."""
    with pytest.raises(ConfigurationError, match="is not a network"):
        ListenerOptions(deny=(wrong,))


def test_connections_of_an_address() -> None:
    """Each address has its own number, and gets a place back when one of its connections is gone."""
    admission = of(max_per_address=2)
    assert [admission.refusal("10.0.0.1", 0.0) for _ in range(3)] == [None, None, "max_per_address"]
    assert admission.refusal("10.0.0.2", 0.0) is None
    admission.left("10.0.0.1")
    assert [admission.refusal("10.0.0.1", 0.0) for _ in range(2)] == [None, "max_per_address"]


def test_an_ipv6_customer_is_one_address() -> None:
    """A /64 is the smallest part that one customer gets; its 2^64 addresses are one."""
    admission = of(max_per_address=1)
    assert admission.refusal("2001:db8:0:1::1", 0.0) is None
    assert admission.refusal("2001:db8:0:1:ffff::9", 0.0) == "max_per_address"
    assert admission.refusal("2001:db8:0:2::1", 0.0) is None


def test_addresses_that_left_are_forgotten() -> None:
    """Nothing grows with the number of addresses that were ever seen."""
    admission = of(max_per_address=1)
    for number in range(100):
        assert admission.refusal(f"10.0.0.{number}", 0.0) is None
    assert len(admission) == 100
    for number in range(100):
        admission.left(f"10.0.0.{number}")
    admission.left("unix")
    assert len(admission) == 0


def test_connects_of_an_address() -> None:
    """As many at once as in a second, then the rate; a refused one takes no place."""
    admission = of(connect_rate=2.0, max_per_address=10)
    assert [admission.refusal("10.0.0.1", 0.0) for _ in range(3)] == [None, None, "connect_rate"]
    assert admission.refusal("10.0.0.2", 0.0) is None
    assert admission.refusal("10.0.0.1", 0.5) is None


def test_the_memory_of_rates_is_bounded() -> None:
    """A peer with very many addresses pushes others out of the table; it does not make it grow."""
    admission = Admission(Networks((), ()), max_per_address=0, connect_rate=1.0)
    table = admission._rate
    assert isinstance(table, BucketTable)
    for number in range(MOST_ADDRESSES + 10):
        admission.refusal(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(table) == MOST_ADDRESSES


class TestAtWork:
    """Through a listener's socket."""

    pytestmark = pytest.mark.anyio

    async def test_a_refused_device_is_reset_and_counted(self) -> None:
        """Nothing is said to it, the others stay, and its socket is given back."""
        async with serving(recording(), max_per_address=1) as server:
            first, _ = await server.connected()
            second = await server.connect()
            assert await second.receive_all() == b""
            (event,) = server.events.of(ConnectionRefused)
            assert (event.reason, event.listener) == ("max_per_address", server.listener.name)
            assert event.peer.startswith("127.0.0.1:")
            assert server.registry.sockets == 1
            first.close()
            await eventually(lambda: server.is_empty)
            await server.connected()
            assert len(server.events.of(ConnectionOpened)) == 2

    async def test_a_flood_of_one_address_leaves_nothing(self) -> None:
        """Refused sockets are closed and not counted as open; the honest device goes on."""
        async with serving(recording(), deny=("127.0.0.0/8",)) as server:
            for _ in range(300):
                device = await server.connect()
                await device.receive_all()
            assert len(server.events.of(ConnectionRefused)) == 300
            assert server.is_empty


def test_connections_in_all() -> None:
    """Whoever is there stays, also those without an address; the next takes the place of who left."""
    admission = Admission(Networks((), ()), max_connections=2, max_per_address=0)
    assert [admission.refusal(one, 0.0) for one in ("10.0.0.1", "unix", "10.0.0.2")] == [None, None, "max_connections"]
    assert admission.would_refuse("10.0.0.2") == "max_connections"
    admission.left("unix")
    assert admission.would_refuse("10.0.0.2") is None
    assert admission.refusal("10.0.0.2", 0.0) is None
    assert admission.connections == 2


def test_a_question_takes_no_place() -> None:
    """It is asked before the answer to a request begins; the place is taken when the stream does."""
    admission = Admission(Networks((), ()), max_per_address=1)
    assert [admission.would_refuse("10.0.0.1") for _ in range(3)] == [None] * 3
    assert admission.refusal("10.0.0.1", 0.0) is None
    assert [admission.would_refuse(one) for one in ("10.0.0.1", "10.0.0.2", "unix")] == ["max_per_address", None, None]


def test_proxies_count_in_all_only() -> None:
    """One address speaks for thousands."""
    admission = Admission(
        Networks((), ("10.0.0.0/8",)), max_connections=3, max_per_address=1, connect_rate=1, proxies=("10.0.0.0/8",)
    )
    assert [admission.refusal("10.0.0.1", 0.0) for _ in range(4)] == [None, None, None, "max_connections"]
    for _ in range(3):
        admission.left("10.0.0.1")
    assert (admission.connections, len(admission)) == (0, 0)


def test_subscribers_have_nine_tenths_of_the_sockets() -> None:
    """What is left answers requests; written numbers count as they are."""
    assert subscriber_admission(HttpOptions(max_connections=100), 1024)._most_in_all == 90
    assert subscriber_admission(HttpOptions(max_connections=1), 1024)._most_in_all == 1
    assert subscriber_admission(HttpOptions(max_subscribers=7), 1024)._most_in_all == 7
    of_one = subscriber_admission(HttpOptions(max_subscribers_per_address=1), 1024)
    reasons = [of_one.refusal("10.0.0.1", 0.0) for _ in range(2)]
    assert reasons == [None, "max_per_address"]
    assert [too_many("max_connections"), too_many("max_per_address")] == [
        "max_subscribers",
        "max_subscribers_per_address",
    ]
