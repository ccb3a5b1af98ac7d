"""What the tests of the infrastructure have in common."""

import pytest
from stacks import SIZES, System


@pytest.fixture(params=SIZES)
def system(request: pytest.FixtureRequest) -> System:
    """All stacks, in each size."""
    return System.of(request.param)
