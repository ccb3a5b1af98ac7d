"""The internal extensions of one process: who is registered, and who is still working."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LIMIT = 10

INVOKE = "INVOKE"

Event = dict[str, Any]


class Refused(Exception):
    """A request that the Extensions API refuses."""

    def __init__(self, error_type: str, message: str) -> None:
        """Keep AWS's name of the error, and the message."""
        super().__init__(message)
        self.error_type = error_type


@dataclass(eq=False)
class Extension:
    """A registered extension."""

    name: str
    events: frozenset[str]
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    initialized: bool = False
    """Whether it has asked for an event yet."""
    idle: bool = False
    """Whether it has asked for an event since it got the last one."""
    poll: asyncio.Future[Event] | None = None
    event: Event | None = None

    def hand_over(self) -> None:
        """Pass the event to the poll. If its connection is lost, the event stays for the next."""
        if self.event is not None and self.poll is not None and not self.poll.done():
            self.poll.set_result(self.event)
            self.event = self.poll = None


@dataclass(frozen=True)
class ExtensionError:
    """An error that an extension has reported before it ends."""

    phase: str
    """`Init` or `Exit`."""
    reason: str


class Extensions:
    """The extensions of one process, which may register until its initialization is over."""

    def __init__(self, on_idle: Callable[[], None], on_error: Callable[[], None]) -> None:
        """`on_idle` is called whenever an extension asks for an event, `on_error` for an error."""
        self.error: ExtensionError | None = None
        """The first error that was reported."""
        self._on_idle = on_idle
        self._on_error = on_error
        self._extensions: dict[str, Extension] = {}
        self._open = True

    def __iter__(self) -> Iterator[Extension]:
        """All extensions, in the order of their registration."""
        return iter(self._extensions.values())

    @property
    def idle(self) -> bool:
        """Whether none is working, nor still being initialized."""
        return all(extension.idle for extension in self)

    @property
    def take_part(self) -> bool:
        """Whether any of them gets the invocations."""
        return any(INVOKE in extension.events for extension in self)

    def register(self, name: str, events: list[str]) -> Extension:
        """Add an extension; raises `Refused`."""
        if not name:
            raise Refused("Extension.InvalidExtensionName", "Empty extension name")
        for event in events:
            if event == "SHUTDOWN":
                reason = "ShutdownEventNotSupportedForInternalExtension"
                raise Refused("Extension.InvalidEventType", f"{event}: {reason}")
            if event != INVOKE:
                raise Refused("Extension.InvalidEventType", f"{event}: ErrorInvalidEventType")
        if not self._open:
            message = "Extension registration closed already"
            raise Refused("Extension.RegistrationClosed", message)
        if len(self._extensions) >= LIMIT:
            message = f"Extension limit ({LIMIT}) reached"
            raise Refused("Extension.TooManyExtensions", message)
        if any(extension.name == name for extension in self):
            message = "Extension with this name already registered"
            raise Refused("Extension.InvalidExtensionState", message)
        extension = Extension(name, frozenset(events))
        self._extensions[extension.identifier] = extension
        return extension

    def close_registration(self) -> None:
        """Accept no further extensions."""
        self._open = False

    def poll(self, identifier: str) -> asyncio.Future[Event]:
        """Get the extension's next event: until then, it is idle. Raises `Refused`."""
        extension = self._find(identifier)
        if extension.poll is not None and not extension.poll.done():
            raise _wrong_state(extension, "Ready", "Ready")
        poll = extension.poll = asyncio.get_running_loop().create_future()
        extension.initialized = True
        extension.hand_over()
        if extension.poll is not None:
            extension.idle = True
            self._on_idle()
        return poll

    def invoke(self, event: Event) -> None:
        """Pass the event to every extension that gets the invocations."""
        for extension in self:
            if INVOKE in extension.events:
                extension.idle = False
                extension.event = event
                extension.hand_over()

    def fail_init(self, identifier: str, reason: str) -> None:
        """An extension cannot be initialized. Raises `Refused`."""
        extension = self._find(identifier)
        if extension.initialized:
            raise _wrong_state(extension, "Ready" if extension.idle else "Running", "InitError")
        self._fail(ExtensionError("Init", reason))

    def fail(self, identifier: str, reason: str) -> None:
        """An extension ends with an error. Raises `Refused`."""
        self._find(identifier)
        self._fail(ExtensionError("Exit", reason))

    def _fail(self, error: ExtensionError) -> None:
        self.error = self.error or error
        self._on_error()

    def _find(self, identifier: str) -> Extension:
        if not identifier:
            message = "Missing Lambda-Extension-Identifier header"
            raise Refused("Extension.MissingExtensionIdentifier", message)
        try:
            known = self._extensions.get(str(uuid.UUID(identifier)))
        except ValueError:
            message = "Invalid Lambda-Extension-Identifier"
            raise Refused("Extension.InvalidExtensionIdentifier", message) from None
        if known is None:
            message = f"Unknown extension {identifier}"
            raise Refused("Extension.UnknownExtensionIdentifier", message)
        return known


def _wrong_state(extension: Extension, current: str, wanted: str) -> Refused:
    message = f"State transition from {current} to {wanted} failed for extension "
    message += f"{extension.identifier}. Error: State transition is not allowed"
    return Refused("Extension.InvalidExtensionState", message)
