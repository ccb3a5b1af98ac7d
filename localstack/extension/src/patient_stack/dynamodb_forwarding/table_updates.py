"""Updates of tables by CloudFormation, which LocalStack ignores except for a log line.

Importing this module makes an update work like a repeated creation: the table is adopted, and its
tags, time to live, stream and protection are set. If something cannot be changed in place, the
deployment fails with the reason, instead of leaving a table that differs from the template.
"""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceRequest,
)
from localstack.services.dynamodb.resource_providers.aws_dynamodb_table import (
    DynamoDBTableProperties,
    DynamoDBTableProvider,
)
from localstack.utils.patch import patch

Request = ResourceRequest[DynamoDBTableProperties]
Progress = ProgressEvent[DynamoDBTableProperties]


@patch(DynamoDBTableProvider.update)
def _create_again(
    _update: Callable[..., Progress], self: DynamoDBTableProvider, request: Request
) -> Progress:
    # A table without a name in the template was given one at its creation.
    request.desired_state.setdefault("TableName", request.previous_state["TableName"])
    try:
        return self.create(request)
    except ClientError as error:
        # LocalStack passes on the message of a result, but not that of an exception.
        return ProgressEvent(
            status=OperationStatus.FAILED, resource_model=request.desired_state, message=str(error)
        )
