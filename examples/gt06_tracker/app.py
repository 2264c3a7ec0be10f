"""The application: ``uvicorn gt06_tracker.app:app``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from . import database, views
from .listener import gateway


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with database.opened():
        yield


app = FastAPI(title="Trackers", lifespan=lifespan)
app.include_router(gateway, prefix="/portcast")
app.include_router(views.router)


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    return FileResponse(Path(__file__).with_name("page.html"))
