"""Reads gateway responses from the OpenAPI document of an API."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from localstack.aws.api import RequestContext
from localstack.aws.api.apigateway import GatewayResponse
from localstack.services.apigateway.helpers import get_rest_api_container
from localstack.services.apigateway.next_gen.execute_api.gateway_response import (
    DEFAULT_GATEWAY_RESPONSES,
    build_gateway_response,
)

EXTENSION = "x-amazon-apigateway-gateway-responses"


def importing_gateway_responses(import_api: Callable[..., Any]) -> Callable[..., Any]:
    """LocalStack's import of an OpenAPI document, including the gateway responses in it."""

    @wraps(import_api)
    def import_with_gateway_responses(
        rest_api: Any, context: RequestContext, open_api_spec: dict, **settings: Any
    ) -> Any:
        result = import_api(rest_api, context=context, open_api_spec=open_api_spec, **settings)
        container = get_rest_api_container(context, rest_api_id=rest_api.id)
        # Remove what an earlier document defined, and keep what API calls created.
        for name in getattr(container, "imported_gateway_responses", ()):
            container.gateway_responses.pop(name, None)
        responses = _responses(open_api_spec.get(EXTENSION) or {})
        container.gateway_responses.update(responses)
        container.imported_gateway_responses = tuple(responses)
        return result

    return import_with_gateway_responses


def _responses(section: dict[str, dict]) -> dict[str, GatewayResponse]:
    return {
        name: build_gateway_response(
            name,
            status_code=str(response["statusCode"]) if response.get("statusCode") else None,
            response_parameters=response.get("responseParameters"),
            response_templates=response.get("responseTemplates"),
            default_response=False,
        )
        for name, response in section.items()
        if name in DEFAULT_GATEWAY_RESPONSES
    }
