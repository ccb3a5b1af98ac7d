"""How far the stack is from the limits of AWS, today and with 150 routes.

SAM's own translator expands the template, as with `sam deploy` and LocalStack.
"""

import json
from collections import defaultdict
from pathlib import Path

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

REPOSITORY = Path(__file__).parents[2]

# The rest is a reserve for the unforeseen.
SHARE = 0.8

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
RESOURCES = 500
TEMPLATE_BYTES = 1024 * 1024
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
FUNCTION_POLICY_BYTES = 20 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
API_RESOURCES = 300

# The number of routes to plan for.
ROUTES = 150


@pytest.fixture(scope="module")
def routes() -> list[dict]:
    """All routes, as listed by `make generate`."""
    return json.loads((REPOSITORY / "docs/routes.json").read_text())


@pytest.fixture(scope="module")
def resources() -> dict[str, dict]:
    """The resources that CloudFormation sees."""
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    # As after `sam deploy` has uploaded the binaries.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/" + "x" * 32
    session = boto3.session.Session(region_name="eu-central-1")
    values = {
        name: parameter.get("Default", "x" * 40)
        for name, parameter in template["Parameters"].items()
    }
    expanded = Translator({}, Parser(), boto_session=session).translate(template, values)
    return expanded["Resources"]


@pytest.fixture(scope="module")
def of_a_route(resources: dict[str, dict]) -> dict[str, int]:
    """What one more route costs, using one that needs more than most: a table, a queue,
    settings.
    """
    names = [name for name in resources if name.startswith("UpdateAccountFunction")]
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    return {
        "resources": len(names),
        "bytes": size({name: resources[name] for name in names})
        + size(paths["/api/accounts/{id}"]),
    }


def size(value: object) -> int:
    """The size of a value as JSON, in bytes."""
    return len(json.dumps(value))


def resources_of(path: str) -> set[str]:
    """The API resources that a path consists of: one per segment."""
    segments = path.strip("/").split("/")
    return {"/".join(segments[: length + 1]) for length in range(len(segments))}


@pytest.fixture
def stated(capsys: pytest.CaptureFixture):
    """Print a figure, and compare it with its limit."""

    def state(name: str, today: int, projected: int, limit: int) -> None:
        with capsys.disabled():
            print(f"\n{name}: {today:,} today, {projected:,} with {ROUTES} routes, of {limit:,}")
        assert today <= projected <= SHARE * limit

    return state


def test_the_stack_has_room_for_resources(resources, routes, of_a_route, stated):
    """A route has a function, its role, and its own resources."""
    today = len(resources)
    more = (ROUTES - len(routes)) * of_a_route["resources"]
    stated("Resources of the stack", today, today + more, RESOURCES)


def test_the_template_has_room(resources, routes, of_a_route, stated):
    """SAM uploads it, so the larger limit applies."""
    today = size(resources)
    more = (ROUTES - len(routes)) * of_a_route["bytes"]
    stated("Bytes of the template", today, today + more, TEMPLATE_BYTES)


def test_the_policies_of_the_functions_have_room(resources, stated):
    """Each permission is a statement in the function's own policy. LocalStack does not check its
    size.
    """
    policies = defaultdict(int)
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::Permission":
            # Including the names and ids that AWS adds to a statement.
            function = json.dumps(resource["Properties"]["FunctionName"])
            policies[function] += size(resource["Properties"]) + 200
    largest = max(policies.values())
    # The API invokes functions with a role, so routes add nothing.
    stated("Bytes of the largest policy of a function", largest, largest, FUNCTION_POLICY_BYTES)


def test_the_api_has_room_for_paths(resources, routes, stated):
    """Each segment of a path is a resource."""
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    today = len(set().union(*(resources_of(path) for path in paths)))
    # A new path adds at most one segment: its beginning exists.
    stated("Resources of the API", today, today + ROUTES - len(routes), API_RESOURCES)
