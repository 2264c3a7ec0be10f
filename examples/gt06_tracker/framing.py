"""How GT06 packets lie in the stream of bytes.

::

    +-------+------------+----------+---------+------------+-----------+-------+
    | 78 78 | length (1) | protocol | content | serial (2) | check (2) | 0d 0a |
    | 79 79 | length (2) |   (1)    |         |            |           |       |
    +-------+------------+----------+---------+------------+-----------+-------+
                         |<- - - - - - length says how much - - - - ->|
            |<- - - - - - covered by the check - - - ->|
"""

from portcast import CodecError, CustomFraming, FramingError
from portcast.framing.check_values import crc16_x25


class Gt06Framing(CustomFraming):
    """Delivers packets from the protocol number to the serial number, and takes them like that."""

    max_frame = 2048

    def decode(self, buffer: bytearray) -> bytes | None:
        """Take one packet off the front; one whose check value is wrong is skipped, as the protocol says."""
        start, header = (b"\x79\x79", 4) if buffer[0] == 0x79 else (b"\x78\x78", 3)
        if not start.startswith(buffer[:2]):
            raise FramingError("78 78 or 79 79", len(buffer), buffer)
        if len(buffer) < header:
            return None
        end = header + int.from_bytes(buffer[2:header], "big")
        if end < header + 5:
            raise FramingError("a length of at least 5", len(buffer), buffer)
        if len(buffer) < end + 2:
            return None
        packet = bytes(buffer[: end + 2])
        if not packet.endswith(b"\r\n"):
            raise FramingError("0d 0a at the end", len(packet), packet)
        del buffer[: end + 2]
        check = int.from_bytes(packet[end - 2 : end], "big")
        return packet[header : end - 2] if crc16_x25(packet[2 : end - 2]) == check else None

    def encode(self, frame: bytes) -> bytes:
        """Put start, length, check value and end around a packet."""
        size = len(frame) + 2
        if size + 6 > self.max_frame:
            raise CodecError("gt06", f"a packet of {size} bytes is too long")
        start, width = (b"\x78\x78", 1) if size < 256 else (b"\x79\x79", 2)
        body = size.to_bytes(width, "big") + frame
        return start + body + crc16_x25(body).to_bytes(2, "big") + b"\r\n"
