"""Starts the real servers that the tests use: LocalStack with the extension, and DynamoDB."""

from __future__ import annotations

import io
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

EXTENSION = Path(__file__).parent.parent
REGION = "eu-central-1"
ROLE = "arn:aws:iam::000000000000:role/function"

Result = TypeVar("Result")


def free_port() -> int:
    """A TCP port that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(
    condition: Callable[[], Result],
    what: str,
    *,
    seconds: float = 30.0,
    interval: float = 0.02,
) -> Result:
    """Return the first truthy result of `condition`, or fail naming `what` was awaited."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {seconds:g} s: {what}")
        time.sleep(interval)


def binary(variable: str) -> Path:
    """The program named by an environment variable."""
    path = Path(os.environ.get(variable, "nowhere"))
    assert path.is_file(), f"name the program in {variable}: `local-stack tool pytest` does"
    return path


def install_extension(directory: Path) -> Path:
    """Install the extension as the local stack does, and return the folder for PYTHONPATH."""
    target = directory / "extension"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(target), str(EXTENSION)]
    subprocess.run(command, check=True, timeout=120)
    return target


@dataclass
class Daemon:
    """A server process of the tests, with its output in a file."""

    command: list[str]
    log_file: Path
    environment: Mapping[str, str]
    ready_url: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until its URL responds."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.log_file.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._is_ready, f"{self.ready_url} answers; see {self.log_file}", seconds=60)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            tail = self.log_file.read_text(errors="replace")[-3000:]
            raise AssertionError(f"{self.command[0]} ended while starting:\n{tail}")
        try:
            with urllib.request.urlopen(self.ready_url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait until the process ends."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(with_signal)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
            raise AssertionError(f"{self.command[0]} did not end within 30 s") from None


@dataclass
class LocalStack:
    """A running LocalStack with the extension, and clients for it."""

    directory: Path
    extension: Path
    port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    daemon: Daemon = field(init=False)

    def __post_init__(self) -> None:
        """Describe the process; `start` runs it."""
        folders = {name: self.directory / name for name in ("tmp", "volume", "filesystem", "cache")}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        self.daemon = Daemon(
            command=[sys.executable, "-m", "localstack.runtime.main"],
            log_file=self.directory / "localstack.log",
            ready_url=f"{self.url}/_localstack/health",
            environment={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "PYTHONPATH": str(self.extension),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(folders["tmp"]),
                "XDG_CACHE_HOME": str(folders["cache"]),
                "FILESYSTEM_ROOT": str(folders["filesystem"]),
                "LOCALSTACK_VOLUME_DIR": str(folders["volume"]),
                "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
                "LOCALSTACK_HOST": f"localhost:{self.port}",
                "DISABLE_EVENTS": "1",
                "SKIP_SSL_CERT_DOWNLOAD": "1",
                "LAMBDA_RUNTIME_EXECUTOR": "process",
                "LAMBDA_PROCESS_LOG_DIR": str(self.function_logs),
                "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": "4",
                "LAMBDA_RETRY_BASE_DELAY": "1",
                "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.05",
                "NOT_FOR_FUNCTIONS": "a variable of the host that no function may see",
                **self.environment,
            },
        )

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def function_logs(self) -> Path:
        """The folder of the log files, one per function."""
        return self.directory / "function-logs"

    @property
    def pid(self) -> int:
        """The process id of LocalStack."""
        return self.daemon.process.pid

    @property
    def log(self) -> str:
        """The output of LocalStack so far."""
        return self.daemon.log_file.read_text(errors="replace")

    def start(self) -> None:
        """Start LocalStack and wait until it responds."""
        self.daemon.start()

    def stop(self) -> None:
        """Stop LocalStack as a user does."""
        self.daemon.end()

    def kill(self) -> None:
        """Kill LocalStack without a chance to clean up."""
        self.daemon.end(signal.SIGKILL)

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client that neither retries nor times out early, unless told otherwise."""
        defaults = {"retries": {"total_max_attempts": 1}, "read_timeout": 120}
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**{**defaults, "max_pool_connections": 50, **settings}),
        )

    def create_function(
        self,
        bootstrap: str | bytes,
        *,
        name: str | None = None,
        timeout: int = 10,
        environment: Mapping[str, str] | None = None,
        file_name: str = "bootstrap",
        **settings: Any,
    ) -> str:
        """Deploy a function whose `bootstrap` is this script or binary; return its name."""
        name = name or f"function-{uuid.uuid4().hex[:8]}"
        client = self.client("lambda")
        client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=ROLE,
            Timeout=timeout,
            Code={"ZipFile": archive(bootstrap, file_name)},
            Environment={"Variables": dict(environment or {})},
            **settings,
        )
        client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100}
        )
        return name


def archive(bootstrap: str | bytes, file_name: str = "bootstrap") -> bytes:
    """A deployment package with one executable."""
    content = bootstrap.encode() if isinstance(bootstrap, str) else bootstrap
    entry = zipfile.ZipInfo(file_name)
    entry.external_attr = (stat.S_IFREG | 0o755) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr(entry, content)
    return packed.getvalue()


def python_function(handler: str, *, at_start: str = "", after_response: str = "") -> str:
    """A `bootstrap` in Python: `handler` is the body of `def handle(event, context)`.

    `context` contains the headers of the invocation. `at_start` runs before the first poll,
    `after_response` before each further one.
    """
    body = "\n".join(f"    {line}" for line in (handler.strip() or "pass").splitlines())
    return f"""#!{sys.executable} -ISu
import http.client, json, os, sys, time
{at_start}
def handle(event, context):
{body}

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = runtime.getresponse()
    event, context = json.loads(answer.read()), answer.headers
    result, body = "response", None
    try:
        body = handle(event, context)
    except Exception as error:
        result = "error"
        body = {{"errorMessage": str(error), "errorType": type(error).__name__}}
    request_id = context["Lambda-Runtime-Aws-Request-Id"]
    path = "/2018-06-01/runtime/invocation/%s/%s" % (request_id, result)
    runtime.request("POST", path, json.dumps(body).encode())
    runtime.getresponse().read()
    {after_response}
"""


def dynamodb_server(directory: Path, port: int) -> Daemon:
    """The DynamoDB of the tests; its data file is in `directory`."""
    program = binary("DYNOXIDE_BINARY")
    directory.mkdir(parents=True, exist_ok=True)
    return Daemon(
        command=[
            *(str(program), "serve", "--port", str(port)),
            *("--db-path", str(directory / "dynamodb.sqlite")),
        ],
        log_file=directory / "dynoxide.log",
        environment={"PATH": os.environ["PATH"], "HOME": str(directory)},
        ready_url=f"http://127.0.0.1:{port}/",
    )
