"""Hands compressed bodies on to REST APIs as they came.

LocalStack unpacks the body of every request that says `Content-Encoding: gzip`, and answers a
bare 500 if it cannot. API Gateway unpacks nothing unless an API has compression switched on: it
hands the body and the header on, and the integration decides.
"""

from __future__ import annotations

import re
from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled

# By domain, by LocalStack's own path, and by the path that it had before.
_API_HOST = re.compile(r"\.execute-api\.")
_API_PATHS = ("/_aws/execute-api/", "/restapis/")


@hooks.on_infra_start(should_load=unless_disabled("encoded-bodies"))
def keep_bodies_encoded() -> None:
    """Leave the bodies of requests to REST APIs alone."""
    from localstack.aws.handlers.codec import ContentDecoder
    from localstack.utils.patch import patch

    @patch(ContentDecoder.__call__)
    def decode(
        decode: Any, decoder: ContentDecoder, chain: Any, context: Any, response: Any
    ) -> None:
        if not _is_for_an_api(context.request):
            decode(decoder, chain, context, response)


def _is_for_an_api(request: Any) -> bool:
    return request.path.startswith(_API_PATHS) or bool(_API_HOST.search(request.host))
