"""What one stack tells is what the next one takes, by name and by type."""

from __future__ import annotations

import json
import re
from pathlib import Path

import deploy
import pytest
from stacks import (
    APPLICATION,
    INFRASTRUCTURE,
    OPERATIONS,
    REPOSITORY,
    SIZES,
    STACKS,
    System,
    Templates,
    read,
    references,
)

# What `make deploy-aws` knows without any stack, or puts together.
KNOWN_BY_DEPLOYMENT = {
    "Name",
    "Size",
    "Environment",
    "Architecture",
    "AlarmEmail",
    "BillingDomain",
    "BillingImage",
    "BillingTokenSecretVersion",
    "CertificateArn",
    "FunctionConcurrency",
    "KafkaBootstrapServers",
}

# What only the operator knows.
SAID_BY_OPERATOR = {"NotificationsSender"}

# What is told and not taken by any stack, and why.
TOLD_TO_PEOPLE = {
    "ApiUrl": "for front ends",
    "DocsUrl": "for developers",
    "RestApiId": "for custom domains",
    "FunctionLog": "for operators",
    "AuditTrailLog": "for auditors",
}

# What the value of a parameter of a type has to be a reference to.
RESOURCE_OF = {
    "AWS::EC2::VPC::Id": "AWS::EC2::VPC",
    "AWS::EC2::SecurityGroup::Id": "AWS::EC2::SecurityGroup",
    "List<AWS::EC2::Subnet::Id>": "AWS::EC2::Subnet",
}
# template.yaml takes lists of any kind.
LISTS_OF = {"VpcSubnetIds": "AWS::EC2::Subnet", "VpcSecurityGroupIds": "AWS::EC2::SecurityGroup"}

# Resources whose Ref is their ARN.
REF_IS_ARN = {"AWS::MSK::Cluster", "AWS::SecretsManager::Secret", "AWS::SNS::Topic"}


def earlier(stack: str) -> list[str]:
    """The stacks that are deployed before this one."""
    return STACKS[: STACKS.index(stack)]


@pytest.mark.parametrize("stack", STACKS)
def test_every_parameter_has_a_source(stack: str, system: System) -> None:
    """An output of the same name, the deployment, the operator, or a default."""
    told = {name for each in earlier(stack) for name in system.stacks[each].outputs}
    told |= {name.removesuffix("SecretArn") for name in told}
    for name, parameter in read(stack).get("Parameters", {}).items():
        assert (
            name in told | KNOWN_BY_DEPLOYMENT | SAID_BY_OPERATOR or "Default" in parameter
        ), f"{stack}: nobody says {name}"


def test_no_output_is_told_by_two_stacks() -> None:
    """They are passed on by their names."""
    names = [name for stack in STACKS for name in read(stack).get("Outputs", {})]
    assert sorted(names) == sorted(set(names))


def test_every_output_is_taken() -> None:
    """By a later stack, by the deployment, or by people."""
    script = Path(deploy.__file__).read_text()
    for stack in STACKS:
        for name in read(stack).get("Outputs", {}):
            later = STACKS[STACKS.index(stack) + 1 :]
            taken = any(
                {name, name.removesuffix("SecretArn")} & set(read(each).get("Parameters", {}))
                for each in later
            )
            assert taken or f'"{name}"' in script or name in TOLD_TO_PEOPLE, f"{stack}: {name}"


def refers_to(stack: dict, value: object) -> tuple[set[str], set[str]]:
    """The types of the resources that a value refers to, and the attributes that it takes."""
    found = [
        (stack["Resources"][name]["Type"], attribute)
        for name, attribute in references(value)
        if name in stack["Resources"]
    ]
    return {type_ for type_, _ in found}, {attribute or "" for _, attribute in found}


@pytest.mark.parametrize("stack", STACKS)
def test_outputs_are_of_the_type_of_the_parameter(stack: str, system: System) -> None:
    """A subnet is no security group, and a name no ARN."""
    for name, parameter in read(stack).get("Parameters", {}).items():
        giving = [each for each in earlier(stack) if name in system.stacks[each].outputs]
        if not giving:
            continue
        template, value = read(giving[0]), system.stacks[giving[0]].outputs[name]
        types, attributes = refers_to(template, value)
        wanted = RESOURCE_OF.get(parameter["Type"]) or LISTS_OF.get(name)
        if wanted:
            assert types == {wanted}, f"{stack}: {name} is given {types}"
            is_list = parameter["Type"].startswith(("List", "CommaDelimitedList"))
            assert ("Fn::Join" in value) == (is_list and wanted == "AWS::EC2::Subnet")
        elif parameter["Type"] == "Number":
            assert isinstance(value, int | float), f"{stack}: {name} is {value}"
        elif name.endswith("Arn"):
            is_arn = (attributes <= {""} and types <= REF_IS_ARN) or all(
                attribute.endswith("Arn") for attribute in attributes
            )
            assert is_arn, f"{stack}: {name} is {value}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DatabaseSecurityGroupId", {"Ref": "Vpc"}),
        ("VpcSubnetIds", {"Fn::Join": [",", [{"Ref": "Vpc"}]]}),
        ("VpcSecurityGroupIds", {"Ref": "PrivateSubnetA"}),
    ],
)
def test_a_wrong_type_would_be_noticed(name: str, value: object) -> None:
    """Of what the network tells."""
    templates = Templates()
    templates["network"]["Outputs"][name]["Value"] = value
    system = System.of("economy", templates)
    taking = [each for each in STACKS if name in read(each).get("Parameters", {})]
    with pytest.raises(AssertionError):
        test_outputs_are_of_the_type_of_the_parameter(taking[0], system)


@pytest.mark.parametrize("stack", STACKS)
def test_every_reference_leads_somewhere(stack: str, system: System) -> None:
    """In each size: a condition may have removed what is referred to."""
    known = system.stacks[stack]
    names = set(known.resources) | set(read(stack).get("Parameters", {}))
    for where in (known.resources, known.outputs):
        for name, _ in references(where):
            if name.startswith("AWS::") or name.startswith("stageVariables"):
                continue
            assert name in names, f"{stack}: {name} does not exist in the size {system.size}"


@pytest.mark.parametrize("stack", [*INFRASTRUCTURE, OPERATIONS])
def test_a_template_is_small_enough_to_be_sent(stack: str) -> None:
    """`aws cloudformation deploy` uploads none of these. (The application's is uploaded.)"""
    assert (REPOSITORY / f"infrastructure/{stack}.yaml").stat().st_size < 51_200


def test_the_deployment_reads_the_templates_correctly() -> None:
    """It has no parser for YAML."""
    for stack in STACKS:
        path = "template.yaml" if stack == APPLICATION else f"infrastructure/{stack}.yaml"
        for section in ("Parameters", "Outputs"):
            found = deploy.names_in(REPOSITORY / path, section)
            assert list(found) == list(read(stack).get(section, {})), f"{stack}: {section}"
        for name, lines in deploy.names_in(REPOSITORY / path, "Parameters").items():
            assert ("Default" in read(stack)["Parameters"][name]) == ("Default:" in lines), name


@pytest.mark.parametrize("size", deploy.FUNCTION_CONCURRENCY)
def test_all_functions_together_leave_room(size: str) -> None:
    """The account has 1,000 executions at a time, of which 100 may not be reserved."""
    functions = System.of(size).stacks[APPLICATION]
    limited = [
        name
        for name, function in functions.of_type("AWS::Lambda::Function")
        if "ReservedConcurrentExecutions" in function
    ]
    reserved = len(limited) * int(deploy.FUNCTION_CONCURRENCY[size])
    assert reserved <= 900, f"{len(limited)} functions reserve {reserved}"


def test_the_dashboard_is_json() -> None:
    """And shows only what there is: its metrics name functions and queues of the application."""
    body = read(OPERATIONS)["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0]
    widgets = json.loads(body)["widgets"]
    assert len(widgets) == 9
    application = System.of("economy").stacks[APPLICATION]
    names = {
        value["Fn::Sub"].replace("AWS::StackName", "Name")
        for _, key, value in [
            (name, key, value)
            for type_ in ("AWS::Lambda::Function", "AWS::SQS::Queue")
            for name, properties in application.of_type(type_)
            for key, value in properties.items()
            if key in {"FunctionName", "QueueName"}
        ]
    }
    shown = {
        part
        for widget in widgets
        for metric in widget["properties"]["metrics"]
        for part in metric
        if isinstance(part, str) and part.startswith("${Name}-")
    }
    assert shown
    assert shown <= names


def test_the_dashboard_shows_whatever_waits_and_has_an_alarm() -> None:
    """Each outbox, and the messages of each sender."""
    body = read(OPERATIONS)["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"][0]
    shown = set()
    for widget in json.loads(body)["widgets"]:
        before: list[str] = []
        for metric in widget["properties"]["metrics"]:
            # "..." stands for what the metric before has there, "." for one part of it.
            parts = [part for part in metric if isinstance(part, str)]
            if parts[:1] == ["..."]:
                parts = before[:-1] + parts[1:]
            parts = [before[at] if part == "." else part for at, part in enumerate(parts)]
            before = parts
            shown.add(tuple(parts[1:]))
    application = System.of("hospital").stacks[APPLICATION]
    watched = set()
    for _, alarm in application.of_type("AWS::CloudWatch::Alarm"):
        if alarm.get("MetricName") in {"OutboxAge", "OutboxStuck", "OverdueMessages"}:
            function = application.resources[alarm["Dimensions"][0]["Value"]["Ref"]]
            name = function["Properties"]["FunctionName"]["Fn::Sub"]
            name = name.replace("AWS::StackName", "Name")
            watched.add((alarm["MetricName"], "Function", name))
    assert len(watched) >= 6
    assert watched <= shown


def test_every_alarm_is_explained() -> None:
    """In the table of docs/operations.md, by its name after that of the deployment."""
    explained = set(re.findall(r"`…-([a-z-]+)`", (REPOSITORY / "docs/operations.md").read_text()))
    for system in (System.of(size) for size in SIZES):
        for name, alarm in system.of_type("AWS::CloudWatch::Alarm"):
            suffix = alarm["AlarmName"]["Fn::Sub"].split("}-")[1]
            assert suffix in explained, f"{name}: nobody says what to do"
