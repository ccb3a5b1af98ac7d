"""How far the stack is from the limits of AWS, today and with a hundred routes more.

SAM's own translator expands the template, as `sam deploy` and LocalStack do.
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

# What is left has to do for what nobody foresees.
SHARE = 0.8

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
RESOURCES = 500
TEMPLATE_BYTES = 1024 * 1024
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
FUNCTION_POLICY_BYTES = 20 * 1024
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
API_RESOURCES = 300

# How many routes the system is to have one day.
ROUTES = 120


@pytest.fixture(scope="module")
def routes() -> list[dict]:
    """All routes, as `make generate` lists them."""
    return json.loads((REPOSITORY / "docs/routes.json").read_text())


@pytest.fixture(scope="module")
def resources() -> dict[str, dict]:
    """What CloudFormation gets to see."""
    template = yaml_parse((REPOSITORY / "template.yaml").read_text())
    # As it is once `sam deploy` has uploaded the programs.
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
    """What one more route costs, by one that needs more than most: a table, a queue, settings."""
    names = [name for name in resources if name.startswith("UpdateAccountFunction")]
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    return {
        "resources": len(names),
        "bytes": size({name: resources[name] for name in names})
        + size(paths["/api/accounts/{id}"]),
    }


def size(value: object) -> int:
    """Count the bytes that it has as JSON."""
    return len(json.dumps(value))


def resources_of(path: str) -> set[str]:
    """The resources of the API that a path consists of: one for each segment."""
    segments = path.strip("/").split("/")
    return {"/".join(segments[: length + 1]) for length in range(len(segments))}


@pytest.fixture
def stated(capsys: pytest.CaptureFixture):
    """States a figure, and holds it against its limit."""

    def state(name: str, today: int, projected: int, limit: int) -> None:
        with capsys.disabled():
            print(f"\n{name}: {today:,} today, {projected:,} with {ROUTES} routes, of {limit:,}")
        assert today <= projected <= SHARE * limit

    return state


def test_the_stack_has_room_for_resources(resources, routes, of_a_route, stated):
    """A function, its role, and what is its own."""
    today = len(resources)
    more = (ROUTES - len(routes)) * of_a_route["resources"]
    stated("Resources of the stack", today, today + more, RESOURCES)


def test_the_template_has_room(resources, routes, of_a_route, stated):
    """SAM uploads it, so that the larger limit counts."""
    today = size(resources)
    more = (ROUTES - len(routes)) * of_a_route["bytes"]
    stated("Bytes of the template", today, today + more, TEMPLATE_BYTES)


def test_no_function_needs_many_words_to_let_itself_be_called(resources, stated):
    """Each permission is a statement of the function's own policy. LocalStack never measures it."""
    policies = defaultdict(int)
    for resource in resources.values():
        if resource["Type"] == "AWS::Lambda::Permission":
            # With the names and ids of a statement around it, as AWS writes it.
            function = json.dumps(resource["Properties"]["FunctionName"])
            policies[function] += size(resource["Properties"]) + 200
    largest = max(policies.values())
    # The API calls functions with a role, so that routes add nothing.
    stated("Bytes of the largest policy of a function", largest, largest, FUNCTION_POLICY_BYTES)


def test_the_api_has_room_for_paths(resources, routes, stated):
    """Each segment of a path is one."""
    paths = resources["Api"]["Properties"]["Body"]["paths"]
    today = len(set().union(*(resources_of(path) for path in paths)))
    # A path has a segment of its own at most: what it begins with is there.
    stated("Resources of the API", today, today + ROUTES - len(routes), API_RESOURCES)
