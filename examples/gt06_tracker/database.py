"""What is kept: trackers, and every position that they sent."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import ForeignKey, UniqueConstraint, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

P = ParamSpec("P")
T = TypeVar("T")

engine = create_engine(os.environ.get("GT06_DATABASE", "sqlite:///trackers.db"))
one_writer = CapacityLimiter(1)  # SQLite has one writer at a time; more would only wait in its way


@event.listens_for(engine, "connect")
def _on_connect(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")  # reading does not wait for writing
    connection.execute("PRAGMA foreign_keys = ON")


class Base(DeclarativeBase):
    pass


class Tracker(Base):
    __tablename__ = "trackers"

    imei: Mapped[str] = mapped_column(primary_key=True)
    battery: Mapped[int | None]
    signal: Mapped[int | None]
    ignition: Mapped[bool | None]
    is_fuel_cut: Mapped[bool | None]


class Place(Base):
    __tablename__ = "places"
    __table_args__ = (UniqueConstraint("imei", "at", "serial"),)  # what comes twice is kept once

    id: Mapped[int] = mapped_column(primary_key=True)
    imei: Mapped[str] = mapped_column(ForeignKey("trackers.imei"))
    at: Mapped[int]  # seconds since 1970, UTC
    serial: Mapped[int]
    latitude: Mapped[float]
    longitude: Mapped[float]
    speed: Mapped[int]
    course: Mapped[int]
    alarm: Mapped[str | None]


@contextmanager
def opened() -> Iterator[None]:
    """Make missing tables; close all connections at the end."""
    Base.metadata.create_all(engine)
    try:
        yield
    finally:
        engine.dispose()


async def reading(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that reads, in a thread: the event loop must not wait for a disk."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs))


async def writing(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that writes, in a thread, one at a time."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs), limiter=one_writer)


def save_tracker(imei: str, **facts: object) -> None:
    """Add a tracker, or note what has changed."""
    row = insert(Tracker).values(imei=imei, **facts)
    with Session(engine) as session, session.begin():
        if facts:
            session.execute(row.on_conflict_do_update(index_elements=["imei"], set_=facts))
        else:
            session.execute(row.on_conflict_do_nothing())


def save_place(imei: str, place: dict[str, Any]) -> None:
    """Keep a position, unless it is kept already."""
    with Session(engine) as session, session.begin():
        session.execute(insert(Place).values(imei=imei, **place).on_conflict_do_nothing())


def trackers() -> list[tuple[Tracker, Place | None]]:
    """Return all trackers by IMEI, each with its latest position."""
    latest = select(Place.id).where(Place.imei == Tracker.imei).order_by(Place.at.desc(), Place.id.desc()).limit(1)
    query = select(Tracker, Place).outerjoin(Place, Place.id == latest.correlate(Tracker).scalar_subquery())
    with Session(engine) as session:
        return [(tracker, place) for tracker, place in session.execute(query.order_by(Tracker.imei))]


def track(imei: str, limit: int) -> list[Place]:
    """Return the latest positions of a tracker, oldest first."""
    query = select(Place).where(Place.imei == imei).order_by(Place.at.desc(), Place.id.desc()).limit(limit)
    with Session(engine) as session:
        return list(session.scalars(query))[::-1]
