from __future__ import annotations

import resource
import sys

import pytest

from portcast.runtime.limits import (
    LEAST_PENDING,
    MOST_PENDING,
    connection_budget,
    http_budget,
    http_connections,
    most_pending,
    raise_descriptor_limit,
    subscriber_budget,
)


@pytest.mark.parametrize(
    ("descriptors", "wanted", "budget"),
    [
        pytest.param(1 << 20, 0, 10_000, id="plenty"),
        pytest.param(8192, 0, 6297, id="80 % less the reserve"),
        pytest.param(1024, 0, 563, id="usual soft limit"),
        pytest.param(256, 0, 64, id="few: a quarter"),
        pytest.param(128, 0, 32, id="very few"),
        pytest.param(40, 0, 16, id="hardly any"),
        pytest.param(1 << 20, 20_000, 20_000, id="wanted more than automatic"),
        pytest.param(1024, 5000, 563, id="wanted more than possible"),
        pytest.param(1024, 5, 5, id="wanted fewer"),
    ],
)
def test_the_budget_follows_from_the_descriptors(descriptors: int, wanted: int, budget: int) -> None:
    """min(10 000, 80 % of the descriptors - 256) unless the user says otherwise, within what is possible."""
    assert connection_budget(descriptors, wanted) == budget


@pytest.mark.parametrize(
    ("descriptors", "http", "own"), [(8192, 1831, 64), (1024, 397, 64), (128, 64, 32), (64, 16, 32), (20, 8, -4)]
)
def test_some_descriptors_are_for_nobody(descriptors: int, http: int, own: int) -> None:
    """For logs, health checks and state files, whatever devices and clients there are."""
    devices = connection_budget(descriptors)
    assert http_budget(descriptors, devices) == http
    assert descriptors - devices - http == own


class FakeResource:
    """A process with limits of its own, so that a test does not change those of all tests."""

    RLIMIT_NOFILE = 7
    RLIM_INFINITY = -1

    def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
        self.now = (soft, hard)
        self._refuses = refuses

    def getrlimit(self, which: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, which: int, value: tuple[int, int]) -> None:
        if self._refuses:
            raise ValueError("not allowed to raise maximum limit")
        self.now = value


@pytest.mark.parametrize(
    ("soft", "hard", "refuses", "result"),
    [
        pytest.param(1024, 4096, False, 4096, id="raised"),
        pytest.param(4096, 4096, False, 4096, id="is raised already"),
        pytest.param(256, -1, True, 256, id="refused, as on macOS"),
        pytest.param(256, -1, False, 1 << 20, id="no limit"),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, refuses: bool, result: int
) -> None:
    """What the system allows is used without asking the user."""
    fake = FakeResource(soft, hard, refuses=refuses)
    monkeypatch.setitem(sys.modules, "resource", fake)
    assert raise_descriptor_limit() == result
    assert fake.now[0] in (soft, hard)


def test_a_system_without_such_a_limit_gets_a_cautious_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no such limit to ask for."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert raise_descriptor_limit() == 8192


def test_the_limit_of_this_process() -> None:
    """The real call works, and a second one changes nothing."""
    first = raise_descriptor_limit()
    assert raise_descriptor_limit() == first
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] in (first, resource.RLIM_INFINITY)


@pytest.mark.parametrize(("descriptors", "most"), [(1 << 20, MOST_PENDING), (1024, 128), (256, LEAST_PENDING)])
def test_few_descriptors_allow_few(descriptors: int, most: int) -> None:
    """What is pending must not use up what health checks need."""
    assert most_pending(descriptors) == most


@pytest.mark.parametrize(("descriptors", "most"), [(64, 16), (1024, 397), (20_000, 4192), (1_048_576, 10_000)])
def test_http_has_what_devices_can_never_use(descriptors: int, most: int) -> None:
    """However many devices a user allows; and some are left for files."""
    assert http_connections(descriptors) == most
    assert most + connection_budget(descriptors, descriptors) <= descriptors - 32
    assert http_connections(descriptors, 7) == 7


def test_http_has_a_few_places_at_least() -> None:
    """Even where nothing is left."""
    assert http_budget(32, 30) == 8


def test_subscribers_have_one_place_at_least() -> None:
    """Nine of ten, rounded down."""
    assert [subscriber_budget(one) for one in (1, 10, 429)] == [1, 9, 386]
    assert subscriber_budget(10, 3) == 3
