"""A map of moving trackers in plain SVG: their tracks survive a reload and a broken connection.

```sh
uvicorn examples.trackers_map:app               # then open http://127.0.0.1:8000
python examples/trackers_map.py                 # eight trackers that drive about, over TCP
```

A tracker sends a line of JSON per position, `{"tracker": "t-1", "x": 0.25, "y": 0.5}`, in units of the map. Each has a
topic with the history of its track. The page has no framework, and takes no map from elsewhere.
"""

import asyncio
import contextlib
import json
import math
import random
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from portcast import Gateway, LineFraming, TopicOptions

PAGE = Path(__file__).with_suffix(".html")


class Position(BaseModel):
    """Where a tracker is."""

    tracker: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)


gateway = Gateway(topics={"trackers/+": TopicOptions(history=200, history_age_s=3600)})


@gateway.listen("tcp://127.0.0.1:8001", framing=LineFraming(max_frame=1024))
async def on_position(position: Position) -> None:
    """Called once per line."""
    await gateway.publish(f"trackers/{position.tracker}", {"x": position.x, "y": position.y})


app = FastAPI(title="Trackers")
app.include_router(gateway, prefix="/portcast")


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page beside this file."""
    return FileResponse(PAGE)


async def drive(name: str, port: int, interval_s: float = 0.5) -> None:
    """Be one tracker: straight on, now and then in a curve, and back from the edge."""
    chance = random.Random(name)  # noqa: S311 - a drive, no secret
    x, y, course = chance.random(), chance.random(), chance.random() * math.tau
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        course += chance.gauss(0, 0.25)
        x, y = x + 0.012 * math.cos(course), y + 0.012 * math.sin(course)
        if not (0.02 < x < 0.98 and 0.02 < y < 0.98):
            x, y = min(max(x, 0.02), 0.98), min(max(y, 0.02), 0.98)
            course = math.atan2(0.5 - y, 0.5 - x)
        writer.write(json.dumps({"tracker": name, "x": round(x, 4), "y": round(y, 4)}).encode() + b"\n")
        await writer.drain()
        await asyncio.sleep(interval_s)


async def fleet(port: int = 8001, size: int = 8) -> None:
    """Be many."""
    await asyncio.gather(*(drive(f"t-{number}", port) for number in range(1, size + 1)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fleet())
