"""Invokes an authorizer's function and parses its response."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from localstack.aws.api.apigateway import Authorizer
from localstack.aws.connect import connect_to
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.header_utils import (
    build_multi_value_headers,
)
from localstack.services.apigateway.next_gen.execute_api.helpers import (
    get_lambda_function_arn_from_invocation_uri,
    render_uri_with_stage_variables,
)
from localstack.utils.aws.arns import extract_region_from_arn, get_partition
from localstack.utils.aws.client_types import ServicePrincipal

from patient_stack.api_authorizers.identity import Identity
from patient_stack.api_authorizers.policy import MalformedPolicy, Policy

LOG = logging.getLogger(__name__)


class NotAuthenticated(Exception):
    """The function rejected the caller with the one error for which API Gateway returns 401."""


class AuthorizerFailed(Exception):
    """The function failed or timed out."""


class AuthorizerMisconfigured(Exception):
    """The function cannot be invoked, or its response is not that of an authorizer."""


@dataclass(frozen=True)
class Authorization:
    """The function's response about a caller: what they may invoke, and context about them."""

    principal_id: str
    policy: Policy
    context: dict[str, str]
    usage_identifier_key: str | None

    @classmethod
    def parse(cls, answer: Any) -> Authorization:
        """Parse a function's response.

        Raises:
            AuthorizerMisconfigured: the response does not have the form that API Gateway requires.
        """
        if not isinstance(answer, dict):
            raise AuthorizerMisconfigured("the response is not an object")
        principal_id = answer.get("principalId")
        if not isinstance(principal_id, str) or not principal_id:
            raise AuthorizerMisconfigured("the response has no principalId")
        try:
            policy = Policy.parse(answer.get("policyDocument"))
        except MalformedPolicy as reason:
            raise AuthorizerMisconfigured(str(reason)) from reason
        return cls(
            principal_id=principal_id,
            policy=policy,
            context=_context_strings(answer.get("context") or {}),
            usage_identifier_key=answer.get("usageIdentifierKey"),
        )


def ask(
    authorizer: Authorizer, identity: Identity, context: RestApiInvocationContext
) -> Authorization:
    """Invoke the authorizer's function for this request.

    Raises:
        NotAuthenticated: the function's error is exactly `Unauthorized`.
        AuthorizerFailed: it failed with another error.
        AuthorizerMisconfigured: it could not be invoked, or its response has the wrong form.
    """
    is_for_token = authorizer["type"] == "TOKEN"
    event = _token_event(identity, context) if is_for_token else _request_event(context)
    return Authorization.parse(_invoke(authorizer, event, context))


def method_arn(context: RestApiInvocationContext) -> str:
    """The ARN of the method as called: with the caller's path, not the resource's template."""
    # Routing ignores a trailing slash, so a policy must not see one either.
    path = context.invocation_request["path"].strip("/")
    method = context.invocation_request["http_method"]
    return f"{_api_arn(context)}/{context.stage}/{method}/{path}"


def _api_arn(context: RestApiInvocationContext) -> str:
    region = context.region
    account_and_api = f"{context.account_id}:{context.api_id}"
    return f"arn:{get_partition(region)}:execute-api:{region}:{account_and_api}"


def _token_event(identity: Identity, context: RestApiInvocationContext) -> dict[str, Any]:
    return {
        "type": "TOKEN",
        "methodArn": method_arn(context),
        "authorizationToken": identity.values[0],
    }


def _request_event(context: RestApiInvocationContext) -> dict[str, Any]:
    request = context.invocation_request
    return {
        "type": "REQUEST",
        "methodArn": method_arn(context),
        "resource": context.resource["path"],
        "path": request["path"],
        "httpMethod": request["http_method"],
        "headers": dict(request["headers"]),
        "multiValueHeaders": build_multi_value_headers(request["headers"]),
        "queryStringParameters": request["query_string_parameters"],
        "multiValueQueryStringParameters": request["multi_value_query_string_parameters"],
        "pathParameters": request["path_parameters"] or {},
        "stageVariables": context.stage_variables or {},
        "requestContext": context.context_variables,
    }


def _invoke(
    authorizer: Authorizer, event: dict[str, Any], context: RestApiInvocationContext
) -> Any:
    try:
        uri = render_uri_with_stage_variables(authorizer["authorizerUri"], context.stage_variables)
        function_arn = get_lambda_function_arn_from_invocation_uri(uri)
        client = connect_to(region_name=extract_region_from_arn(function_arn)).lambda_
        result = client.request_metadata(
            service_principal=ServicePrincipal.apigateway,
            source_arn=f"{_api_arn(context)}/authorizers/{authorizer['id']}",
        ).invoke(FunctionName=function_arn, Payload=json.dumps(event))
        answer = json.loads(result["Payload"].read() or b"null")
    except Exception as reason:
        raise AuthorizerMisconfigured(f"the function could not be invoked: {reason}") from reason
    if "FunctionError" not in result:
        return answer
    message = answer.get("errorMessage") if isinstance(answer, dict) else None
    if message == "Unauthorized":
        raise NotAuthenticated
    raise AuthorizerFailed(message)


def _context_strings(values: Any) -> dict[str, str]:
    """The context as integrations see it: API Gateway passes on only strings."""
    if not isinstance(values, dict):
        raise AuthorizerMisconfigured("the context is not an object")
    for key, value in values.items():
        if not isinstance(value, str | bool | int | float):
            raise AuthorizerMisconfigured(f"{key} in the context is not a string, number or bool")
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }
