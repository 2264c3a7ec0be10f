"""The tutorial's loop with the least change that makes it deliver whole messages: ``readline`` instead of ``read``.

This is what our servers have to be compared with when the question is what a *message* costs: the tutorial as written
delivers whatever a read happened to return, ten lines or half a one.
"""

from __future__ import annotations

import asyncio

from benchmarks.reading import Reading
from benchmarks.tutorial_app import HandleClient, manager

counted = 0
"""Messages handled by `validate_lines`."""


async def broadcast_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send every line to every browser."""
    try:
        while data := await reader.readline():
            await manager.broadcast(data.decode("utf-8").rstrip("\n"))
    except Exception as error:
        print(f"device: {error}", flush=True)
    finally:
        writer.close()


async def validate_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Validate every line with the model, and count it."""
    global counted
    try:
        while data := await reader.readline():
            Reading.model_validate_json(data)
            counted += 1
    except Exception as error:
        print(f"device: {error}", flush=True)
    finally:
        writer.close()


async def publish_readings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Validate every line and send the reading to every browser."""
    global counted
    try:
        while data := await reader.readline():
            reading = Reading.model_validate_json(data)
            await manager.broadcast(reading.model_dump_json())
            counted += 1
    except Exception as error:
        print(f"device: {error}", flush=True)
    finally:
        writer.close()


HANDLERS: dict[str, HandleClient] = {
    "lines": broadcast_lines,
    "typed": validate_lines,
    "typed-publish": publish_readings,
}
