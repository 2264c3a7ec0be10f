"""Trackers that log in, are acknowledged, and can be told things from a browser or a shell.

A line is one JSON object. The first one of a connection names the device; an answer repeats the number of its command::

    {"imei": "356938035643809"}                 login
    {"lat": 52.52, "lon": 13.405, "n": 7}       position, acknowledged with  ACK 7
    {"re": 1, "text": "OK"}                     the answer to the line  1 interval=10

```sh
uvicorn examples.tracker_commands:app
portcast command 356938035643809 interval=10
```
"""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from portcast import CommandFailed, Device, DeviceUnknown, Gateway, LineFraming, by_field


class Message(BaseModel):
    imei: str | None = None
    lat: float | None = None
    lon: float | None = None
    n: int | None = None
    re: int | None = None
    text: str = ""


gateway = Gateway()


@gateway.listen(
    "tcp://127.0.0.1:8001",
    framing=LineFraming(),
    identify=lambda message: message.imei,
    identity="connection",
    ack=lambda message, result: b"HELLO" if message.imei else b"ACK %d" % message.n if message.n else None,
    nack=lambda message, error: b"AGAIN %d" % message.n if message.n else None,
    redelivery_key=lambda message: message.n,
    replies=by_field("re", refused=lambda message: message.text != "OK"),
    write=lambda command, number: f"{number} {command}".encode(),
)
async def on_message(message: Message, device: Device) -> None:
    """Acknowledged when the position is published, and not before."""
    if message.lat is not None:
        await gateway.publish(f"trackers/{device.id}", {"lat": message.lat, "lon": message.lon})


app = FastAPI(title="Trackers with commands")
app.include_router(gateway)


@app.post("/trackers/{imei}/interval/{seconds}")
async def set_interval(imei: str, seconds: int) -> dict[str, str]:
    """An endpoint of the application's own; `/api/devices/{imei}/commands` is there without it."""
    try:
        answer: Message = await gateway.device(imei).request(f"interval={seconds}", timeout=5)
    except DeviceUnknown as error:
        raise HTTPException(404, str(error)) from error
    except CommandFailed as error:
        raise HTTPException(502, error.state) from error
    return {"said": answer.text}
