"""Trackers that drive about in Berlin and obey, for those who have none: ``python -m gt06_tracker.simulator``."""

import argparse
import asyncio
import contextlib
import math
import random
from datetime import UTC, datetime

from portcast.codecs import codec_for

from .framing import Gt06Framing
from .messages import Alarm, Answer, Cell, Command, Fix, Heartbeat, Login, Position, Status

FRAMING = Gt06Framing()
CODEC = codec_for(Command)
CELL = Cell(country=262, network=1, area=10365, id=8120)


class Car:
    def __init__(self, number: int) -> None:
        self.imei = f"35341353215{number:04}"
        self.chance = random.Random(number)  # noqa: S311 - a drive, no secret
        self.latitude = 52.515 + self.chance.uniform(-0.03, 0.03)
        self.longitude = 13.40 + self.chance.uniform(-0.05, 0.05)
        self.course = self.chance.uniform(0, 360)
        self.speed = 40.0
        self.is_fuel_cut = False
        self.serial = 0

    def move(self, seconds: float) -> None:
        aim = 0.0 if self.is_fuel_cut else self.chance.uniform(20, 70)
        self.speed = max(0.0, self.speed + max(-5 * seconds, min(3 * seconds, aim - self.speed)))
        self.course = (self.course + self.chance.gauss(0, 12)) % 360
        if math.hypot(self.latitude - 52.515, (self.longitude - 13.40) * 0.61) > 0.04:  # back to the centre
            self.course = math.degrees(math.atan2((13.40 - self.longitude) * 0.61, 52.515 - self.latitude)) % 360
        degrees = self.speed / 3.6 * seconds / 111_320
        self.latitude += degrees * math.cos(math.radians(self.course))
        self.longitude += degrees * math.sin(math.radians(self.course)) / 0.61

    def obey(self, text: str) -> str:
        word = text.split(",")[0].rstrip("#")
        if word == "DYD" and self.is_fuel_cut:
            return "Already in the state of fuel supply cut off,the command is not running!"
        if word == "HFYD" and not self.is_fuel_cut:
            return "Already in the state of fuel supply to resume,the command is not running!"
        if word in ("DYD", "HFYD"):
            self.is_fuel_cut = word == "DYD"
            return f"{word}=Success!"
        if word == "DWXX":
            return f"DWXX=Lat:N{self.latitude:.6f},Lon:E{self.longitude:.6f},Speed:{self.speed:.4f}"
        return f"{word}=Unknown command"

    def fix(self) -> Fix:
        now = datetime.now(UTC).replace(microsecond=0)
        return Fix(
            at=now,
            satellites=11,
            latitude=self.latitude,
            longitude=self.longitude,
            speed=round(self.speed),
            course=int(self.course),
        )

    def status(self, alarm: int = 0) -> Status:
        return Status(is_fuel_cut=self.is_fuel_cut, ignition=not self.is_fuel_cut, battery=5, signal=4, alarm=alarm)

    def next_serial(self) -> int:
        self.serial = self.serial % 0xFFFF + 1
        return self.serial


async def drive(car: Car, port: int, interval_s: float) -> None:
    """Be one tracker on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def send(message: Login | Position | Heartbeat | Alarm | Answer) -> None:
        writer.write(FRAMING.encode(message.to_bytes()))

    async def listen() -> None:
        decoder = FRAMING.decoder()
        while data := await reader.read(4096):
            for frame in decoder.feed(data):
                if frame[0] == 0x80:  # anything else acknowledges
                    command = CODEC.decode(frame)
                    send(Answer(flag=command.flag, text=car.obey(command.text), serial=car.next_serial()))
                    send(Heartbeat(status=car.status(), serial=car.next_serial()))
        raise ConnectionResetError

    async def tell() -> None:
        send(Login(imei=car.imei, serial=car.next_serial()))
        while True:
            send(Heartbeat(status=car.status(), serial=car.next_serial()))
            for _ in range(30):
                car.move(interval_s)
                if car.chance.random() < 0.002:
                    send(Alarm(fix=car.fix(), cell=CELL, status=car.status(alarm=1), serial=car.next_serial()))
                else:
                    send(Position(fix=car.fix(), cell=CELL, serial=car.next_serial()))
                await writer.drain()
                await asyncio.sleep(interval_s)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            group.create_task(tell())
    finally:
        writer.close()


async def keep_driving(car: Car, port: int, interval_s: float) -> None:
    """Connect again when the server goes away."""
    while True:
        with contextlib.suppress(OSError, ExceptionGroup):
            await drive(car, port, interval_s)
        await asyncio.sleep(2)


async def fleet(size: int = 8, port: int = 8001, interval_s: float = 1.0) -> None:
    """Be many."""
    await asyncio.gather(*(keep_driving(Car(number), port, interval_s) for number in range(1, size + 1)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two positions")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fleet(options.size, options.port, options.interval))
