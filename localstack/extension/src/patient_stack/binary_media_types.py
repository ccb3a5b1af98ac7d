"""Lets REST APIs take every media type for binary, as `*/*` among their binary media types says.

LocalStack skips `*/*`: a function's file would reach most clients as base64 text with status 200.
With it, API Gateway decodes whatever a function says is encoded, and encodes the body of every
request.
"""

from __future__ import annotations

import base64
from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled

_EVERYTHING = "*/*"


@hooks.on_infra_start(should_load=unless_disabled("binary-media-types"))
def take_everything_for_binary() -> None:
    """Honour `*/*` in both directions of a proxy integration with Lambda."""
    from localstack.services.apigateway.next_gen.execute_api.integrations import aws
    from localstack.utils.patch import Patch, patch

    matches = aws.mime_type_matches_binary_media_types

    def is_binary(mime_type: str | None, binary_media_types: list[str]) -> bool:
        return _EVERYTHING in binary_media_types or matches(mime_type, binary_media_types)

    Patch(aws, "mime_type_matches_binary_media_types", is_binary).apply()

    @patch(aws.RestApiAwsProxyIntegration.create_lambda_input_event)
    def create_event(create: Any, integration: Any, context: Any) -> Any:
        event = create(integration, context)
        types = context.deployment.rest_api.rest_api.get("binaryMediaTypes") or []
        if _EVERYTHING in types and event["body"] and not event["isBase64Encoded"]:
            event["body"] = base64.b64encode(event["body"].encode()).decode()
            event["isBase64Encoded"] = True
        return event
