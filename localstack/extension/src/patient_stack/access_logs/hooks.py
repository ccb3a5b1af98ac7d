"""Adds access logs to LocalStack's REST API gateway."""

from __future__ import annotations

from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled


@hooks.on_infra_start(should_load=unless_disabled("access-logs"))
def write_access_logs() -> None:
    """Log responses, and apply the settings from templates."""
    from localstack.services.apigateway.next_gen.execute_api.gateway import RestApiGateway
    from localstack.services.apigateway.resource_providers.aws_apigateway_stage import (
        ApiGatewayStageProvider,
    )
    from localstack.services.cloudformation.resource_provider import ResourceRequest
    from localstack.utils.patch import patch

    from patient_stack.access_logs.handler import AccessLogHandler
    from patient_stack.access_logs.writer import AccessLogWriter

    handler = AccessLogHandler(AccessLogWriter())

    @patch(RestApiGateway.__init__)
    def with_access_log(init: Any, gateway: RestApiGateway) -> None:
        init(gateway)
        gateway.finalizers.append(handler)

    @patch(ApiGatewayStageProvider.create)
    def create(create: Any, provider: Any, request: ResourceRequest) -> Any:
        progress = create(provider, request)
        _apply_settings(request)
        return progress

    @patch(ApiGatewayStageProvider.update)
    def update(update: Any, provider: Any, request: ResourceRequest) -> Any:
        _apply_settings(request)
        # LocalStack updates nothing else of a stage.
        return update(provider, request)


def _apply_settings(request: Any) -> None:
    """Apply the template's access log settings, which LocalStack ignores."""
    stage = request.desired_state
    gateway = request.aws_client_factory.apigateway
    place = {"restApiId": stage["RestApiId"], "stageName": stage.get("StageName", "default")}
    settings = stage.get("AccessLogSetting")
    if not settings:
        operations = [{"op": "remove", "path": "/accessLogSettings"}]
        if "accessLogSettings" not in gateway.get_stage(**place):
            return
    else:
        operations = [
            {"op": "replace", "path": f"/accessLogSettings/{name}", "value": settings[key]}
            for name, key in (("destinationArn", "DestinationArn"), ("format", "Format"))
            if settings.get(key)
        ]
    gateway.update_stage(**place, patchOperations=operations)
