"""Trackers come in here: they log in, are acknowledged, send where they are, and are commanded."""

from typing import Any

from portcast import ChannelPermissions, Device, DeviceUnknown, Gateway, by_field

from . import database
from .framing import Gt06Framing
from .messages import (
    ALARMS,
    Acknowledgement,
    Alarm,
    Answer,
    Command,
    Heartbeat,
    Login,
    Message,
    OnlineAnswer,
    Position,
)

SHOWN = ("#", "$devices/+/status")  # all that trackers say, and who is there
gateway = Gateway(permissions={topics: ChannelPermissions(subscribe="anyone") for topics in SHOWN})


def imei(message: Message) -> str | None:
    """Only the login says who it is; the rest of the connection is that tracker's."""
    return message.imei if isinstance(message, Login) else None


def acknowledge(message: Message, result: object) -> bytes | None:
    """Logins, heartbeats and alarms are acknowledged; a tracker that hears nothing sends them again."""
    if isinstance(message, Login | Heartbeat | Alarm):
        return Acknowledgement(protocol=message.protocol, serial=message.serial).to_bytes()
    return None


def same(message: Message) -> tuple[int, Any, int] | None:
    """What is equal in a position or an alarm that is sent again."""
    return (message.protocol, message.fix.at, message.serial) if isinstance(message, Position | Alarm) else None


def is_refusal(answer: Answer | OnlineAnswer) -> bool:
    """``DYD=Success!`` is a yes; ``DYD=Speed Limit, …`` and ``Already in the state …`` are not."""
    does = answer.text.startswith(("DYD=", "HFYD="))
    return "not running" in answer.text or (does and not answer.text.endswith("Success!"))


def write(command: str, number: int) -> bytes:
    """The flag is what the answer repeats."""
    return Command(flag=number, text=command, serial=number & 0xFFFF).to_bytes()


@gateway.listen(
    "tcp://127.0.0.1:8001",
    framing=Gt06Framing(),
    identify=imei,
    identity="connection",
    ack=acknowledge,
    redelivery_key=same,
    replies=by_field("flag", Answer, OnlineAnswer, refused=is_refusal, modulus=2**32),
    write=write,
)
async def on_message(message: Message, device: Device) -> None:
    """Called for each message of a tracker that has logged in; the acknowledgement waits for the database."""
    if isinstance(message, Login):
        await database.writing(database.save_tracker, device.id)
    elif isinstance(message, Heartbeat | Alarm):
        facts = message.status.model_dump(include={"battery", "signal", "ignition", "is_fuel_cut"})
        await database.writing(database.save_tracker, device.id, **facts)
        await gateway.publish(f"status/{device.id}", facts)
    if isinstance(message, Position | Alarm) and message.fix.is_valid:
        latitude, longitude = message.fix.place
        place = {
            "at": int(message.fix.at.timestamp()),
            "serial": message.serial,
            "latitude": latitude,
            "longitude": longitude,
            "speed": message.fix.speed,
            "course": message.fix.course,
            "alarm": ALARMS.get(message.status.alarm) if isinstance(message, Alarm) else None,
        }
        await database.writing(database.save_place, device.id, place)
        await gateway.publish(f"places/{device.id}", place)


def is_online(device_id: str) -> bool:
    """True while a tracker is connected."""
    try:
        return gateway.device(device_id).is_online
    except DeviceUnknown:  # not since this server was started
        return False
