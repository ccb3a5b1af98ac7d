"""Adds authorizers to LocalStack's REST API gateway."""

from __future__ import annotations

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled


@hooks.on_infra_start(should_load=unless_disabled("api-authorizers"))
def run_api_authorizers() -> None:
    """Authorize each request after routing, before anything else processes it."""
    from localstack.services.apigateway.next_gen.execute_api import handlers

    from patient_stack.api_authorizers.handler import LambdaAuthorizerHandler

    handlers.preprocess_request.append(LambdaAuthorizerHandler())
