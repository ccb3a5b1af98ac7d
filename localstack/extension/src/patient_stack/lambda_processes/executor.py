"""LocalStack's `RuntimeExecutor`: one instance per execution environment."""

from __future__ import annotations

import base64
import json
import logging
import os
from asyncio import Task
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from localstack import config
from localstack.aws.api.lambda_ import PackageType
from localstack.runtime.shutdown import SHUTDOWN_HANDLERS
from localstack.services.lambda_.invocation import lambda_models as models
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment
from localstack.services.lambda_.invocation.runtime_executor import (
    LambdaRuntimeException,
    RuntimeExecutor,
)
from localstack.utils.patch import patch

from patient_stack.lambda_processes import after_response, clean_end, metrics
from patient_stack.lambda_processes.environment import Environment
from patient_stack.lambda_processes.fleet import Fleet
from patient_stack.lambda_processes.invocation import Invocation
from patient_stack.lambda_processes.settings import FunctionSettings

LOG = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"

PLATFORM_VARIABLES = ("AWS_", "LAMBDA_", "_HANDLER", "TZ")
"""Prefixes of the variables that AWS sets, too; the rest is for LocalStack's containers."""

FIXED_VARIABLES = {"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin", "LANG": "en_US.UTF-8"}

# This module is imported once, and only if LocalStack is configured to use this executor.
FLEET = Fleet()
SHUTDOWN_HANDLERS.register(lambda: FLEET.run(FLEET.shut_down()))
after_response.install()
clean_end.install()
metrics.install()


class ProcessRuntimeExecutor(RuntimeExecutor):
    """Runs an execution environment as a process of the host."""

    def __init__(self, id: str, function_version: models.FunctionVersion) -> None:
        """Called by LocalStack for each environment."""
        super().__init__(id, function_version)
        self.client_context: str | None = None
        self.rest: Future[str] | None = None
        """What the environment still does for the last invocation; see `after_response`."""
        self._version = _version_key(function_version)
        self._environment: Environment | None = None

    def start(self, env_vars: dict[str, str]) -> None:
        """Start the process, without waiting for its initialization; see `Environment.start`."""
        settings = self._settings(env_vars)
        self._environment = FLEET.run(FLEET.start(self._version, settings))

    def stop(self) -> None:
        """End the process."""
        if self._environment is not None:
            FLEET.run(FLEET.stop(self._version, self._environment))

    def invoke(self, payload: dict[str, str]) -> models.InvocationResult:
        """Pass one invocation to the process and wait for its response."""
        invocation = Invocation(
            request_id=payload["invoke-id"],
            function_arn=payload["invoked-function-arn"],
            trace_id=payload["trace-id"],
            payload=payload["payload"].encode(),
            client_context=_decoded(self.client_context),
        )
        answer = FLEET.run(FLEET.invoke(self._version, self._environment, invocation))
        self.rest = None if answer.rest is None else FLEET.begin(_join(answer.rest))
        return models.InvocationResult(
            request_id=invocation.request_id,
            payload=answer.outcome.payload,
            is_error=answer.outcome.error_type is not None,
            logs=answer.log,
        )

    def get_address(self) -> str:
        """The environment's address: this host."""
        return LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        """LocalStack's address for the function: this host."""
        host = config.GATEWAY_LISTEN[0].host
        return LOOPBACK if host in ("", "0.0.0.0", "::", "localhost") else host

    def get_runtime_endpoint(self) -> str:
        """Not used: only LocalStack's containers call this endpoint."""
        return ""

    def get_logs(self) -> str:
        """Empty: all output was returned with the invocations' results."""
        return ""

    @classmethod
    def prepare_version(cls, function_version: models.FunctionVersion) -> None:
        """Unzip the code once; all environments of the version run it from there."""
        function = function_version.config
        if function.package_type != PackageType.Zip or function.code is None:
            raise LambdaRuntimeException(
                "Container images cannot run as processes; deploy a zip archive"
            )
        if function.layers:
            LOG.warning("%s: layers are ignored", function_version.qualified_arn)
        function.code.prepare_for_execution()
        # Otherwise, the unzipped code of a stopped stack would stay behind.
        SHUTDOWN_HANDLERS.register(function.code.destroy_cached)

    @classmethod
    def cleanup_version(cls, function_version: models.FunctionVersion) -> None:
        """End the version's remaining environments. LocalStack deletes the code when it is
        unused.
        """
        FLEET.run(FLEET.retire(_version_key(function_version)))

    def _settings(self, env_vars: dict[str, str]) -> FunctionSettings:
        function, identity = self.function_version.config, self.function_version.id
        code = function.code.get_unzipped_code_location()
        logs = os.environ.get("LAMBDA_PROCESS_LOG_DIR")
        own = function.environment or {}
        platform = {k: v for k, v in env_vars.items() if k.startswith(PLATFORM_VARIABLES)}
        variables = {
            **FIXED_VARIABLES,
            **platform,
            **_dynamodb(),
            **own,
            "LAMBDA_TASK_ROOT": str(code),
        }
        return FunctionSettings(
            account_id=identity.account,
            name=identity.function_name,
            version=identity.qualifier,
            handler=function.handler or "",
            code=code,
            runtime=function.runtime or "provided",
            memory_megabytes=function.memory_size,
            timeout=function.timeout,
            init_timeout=config.LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT,
            response_limit=config.LAMBDA_LIMITS_MAX_FUNCTION_PAYLOAD_SIZE_BYTES,
            environment={name: str(value) for name, value in variables.items()},
            log_file=Path(logs, f"{identity.function_name}.log") if logs else None,
        )


@patch(ExecutionEnvironment.invoke)
def _pass_client_context(
    invoke: Callable[..., models.InvocationResult],
    self: ExecutionEnvironment,
    invocation: models.Invocation,
) -> models.InvocationResult:
    """Pass on the client context, which LocalStack does not pass to its executors."""
    if isinstance(self.runtime_executor, ProcessRuntimeExecutor):
        self.runtime_executor.client_context = invocation.client_context
    return invoke(self, invocation)


async def _join(task: Task[str]) -> str:
    return await task


def _version_key(function_version: models.FunctionVersion) -> str:
    """A key that distinguishes `$LATEST` before and after an update."""
    return f"{function_version.qualified_arn}@{function_version.config.internal_revision}"


def _decoded(client_context: str | None) -> str | None:
    """Clients send the context as base64; functions get it as JSON that fits into a header."""
    if not client_context:
        return None
    try:
        return json.dumps(json.loads(base64.b64decode(client_context, validate=True)))
    except ValueError:
        LOG.warning("A client context that is not JSON in base64 is ignored")
        return None


def _dynamodb() -> dict[str, str]:
    """Where functions find the tables: LocalStack would only pass their calls on."""
    url = os.environ.get("DYNOXIDE_URL")
    chosen = os.environ.get("PROVIDER_OVERRIDE_DYNAMODB") == "dynoxide"
    return {"AWS_ENDPOINT_URL_DYNAMODB": url} if chosen and url else {}
