"""Makes stack updates with a changed REST API work.

LocalStack ignores changes to an API's definition and stage. Then it deletes the old deployment, and
with it every stage of the API, whatever its deployment.
"""

from __future__ import annotations

import json
from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled


@hooks.on_infra_start(should_load=unless_disabled("api-updates"))
def update_apis() -> None:
    """Apply a new definition, and move the stage to the deployment created from it."""
    from localstack.services.apigateway.resource_providers.aws_apigateway_deployment import (
        ApiGatewayDeploymentProvider,
    )
    from localstack.services.apigateway.resource_providers.aws_apigateway_restapi import (
        ApiGatewayRestApiProvider,
    )
    from localstack.services.apigateway.resource_providers.aws_apigateway_stage import (
        ApiGatewayStageProvider,
    )
    from localstack.services.cloudformation.resource_provider import (
        OperationStatus,
        ProgressEvent,
        ResourceRequest,
    )
    from localstack.utils.patch import patch

    def complete(update: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        """Run LocalStack's update, if there is one, and return the resource's new state."""
        try:
            return update(provider, request)
        except NotImplementedError:
            state = {**(request.previous_state or {}), **request.desired_state}
            return ProgressEvent(OperationStatus.SUCCESS, resource_model=state)

    @patch(ApiGatewayRestApiProvider.update)
    def update_api(update: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        _put_definition(request)
        return complete(update, provider, request)

    @patch(ApiGatewayStageProvider.update)
    def update_stage(update: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        _move_to_deployment(request)
        return complete(update, provider, request)

    # LocalStack thinks that the stage of a changed API is replaced: it creates a new one, and
    # deletes the previous one, which has the same name.
    @patch(ApiGatewayStageProvider.create)
    def create_stage(create: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        stage = request.desired_state
        if _deployment_of(stage, request):
            request.aws_client_factory.apigateway.delete_stage(**_place(stage))
        return create(provider, request)

    @patch(ApiGatewayStageProvider.delete)
    def delete_stage(delete: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        stage = request.desired_state
        if _deployment_of(stage, request) in (None, stage.get("DeploymentId")):
            return delete(provider, request)
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=stage)

    @patch(ApiGatewayDeploymentProvider.delete)
    def delete_deployment(delete: Any, provider: Any, request: ResourceRequest) -> ProgressEvent:
        if _has_a_stage(request):
            return delete(provider, request)
        deployment = request.desired_state
        request.aws_client_factory.apigateway.delete_deployment(
            restApiId=deployment["RestApiId"], deploymentId=deployment["DeploymentId"]
        )
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=deployment)


def _place(stage: dict[str, Any]) -> dict[str, str]:
    return {"restApiId": stage["RestApiId"], "stageName": stage.get("StageName", "default")}


def _deployment_of(stage: dict[str, Any], request: Any) -> str | None:
    """The deployment of the stage with this name, if there is one."""
    gateway = request.aws_client_factory.apigateway
    try:
        return gateway.get_stage(**_place(stage)).get("deploymentId")
    except gateway.exceptions.NotFoundException:
        return None


def _has_a_stage(request: Any) -> bool:
    """Whether a stage uses this deployment. LocalStack lists all stages even if asked for these."""
    gateway, deployment = request.aws_client_factory.apigateway, request.desired_state
    try:
        stages = gateway.get_stages(restApiId=deployment["RestApiId"])["item"]
    except gateway.exceptions.NotFoundException:
        # The API is gone, and LocalStack itself handles that.
        return True
    return any(stage.get("deploymentId") == deployment["DeploymentId"] for stage in stages)


def _put_definition(request: Any) -> None:
    """Replace the whole definition of the API, as at its creation."""
    api = request.desired_state
    body = api.get("Body")
    if not body:
        return
    gateway, api_id = request.aws_client_factory.apigateway, request.previous_state["RestApiId"]
    before = gateway.get_authorizers(restApiId=api_id, limit=500)["items"]
    gateway.put_rest_api(
        restApiId=api_id,
        mode="overwrite",
        body=(json.dumps(body) if isinstance(body, dict) else body).encode(),
        parameters={"basepath": "ignore", **api.get("Parameters", {})},
    )
    # The new definition contains its own authorizers.
    for authorizer in before:
        gateway.delete_authorizer(restApiId=api_id, authorizerId=authorizer["id"])


def _move_to_deployment(request: Any) -> None:
    stage = request.desired_state
    if not stage.get("DeploymentId"):
        return
    deployment = {"op": "replace", "path": "/deploymentId", "value": stage["DeploymentId"]}
    request.aws_client_factory.apigateway.update_stage(
        **_place(stage), patchOperations=[deployment]
    )
