"""A binary tracker: length-prefixed frames with a CRC, decoded with `struct`, acknowledged after success.

```
+------------+----------+------------+--------+-------------------------------------+
| length (2) | type (1) | serial (2) | body   | CRC-16/X-25 (2, low byte first)     |
+------------+----------+------------+--------+-------------------------------------+
  big-endian, of what follows                   of all before it

type 1  login     body: IMEI, 8 bytes, two decimal digits each
type 2  position  body: latitude and longitude, 4 bytes each, signed, in 1e-7 degrees
```

```sh
uvicorn examples.binary_tracker:app
```
"""

import struct

from fastapi import FastAPI

from portcast import ChecksumFraming, Connection, Gateway, LengthFieldFraming

FRAMING = ChecksumFraming(LengthFieldFraming(length_field_length=2, max_frame=1024), "crc16_x25", on_mismatch="discard")
"""The length field says how much follows it, so a whole frame is two bytes longer; the header stays in the frame."""

LOGIN, POSITION = 1, 2

gateway = Gateway()


@gateway.listen("tcp://127.0.0.1:8001", framing=FRAMING, first_frame_timeout=10)
async def on_packet(packet: bytes, connection: Connection) -> None:
    """Called once per frame that passed its check; the CRC is cut off already."""
    kind, serial = struct.unpack_from(">BH", packet, 2)
    if kind == LOGIN:
        connection.state["imei"] = packet[5:13].hex().lstrip("0")
    elif kind == POSITION and "imei" in connection.state:
        latitude, longitude = struct.unpack_from(">ii", packet, 5)
        position = {"lat": latitude / 1e7, "lon": longitude / 1e7}
        await gateway.publish(f"trackers/{connection.state['imei']}", position)
    else:
        connection.close()
        return
    await connection.send(struct.pack(">HBH", 5, kind, serial))


app = FastAPI(title="Trackers")
app.include_router(gateway)
