"""One process of a function, with the APIs that it polls and the pipe for its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from patient_stack.lambda_processes import extensions_api, http_listener, runtime_api
from patient_stack.lambda_processes import invocation as outcomes
from patient_stack.lambda_processes.extensions import INVOKE, Extensions
from patient_stack.lambda_processes.guardian import Guardian
from patient_stack.lambda_processes.http_listener import Later, Request, Response
from patient_stack.lambda_processes.invocation import Invocation, Outcome
from patient_stack.lambda_processes.log import FunctionLog
from patient_stack.lambda_processes.settings import FunctionSettings

READ_BYTES = 64 * 1024
"""The capacity of a pipe: one read empties it."""


class NotStartable(Exception):
    """The function has no `bootstrap` that this machine can run."""


class FunctionProcess:
    """A running `bootstrap`. All methods must be called on the event loop's thread."""

    def __init__(self, settings: FunctionSettings, log: FunctionLog, guardian: Guardian) -> None:
        """Prepare; `start` runs the process."""
        loop = asyncio.get_running_loop()
        self.extensions = Extensions(self._check_whether_idle, self._kill_group)
        """The extensions that run in the process."""
        self.idle: asyncio.Future[None] = loop.create_future()
        """Done while the process and its extensions wait for an invocation."""
        self.ended: asyncio.Future[int] = loop.create_future()
        """Done when the process has ended, with its return code."""
        self.init_error: bytes | None = None
        """What the process reported instead of asking for its first invocation."""
        self.initialized = False
        """Whether the process and its extensions have asked for an invocation yet."""
        self._started_at = time.monotonic()
        self._init_seconds: float | None = None
        self._settings = settings
        self._log = log
        self._guardian = guardian
        self._api: asyncio.Server | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._output: int | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._poll: asyncio.Future[tuple[Invocation, float]] | None = None
        self._pending: tuple[Invocation, float] | None = None
        self._current: str | None = None
        self._runtime_idle = False
        self._answer: asyncio.Future[Outcome] = loop.create_future()

    async def start(self) -> None:
        """Run `bootstrap` in the unzipped code; raises `NotStartable`."""
        code, environment = self._settings.code, self._settings.environment
        bootstrap = code / "bootstrap"
        self._api = await http_listener.listen(self._answer_request)
        host, port = self._api.sockets[0].getsockname()
        read_end, write_end = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                str(bootstrap),
                cwd=code,
                env={**environment, "AWS_LAMBDA_RUNTIME_API": f"{host}:{port}"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except OSError as error:
            os.close(read_end)
            self._api.close()
            if not bootstrap.exists():
                raise NotStartable(f"Couldn't find valid bootstrap(s): [{bootstrap}]") from error
            reason = (error.strerror or str(error)).lower()
            raise NotStartable(f"fork/exec {bootstrap}: {reason}") from error
        finally:
            os.close(write_end)
        self._guardian.add(self._process.pid)
        os.set_blocking(read_end, False)
        self._output = read_end
        asyncio.get_running_loop().add_reader(read_end, self._read_output)
        self._waiting = asyncio.create_task(self._wait_for_end())

    def take_init_seconds(self) -> float | None:
        """How long the initialization took; None if already reported."""
        seconds, self._init_seconds = self._init_seconds, None
        return seconds

    async def run(self, invocation: Invocation, seconds: float) -> Outcome | None:
        """Run the invocation in the idle process; None if it neither responds nor ends in time."""
        loop = asyncio.get_running_loop()
        self.idle = loop.create_future()
        self._runtime_idle = False
        self._answer = loop.create_future()
        self._current = invocation.request_id
        deadline = time.time() + seconds
        self._pending = (invocation, deadline)
        self._hand_over()
        self.extensions.invoke(_event(invocation, deadline))
        await asyncio.wait(
            {self._answer, self.ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        self._current = self._pending = None
        # What the process printed before its response is in the pipe by now.
        self._read_output()
        if self._answer.done():
            return self._answer.result()
        if self.ended.done():
            return self.failure(invocation.request_id)
        return None

    async def finish(self, seconds: float) -> None:
        """Wait until the process and its extensions are idle again, or ended, or out of time."""
        await self.wait_until_idle(seconds)
        self._read_output()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait until the process is idle or ended, but no longer than this."""
        await asyncio.wait(
            {self.idle, self.ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )

    @property
    def has_responded(self) -> bool:
        """Whether the process has responded to the invocation that it got last."""
        return self._answer.done()

    def failure(self, request_id: str) -> Outcome:
        """Why the process has ended."""
        if (error := self.extensions.error) is not None:
            return outcomes.extension_failed(request_id, error.phase, error.reason)
        return outcomes.exited(request_id, self.ended.result())

    async def kill(self) -> None:
        """End the process and its children, and wait until it is gone."""
        if self._waiting is not None:
            self._kill_group()
            await self._waiting

    def peak_memory(self) -> int | None:
        """The largest resident size so far, in MB, if the platform reports it."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) // 1024
        return None

    def poll(self) -> asyncio.Future[tuple[Invocation, float]]:
        """The process polls for an invocation: until it gets one, it is idle."""
        self.extensions.close_registration()
        if self._poll is not None:
            self._poll.cancel()
        poll = self._poll = asyncio.get_running_loop().create_future()
        self._hand_over()
        if self._poll is not None:
            self._runtime_idle = True
            self._check_whether_idle()
        return poll

    def respond(self, request_id: str, payload: bytes) -> bool:
        """The process responds."""
        limit = self._settings.response_limit
        if (size := len(payload)) > limit:
            return self._settle(request_id, outcomes.too_large(size, limit))
        return self._settle(request_id, Outcome(payload))

    def fail(self, request_id: str, payload: bytes) -> bool:
        """The process responds with an error."""
        return self._settle(request_id, outcomes.function_error(payload))

    def fail_init(self, payload: bytes) -> None:
        """The process fails before its first invocation."""
        self.init_error = payload
        self._kill_group()

    def _answer_request(self, request: Request) -> Response | Later:
        if request.path.startswith(extensions_api.PREFIX):
            return extensions_api.answer(self.extensions, self._settings, request)
        return runtime_api.answer(self, request)

    def _check_whether_idle(self) -> None:
        if not self._runtime_idle or not self.extensions.idle or self.idle.done():
            return
        if not self.initialized:
            self.initialized = True
            self._init_seconds = time.monotonic() - self._started_at
            for extension in self.extensions:
                events = ",".join(extension.events)
                name = f"EXTENSION\tName: {extension.name}"
                self._log.line(f"{name}\tState: Ready\tEvents: [{events}]")
        self.idle.set_result(None)

    def _hand_over(self) -> None:
        # A poll is cancelled when its connection is lost, and its invocation stays for the next
        # poll.
        if self._pending is not None and self._poll is not None and not self._poll.done():
            self._poll.set_result(self._pending)
            self._poll = self._pending = None

    def _settle(self, request_id: str, outcome: Outcome) -> bool:
        if request_id != self._current or self._answer.done():
            return False
        self._answer.set_result(outcome)
        return True

    def _read_output(self) -> None:
        if self._output is None:
            return
        try:
            output = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return
        if output:
            self._log.write(output)
        else:
            self._close_output()

    def _close_output(self) -> None:
        if self._output is not None:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = None

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _wait_for_end(self) -> None:
        return_code = await self._process.wait()
        # The process led a group: nothing that it started may outlive it.
        self._kill_group()
        self._guardian.remove(self._process.pid)
        self._read_output()
        self._close_output()
        self._api.close()
        self.ended.set_result(return_code)


def _event(invocation: Invocation, deadline: float) -> dict[str, object]:
    """What extensions get to know about an invocation."""
    return {
        "eventType": INVOKE,
        "deadlineMs": int(deadline * 1000),
        "requestId": invocation.request_id,
        "invokedFunctionArn": invocation.function_arn,
        "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id},
    }
