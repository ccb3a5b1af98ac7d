"""What the tests of the infrastructure have in common."""

import sys

import pytest
from stacks import REPOSITORY, SIZES, System, all_templates

# For the scripts that are tested.
sys.path.insert(0, str(REPOSITORY / "infrastructure"))


@pytest.fixture(params=SIZES)
def system(request: pytest.FixtureRequest) -> System:
    """All stacks, in each size."""
    return System.of(request.param, all_templates())
