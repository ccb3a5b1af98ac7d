"""Gives a stack's REST API the same id, and so the same URL, at each deployment.

LocalStack forgets its APIs when it stops and generates new ids, so a front end would need a new URL
each time. On AWS, an API keeps its id for as long as it exists.
"""

from __future__ import annotations

from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled

STACK_NAME_TAG = "aws:cloudformation:stack-name"


@hooks.on_infra_start(should_load=unless_disabled("stable-api-ids"))
def keep_api_ids() -> None:
    """Use the stack's name as the id of its first API; further ones keep their own."""
    from localstack.constants import TAG_KEY_CUSTOM_ID
    from localstack.utils.patch import patch
    from moto.apigateway.models import APIGatewayBackend, RestAPI

    @patch(APIGatewayBackend.create_rest_api)
    def create_rest_api(
        create: Any, backend: APIGatewayBackend, *args: Any, tags: Any = None, **kwargs: Any
    ) -> RestAPI:
        api = create(backend, *args, tags=tags, **kwargs)
        wanted = (tags or {}).get(STACK_NAME_TAG)
        is_chosen = TAG_KEY_CUSTOM_ID in (tags or {})
        if wanted and not is_chosen and wanted not in backend.apis:
            del backend.apis[api.id]
            api.id = wanted
            backend.apis[wanted] = api
        return api
