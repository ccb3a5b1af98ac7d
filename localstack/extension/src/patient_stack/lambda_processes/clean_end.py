"""Lets LocalStack stop when told to, even with many functions and during invocations."""

from __future__ import annotations

import threading
from collections.abc import Callable

from localstack.runtime.shutdown import SHUTDOWN_HANDLERS
from localstack.services.lambda_.invocation import execution_environment
from localstack.services.plugins import ServiceContainer, ServiceStateException
from localstack.utils.patch import patch


class _DaemonTimer(threading.Timer):
    """A timer that does not keep the process alive.

    LocalStack ends idle environments after ten minutes with a timer, and has five seconds for
    stopping all functions at its end: with many of them, it would wait for those timers.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


def install() -> None:
    """Change what keeps LocalStack from stopping."""
    execution_environment.Timer = _DaemonTimer
    shutting_down = threading.Event()
    SHUTDOWN_HANDLERS.register(shutting_down.set)

    @patch(ServiceContainer.start)
    def start_unless_shutting_down(start: Callable[..., bool], self: ServiceContainer) -> bool:
        # A call that ends during the shutdown still reports its metrics. LocalStack would restart
        # CloudWatch for that, whose thread then keeps the process alive for ever.
        if shutting_down.is_set():
            self.errors.append(ServiceStateException("LocalStack is shutting down"))
            return False
        return start(self)
