"""Adds the template's gateway responses to LocalStack's REST API gateway."""

from __future__ import annotations

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled


@hooks.on_infra_start(should_load=unless_disabled("gateway-responses"))
def honour_gateway_responses() -> None:
    """Read gateway responses from OpenAPI documents, and use them."""
    from localstack.services.apigateway.legacy import provider
    from localstack.services.apigateway.next_gen.execute_api import handlers

    from patient_stack.gateway_responses.handler import GatewayResponseHandler
    from patient_stack.gateway_responses.openapi import importing_gateway_responses

    handlers.gateway_exception_handler = GatewayResponseHandler()
    provider.import_api_from_openapi_spec = importing_gateway_responses(
        provider.import_api_from_openapi_spec
    )
