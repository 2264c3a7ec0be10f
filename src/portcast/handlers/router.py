"""Declares listeners, in one file or in many: `DeviceRouter` collects what `Gateway` starts.

It is to device ports what `fastapi.APIRouter` is to paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from portcast.codecs import Codec
from portcast.errors import ConfigurationError, TopicError
from portcast.framing import Framing
from portcast.handlers.declared import Declaration, DeclaredListener, Identify, identified_by
from portcast.handlers.device_options import split_options
from portcast.listen_url import ListenerConfig, listener_from_url
from portcast.runtime import Authenticate
from portcast.topics import validate_topic


class DeviceRouter:
    """A group of listeners, for apps that spread their handlers over files.

    ```python
    scales = DeviceRouter(topic_prefix="scales/")

    @scales.listen("tcp://0.0.0.0:8001")
    async def on_weight(weight: Weight, connection: Connection): ...

    gateway.include_devices(scales)
    ```
    """

    def __init__(self, *, topic_prefix: str = "") -> None:
        """Make an empty group.

        Args:
            topic_prefix: put before the topic of each relay in the group; handlers name their topics in full.

        Raises:
            ConfigurationError: no topic can begin so.
        """
        _check_topic(f"{topic_prefix}x", f"topic_prefix {topic_prefix!r}")
        self.topic_prefix = topic_prefix
        self.declarations: list[Declaration] = []

    def listen(
        self,
        url: str,
        *,
        framing: Framing | None = None,
        codec: Codec[Any] | None = None,
        message: object = None,
        name: str | None = None,
        authenticate: Authenticate | None = None,
        **options: object,
    ) -> DeclaredListener:
        """Declare a listener whose frames go to the decorated function, which stays as it is.

        The decorator may be kept: see `DeclaredListener` for several handlers and for hooks.

        Args:
            url: ``tcp://HOST:PORT``, ``unix:///PATH`` or a port, with options as ``?key=value``.
            framing: how frames lie in the stream; lines unless the URL says otherwise.
            codec: how frames become messages; chosen by the annotation of the handler, or by ``message``, if None.
            message: the models that have handlers of their own, as a union with a discriminator; None: one handler
                gets all.
            name: names the listener in logs and the API; its address if None.
            authenticate: takes the connection and its first frame, and says who is let in, at once or as an awaitable:
                True, ``"login"`` if the frame was nothing else, or False. Nothing else runs before.
            **options: fields of `portcast.config.ListenerOptions` and of `portcast.DeviceProtocol`.

        Raises:
            ConfigurationError: the URL or an option cannot work, or nothing says of which model a message is.
        """
        protocol, rest = split_options(options)
        config = listener_from_url(url, framing=framing, name=name, options=rest)
        draft = Declaration(config, None, codec, protocol=protocol, message=message, authenticate=authenticate)
        return DeclaredListener(self.declarations, draft)

    def identify(self, handler: Callable[..., Any]) -> Callable[[Identify], Identify]:
        """Declare the decorated function as ``identify=`` of all listeners of a handler.

        ```python
        @scales.identify(on_weight)
        def serial_number(weight: Weight) -> str | None:
            return weight.serial
        ```

        Raises:
            ConfigurationError: the group has no listener with this handler.
        """
        indexes = [index for index, one in enumerate(self.declarations) if handler in one.functions]
        if not indexes:
            raise ConfigurationError(f"identify({handler!r})", "no listener has this handler", "declare it first")

        def declare(function: Identify) -> Identify:
            for index in indexes:
                self.declarations[index] = identified_by(self.declarations[index], function)
            return function

        return declare

    def relay(
        self,
        url: str,
        *,
        topic: str | None = None,
        framing: Framing | None = None,
        name: str | None = None,
        authenticate: Authenticate | None = None,
        **options: object,
    ) -> None:
        """Declare a listener whose frames go straight to a topic.

        Args:
            url: as for `listen`.
            topic: where to publish; ``tcp/<port>`` if neither this nor the URL says so.
            framing: as for `listen`.
            name: as for `listen`.
            authenticate: as for `listen`.
            **options: fields of `portcast.config.ListenerOptions` and `portcast.config.TopicOptions`.

        Raises:
            ConfigurationError: the URL or an option cannot work.
        """
        config = listener_from_url(url, framing=framing, topic=topic, name=name, options=options)
        self.add(config, authenticate)

    def add(self, config: ListenerConfig, authenticate: Authenticate | None = None) -> None:
        """Declare a relay that is configured already, as from a file.

        Raises:
            ConfigurationError: its topic cannot stand behind the group's prefix.
        """
        self.declarations.append(Declaration(self._prefixed(config), None, None, authenticate=authenticate))

    def include(self, other: DeviceRouter) -> None:
        """Add the listeners of another group, as they are now, with this group's prefix before theirs.

        Raises:
            ConfigurationError: a topic cannot stand behind the group's prefix, or ``other`` is this group.
        """
        if other is self:
            raise ConfigurationError("DeviceRouter", "it includes itself", "include each group once")
        for one in other.declarations:
            config = self._prefixed(one.config) if one.function is None else one.config
            self.declarations.append(replace(one, config=config))

    def _prefixed(self, config: ListenerConfig) -> ListenerConfig:
        if not self.topic_prefix:
            return config
        topic = self.topic_prefix + config.topic
        _check_topic(topic, f"listener {config.address}: topic")
        return replace(config, topic=topic)


def _check_topic(topic: str, key: str) -> None:
    try:
        validate_topic(topic)
    except TopicError as error:
        raise ConfigurationError(key, error.problem) from error
