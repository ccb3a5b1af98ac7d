"""All environments of this LocalStack: called from its threads, run in an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any, TypeVar

from patient_stack.lambda_processes.environment import Environment
from patient_stack.lambda_processes.guardian import Guardian
from patient_stack.lambda_processes.invocation import Answer, Invocation
from patient_stack.lambda_processes.settings import FunctionSettings

Result = TypeVar("Result")


class VersionRetired(Exception):
    """The version was updated or deleted, so nothing may be started for it any more."""


class Fleet:
    """Tracks every environment, so that none is left when its version or LocalStack ends."""

    def __init__(self) -> None:
        """Run the event loop in a thread of its own."""
        self._loop = asyncio.new_event_loop()
        self._guardian = Guardian()
        self._environments: defaultdict[str, set[Environment]] = defaultdict(set)
        self._retired_versions: set[str] = set()
        self._shut_down = False
        thread = threading.Thread(target=self._loop.run_forever, name="lambda-processes")
        thread.daemon = True
        thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the event loop, from a thread of LocalStack."""
        return self.begin(work).result()

    def begin(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Run a coroutine in the event loop, without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def start(self, version: str, settings: FunctionSettings) -> Environment:
        """Start an environment of the version; raises `VersionRetired`."""
        if self._shut_down or version in self._retired_versions:
            raise VersionRetired(f"{version} is shutting down")
        environment = Environment(settings, self._guardian)
        self._environments[version].add(environment)
        await environment.start()
        return environment

    async def invoke(
        self, version: str, environment: Environment, invocation: Invocation
    ) -> Answer:
        """Run one invocation; see `Environment.invoke`."""
        try:
            answer = await environment.invoke(invocation)
        finally:
            self._forget_if_ended(version, environment)
        if answer.rest is not None:
            answer.rest.add_done_callback(lambda _: self._forget_if_ended(version, environment))
        return answer

    async def stop(self, version: str, environment: Environment) -> None:
        """Stop one environment, as soon as its running invocation is finished."""
        await environment.stop()
        self._forget_if_ended(version, environment)

    async def retire(self, version: str) -> None:
        """Stop the version's remaining environments, including those being started."""
        self._retired_versions.add(version)
        for environment in list(self._environments[version]):
            await self.stop(version, environment)

    async def shut_down(self) -> None:
        """Kill everything, including running invocations."""
        self._shut_down = True
        everything = [one for some in self._environments.values() for one in some]
        await asyncio.gather(*(environment.kill() for environment in everything))

    def _forget_if_ended(self, version: str, environment: Environment) -> None:
        if environment.ended:
            self._environments[version].discard(environment)
        if not self._environments[version]:
            del self._environments[version]
