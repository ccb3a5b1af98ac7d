"""Makes roles of functions change with their template.

LocalStack ignores changes to a role's own policies. For any other change it creates a new role, and
whatever uses the previous one is not updated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled

LANGUAGE = "2012-10-17"


@hooks.on_infra_start(should_load=unless_disabled("role-updates"))
def update_roles() -> None:
    """Change the existing role."""
    from localstack.services.cloudformation.resource_provider import (
        OperationStatus,
        ProgressEvent,
        ResourceRequest,
    )
    from localstack.services.iam.resource_providers.aws_iam_role import IAMRoleProvider
    from localstack.utils.patch import patch

    @patch(IAMRoleProvider.update)
    def update_role(_update: Any, _provider: Any, request: ResourceRequest) -> ProgressEvent:
        before, wanted = request.previous_state, request.desired_state
        iam, role = request.aws_client_factory.iam, before["RoleName"]
        iam.update_assume_role_policy(
            RoleName=role, PolicyDocument=json.dumps(wanted["AssumeRolePolicyDocument"])
        )
        _change_own_policies(iam, role, _own_policies(before), _own_policies(wanted))
        _change_managed_policies(iam, role, _managed_policies(before), _managed_policies(wanted))
        known = {name: before[name] for name in ("RoleName", "Arn", "RoleId") if name in before}
        return ProgressEvent(OperationStatus.SUCCESS, resource_model={**wanted, **known})


def _own_policies(role: Mapping[str, Any]) -> dict[str, Any]:
    return {policy["PolicyName"]: policy["PolicyDocument"] for policy in role.get("Policies") or ()}


def _managed_policies(role: Mapping[str, Any]) -> set[str]:
    return set(role.get("ManagedPolicyArns") or ())


def _change_own_policies(
    iam: Any, role: str, before: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    for name, document in wanted.items():
        document = json.dumps({"Version": LANGUAGE, **document})
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)
    for name in before.keys() - wanted.keys():
        iam.delete_role_policy(RoleName=role, PolicyName=name)


def _change_managed_policies(iam: Any, role: str, before: set[str], wanted: set[str]) -> None:
    for arn in wanted - before:
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in before - wanted:
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
