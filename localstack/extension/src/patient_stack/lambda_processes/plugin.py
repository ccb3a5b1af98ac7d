"""The entry point: `LAMBDA_RUNTIME_EXECUTOR=process` selects it."""

from __future__ import annotations

from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    """Runs functions as processes of the host."""

    name = "process"

    def load(self, *_args: object, **_kwargs: object) -> type[RuntimeExecutor]:
        """Import late, so that a LocalStack with another executor is not affected."""
        from patient_stack.lambda_processes.executor import ProcessRuntimeExecutor

        return ProcessRuntimeExecutor
