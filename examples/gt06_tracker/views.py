"""What the page and other programs ask for over HTTP."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from portcast import CommandFailed, CommandQueueFull, DeviceUnknown

from . import database
from .listener import gateway, is_online
from .messages import Answer, OnlineAnswer

router = APIRouter()


class PlaceView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    at: int
    serial: int
    latitude: float
    longitude: float
    speed: int
    course: int
    alarm: str | None


class TrackerView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    imei: str
    battery: int | None
    signal: int | None
    ignition: bool | None
    is_fuel_cut: bool | None
    is_online: bool = False
    place: PlaceView | None = None


@router.get("/trackers")
async def trackers() -> list[TrackerView]:
    found = []
    for tracker, place in await database.reading(database.trackers):
        view = TrackerView.model_validate(tracker)
        view.is_online = is_online(tracker.imei)
        view.place = PlaceView.model_validate(place) if place else None
        found.append(view)
    return found


@router.get("/trackers/{imei}/track")
async def track(imei: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 500) -> list[PlaceView]:
    return [PlaceView.model_validate(place) for place in await database.reading(database.track, imei, limit)]


class Order(BaseModel):
    text: str = Field(pattern=r"^[ -~]{1,200}$")


class Outcome(BaseModel):
    state: str
    text: str


@router.post("/trackers/{imei}/commands")
async def command(imei: str, order: Order) -> Outcome:
    try:
        answer: Answer | OnlineAnswer = await gateway.device(imei).request(order.text, timeout=15)
    except DeviceUnknown as error:
        raise HTTPException(404, "no tracker with this IMEI has come yet") from error
    except CommandQueueFull as error:
        raise HTTPException(429, "too many commands wait for this tracker") from error
    except CommandFailed as error:
        said = error.answer.text if isinstance(error.answer, Answer | OnlineAnswer) else ""
        return Outcome(state=error.state, text=said)
    return Outcome(state="answered", text=answer.text)
