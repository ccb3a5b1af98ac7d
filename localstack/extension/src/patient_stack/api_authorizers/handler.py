"""Authorizes requests to methods with a Lambda authorizer, and rejects them as API Gateway does."""

from __future__ import annotations

import logging
import time

from localstack.aws.api.apigateway import Authorizer
from localstack.http import Response
from localstack.services.apigateway.next_gen.execute_api.api import RestApiGatewayHandlerChain
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway_response import (
    AccessDeniedError,
    AuthorizerConfigurationError,
    AuthorizerFailureError,
    BaseGatewayException,
    UnauthorizedError,
)

from patient_stack.api_authorizers.authorization import (
    Authorization,
    AuthorizerFailed,
    AuthorizerMisconfigured,
    NotAuthenticated,
    ask,
    method_arn,
)
from patient_stack.api_authorizers.cache import AuthorizationCache, CacheKey
from patient_stack.api_authorizers.identity import (
    Identity,
    UnknownIdentitySource,
    find_identity,
)
from patient_stack.api_authorizers.policy import Decision

LOG = logging.getLogger(__name__)

DEFAULT_TTL_SECONDS = 300


class LambdaAuthorizerHandler:
    """A step in the gateway's chain, between routing and the integration."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._cache = AuthorizationCache()

    def __call__(
        self,
        chain: RestApiGatewayHandlerChain,
        context: RestApiInvocationContext,
        response: Response,
    ) -> None:
        """Authorize the request if its method requires it.

        Raises:
            BaseGatewayException: the gateway's response to a request that is not allowed.
        """
        if context.resource_method.get("authorizationType") == "CUSTOM":
            self._authorize(context)

    def _authorize(self, context: RestApiInvocationContext) -> None:
        started = time.monotonic()
        authorizer = _authorizer(context)
        authorization = self._authorization(authorizer, context)
        # Before the decision, because gateway responses and access logs name denied callers, too.
        context.context_variables["authorizer"] = {
            **authorization.context,
            "principalId": authorization.principal_id,
            "integrationLatency": round((time.monotonic() - started) * 1000),
        }
        _check(authorization, context)
        if authorization.usage_identifier_key:
            context.context_variables["identity"]["apiKey"] = authorization.usage_identifier_key

    def _authorization(
        self, authorizer: Authorizer, context: RestApiInvocationContext
    ) -> Authorization:
        identity = _identity(authorizer, context)
        seconds = _ttl_seconds(authorizer)
        if seconds == 0 or not identity.values:
            # Without an identity, the next caller would get the result meant for this one.
            return _ask(authorizer, identity, context)
        key = CacheKey.of(authorizer["id"], identity, context)
        known = self._cache.get(key, context.deployment_id)
        if known is not None:
            return known
        authorization = _ask(authorizer, identity, context)
        self._cache.put(key, context.deployment_id, authorization, seconds)
        return authorization


def _authorizer(context: RestApiInvocationContext) -> Authorizer:
    authorizer_id = context.resource_method.get("authorizerId")
    authorizer = context.deployment.rest_api.authorizers.get(authorizer_id)
    if authorizer is None:
        LOG.warning("The method's authorizer %s does not exist", authorizer_id)
        raise AuthorizerConfigurationError
    return authorizer


def _ttl_seconds(authorizer: Authorizer) -> int:
    seconds = authorizer.get("authorizerResultTtlInSeconds")
    return DEFAULT_TTL_SECONDS if seconds is None else int(seconds)


def _identity(authorizer: Authorizer, context: RestApiInvocationContext) -> Identity:
    try:
        identity = find_identity(authorizer, context)
    except UnknownIdentitySource as reason:
        LOG.warning("The authorizer %s cannot be used: %s", authorizer["name"], reason)
        raise AuthorizerConfigurationError from reason
    if identity is None:
        raise UnauthorizedError("Unauthorized")
    return identity


def _ask(
    authorizer: Authorizer, identity: Identity, context: RestApiInvocationContext
) -> Authorization:
    try:
        return ask(authorizer, identity, context)
    except NotAuthenticated as reason:
        raise UnauthorizedError("Unauthorized") from reason
    except AuthorizerFailed as reason:
        LOG.warning("The authorizer %s failed: %s", authorizer["name"], reason)
        raise _without_message(AuthorizerFailureError()) from reason
    except AuthorizerMisconfigured as reason:
        LOG.warning("The authorizer %s cannot be used: %s", authorizer["name"], reason)
        raise AuthorizerConfigurationError from reason


def _check(authorization: Authorization, context: RestApiInvocationContext) -> None:
    match authorization.policy.decide(method_arn(context)):
        case Decision.EXPLICIT_DENY:
            raise AccessDeniedError(
                "User is not authorized to access this resource with an explicit deny"
            )
        case Decision.IMPLICIT_DENY:
            raise AccessDeniedError("User is not authorized to access this resource")


def _without_message(error: BaseGatewayException) -> BaseGatewayException:
    """API Gateway does not tell callers about a broken authorizer: the message is null."""
    error.message = None
    return error
