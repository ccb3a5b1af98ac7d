"""An execution environment: processes one invocation after another, whatever its process does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from patient_stack.lambda_processes import invocation as outcomes
from patient_stack.lambda_processes.guardian import Guardian
from patient_stack.lambda_processes.invocation import Answer, Invocation, Outcome
from patient_stack.lambda_processes.log import FunctionLog
from patient_stack.lambda_processes.process import FunctionProcess, NotStartable
from patient_stack.lambda_processes.report import Measurements, closing_lines
from patient_stack.lambda_processes.settings import FunctionSettings


@dataclass
class _Run:
    """An invocation that is running."""

    request_id: str
    started_at: float
    process: FunctionProcess | None = None
    init_seconds: float | None = None
    goes_on: bool = False
    """Whether there is a response, and extensions may still be working."""


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

    async def invoke(self, invocation: Invocation) -> Answer:
        """Run the invocation until there is a response. Extensions may go on after it."""
        self._busy = True
        rest: asyncio.Task[str] | None = None
        try:
            self._log.line(
                f"START RequestId: {invocation.request_id} Version: {self._settings.version}"
            )
            run = _Run(invocation.request_id, time.monotonic())
            outcome = await self._run(run, invocation)
            if run.goes_on:
                rest = asyncio.create_task(self._go_on(run, outcome))
                return Answer(outcome, self._log.take_lines(), rest)
            await self._end(run, outcome)
            return Answer(outcome, self._log.take())
        finally:
            if rest is None:
                await self._release()

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

    async def _run(self, run: _Run, invocation: Invocation) -> Outcome:
        settings = self._settings
        try:
            process = run.process = await self._initialized_process()
        except NotStartable as error:
            return outcomes.not_startable(run.request_id, str(error))
        run.init_seconds = process.take_init_seconds()
        if process.ended.done():
            return self._failed_init(run.request_id, process)
        if not process.idle.done():
            return outcomes.timed_out(run.request_id, self._limit(process))
        run.started_at = time.monotonic()
        answer = await process.run(invocation, settings.timeout)
        run.goes_on = process.has_responded and process.extensions.take_part
        return answer or outcomes.timed_out(run.request_id, settings.timeout)

    async def _go_on(self, run: _Run, outcome: Outcome) -> str:
        """Wait for the extensions. The caller keeps its outcome, whatever happens."""
        process, timeout = run.process, self._settings.timeout
        try:
            await process.finish(run.started_at + timeout - time.monotonic())
            if not process.idle.done():
                outcome = (
                    process.failure(run.request_id)
                    if process.ended.done()
                    else outcomes.timed_out(run.request_id, timeout)
                )
            await self._end(run, outcome)
            return self._log.take()
        finally:
            await self._release()

    async def _end(self, run: _Run, outcome: Outcome) -> None:
        """Finish the log, and get rid of a process that cannot be used any more."""
        seconds = time.monotonic() - run.started_at
        process = run.process
        memory = process.peak_memory() if process is not None else None
        if process is not None and outcome.status == "timeout":
            await process.kill()
        if process is not None and process.ended.done():
            self._process = None
        size = self._settings.memory_megabytes
        measured = Measurements(seconds, run.init_seconds, size, memory)
        for line in closing_lines(run.request_id, outcome, measured):
            self._log.line(line)

    async def _release(self) -> None:
        self._busy = False
        if self._stopped:
            await self.kill()

    async def _initialized_process(self) -> FunctionProcess:
        """Return an idle process, or one that failed to initialize."""
        process = self._process
        if process is not None:
            await process.wait_until_idle(self._limit(process))
            if process.initialized and process.ended.done():
                # It ended after its last response, which is not the fault of this invocation.
                process = None
        if process is None:
            process = await self._start_process()
            await process.wait_until_idle(self._limit(process))
        return process

    async def _start_process(self) -> FunctionProcess:
        self._log.line(f"INIT_START Runtime Version: {self._settings.runtime}")
        process = FunctionProcess(self._settings, self._log, self._guardian)
        await process.start()
        self._process = process
        return process

    def _limit(self, process: FunctionProcess) -> float:
        """How long the process may take until it is idle."""
        return self._settings.timeout if process.initialized else self._settings.init_timeout

    @staticmethod
    def _failed_init(request_id: str, process: FunctionProcess) -> Outcome:
        if process.init_error is not None:
            return outcomes.function_error(process.init_error)
        return process.failure(request_id)
