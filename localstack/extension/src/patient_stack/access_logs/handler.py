"""Logs each request that a REST API has responded to, if its stage has an access log."""

from __future__ import annotations

import logging
import time

from localstack.http import Response
from localstack.services.apigateway.next_gen.execute_api.api import RestApiGatewayHandlerChain
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.utils.aws.arns import extract_region_from_arn

from patient_stack.access_logs.rendering import render_line
from patient_stack.access_logs.writer import AccessLogWriter, LogStreamPlace

LOG = logging.getLogger(__name__)

LOG_GROUP = ":log-group:"


class AccessLogHandler:
    """The last step of the gateway's chain, whatever the response."""

    def __init__(self, writer: AccessLogWriter) -> None:
        """Pass lines to this writer."""
        self._writer = writer

    def __call__(
        self,
        chain: RestApiGatewayHandlerChain,
        context: RestApiInvocationContext,
        response: Response,
    ) -> None:
        """Write the line for the request."""
        settings = (context.stage_configuration or {}).get("accessLogSettings") or {}
        destination, line_format = settings.get("destinationArn"), settings.get("format")
        if not destination or not line_format or not context.context_variables:
            return
        place = _place(destination, context)
        if place is None:
            LOG.warning("An access log cannot be written to %s", destination)
            return
        self._writer.write(place, render_line(line_format, _variables(context, response)))


def _place(destination: str, context: RestApiInvocationContext) -> LogStreamPlace | None:
    _, found, group = destination.partition(LOG_GROUP)
    if not found:
        return None
    return LogStreamPlace(
        account_id=context.account_id,
        region=extract_region_from_arn(destination),
        # CloudFormation's ARN of a log group has the suffix for all its streams.
        group=group.removesuffix(":*"),
        stream=f"{context.api_id}/{context.stage}",
    )


def _variables(context: RestApiInvocationContext, response: Response) -> dict:
    """`$context`, with the variables that depend on the response."""
    started = context.context_variables["requestTimeEpoch"]
    return {
        **context.context_variables,
        "status": response.status_code,
        "responseLength": response.content_length,
        "responseLatency": max(0, int(time.time() * 1000) - started),
        "xrayTraceId": context.trace_id,
    }
