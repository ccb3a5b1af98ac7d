"""DynamoDB through LocalStack: real calls, real deployments, a server that stops and comes back."""

from __future__ import annotations

import json
import signal
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions import invoke
from stack import Daemon, LocalStack, dynamodb_server, free_port, python_function, wait_until

FAILED = {"CREATE_FAILED", "UPDATE_FAILED", "ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
KEY = {"AttributeName": "id", "KeyType": "HASH"}
BY_DAY = {
    "IndexName": "by-day",
    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def definition(**changes: Any) -> dict[str, Any]:
    """A `CreateTable` request for a new table."""
    return {
        "TableName": f"table-{uuid.uuid4().hex[:8]}",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "S"},
        ],
        "KeySchema": [KEY],
        "GlobalSecondaryIndexes": [BY_DAY],
        **changes,
    }


def template(table_name: str, **changes: Any) -> str:
    """A CloudFormation template with one table that uses the features of our own template."""
    table = {
        **definition(TableName=table_name),
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "Tags": [{"Key": "service", "Value": "analytics"}],
        **changes,
    }
    resources = {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": table}}
    outputs = {
        "Name": {"Value": {"Ref": "Table"}},
        "Arn": {"Value": {"Fn::GetAtt": ["Table", "Arn"]}},
    }
    return json.dumps({"Resources": resources, "Outputs": outputs})


def begin_deployment(localstack: LocalStack, stack_name: str, body: str) -> None:
    """Create or update the stack with a change set, as SAM does."""
    client, name = localstack.client("cloudformation"), f"change-{uuid.uuid4().hex[:8]}"
    known = {stack["StackName"] for stack in client.describe_stacks()["Stacks"]}
    change = {"StackName": stack_name, "ChangeSetName": name}
    kind = "UPDATE" if stack_name in known else "CREATE"
    client.create_change_set(**change, ChangeSetType=kind, TemplateBody=body)
    client.get_waiter("change_set_create_complete").wait(**change, WaiterConfig={"Delay": 0.1})
    client.execute_change_set(**change)


def deploy(localstack: LocalStack, stack_name: str, body: str) -> dict[str, str]:
    """Create or update the stack and return its outputs."""
    begin_deployment(localstack, stack_name, body)
    done = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    wait_until(lambda: stack_status(localstack, stack_name) in done, f"{stack_name} is deployed")
    [stack] = localstack.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def stack_status(localstack: LocalStack, stack_name: str) -> str:
    """The state of a CloudFormation stack."""
    client = localstack.client("cloudformation")
    return client.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]


def assert_failed_for(localstack: LocalStack, stack_name: str, reason: str) -> None:
    """Assert that one of the stack's events contains the reason."""
    client = localstack.client("cloudformation")
    events = client.describe_stack_events(StackName=stack_name)["StackEvents"]
    reasons = [event.get("ResourceStatusReason", "") for event in events]
    assert any(reason in told for told in reasons), reasons


def test_items_are_written_and_read(localstack: LocalStack, dynamodb: Daemon) -> None:
    """Including a conditional failure and a transaction."""
    client, table = localstack.client("dynamodb"), definition()
    name = table["TableName"]
    client.create_table(**table)
    item = {"id": {"S": "1"}, "day": {"S": "2024-05-01"}, "note": {"S": "Zoë"}}

    client.put_item(TableName=name, Item=item)

    assert client.get_item(TableName=name, Key={"id": {"S": "1"}})["Item"] == item
    found = client.query(
        TableName=name,
        IndexName="by-day",
        KeyConditionExpression="#day = :day",
        ExpressionAttributeNames={"#day": "day"},
        ExpressionAttributeValues={":day": {"S": "2024-05-01"}},
    )
    assert found["Items"] == [item]
    absent = {"ConditionExpression": "attribute_not_exists(id)"}
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(TableName=name, Item=item, **absent)
    other = {"Put": {"TableName": name, "Item": {"id": {"S": "2"}}}}
    again = {"Put": {"TableName": name, "Item": item, **absent}}
    with pytest.raises(client.exceptions.TransactionCanceledException) as refused:
        client.transact_write_items(TransactItems=[other, again])
    codes = [reason["Code"] for reason in refused.value.response["CancellationReasons"]]
    assert codes == ["None", "ConditionalCheckFailed"]
    assert "Item" not in client.get_item(TableName=name, Key={"id": {"S": "2"}})


def test_arns_name_the_region_of_the_caller(localstack: LocalStack, dynamodb: Daemon) -> None:
    """Everywhere in a description; and such an ARN can be used in calls."""
    client, table = localstack.client("dynamodb"), definition(SSESpecification={"Enabled": True})
    name = table["TableName"]

    created = client.create_table(**table)["TableDescription"]
    described = client.describe_table(TableName=name)["Table"]

    arn = f"arn:aws:dynamodb:eu-central-1:000000000000:table/{name}"
    for description in created, described:
        assert description["TableArn"] == arn
        assert description["GlobalSecondaryIndexes"][0]["IndexArn"] == f"{arn}/index/by-day"
        assert "dynoxide" not in json.dumps(description, default=str)
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "clinic"}])
    tags = client.list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "owner", "Value": "clinic"}]


def test_settings_can_be_applied_twice(localstack: LocalStack, dynamodb: Daemon) -> None:
    """A repeated deployment applies the same settings again."""
    client, table = localstack.client("dynamodb"), definition()
    name = table["TableName"]
    client.create_table(**table)

    for _ in range(2):
        client.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )
        client.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )

        ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
        backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        recovery = backups["PointInTimeRecoveryDescription"]
        assert recovery == {"PointInTimeRecoveryStatus": "ENABLED"}


def test_a_missing_table_is_not_found(localstack: LocalStack, dynamodb: Daemon) -> None:
    """Even by the calls that are not forwarded."""
    client = localstack.client("dynamodb")
    for call in client.describe_table, client.describe_continuous_backups:
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            call(TableName="no-such-table")


def test_unsupported_operations_are_reported(localstack: LocalStack, dynamodb: Daemon) -> None:
    """With an error that SDKs do not retry for ever."""
    with pytest.raises(ClientError, match="does not implement ListBackups"):
        localstack.client("dynamodb").list_backups()


def test_a_matching_table_is_adopted(localstack: LocalStack, dynamodb: Daemon) -> None:
    """Creating it again keeps its items, and applies tags and protection."""
    client, table = localstack.client("dynamodb"), definition()
    name = table["TableName"]
    first = client.create_table(**table)["TableDescription"]
    client.put_item(TableName=name, Item={"id": {"S": "kept"}})

    again = client.create_table(
        **table, Tags=[{"Key": "run", "Value": "2"}], DeletionProtectionEnabled=True
    )["TableDescription"]

    assert again["TableArn"] == first["TableArn"]
    assert again["TableId"] == first["TableId"]
    assert again["DeletionProtectionEnabled"] is True
    assert client.get_item(TableName=name, Key={"id": {"S": "kept"}})["Item"]
    tags = client.list_tags_of_resource(ResourceArn=first["TableArn"])["Tags"]
    assert tags == [{"Key": "run", "Value": "2"}]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"KeySchema": [KEY, {"AttributeName": "day", "KeyType": "RANGE"}]}, "the key schema"),
        (
            {
                "AttributeDefinitions": [
                    {"AttributeName": "id", "AttributeType": "N"},
                    {"AttributeName": "day", "AttributeType": "S"},
                ]
            },
            "the key schema",
        ),
        ({"GlobalSecondaryIndexes": [{**BY_DAY, "IndexName": "other"}]}, "the index other"),
        (
            {"GlobalSecondaryIndexes": [{**BY_DAY, "Projection": {"ProjectionType": "KEYS_ONLY"}}]},
            "the index by-day",
        ),
    ],
)
def test_a_different_table_is_in_use(
    localstack: LocalStack, dynamodb: Daemon, changes: dict[str, Any], reason: str
) -> None:
    """Adoption must not hide that a table differs from the requested one."""
    client, table = localstack.client("dynamodb"), definition()
    client.create_table(**table)

    with pytest.raises(client.exceptions.ResourceInUseException, match=reason):
        client.create_table(**{**table, **changes})


def test_a_function_uses_dynamodb(localstack: LocalStack, dynamodb: Daemon) -> None:
    """With the endpoint and the credentials from its environment, without a detour."""
    client, table = localstack.client("dynamodb"), definition()
    client.create_table(**table)
    source = python_function(
        "\n".join(
            [
                "sys.path[:] = event['path']",
                "import boto3",
                "boto3.client('dynamodb').put_item(",
                "    TableName=event['table'], Item={'id': {'S': 'from the function'}})",
                "return os.environ['AWS_ENDPOINT_URL_DYNAMODB']",
            ]
        )
    )
    name = localstack.create_function(source, timeout=60)
    event = {"path": sys.path, "table": table["TableName"]}

    assert invoke(localstack, name, event).result + "/" == dynamodb.ready_url

    key = {"id": {"S": "from the function"}}
    assert client.get_item(TableName=table["TableName"], Key=key)["Item"] == key


def test_a_stack_is_deployed_updated_and_deleted(localstack: LocalStack, dynamodb: Daemon) -> None:
    """The whole life cycle of a table in CloudFormation."""
    name, client = definition()["TableName"], localstack.client("dynamodb")

    outputs = deploy(localstack, f"stack-{name}", template(name))

    arn = f"arn:aws:dynamodb:eu-central-1:000000000000:table/{name}"
    assert outputs == {"Name": name, "Arn": arn}
    table = client.describe_table(TableName=name)["Table"]
    assert table["SSEDescription"]["Status"] == "ENABLED"
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-day"]
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "ENABLED"
    assert {"Key": "service", "Value": "analytics"} in client.list_tags_of_resource(
        ResourceArn=arn
    )["Tags"]

    changed = template(name, Tags=[{"Key": "service", "Value": "reports"}])
    assert deploy(localstack, f"stack-{name}", changed) == outputs
    tags = client.list_tags_of_resource(ResourceArn=arn)["Tags"]
    assert {"Key": "service", "Value": "reports"} in tags

    cloudformation = localstack.client("cloudformation")
    keys = [KEY, {"AttributeName": "day", "KeyType": "RANGE"}]
    unlike = template(name, KeySchema=keys)
    begin_deployment(localstack, f"stack-{name}", unlike)
    wait_until(lambda: stack_status(localstack, f"stack-{name}") in FAILED, "the update fails")
    assert_failed_for(
        localstack, f"stack-{name}", "differs from the requested one in the key schema"
    )

    cloudformation.delete_stack(StackName=f"stack-{name}")
    waiter = cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=f"stack-{name}", WaiterConfig={"Delay": 0.2})
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_table(TableName=name)


@pytest.fixture
def own_dynamodb(tmp_path: Path) -> Iterator[Daemon]:
    """A server that a test may stop."""
    server = dynamodb_server(tmp_path / "dynamodb", free_port())
    server.start()
    yield server
    server.end(signal.SIGKILL)


@pytest.fixture
def own_localstack(extension: Path, tmp_path: Path, own_dynamodb: Daemon) -> Iterator[LocalStack]:
    """A LocalStack that a test may stop, with a server of its own."""
    settings = {
        "PROVIDER_OVERRIDE_DYNAMODB": "dynoxide",
        "DYNOXIDE_URL": own_dynamodb.ready_url,
    }
    stack = LocalStack(directory=tmp_path, extension=extension, environment=settings)
    stack.start()
    yield stack
    stack.kill()


def test_data_survives_a_new_localstack_and_deployment(own_localstack: LocalStack) -> None:
    """LocalStack forgets its stacks; the next deployment finds the table and its items."""
    body = template("patients-per-day")
    first = deploy(own_localstack, "system", body)
    item = {"id": {"S": "1"}, "day": {"S": "2024-05-01"}}
    own_localstack.client("dynamodb").put_item(TableName=first["Name"], Item=item)
    own_localstack.kill()
    own_localstack.start()
    client = own_localstack.client("dynamodb")

    second = deploy(own_localstack, "system", body)

    assert second == first
    assert client.scan(TableName=first["Name"])["Items"] == [item]
    ttl = client.describe_time_to_live(TableName=first["Name"])["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}


def test_a_changed_table_fails_the_deployment_with_its_reason(own_localstack: LocalStack) -> None:
    """After a restart, a template with another key cannot adopt the old table."""
    deploy(own_localstack, "system", template("patients-per-day"))
    own_localstack.kill()
    own_localstack.start()
    keys = [KEY, {"AttributeName": "day", "KeyType": "RANGE"}]

    changed = template("patients-per-day", KeySchema=keys)
    begin_deployment(own_localstack, "system", changed)
    wait_until(lambda: stack_status(own_localstack, "system") in FAILED, "the deployment fails")
    assert_failed_for(own_localstack, "system", "differs from the requested one in the key schema")


def test_the_server_may_stop_and_come_back(
    own_localstack: LocalStack, own_dynamodb: Daemon
) -> None:
    """Meanwhile, a call fails with an error that SDKs retry; afterwards everything is there."""
    client, table = own_localstack.client("dynamodb"), definition()
    name = table["TableName"]
    client.create_table(**table)
    with ThreadPoolExecutor(8) as callers:
        puts = [{"id": {"S": str(number)}} for number in range(40)]
        list(callers.map(lambda item: client.put_item(TableName=name, Item=item), puts))

    own_dynamodb.end(signal.SIGKILL)
    with pytest.raises(ClientError, match="does not respond") as failure:
        client.get_item(TableName=name, Key={"id": {"S": "0"}})
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    own_dynamodb.start()

    for _ in range(20):  # more than the connections that broke
        assert client.scan(TableName=name, Select="COUNT")["Count"] == 40
