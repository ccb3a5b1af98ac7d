"""Lets LocalStack answer a caller while extensions still work for its invocation.

LocalStack frees an environment and stores its log when it has the result. With extensions, the
environment is freed, and the rest of its log stored, when they are done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future

from localstack.services.lambda_.invocation.execution_environment import (
    ExecutionEnvironment,
    InvalidStatusException,
)
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.logs import LogItem
from localstack.services.lambda_.invocation.version_manager import LambdaVersionManager
from localstack.utils.patch import patch


def install() -> None:
    """Change what LocalStack does with an environment after an invocation."""

    @patch(LambdaVersionManager.store_logs)
    def store_logs_as_they_come(
        store_logs: Callable[..., None],
        self: LambdaVersionManager,
        invocation_result: InvocationResult,
        execution_env: ExecutionEnvironment,
    ) -> None:
        store_logs(self, invocation_result, execution_env)

        def store_rest(rest: Future[str]) -> None:
            group, stream = execution_env.get_log_group_name(), execution_env.get_log_stream_name()
            self.log_handler.add_logs(LogItem(group, stream, rest.result()))

        if (rest := _rest(execution_env)) is not None:
            rest.add_done_callback(store_rest)

    @patch(ExecutionEnvironment.release)
    def release_when_done(release: Callable[..., None], self: ExecutionEnvironment) -> None:
        def release_late(_rest: Future[str]) -> None:
            # It may have been stopped in the meantime.
            with contextlib.suppress(InvalidStatusException):
                release(self)

        if (rest := _rest(self)) is not None:
            rest.add_done_callback(release_late)
        else:
            release(self)


def _rest(environment: ExecutionEnvironment) -> Future[str] | None:
    return getattr(environment.runtime_executor, "rest", None)
