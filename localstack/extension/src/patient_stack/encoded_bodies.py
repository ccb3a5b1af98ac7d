"""Passes compressed bodies on to REST APIs unchanged.

LocalStack decompresses the body of every request with `Content-Encoding: gzip`, and returns a bare
500 if it cannot. API Gateway decompresses nothing unless an API has compression enabled: it passes
on the body and the header, and the integration decides.
"""

from __future__ import annotations

import re
from typing import Any

from localstack.runtime import hooks

from patient_stack.activation import unless_disabled

# By domain, by LocalStack's path, and by its legacy path.
_API_HOST = re.compile(r"\.execute-api\.")
_API_PATHS = ("/_aws/execute-api/", "/restapis/")


@hooks.on_infra_start(should_load=unless_disabled("encoded-bodies"))
def keep_bodies_encoded() -> None:
    """Leave the bodies of requests to REST APIs unchanged."""
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
