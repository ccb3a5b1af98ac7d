"""DynamoDB without Java: every call goes to a dynoxide server.

`backend` talks to the server, `provider` is LocalStack's side of it, `adoption` lets a deployment
reuse tables that an earlier one created, `table_updates` makes CloudFormation update them.
"""

from __future__ import annotations

import os

from localstack.services.plugins import Service, aws_provider


@aws_provider(api="dynamodb", name="dynoxide")
def dynamodb() -> Service:
    """The entry point; `PROVIDER_OVERRIDE_DYNAMODB=dynoxide` selects it."""
    # Imported late, so that a LocalStack with another DynamoDB imports none of this.
    from localstack.aws.forwarder import ForwardingFallbackDispatcher

    from patient_stack.dynamodb_forwarding import table_updates  # noqa: F401
    from patient_stack.dynamodb_forwarding.backend import Backend
    from patient_stack.dynamodb_forwarding.provider import DynamoDbProvider

    url = os.environ.get("DYNOXIDE_URL")
    if not url:
        raise ValueError("DYNOXIDE_URL must be the URL of the dynoxide server")
    provider = DynamoDbProvider(Backend(url))
    return Service.for_provider(
        provider,
        dispatch_table_factory=lambda it: ForwardingFallbackDispatcher(it, it.forward),
    )
