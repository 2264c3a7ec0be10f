r"""A page of your own with the JavaScript SDK: values of sensors live, and notes that everybody may write.

```sh
uvicorn examples.browser_sdk:app                # then open http://127.0.0.1:8000
printf '{"sensor": "boiler-1", "celsius": 81.5}\n' | nc -q1 127.0.0.1 8001
```

The SDK is served by the gateway itself; with a bundler it is `npm install centrifuge`. `python_client.py` beside
this file reads the same topics from Python.
"""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from portcast import ChannelPermissions, Gateway, LineFraming

PAGE = Path(__file__).with_suffix(".html")


class Reading(BaseModel):
    """One line of a sensor."""

    sensor: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    celsius: float = Field(ge=-90, le=1000)


gateway = Gateway(
    permissions={
        "notes": ChannelPermissions(subscribe="anyone", publish="anyone", history="anyone", join_leave=True),
        "sensors/#": ChannelPermissions(subscribe="anyone", history="anyone"),
    }
)


@gateway.listen("tcp://127.0.0.1:8001", framing=LineFraming())
async def on_reading(reading: Reading) -> None:
    """Called once per line; the topic is the channel that the page subscribes to."""
    await gateway.publish(f"sensors/{reading.sensor}", reading)


app = FastAPI(title="A page with the SDK")
app.include_router(gateway, prefix="/portcast")


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page beside this file."""
    return FileResponse(PAGE)
