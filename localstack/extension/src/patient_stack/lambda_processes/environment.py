"""An execution environment: processes one invocation after another, whatever its process does."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from patient_stack.lambda_processes import invocation as outcomes
from patient_stack.lambda_processes.guardian import Guardian
from patient_stack.lambda_processes.invocation import Invocation, Outcome
from patient_stack.lambda_processes.log import FunctionLog
from patient_stack.lambda_processes.process import FunctionProcess, NotStartable


@dataclass(frozen=True)
class FunctionSettings:
    """What an environment needs to know about its function. Times are in seconds, sizes in
    bytes.
    """

    code: Path
    version: str
    runtime: str
    memory_megabytes: int
    timeout: int
    init_timeout: int
    response_limit: int
    environment: Mapping[str, str]
    log_file: Path | None


class Environment:
    """One process at a time, restarted after a crash or a timeout.

    All methods must be called on the event loop's thread. LocalStack calls `invoke` for one
    invocation at a time, but may call `stop` at any moment.
    """

    def __init__(self, settings: FunctionSettings, guardian: Guardian) -> None:
        """Prepare; `start` runs the first process."""
        self._settings = settings
        self._guardian = guardian
        self._log = FunctionLog(settings.log_file)
        self._process: FunctionProcess | None = None
        self._busy = False
        self._stopped = False

    @property
    def ended(self) -> bool:
        """Whether it was stopped and no invocation is running any more."""
        return self._stopped and not self._busy

    async def start(self) -> None:
        """Start the first process, without waiting until it is initialized."""
        try:
            await self._start_process()
        except NotStartable:
            # Only an invocation has a response and a log to report this in; it will try again.
            return
        if self._stopped:
            await self.kill()

    async def invoke(self, invocation: Invocation) -> tuple[Outcome, str]:
        """Run the invocation, and return its outcome and its log."""
        self._busy = True
        try:
            return await self._invoke(invocation)
        finally:
            self._busy = False
            if self._stopped:
                await self.kill()

    async def stop(self) -> None:
        """End the process; a running invocation may finish first, as on AWS."""
        self._stopped = True
        if not self._busy:
            await self.kill()

    async def kill(self) -> None:
        """End the process now; a running invocation gets an error."""
        self._stopped = True
        if self._process is not None:
            await self._process.kill()
        if not self._busy:
            self._log.close()

    async def _invoke(self, invocation: Invocation) -> tuple[Outcome, str]:
        request_id, settings = invocation.request_id, self._settings
        self._log.line(f"START RequestId: {request_id} Version: {settings.version}")
        started_at = time.monotonic()
        process = init_seconds = None
        try:
            process = await self._initialized_process()
        except NotStartable as error:
            outcome = outcomes.not_startable(request_id, str(error))
        else:
            init_seconds = process.take_init_seconds()
            if process.ended.done():
                outcome = self._failed_init(request_id, process)
            elif not process.idle.done():
                limit = settings.timeout if process.initialized else settings.init_timeout
                outcome = outcomes.timed_out(request_id, limit)
            else:
                started_at = time.monotonic()
                answer = await process.run(invocation, settings.timeout)
                outcome = answer or outcomes.timed_out(request_id, settings.timeout)
        seconds = time.monotonic() - started_at
        memory = process.peak_memory() if process is not None else None
        if process is not None and outcome.status == "timeout":
            await process.kill()
        if process is not None and process.ended.done():
            self._process = None
        self._report(request_id, outcome, seconds, init_seconds, memory)
        return outcome, self._log.take()

    async def _initialized_process(self) -> FunctionProcess:
        """Return an idle process, or one that failed to initialize."""
        process = self._process
        if process is not None:
            await self._wait_until_idle(process)
            if process.initialized and process.ended.done():
                # It ended after its last response, which is not the fault of this invocation.
                process = None
        if process is None:
            process = await self._start_process()
            await self._wait_until_idle(process)
        return process

    async def _start_process(self) -> FunctionProcess:
        self._log.line(f"INIT_START Runtime Version: {self._settings.runtime}")
        process = FunctionProcess(self._log, self._guardian, self._settings.response_limit)
        await process.start(self._settings.code, self._settings.environment)
        self._process = process
        return process

    async def _wait_until_idle(self, process: FunctionProcess) -> None:
        settings = self._settings
        limit = settings.timeout if process.initialized else settings.init_timeout
        await asyncio.wait(
            {process.idle, process.ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED
        )

    @staticmethod
    def _failed_init(request_id: str, process: FunctionProcess) -> Outcome:
        if process.init_error is not None:
            return outcomes.function_error(process.init_error)
        return outcomes.exited(request_id, process.ended.result())

    def _report(
        self,
        request_id: str,
        outcome: Outcome,
        seconds: float,
        init_seconds: float | None,
        memory_megabytes: int | None,
    ) -> None:
        for line in outcome.log_lines:
            self._log.line(line)
        milliseconds = seconds * 1000
        report = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {math.ceil(milliseconds)} ms",
            f"Memory Size: {self._settings.memory_megabytes} MB",
        ]
        if memory_megabytes is not None:
            report.append(f"Max Memory Used: {memory_megabytes} MB")
        if init_seconds is not None:
            report.append(f"Init Duration: {init_seconds * 1000:.2f} ms")
        if outcome.status is not None:
            report.append(f"Status: {outcome.status}")
        if outcome.status == "error":
            report.append(f"Error Type: {outcome.error_type}")
        self._log.line(f"END RequestId: {request_id}")
        self._log.line("\t".join(report))
