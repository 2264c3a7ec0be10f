"""A handler's session with devices: who speaks, is it an answer, did it come before, and what the device is told.

Around the user's handler, for each message, in this order::

    decode ─► identify ─► attach ─► quarantined? ─► an answer? ─► come before? ─► handler ─► ack
      │          │          │            │              │              │             │
    CodecError  CodecError  rejected   dropped      ends its        ack again      nack, and the
    costs the frame                                 command                        error goes on

An acknowledgement is sent when the handler and its dependencies are done, never before: what the server lost, the
device still has. Messages of a connection are handled one at a time, so acknowledgements keep their order.

Where the connection itself says who the device is (by its address, say), it is attached in `DeviceSession.open`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from portcast.devices import Delivery, RedeliveryWindow, validate_device_id
from portcast.errors import CodecError, ConnectionClosedError, DeviceIdError
from portcast.runtime.connection import Connection
from portcast.runtime.device import Device
from portcast.runtime.device_directory import DeviceDirectory
from portcast.runtime.device_protocol import DeviceProtocol, Identity
from portcast.runtime.session import Handler, Session
from portcast.runtime.session_wrapper import SessionWrapper
from portcast.types import DeviceId


class DeviceHandler:
    """A handler with a protocol; see `portcast.runtime.session.Handler`."""

    def __init__(
        self, handler: Handler, protocol: DeviceProtocol, directory: DeviceDirectory, *, needs_device: bool
    ) -> None:
        """Wrap a handler.

        Args:
            handler: the user's function, called once per message.
            protocol: what its listener says of devices.
            directory: who is there.
            needs_device: True if it cannot be called for a message that is nobody's.
        """
        self.name = handler.name
        self.is_per_connection = handler.is_per_connection
        self.identified_by = protocol.identified_by
        is_by_connection = self.identified_by == "connection"
        self.identity: Identity = "connection" if is_by_connection else protocol.identity
        self.needs_open = handler.needs_open or is_by_connection
        self.has_idle_hook = handler.has_idle_hook
        self.protocol = protocol
        self.directory = directory
        self.needs_device = needs_device
        self._handler = handler
        if protocol.identify is not None:
            directory.commands.speak(protocol)

    def session(self, connection: Connection) -> DeviceSession:
        """Return a fresh session for one connection."""
        return DeviceSession(self, self._handler.session(connection), connection)

    def take_answer(self, frame: bytes, connection: Connection) -> bool:
        """Return True if a frame was the answer of the connection's device to a command, which has ended then.

        For frames that come while a message before them is still being handled.
        """
        session = self.session(connection)
        try:
            message = session.decode(frame)
        except Exception:  # noqa: BLE001 - it goes the ordinary way, and is refused there
            return False
        device = connection.device
        if device is None or session.device_id != device.id:
            return False
        is_answer = self.directory.commands.answered(device, self.protocol, message)
        if is_answer:
            self.directory.heard(device, len(frame), connection.received_at)
        return is_answer


class DeviceSession(SessionWrapper):
    """See the theory on top of the module, and `portcast.runtime.session.Session` for the methods.

    It lives as long as the connection's task, which ends while the device is silent: what must outlive that is in the
    connection and in the directory.
    """

    __slots__ = (
        "_connection",
        "_directory",
        "_frame_bytes",
        "_handler",
        "_has_replies",
        "_identify",
        "_is_plain",
        "device_id",
    )

    def __init__(self, handler: DeviceHandler, session: Session, connection: Connection) -> None:
        super().__init__(session)
        protocol = handler.protocol
        self._handler = handler
        self._directory = handler.directory
        self._connection = connection
        self._has_replies = protocol.replies is not None
        self._identify = _identification(handler, connection)
        self._is_plain = not (protocol.ack or protocol.nack or protocol.redelivery_key)
        # Of the message that was decoded last, which is handled next.
        self.device_id: DeviceId | None = None
        self._frame_bytes = 0

    async def open(self) -> None:
        """Attach the device if its connection says who it is, then open the handler's session.

        If it is refused, the connection has ended, and nothing is opened.
        """
        protocol, connection = self._handler.protocol, self._connection
        if self._handler.identified_by != "connection" or protocol.identify is None:
            await self._session.open()
            return
        device_id = protocol.identify(connection)
        if device_id is None:
            await self._session.open()
        elif (device := await self._enter(device_id)) is not None:
            device.newcomer = asyncio.current_task()
            try:
                await self._session.open()
            finally:
                device.newcomer = None
            if connection in device.connections:
                self._directory.ready(device)

    async def _enter(self, device_id: str) -> Device | None:
        connection = self._connection
        try:
            valid = validate_device_id(device_id)
        except DeviceIdError as error:
            connection.end("rejected", str(error))
            return None
        return await self._directory.enter(connection, self._handler.protocol, valid)

    def decode(self, frame: bytes) -> object:
        """Return the message in one frame, and remember whose it is.

        Raises:
            CodecError: the codec refused the frame, it names a device by what is no id, or it names none and the
                handler asks for one.
        """
        message = self._session.decode(frame)
        self._frame_bytes = len(frame)
        handler = self._handler
        if self._identify is None:
            return message
        text = self._identify(message)
        device = self._connection.device
        if device is not None and (text == device.id or (text is None and handler.identity == "connection")):
            self.device_id = device.id
        elif text is not None:
            try:
                self.device_id = validate_device_id(text)
            except DeviceIdError as error:
                raise CodecError("identity", str(error)) from error
        elif handler.needs_device:
            raise CodecError("identity", f"the message names no device, and {handler.name} asks for one")
        else:
            self.device_id = None
        return message

    async def handle(self, message: object) -> object:
        """Handle one message as the theory says.

        Cancelled, the message is not acknowledged, and is handled again if the device sends it again.

        Raises:
            Exception: whatever the handler, a dependency or one of the protocol's functions raised.
        """
        device_id, connection = self.device_id, self._connection
        if device_id is None:
            connection.device = None
            return await self._work(message, None)
        device = connection.device
        if device is None or device.id != device_id or connection not in device.connections:
            return await self._handle_first(message, device_id)
        return await self._handle_of(message, device)

    async def _handle_first(self, message: object, device_id: DeviceId) -> object:
        """Handle a message of a device that was not the last to speak here."""
        connection, directory = self._connection, self._directory
        device = directory.attached(device_id, connection)
        if device is not None:
            return await self._handle_of(message, device)
        try:
            device = await directory.enter(connection, self._handler.protocol, device_id)
        except Exception as error:
            await self._say_no(message, error)
            raise
        if device is None:
            return None
        device.newcomer = asyncio.current_task()
        try:
            return await self._handle_of(message, device)
        finally:
            device.newcomer = None
            if connection in device.connections:
                directory.ready(device)

    async def _handle_of(self, message: object, device: Device) -> object:
        directory = self._directory
        directory.heard(device, self._frame_bytes, self._connection.received_at)
        if directory.is_quarantined(device):
            directory.dropped += 1
            return None
        if self._has_replies and directory.commands.answered(device, self._handler.protocol, message):
            return None
        if self._is_plain:
            return await self._session.handle(message)
        return await self._work(message, device)

    async def _work(self, message: object, device: Device | None) -> object:
        """Handle a message, unless it came before, and acknowledge it."""
        key_of = self._handler.protocol.redelivery_key
        if device is None or key_of is None or (key := key_of(message)) is None:
            result = await self._attempt(message)
            await self._acknowledge(message, result)
            return result
        window = self._directory.redelivery(device)
        delivery = window.begin(key, self._connection.received_at)
        if delivery is Delivery.IN_PROGRESS:
            # On another connection; if that one has ended, the device sends it once more.
            return None
        result = await self._attempt_once(message, window, key) if delivery is Delivery.NEW else None
        await self._acknowledge(message, result)
        return result

    async def _attempt_once(self, message: object, window: RedeliveryWindow, key: object) -> object:
        is_done = False
        try:
            result = await self._attempt(message)
            is_done = True
            return result
        finally:
            if is_done:
                window.succeeded(key, self._connection.received_at)
            else:
                window.failed(key)

    async def _attempt(self, message: object) -> object:
        try:
            return await self._session.handle(message)
        except Exception as error:
            await self._say_no(message, error)
            raise

    async def _say_no(self, message: object, error: Exception) -> None:
        nack = self._handler.protocol.nack
        if nack is not None and (frame := nack(message, error)) is not None:
            await self._send(frame)

    async def _acknowledge(self, message: object, result: object) -> None:
        ack = self._handler.protocol.ack
        if ack is not None and (frame := ack(message, result)) is not None:
            await self._send(frame)

    async def _send(self, frame: bytes) -> None:
        try:
            if not self._connection.send_nowait(frame):
                await self._connection.send(frame)
        except ConnectionClosedError:
            # The device is gone; it sends the message again if it cares.
            return


def _identification(handler: DeviceHandler, connection: Connection) -> Callable[[Any], str | None] | None:
    """Return what says whose a message is; None if nothing does."""
    identify = handler.protocol.identify
    if identify is None or handler.identified_by == "message":
        return identify
    if handler.identified_by == "connection":
        return _nobody
    both = identify
    return lambda message: both(message, connection)


def _nobody(message: object) -> None:
    return None
