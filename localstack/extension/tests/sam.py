"""Deploys SAM templates."""

from __future__ import annotations

import json
import uuid
from typing import Any

from stack import REGION, LocalStack, archive


def deploy(localstack: LocalStack, resources: dict[str, Any], **outputs: Any) -> dict[str, str]:
    """Deploy a template as a new stack; return the stack's outputs and its name."""
    formation = localstack.client("cloudformation")
    name = f"stack-{uuid.uuid4().hex[:8]}"
    formation.create_stack(StackName=name, **_template(resources, outputs))
    formation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    stack = formation.describe_stacks(StackName=name)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return {"StackName": name, **outputs}


def redeploy(localstack: LocalStack, name: str, resources: dict[str, Any]) -> None:
    """Deploy another template as the same stack."""
    formation = localstack.client("cloudformation")
    formation.update_stack(StackName=name, **_template(resources, {}))
    formation.get_waiter("stack_update_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def _template(resources: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": resources,
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    return {
        "TemplateBody": json.dumps(document),
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }


def upload(localstack: LocalStack, bootstrap: str) -> dict[str, str]:
    """Upload a deployment package to where a template can refer to it."""
    storage = localstack.client("s3")
    bucket = f"packages-{uuid.uuid4().hex}"
    storage.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    storage.put_object(Bucket=bucket, Key="package.zip", Body=archive(bootstrap))
    return {"Bucket": bucket, "Key": "package.zip"}


def function(code: dict[str, str], **properties: Any) -> dict[str, Any]:
    """A function resource."""
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "CodeUri": code,
            "Handler": "bootstrap",
            "Runtime": "provided.al2023",
            "Timeout": 10,
            **properties,
        },
    }
