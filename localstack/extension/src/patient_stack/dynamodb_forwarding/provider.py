"""LocalStack's DynamoDB: forwards all calls, and implements what the server lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localstack.aws.api import CommonServiceException, RequestContext, ServiceRequest, handler
from localstack.aws.api.dynamodb import (
    ContinuousBackupsDescription,
    ContinuousBackupsStatus,
    CreateTableInput,
    DescribeContinuousBackupsOutput,
    DynamodbApi,
    PointInTimeRecoveryDescription,
    PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus,
    ResourceInUseException,
    TableArn,
    UpdateContinuousBackupsOutput,
)
from localstack.http import Response
from localstack.services.plugins import ServiceLifecycleHook

from patient_stack.dynamodb_forwarding import adoption
from patient_stack.dynamodb_forwarding.backend import Answer, Backend, BackendUnavailable

JSON = "application/x-amz-json-1.0"


class DynamoDbProvider(DynamodbApi, ServiceLifecycleHook):
    """Operations without a method here are forwarded unchanged."""

    def __init__(self, backend: Backend) -> None:
        """Forward to this server."""
        self._backend = backend
        self._recoverable_tables: set[str] = set()

    def forward(self, context: RequestContext, _request: ServiceRequest | None = None) -> Response:
        """Forward the call to the server."""
        answer = self._forward(context)
        if answer.error == "UnknownOperationException":
            raise CommonServiceException(
                answer.error, f"The local DynamoDB does not implement {context.operation.name}"
            )
        return _response(answer)

    @handler("CreateTable", expand=False)
    def create_table(self, context: RequestContext, request: CreateTableInput) -> Response:
        """Create the table, or adopt a matching existing one."""
        answer = self._forward(context)
        if answer.error == "ResourceInUseException":
            return self._adopt(context, request)
        return _response(answer)

    @handler("DescribeContinuousBackups")
    def describe_continuous_backups(
        self, context: RequestContext, table_name: TableArn, **_kwargs: object
    ) -> DescribeContinuousBackupsOutput:
        """Return the setting: the server keeps no backups."""
        self._describe(context, table_name)
        description = self._backups(table_name)
        return DescribeContinuousBackupsOutput(ContinuousBackupsDescription=description)

    @handler("UpdateContinuousBackups")
    def update_continuous_backups(
        self,
        context: RequestContext,
        table_name: TableArn,
        point_in_time_recovery_specification: PointInTimeRecoverySpecification,
        **_kwargs: object,
    ) -> UpdateContinuousBackupsOutput:
        """Store the setting, so that a template with it can be deployed."""
        self._describe(context, table_name)
        if point_in_time_recovery_specification["PointInTimeRecoveryEnabled"]:
            self._recoverable_tables.add(table_name)
        else:
            self._recoverable_tables.discard(table_name)
        description = self._backups(table_name)
        return UpdateContinuousBackupsOutput(ContinuousBackupsDescription=description)

    def _adopt(self, context: RequestContext, wanted: CreateTableInput) -> Response:
        name = wanted["TableName"]
        existing = self._describe(context, name)
        if reasons := adoption.differences(wanted, existing):
            raise ResourceInUseException(
                f"Table already exists: {name}, and differs from the requested one in "
                f"{' and '.join(reasons)}. Delete it first; on the local stack, "
                "`make clean` deletes all data."
            )
        if update := adoption.changes(wanted, existing):
            self._call(context, "UpdateTable", {"TableName": name, **update})
            existing = self._describe(context, name)
        if tags := wanted.get("Tags"):
            tagging = {"ResourceArn": existing["TableArn"], "Tags": tags}
            self._call(context, "TagResource", tagging)
        return Response(json.dumps({"TableDescription": existing}), mimetype=JSON)

    def _describe(self, context: RequestContext, table_name: str) -> dict[str, Any]:
        return self._call(context, "DescribeTable", {"TableName": table_name})["Table"]

    def _backups(self, table_name: str) -> ContinuousBackupsDescription:
        enabled = table_name in self._recoverable_tables
        status = (
            PointInTimeRecoveryStatus.ENABLED if enabled else PointInTimeRecoveryStatus.DISABLED
        )
        return ContinuousBackupsDescription(
            ContinuousBackupsStatus=ContinuousBackupsStatus.ENABLED,
            PointInTimeRecoveryDescription=PointInTimeRecoveryDescription(
                PointInTimeRecoveryStatus=status
            ),
        )

    def _forward(self, context: RequestContext) -> Answer:
        request = context.request
        try:
            return self._backend.forward(request.headers, request.get_data(), context.region)
        except BackendUnavailable as error:
            raise _unavailable(error) from error

    def _call(
        self, context: RequestContext, operation: str, request: Mapping[str, Any]
    ) -> dict[str, Any]:
        try:
            answer = self._backend.call(operation, request, context.region)
        except BackendUnavailable as error:
            raise _unavailable(error) from error
        if answer.error is not None:
            message = answer.parsed.get("message", "")
            raise CommonServiceException(answer.error, message, status_code=answer.status)
        return answer.parsed


def _response(answer: Answer) -> Response:
    return Response(answer.body, status=answer.status, mimetype=JSON)


def _unavailable(error: BackendUnavailable) -> CommonServiceException:
    """A response that every AWS SDK retries: the server may be restarting."""
    return CommonServiceException("ServiceUnavailable", str(error), status_code=503)
