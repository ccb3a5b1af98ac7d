"""A stack update changes the existing roles."""

from __future__ import annotations

from typing import Any

from sam import deploy, function, redeploy, upload
from stack import LocalStack, python_function


def may(*actions: str) -> dict[str, Any]:
    """A statement of a policy."""
    return {"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}


def test_a_functions_role_changes_with_its_policies(localstack: LocalStack) -> None:
    """It remains the same role, with exactly the template's policies."""
    code = upload(localstack, python_function("return 1"))
    managed = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
    first = {"Worker": function(code, Policies=[may("sqs:SendMessage"), may("ses:SendEmail")])}
    outputs = {"Role": {"Fn::GetAtt": ["WorkerRole", "Arn"]}, "Function": {"Ref": "Worker"}}
    deployed = deploy(localstack, first, **outputs)
    name = deployed["Role"].rsplit("/", 1)[1]
    iam = localstack.client("iam")

    redeploy(
        localstack,
        deployed["StackName"],
        {"Worker": function(code, Policies=[may("sqs:DeleteMessage"), managed])},
    )

    policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
    documents = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in policies
    ]
    actions = [document["Statement"][0]["Action"] for document in documents]
    assert actions == [["sqs:DeleteMessage"]]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert managed in [policy["PolicyArn"] for policy in attached]
    worker = localstack.client("lambda").get_function(FunctionName=deployed["Function"])
    assert worker["Configuration"]["Role"] == deployed["Role"]

    redeploy(localstack, deployed["StackName"], {"Worker": function(code)})
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert managed not in [policy["PolicyArn"] for policy in attached]
