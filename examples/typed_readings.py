r"""Sensors that send JSON lines, checked by a Pydantic model, kept per sensor and readable over HTTP.

```sh
uvicorn examples.typed_readings:app
printf '{"sensor": "boiler-1", "celsius": 81.5}\n' | nc -q1 127.0.0.1 8001
curl http://127.0.0.1:8000/readings/boiler-1
```
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field

from portcast import Connection, Gateway, LineFraming


class Reading(BaseModel):
    """One line of a sensor."""

    sensor: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    celsius: float = Field(ge=-90, le=1000)


class Ledger:
    """Stands for a database session: opened for each message, closed after it."""

    def __init__(self) -> None:
        self.rows: list[Reading] = []


async def get_ledger() -> AsyncIterator[Ledger]:
    """Open a session; whatever the handler raises is seen here, so that a real one could roll back."""
    ledger = Ledger()
    try:
        yield ledger
    finally:
        ledger.rows.clear()


gateway = Gateway()


@gateway.listen("tcp://127.0.0.1:8001", framing=LineFraming(max_frame=1024))
async def on_reading(reading: Reading, connection: Connection, ledger: Annotated[Ledger, Depends(get_ledger)]) -> None:
    """Called once per line, in order. A line that is no Reading costs that line."""
    ledger.rows.append(reading)
    connection.state["sensor"] = reading.sensor
    gateway.store.set(f"latest/{reading.sensor}", reading)
    await gateway.store.update("count", lambda count: count + 1, default=0)
    await gateway.publish(f"sensors/{reading.sensor}", reading)


app = FastAPI(title="Typed readings")
app.include_router(gateway)


@app.get("/readings/{sensor}")
async def latest(sensor: str) -> Reading:
    """Return what a TCP handler stored a moment ago: same loop, same store."""
    reading = gateway.store.get(f"latest/{sensor}")
    if not isinstance(reading, Reading):
        raise HTTPException(404, "nothing received from this sensor yet")
    return reading
