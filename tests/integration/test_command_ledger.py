"""A ledger of commands, over the whole way: a user's `request` to a device's bytes and back.

Twenty devices in memory answer, or do it twice, late, with another's id, never; their connections are cut, in the midst
of frames too, and made anew, sometimes while the old one is still there; commands are queued, displaced, cancelled,
expire and time out, on a manual clock. Each must have one outcome, and reach its device at most once.

``make ledger`` runs 100 000 commands. ``PORTCAST_SEED`` says which run; it is shown when one fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from portcast import CommandFailed, CommandOptions, CommandQueueFull, DeviceSettings, Gateway, by_field
from portcast.devices import CommandState
from portcast.testing import ManualClock, TestDevice, in_memory

pytestmark = pytest.mark.anyio

COMMANDS = int(os.environ.get("PORTCAST_COMMANDS", "10000"))
SEED = int(os.environ.get("PORTCAST_SEED", "5"))
DEVICES = 20


class Tracker:
    """A device, with the connection that it has now."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger = ledger
        self.name = name
        self.link: TestDevice | None = None
        self._links: list[TestDevice] = []
        self._later: list[bytes] = []
        self._turns_away = 0

    def connect(self) -> None:
        self.link = TestDevice(self.ledger.gateway)
        self._links.append(self.link)
        self.link.send_nowait(self._message(self.name))

    def act(self) -> None:
        chance = self.ledger.chance
        if self._turns_away > 0:  # what is asked meanwhile is queued
            self._turns_away -= 1
            return
        if self.link is None or chance.random() < 0.01:  # the second: anew, while the old one is still there
            if self.link is None or self.link._line().is_lost or chance.random() < 0.5:
                self.connect()
            return
        line = self.link._line()
        data = b""
        if chance.random() < 0.1:
            data = b"".join(self._later)
            self._later.clear()
        for number in self._read(self.link):
            data += self._answers(number)
        if line.is_lost or line.is_closing():
            self.link = None
        elif chance.random() < 0.05:
            self.link.send_nowait(data[: len(data) // 2])  # in the midst of a frame
            line.break_off()
            self.link = None
            self._turns_away = chance.randrange(4)
        elif data:
            self.link.send_nowait(data, split=chance.randrange(1 << 30))

    def read_the_rest(self) -> None:
        """Look at all that ever came, on connections that are forgotten, too."""
        for link in self._links:
            self._read(link)

    def _read(self, link: TestDevice) -> list[int]:
        """Note which commands came; return their numbers."""
        received = link._line().received
        frames = [frame.partition(b" ") for frame in bytes(received).splitlines()]
        received.clear()
        self.ledger.written.update(int(command) for _, _, command in frames)
        return [int(number) for number, _, _ in frames]

    def _answers(self, number: int) -> bytes:
        kind = self.ledger.chance.random()
        answer = self._message(self.name, number, "no" if kind < 0.1 else "ok")
        if kind < 0.75:
            return answer
        if kind < 0.82:
            return answer * 2
        if kind < 0.9:
            self._later.append(answer)
        elif kind < 0.91:
            return self._message(self.ledger.chance.choice(self.ledger.trackers).name, number)
        return b""

    def _message(self, name: str, number: int | None = None, text: str = "") -> bytes:
        return json.dumps({"id": name, "re": number, "text": text}).encode() + b"\n"


class Ledger:
    """What was asked, what became of it, and what the devices got."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        names = [f"d{number}" for number in range(DEVICES)]
        self.gateway = Gateway(
            devices=DeviceSettings(
                commands=CommandOptions(timeout_s=2, settle_s=1, max_queued=4, max_ended=1000),
                known={name: {} for name in names},
            )
        )
        self.trackers = [Tracker(self, name) for name in names]
        self.outcomes: dict[int, str] = {}
        self.written: Counter[int] = Counter()
        self.idempotent: set[int] = set()
        self.cancelled: list[int] = []
        self.ends: Counter[str] = Counter()
        self.tasks: dict[int, asyncio.Task[None]] = {}

        @self.gateway.listen(
            "tcp://127.0.0.1:9001",
            identify=lambda message: message["id"],
            replies=by_field("re", refused=lambda message: message["text"] == "no"),
            write=lambda value, number: b"%d %d" % (number, value),
        )
        async def on_message(message: dict[str, object]) -> None: ...

    def watch(self) -> None:
        """Note the ends that are published, and what was cancelled."""
        commands = self.gateway.node.devices.commands
        publish = commands._publish

        def note(topic: str, payloads: Sequence[bytes]) -> object:
            for change in map(json.loads, payloads):
                if change["is_end"]:
                    self.ends[change["id"]] += 1
                if change["state"] == "cancelled":
                    self.cancelled.append(change["command"])
            return publish(topic, payloads)

        commands._publish = note

    def submit(self, number: int) -> None:
        self.tasks[number] = asyncio.ensure_future(self._ask(number))
        if self.chance.random() < 0.2:
            victim = self.tasks.get(self.chance.randint(max(1, number - 40), number))
            if victim is not None:
                victim.cancel()

    async def _ask(self, number: int) -> None:
        device = self.gateway.device(self.chance.choice(self.trackers).name)
        lifetime = self.chance.choice([0, 1, 4, None])
        is_idempotent = self.chance.random() < 0.3
        if is_idempotent:
            self.idempotent.add(number)
        key = "set point" if self.chance.random() < 0.2 else ""
        outcome = "never began"
        try:
            if self.chance.random() < 0.1:
                change = await device.send(number, lifetime=lifetime)
                outcome = f"sent: {change.state.value}"
            else:
                await device.request(number, lifetime=lifetime, idempotent=is_idempotent, deduplication=key)
                outcome = "answered"
        except CommandFailed as error:
            outcome = error.state
        except CommandQueueFull:
            outcome = "full"
        except asyncio.CancelledError:
            outcome = "left"
        finally:
            assert number not in self.outcomes, "two outcomes"
            self.outcomes[number] = outcome
            del self.tasks[number]


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.timeout(20 + COMMANDS // 1000)
async def test_each_command_has_one_outcome_and_is_written_once() -> None:
    """Whatever devices, networks and callers do."""
    ledger, clock = Ledger(SEED), ManualClock()
    async with in_memory(ledger.gateway, clock=clock):
        ledger.watch()
        number = 0
        while number < COMMANDS:
            for _ in range(25):
                number += 1
                ledger.submit(number)
            await _turns(3)
            for tracker in ledger.trackers:
                tracker.act()
            await _turns(3)
            clock.advance(ledger.chance.choice([0.05, 0.1, 0.2]))
        for _ in range(60):  # nobody answers any more, and every deadline passes
            clock.advance(2)
            await _turns(3)
        # A task that is cancelled before its first step never runs; nothing was asked then.
        cancelled_early = sum(task.cancelled() for task in ledger.tasks.values())
        assert len(ledger.outcomes) + cancelled_early == number, f"without an outcome, PORTCAST_SEED={SEED}"
        desk = ledger.gateway.node.devices.commands
    commands = desk.statistics()  # what a device is sent within a day ends with the node
    assert set(ledger.ends.values()) == {1}, f"an end came twice, PORTCAST_SEED={SEED}"
    for tracker in ledger.trackers:
        tracker.read_the_rest()
    doubled = [one for one, times in ledger.written.items() if times > 1 and one not in ledger.idempotent]
    assert doubled == [], f"written twice, PORTCAST_SEED={SEED}"
    assert not [one for one in ledger.cancelled if ledger.written[one]], f"cancelled, and written, PORTCAST_SEED={SEED}"
    assert commands.submitted == len(ledger.ends) == sum(commands.ended.values()), f"PORTCAST_SEED={SEED}"
    outcomes = Counter(ledger.outcomes.values())
    assert outcomes.keys() >= {
        "answered", "refused", "timed_out", "unknown", "expired", "displaced", "full", "left", "sent: delivered"
    }  # fmt: skip
    assert commands.ended[CommandState.CANCELLED] > 0
    assert min(commands.late, commands.doubled, commands.foreign, commands.rewritten) > 0
    for one, outcome in ledger.outcomes.items():
        if outcome in ("expired", "displaced", "full", "sent: expired"):
            assert ledger.written[one] == 0, f"{outcome}, and written all the same, PORTCAST_SEED={SEED}"
    print(f"{number} commands: {dict(outcomes)}, {sum(ledger.written.values())} written, {commands}")
