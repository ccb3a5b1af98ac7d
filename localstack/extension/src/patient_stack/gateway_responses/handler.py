"""Responds to requests that the gateway itself rejects, in the form that the API's owner chose."""

from __future__ import annotations

from localstack.aws.api.apigateway import GatewayResponse
from localstack.constants import APPLICATION_JSON
from localstack.http import Response
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway_response import (
    AccessDeniedError,
    BaseGatewayException,
    get_gateway_response_or_default,
)
from localstack.services.apigateway.next_gen.execute_api.handlers.gateway_exception import (
    GatewayExceptionHandler,
)

from patient_stack.gateway_responses.rendering import error_variables, render_body, render_header

DEFAULT_TEMPLATE = '{"message":$context.error.messageString}'
# The one response that API Gateway writes with a capital letter by default.
DEFAULT_ACCESS_DENIED_TEMPLATE = '{"Message":$context.error.messageString}'
HEADER = "gatewayresponse.header."


class GatewayResponseHandler(GatewayExceptionHandler):
    """LocalStack's handler with the body templates and headers that it leaves out."""

    @staticmethod
    def set_error_context(
        exception: BaseGatewayException, context: RestApiInvocationContext
    ) -> None:
        """Make `$context.error` available."""
        context.context_variables["error"] = error_variables(exception.message, exception.type)

    def create_exception_response(
        self, exception: BaseGatewayException, context: RestApiInvocationContext
    ) -> Response:
        """The response to a request that ended with this exception."""
        gateway_response = get_gateway_response_or_default(
            exception.type, context.deployment.rest_api.gateway_responses
        )
        media_type, template = _template(gateway_response, exception, context)
        answer = Response(
            response=render_body(template, media_type, context),
            status=_status(gateway_response, exception),
            headers={"Content-Type": media_type, "x-amzn-ErrorType": exception.code},
        )
        for name, expression in (gateway_response.get("responseParameters") or {}).items():
            value = render_header(expression, context)
            if name.startswith(HEADER) and value is not None:
                answer.headers.set(name.removeprefix(HEADER), value)
        return answer


def _status(gateway_response: GatewayResponse, exception: BaseGatewayException) -> int:
    status = gateway_response.get("statusCode") or exception.status_code or 500
    # LocalStack's defaults are members of an enumeration of strings.
    return int(getattr(status, "value", status))


def _template(
    gateway_response: GatewayResponse,
    exception: BaseGatewayException,
    context: RestApiInvocationContext,
) -> tuple[str, str]:
    """The media type and body template: one accepted by name, or JSON, or the first one."""
    templates = gateway_response.get("responseTemplates") or {}
    if not templates or templates == {APPLICATION_JSON: DEFAULT_TEMPLATE}:
        is_denial = isinstance(exception, AccessDeniedError)
        return APPLICATION_JSON, DEFAULT_ACCESS_DENIED_TEMPLATE if is_denial else DEFAULT_TEMPLATE
    accepted = context.invocation_request["headers"].get("Accept", "")
    named = (part.partition(";")[0].strip() for part in accepted.split(","))
    for media_type in (*named, APPLICATION_JSON):
        if media_type in templates:
            return media_type, templates[media_type]
    return next(iter(templates.items()))
